"""
Services named by a cluster: an authorization service over gRPC and HTTP, a rate limit service, a Redis; with the
cluster's TLS, SPIFFE names and endpoints.

Lives here: grpcio's servers, the standard library's HTTP server and redis-server behind TLS. Does not: what the filters
do with answers (test_ext_authz.py, test_limits.py).
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import catalogue
import grpc
import pytest
from authority import Authority, Issued
from catalogue import Start
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc
from google.rpc import status_pb2
from proxied import Proxy, cluster, listener
from running import answers, free_port

pytestmark = pytest.mark.peer("redis-server")
SPIFFE = "spiffe://mesh/ns/demo/sa/service"


class Pki:
    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "ca")
        self.ca = str(self.authority.ca)
        self.service = self.authority.issue("service", uri=SPIFFE, file="service")
        self.proxy = self.authority.issue("proxy", uri="spiffe://mesh/ns/demo/sa/proxy", file="proxy")

    def upstream(self, name: str = SPIFFE) -> dict[str, Any]:
        own: Issued = self.proxy
        return {
            "ca": self.ca, "subject_alt_names": [name], "certificate": str(own.certificate), "key": str(own.key),
        }  # fmt: skip


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


class Grpc:
    """Refuses FLUSHALL, and what the limit `over` is asked for. TLS with a certificate of the client, or none."""

    def __init__(self, pki: Pki | None) -> None:
        self.seen = 0
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        external_auth_pb2_grpc.add_AuthorizationServicer_to_server(self, self.server)
        rls_pb2_grpc.add_RateLimitServiceServicer_to_server(self, self.server)
        if pki is None:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        else:
            pair = pki.service.key.read_bytes(), pki.service.certificate.read_bytes()
            credentials = grpc.ssl_server_credentials([pair], Path(pki.ca).read_bytes(), True)
            self.port = self.server.add_secure_port("127.0.0.1:0", credentials)
        self.server.start()

    def Check(self, request: Any, context: Any) -> Any:
        self.seen += 1
        code = 7 if request.attributes.request.http.method == "FLUSHALL" else 0
        return external_auth_pb2.CheckResponse(status=status_pb2.Status(code=code))

    def ShouldRateLimit(self, request: Any, context: Any) -> Any:
        self.seen += 1
        over = any(entry.value == "over" for one in request.descriptors for entry in one.entries)
        return rls_pb2.RateLimitResponse(overall_code=2 if over else 1)


class Http:
    """Refuses FLUSHALL. hosts: the Host headers."""

    def __init__(self, pki: Pki) -> None:
        self.hosts: list[str] = []
        service = self

        class Page(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                service.hosts.append(self.headers["host"])
                self.send_response(403 if self.path.endswith("FLUSHALL") else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.service.certificate, pki.service.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def services(pki: Pki) -> Iterator[tuple[list[Grpc], Http]]:
    made = [Grpc(pki), Grpc(pki), Grpc(None), Grpc(None)], Http(pki)
    yield made
    for one in made[0]:
        one.server.stop(None).wait()
    made[1].server.shutdown()
    made[1].server.server_close()


def ask(port: int, *commands: bytes) -> list[bytes]:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        found = []
        for command in commands:
            client.sendall(command + b"\r\n")
            found.append(client.recv(4096))
        return found


def test_filters_ask_services_of_a_cluster_with_its_tls_and_all_of_its_endpoints(
    start_here: Start, proxy: Callable[[Any], Proxy], pki: Pki, services: tuple[list[Grpc], Http], tmp_path: Path
) -> None:
    grpcs, http = services
    redis, counters = free_port(), free_port()
    (tmp_path / "counters").mkdir()
    start_here(catalogue.redis_server(redis, tmp_path), lambda: answers(redis))
    files = ["--tls-cert-file", str(pki.service.certificate), "--tls-key-file", str(pki.service.key)]
    secured = ["--tls-port", str(counters), *files, "--tls-auth-clients", "no"]
    start_here(catalogue.redis_server(0, tmp_path / "counters", *secured), lambda: answers(counters))
    users = {"entries": [{"key": "key", "from": "key"}]}
    twice = {**users, "limit": {"requests_per_unit": 2, "unit": "hour"}}
    filters: dict[str, dict[str, Any]] = {
        "grpc": {"ext_authz": {"service": {"cluster": "grpc"}, "timeout": "5s"}},
        "plain": {"ext_authz": {"service": {"cluster": "plain"}, "timeout": "5s"}},
        "http": {"ext_authz": {"service": {"cluster": "http", "http": "http://authz.internal/check"}, "timeout": "5s"}},
        "stranger": {"ext_authz": {"service": {"cluster": "stranger"}, "timeout": "5s"}},
        "limits": {
            "global_rate_limit": {"service": {"cluster": "grpc"}, "descriptors": [users], "timeout": "5s"},
        },
        "counters": {
            "global_rate_limit": {
                "service": {"cluster": "counters", "kind": "redis"}, "descriptors": [twice], "timeout": "5s",
                "on_failure": "deny",
            },
        },
    }  # fmt: skip
    ports = {name: free_port() for name in filters}
    running = proxy(
        {
            "listeners": [
                listener(name, ports[name], "redis", [{"cluster": "redis"}], filters=[one])
                for name, one in filters.items()
            ],
            "clusters": [
                cluster("redis", redis),
                cluster("grpc", grpcs[0].port, grpcs[1].port, tls=pki.upstream()),
                cluster("plain", grpcs[2].port, grpcs[3].port),
                cluster("http", http.port, tls=pki.upstream()),
                cluster("stranger", grpcs[0].port, tls=pki.upstream("spiffe://mesh/somebody")),
                cluster("counters", counters, tls=pki.upstream()),
            ],
        }
    )
    assert "no route leads" not in running.log()
    for name in ("grpc", "plain", "http"):
        passed, refused, again = ask(ports[name], b"SET k 1", b"FLUSHALL", b"GET k")
        assert (passed, again) == (b"+OK\r\n", b"$1\r\n1\r\n"), name
        assert refused.startswith(b"-NOPERM"), name
    assert http.hosts == ["authz.internal"] * 3
    assert all(one.seen for one in grpcs), "calls go to all endpoints in turn"
    (failed,) = ask(ports["stranger"], b"GET k")
    assert b"can't be asked" in failed
    assert "none of the subject_alt_names spiffe://mesh/somebody" in running.log()
    passed, over = ask(ports["limits"], b"GET k", b"GET over")
    assert passed == b"$1\r\n1\r\n" and b"too many requests" in over
    assert [b"too many" in one for one in ask(ports["counters"], *[b"GET mine"] * 3)] == [False, False, True]
    stats = running.stats()
    counted = [
        value for name, value in stats.items() if re.match('metaproxy_endpoint_requests_total{cluster="plain"', name)
    ]
    assert sorted(counted) == [1, 2]
