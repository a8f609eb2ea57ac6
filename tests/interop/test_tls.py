"""
TLS on both sides, with clients and servers that bring their own.

Lives here: redis-py and redis-server with certificates of their own, Thrift's TLS sockets, Dubbo through two proxies
that speak TLS to each other; who is refused; rotation under load. Does not: the handshake's corners
(tests/unit/proxy/test_tls.py).
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catalogue
import pytest
from authority import Authority, Issued
from catalogue import Clients, Start
from present import present
from proxied import Proxy, cluster, listener
from running import answers, eventually, free_port

peer = pytest.mark.peer
Proxies = Callable[..., Proxy]


class Pki:
    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "ca")
        self.ca = str(self.authority.ca)
        self.proxy = self.authority.issue("proxy", "localhost", "127.0.0.1", file="proxy")
        self.server = self.authority.issue("server", "server.internal", file="server")
        self.app = self.authority.issue("app", uri="spiffe://mesh/app", file="app")
        self.other = self.authority.issue("other", "other.example.org", file="other")
        self.stranger = Authority(folder, "strangers").issue("stranger", "localhost", file="stranger")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def pair(issued: Issued) -> dict[str, str]:
    return {"certificate": str(issued.certificate), "key": str(issued.key)}


def tls_client(port: int, pki: Pki, own: Issued | None = None, **options: Any) -> Any:
    import redis

    files = {"ssl_certfile": str(own.certificate), "ssl_keyfile": str(own.key)} if own is not None else {}
    return redis.Redis(port=port, host="localhost", ssl=True, ssl_ca_certs=pki.ca, socket_timeout=5, **files, **options)


@peer("redis-py", "redis-server")
@pytest.mark.parametrize("server_name", [None, "whatever.internal"])
def test_a_server_is_known_by_its_spiffe_name(
    start_here: Start, proxy: Proxies, pki: Pki, tmp_path: Path, server_name: str | None
) -> None:
    import redis

    server, right, wrong = free_port(), free_port(), free_port()
    files = ["--tls-cert-file", str(pki.app.certificate), "--tls-key-file", str(pki.app.key)]
    start_here(
        catalogue.redis_server(0, tmp_path, "--tls-port", str(server), *files, "--tls-auth-clients", "no"),
        lambda: answers(server),
    )
    named = {"server_name": server_name} if server_name else {}

    def upstream(*names: str) -> dict[str, Any]:
        return {"ca": pki.ca, "subject_alt_names": list(names), **named}

    proxy(
        {
            "listeners": [
                listener("right", right, "redis", [{"cluster": "app"}]),
                listener("wrong", wrong, "redis", [{"cluster": "other"}]),
            ],
            "clusters": [
                cluster("app", server, tls=upstream("db.internal", "spiffe://mesh/app"), keepalive={}),
                cluster("other", server, tls=upstream("spiffe://mesh/other")),
            ],
        }
    )
    with redis.Redis(port=right, retry=None) as client:
        assert client.ping()
    with (
        redis.Redis(port=wrong, retry=None) as client,
        pytest.raises(redis.exceptions.RedisError, match="it has spiffe://mesh/app"),
    ):
        client.ping()


@peer("redis-py", "redis-server")
def test_redis_speaks_tls_on_both_sides_and_certificates_say_who_may_what(
    start_here: Start, proxy: Proxies, pki: Pki, tmp_path: Path
) -> None:
    import redis

    server = free_port()
    start_here(
        catalogue.redis_server(
            0, tmp_path, "--tls-port", str(server), "--tls-cert-file", str(pki.server.certificate), "--tls-key-file",
            str(pki.server.key), "--tls-ca-cert-file", pki.ca, "--tls-auth-clients", "yes",
        ),
        lambda: answers(server),
    )  # fmt: skip
    port, wrong = free_port(), free_port()
    tls = {**pair(pki.proxy), "client_ca": pki.ca, "require_client_certificate": True}
    rbac = {
        "policies": {
            "app": {"principals": [{"source.identity": "spiffe://mesh/app"}]},
            "rest": {"permissions": [{"command": "GET"}]},
        }
    }
    log = tmp_path / "access.log"
    upstream = {"ca": pki.ca, "server_name": "server.internal", **pair(pki.proxy)}
    running = proxy(
        {
            "listeners": [
                listener(
                    "tls", port, "redis", [{"cluster": "good"}], tls=tls, filters=[{"rbac": rbac}],
                    access_log=[{"file": str(log), "format": "%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_TLS_VERSION%\n"}],
                ),
                listener("wrong", wrong, "redis", [{"cluster": "bad"}]),
            ],
            "clusters": [
                cluster("good", server, tls=upstream, health_check={"kind": "codec", "interval": "200ms"}),
                cluster("bad", server, tls={**upstream, "server_name": "elsewhere.internal"}),
            ],
        }
    )  # fmt: skip
    with tls_client(port, pki, pki.app) as app, tls_client(port, pki, pki.other) as other:
        app.set("key", "x" * 200_000)
        assert len(other.get("key")) == 200_000
        with pytest.raises(redis.exceptions.NoPermissionError):
            other.set("key", "2")
    for own in (None, pki.stranger):
        with tls_client(port, pki, own, retry=None) as nobody, pytest.raises(redis.exceptions.RedisError):
            nobody.get("key")
    with redis.Redis(port=port, retry=None) as plain, pytest.raises(redis.exceptions.RedisError):
        plain.get("key")
    assert eventually(
        lambda: running.stats()['metaproxy_listener_tls_handshake_errors_total{listener="tls",protocol="redis"}'] >= 3
    )
    with redis.Redis(port=wrong, retry=None) as through, pytest.raises(redis.exceptions.RedisError) as told:
        through.get("key")
    assert "certificate refused" in str(told.value)
    assert eventually(lambda: log.exists() and "spiffe://mesh/app TLSv1.3" in log.read_text())
    assert pki.proxy.key.read_text() not in json.dumps(running.admin("/config_dump"))


@peer("redis-py", "redis-server")
def test_the_name_that_is_asked_for_chooses_the_certificate(
    start_here: Start, proxy: Proxies, pki: Pki, tmp_path: Path
) -> None:
    server, port = free_port(), free_port()
    start_here(catalogue.redis_server(server, tmp_path), lambda: answers(server))
    tls = {**pair(pki.proxy), "certificates": [{**pair(pki.other)}]}
    proxy(
        {"listeners": [listener("tls", port, "redis", [{"cluster": "a"}], tls=tls)], "clusters": [cluster("a", server)]}
    )
    for name, subject in (("other.example.org", "other"), ("localhost", "proxy")):
        context = ssl.create_default_context(cafile=pki.ca)
        plain = socket.create_connection(("127.0.0.1", port), 5)
        with context.wrap_socket(plain, server_hostname=name) as secured:
            assert present(secured.getpeercert())["subject"] == ((("commonName", subject),),)
            secured.sendall(b"*1\r\n$4\r\nPING\r\n")
            assert secured.recv(100) == b"+PONG\r\n"


@peer("npm")
@pytest.mark.parametrize("name", [pytest.param(each, marks=peer(each)) for each in ("npm", "java", "dubbo-py")])
def test_dubbo_goes_through_two_proxies_that_speak_mtls_to_each_other(
    name: str, start_here: Start, clients: Clients, proxy: Proxies, pki: Pki
) -> None:
    server, inner, outer, plain = free_port(), free_port(), free_port(), free_port()
    start_here(catalogue.dubbo_server("npm", "alpha", server), lambda: answers(server))
    guard = {"rbac": {"policies": {"peer": {"principals": [{"source.identity": "spiffe://mesh/app"}]}}}}
    tls = {**pair(pki.proxy), "client_ca": pki.ca, "require_client_certificate": True}
    proxy(
        {
            "listeners": [listener("inner", inner, "dubbo", [{"cluster": "server"}], tls=tls, filters=[guard])],
            "clusters": [cluster("server", server)],
        }
    )
    to_inner = {"ca": pki.ca, "server_name": "localhost", **pair(pki.app)}
    proxy(
        {
            "listeners": [
                listener("outer", outer, "dubbo", [{"cluster": "inner"}]),
                listener("plain", plain, "dubbo", [{"cluster": "without"}]),
            ],
            "clusters": [
                cluster("inner", inner, tls=to_inner),
                cluster("without", inner, tls={"ca": pki.ca, "server_name": "localhost"}),
            ],
        }
    )
    jobs = clients(catalogue.dubbo_client(name))
    (added,) = jobs.run(port=outer, calls=[{"method": "add", "args": [3, 4]}])
    assert added["value"] == 7
    (refused,) = jobs.run(port=plain, calls=[{"method": "add", "args": [3, 4]}])
    assert "error" in refused


@peer("py")
def test_thrifts_own_tls_socket_is_served(start_here: Start, clients: Clients, proxy: Proxies, pki: Pki) -> None:
    server, port = free_port(), free_port()
    start_here(catalogue.thrift_server("py", "alpha", f"{server}:framed:binary"), lambda: answers(server))
    proxy(
        {
            "listeners": [listener("tls", port, "thrift", [{"cluster": "a"}], tls=pair(pki.proxy))],
            "clusters": [cluster("a", server)],
        }
    )
    from thrift.protocol.TBinaryProtocol import TBinaryProtocol
    from thrift.Thrift import TMessageType
    from thrift.transport.TSSLSocket import TSSLSocket
    from thrift.transport.TTransport import TFramedTransport

    transport = TFramedTransport(TSSLSocket("localhost", port, ca_certs=pki.ca, cert_reqs=ssl.CERT_REQUIRED))
    transport.open()
    protocol = TBinaryProtocol(transport)
    protocol.writeMessageBegin("sayHello", TMessageType.CALL, 5)
    protocol.writeStructBegin("args")
    protocol.writeFieldBegin("name", 11, 1)
    protocol.writeString("bob")
    protocol.writeFieldEnd()
    protocol.writeFieldStop()
    protocol.writeStructEnd()
    protocol.writeMessageEnd()
    transport.flush()
    name, kind, seqid = protocol.readMessageBegin()
    assert (name, kind, seqid) == ("sayHello", TMessageType.REPLY, 5)
    protocol.readStructBegin()
    protocol.readFieldBegin()
    assert protocol.readString() == "hello bob from alpha"
    transport.close()


class Operated(Proxy):
    """A proxy whose admin API speaks TLS; context: who asks it."""

    def __init__(self, config: dict[str, Any], directory: Path, context: ssl.SSLContext) -> None:
        self.context = context
        super().__init__(config, directory)

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
        request = urllib.request.Request(self.url.replace("http:", "https:") + path, data=body, method=method)
        with urllib.request.urlopen(request, timeout=5, context=self.context) as answer:
            return answer.status, answer.read().decode()


def test_the_admin_api_asks_for_certificates_and_takes_new_ones(pki: Pki, tmp_path: Path) -> None:
    own = pki.authority.issue("admin", "localhost", "127.0.0.1", file="admin")
    context = ssl.create_default_context(cafile=pki.ca)
    context.load_cert_chain(pki.app.certificate, pki.app.key)
    nobody = ssl.create_default_context(cafile=pki.ca)
    running = Operated({"admin": {"tls": {**pair(own), "client_ca": pki.ca}}}, tmp_path, context)
    where = ("127.0.0.1", int(running.url.rpartition(":")[2]))

    def serial() -> Any:
        with context.wrap_socket(socket.create_connection(where, 5), server_hostname="localhost") as secured:
            return present(secured.getpeercert())["serialNumber"]

    try:
        first = serial()
        with nobody.wrap_socket(socket.create_connection(where, 5), server_hostname="localhost") as refused:
            refused.sendall(b"GET /config_dump HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with pytest.raises(ssl.SSLError):
                refused.recv(1000)
        pki.authority.issue("admin", "localhost", "127.0.0.1", file="admin")
        assert eventually(lambda: serial() != first, 10)
        assert running.ask("/ready")[0] == 200
    finally:
        running.stop()


@peer("redis-py", "redis-server")
def test_certificates_are_rotated_under_load_and_nobody_notices(
    start_here: Start, proxy: Proxies, pki: Pki, tmp_path: Path
) -> None:
    server, port = free_port(), free_port()
    start_here(catalogue.redis_server(server, tmp_path), lambda: answers(server))
    own = pki.authority.issue("proxy", "localhost", "127.0.0.1", file="rotated")
    running = proxy(
        {
            "listeners": [listener("tls", port, "redis", [{"cluster": "a"}], tls=pair(own))],
            "clusters": [cluster("a", server)],
        }
    )
    failed: list[str] = []
    counts = [0, 0]
    stop = threading.Event()

    def stay() -> None:
        with tls_client(port, pki, retry=None) as client:
            while not stop.is_set():
                client.set("stays", "1")
                counts[0] += 1

    def come_and_go() -> None:
        while not stop.is_set():
            with tls_client(port, pki, retry=None) as client:
                client.set("new", "1")
                counts[1] += 1

    def guarded(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            failed.append(repr(error))

    threads = [threading.Thread(target=guarded, args=(call,), daemon=True) for call in (stay, come_and_go, come_and_go)]
    for thread in threads:
        thread.start()

    def serial() -> Any:
        context = ssl.create_default_context(cafile=pki.ca)
        plain = socket.create_connection(("127.0.0.1", port), 5)
        with context.wrap_socket(plain, server_hostname="localhost") as secured:
            return present(secured.getpeercert())["serialNumber"]

    seen = {serial()}
    for _ in range(3):
        pki.authority.issue("proxy", "localhost", "127.0.0.1", file="rotated")
        before = set(seen)

        def is_new(before: set[Any] = before) -> bool:
            return serial() not in before

        assert eventually(is_new, 10)
        seen.add(serial())
    stop.set()
    for thread in threads:
        thread.join(10)
    assert failed == []
    assert len(seen) == 4 and min(counts) > 10
    assert running.outcomes().keys() == {"ok"}
