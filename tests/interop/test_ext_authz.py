"""
An authorization service decides, as real Dubbo, Thrift and Redis clients see it.

Lives here: the generated service of xds-protos over gRPC, a server of the standard library over HTTP, refusals in each
client's own words, a service that hangs or is away, and a real Envoy's request beside ours, field by field. Does not:
how each field is made (tests/unit/filters/test_authz_grpc.py).
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import grpc
import pytest
import yaml
from catalogue import Clients, Start
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from google.rpc import status_pb2
from proxied import Proxy, cluster, listener
from running import ROOT, answers, free_port

peer = pytest.mark.peer
Response = external_auth_pb2.CheckResponse
FRAMED = {"transport": "framed", "protocol": "binary", "mux": False}


class GrpcService:
    """
    Refuses `add`, FLUSHALL and tenant t2, sleeps for tenant slow; calls everybody else ann.
    """

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        external_auth_pb2_grpc.add_AuthorizationServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def Check(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        asked = request.attributes.request.http
        tenant = asked.headers.get("tenant")
        if tenant == "slow":
            time.sleep(1)
        if asked.method in ("add", "FLUSHALL") or tenant == "t2":
            refusal = external_auth_pb2.DeniedHttpResponse(body=f"{asked.method} is not for you")
            return Response(status=status_pb2.Status(code=7), denied_response=refusal)
        user = base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key="user", value="ann"))
        granted = external_auth_pb2.OkHttpResponse(headers=[user], headers_to_remove=["debug"])
        return Response(ok_response=granted)


class HttpService:
    """Refuses what GrpcService does, by the path."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        service = self

        class Page(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                service.paths.append(self.path)
                method = self.path.rpartition("/")[2]
                body = f"{method} is not for you".encode() if method in ("add", "FLUSHALL") else b""
                self.send_response(403 if body else 200)
                self.send_header("content-length", str(len(body)))
                self.send_header("user", "ann")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Mesh(NamedTuple):
    """ports: listener -> port; listeners are PROTOCOL-grpc, -http, -none (no filter), dubbo-cached, dubbo-away-*."""

    proxy: Proxy
    grpc: GrpcService
    http: HttpService
    ports: dict[str, int]

    def counted(self, name: str) -> dict[str, int]:
        found = {}
        for metric, value in self.proxy.stats().items():
            if metric.startswith("metaproxy_filter_events_total") and f'listener="{name}"' in metric:
                found[metric.partition('event="')[2].partition('"')[0]] = int(value)
        return found


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[GrpcService, HttpService]]:
    made = GrpcService(), HttpService()
    yield made
    made[0].server.stop(None).wait()
    made[1].server.shutdown()
    made[1].server.server_close()


@pytest.fixture(scope="module")
def mesh(
    start: Start,
    shared_proxy: Callable[..., Proxy],
    services: tuple[GrpcService, HttpService],
    tmp_path_factory: pytest.TempPathFactory,
) -> Mesh:
    by_grpc, by_http = services
    servers = {name: free_port() for name in ("dubbo", "thrift", "redis")}
    start(catalogue.dubbo_server("npm", "alpha", servers["dubbo"]))
    spec = f"{servers['thrift']}:framed:binary"
    start(catalogue.thrift_server("py", "alpha", spec), lambda: answers(servers["thrift"]))
    start(catalogue.redis_server(servers["redis"], tmp_path_factory.mktemp("authz")), lambda: answers(servers["redis"]))
    asks = {
        "grpc": {"service": {"grpc": f"127.0.0.1:{by_grpc.port}"}, "timeout": "500ms"},
        "http": {
            "service": {"http": f"http://127.0.0.1:{by_http.port}/check", "upstream_headers": ["user"]},
            "timeout": "500ms",
        },
    }
    away = {"service": {"grpc": f"127.0.0.1:{free_port()}"}}
    listeners, ports = [], {}

    def add(name: str, options: dict[str, Any] | None) -> None:
        protocol = name.partition("-")[0]
        ports[name] = free_port()
        used = [{"ext_authz": options}] if options else []
        listeners.append(listener(name, ports[name], protocol, [{"cluster": protocol}], filters=used))

    for protocol in servers:
        for kind, options in asks.items():
            add(f"{protocol}-{kind}", options)
        add(f"{protocol}-none", None)
    add("dubbo-cached", {**asks["grpc"], "cache": {"key": ["operation", "tenant"], "ttl": "1m"}})
    add("dubbo-away-closed", away)
    add("dubbo-away-open", {**away, "fail": "open"})
    config = {"listeners": listeners, "clusters": [cluster(name, port) for name, port in servers.items()]}
    return Mesh(shared_proxy(config), by_grpc, by_http, ports)


DUBBO = [
    pytest.param("java", "org.apache.dubbo.rpc.RpcException", marks=peer("java", "npm")),
    pytest.param("npm", "Error", marks=peer("npm")),
    pytest.param("dubbo-py", "RuntimeError", marks=peer("dubbo-py", "npm")),
]


@pytest.mark.parametrize("kind", ["grpc", "http"])
@pytest.mark.parametrize("name, raised", DUBBO)
def test_a_dubbo_client_is_refused_in_its_own_words_and_else_served(
    name: str, raised: str, kind: str, clients: Clients, mesh: Mesh
) -> None:
    calls = [{"method": "add", "args": [3, 4]}, {"method": "whoami"}]
    jobs = clients(catalogue.dubbo_client(name))
    added, who = jobs.run(port=mesh.ports[f"dubbo-{kind}"], calls=calls)
    assert (added["error"]["class"], who.get("value")) == (raised, "alpha")
    assert "ext_authz: add is not for you" in added["error"]["message"]
    assert jobs.run(port=mesh.ports["dubbo-none"], calls=calls)[0]["value"] == 7


@pytest.mark.parametrize("kind", ["grpc", "http"])
@peer("npm")
def test_the_provider_gets_what_the_service_adds(kind: str, clients: Clients, mesh: Mesh) -> None:
    call = {"method": "attachments", "attachments": {"user": "mallory", "debug": "1", "kept": "k"}}
    (result,) = clients(catalogue.dubbo_client("npm")).run(port=mesh.ports[f"dubbo-{kind}"], calls=[call])
    seen = result["value"]
    assert (seen["user"], seen["kept"], "debug" in seen) == ("ann", "k", kind == "http")


@pytest.mark.parametrize("kind", ["grpc", "http"])
@pytest.mark.parametrize("name", [pytest.param(each, marks=peer(each, "py")) for each in ("py", "js", "java")])
def test_a_thrift_client_is_refused_with_an_application_exception(
    name: str, kind: str, clients: Clients, mesh: Mesh
) -> None:
    calls = [{"method": "add", "args": [3, 4]}, {"method": "sayHello", "args": ["bob"]}]
    jobs = clients(catalogue.thrift_client(name))
    added, hello = jobs.run(port=mesh.ports[f"thrift-{kind}"], calls=calls, **FRAMED)
    assert "ApplicationException" in added["error"]["class"]
    assert "ext_authz: add is not for you" in added["error"]["message"]
    assert hello["value"] == "hello bob from alpha"
    assert jobs.run(port=mesh.ports["thrift-none"], calls=calls, **FRAMED)[0]["value"] == 7


@pytest.mark.parametrize("kind", ["grpc", "http"])
@peer("redis-py", "redis-server")
def test_redis_py_is_refused_and_answers_keep_their_order(kind: str, mesh: Mesh) -> None:
    import redis

    with redis.Redis(port=mesh.ports[f"redis-{kind}"], decode_responses=True) as client:
        client.set("kept", "1")
        pipeline = client.pipeline(transaction=False)
        pipeline.get("kept").execute_command("FLUSHALL").get("kept").incr("n").get("kept")
        results = pipeline.execute(raise_on_error=False)
        assert (results[0], results[2], results[4]) == ("1", "1", "1")
        assert isinstance(results[1], redis.exceptions.NoPermissionError)
        assert "FLUSHALL is not for you" in str(results[1])
    with redis.Redis(port=mesh.ports["redis-none"]) as client:
        assert client.flushall() is True


@peer("npm")
def test_the_service_is_told_who_asks_for_what(clients: Clients, mesh: Mesh) -> None:
    jobs = clients(catalogue.dubbo_client("npm"))
    jobs.run(port=mesh.ports["dubbo-grpc"], calls=[{"method": "whoami", "attachments": {"tenant": "told"}}])
    attributes = [
        one.attributes for one in mesh.grpc.requests if one.attributes.request.http.headers.get("tenant") == "told"
    ]
    (found,) = attributes
    http = found.request.http
    assert (http.path, http.method) == ("/org.example.HelloService/whoami", "whoami")
    assert found.destination.address.socket_address.port_value == mesh.ports["dubbo-grpc"]
    assert found.source.address.socket_address.address == "127.0.0.1"
    assert abs(found.request.time.seconds - time.time()) < 60
    assert found.context_extensions["listener"] == "dubbo-grpc"
    jobs.run(port=mesh.ports["dubbo-http"], calls=[{"method": "whoami"}])
    assert mesh.http.paths[-1] == "/check/org.example.HelloService/whoami"


@peer("npm")
def test_decisions_are_kept_and_each_is_asked_once(clients: Clients, mesh: Mesh) -> None:
    before = len(mesh.grpc.requests)
    calls = [{"method": "whoami"}] * 5 + [{"method": "add", "args": [3, 4]}] * 5
    results = clients(catalogue.dubbo_client("npm")).run(port=mesh.ports["dubbo-cached"], calls=calls)
    assert [("error" in result) for result in results] == [False] * 5 + [True] * 5
    assert len(mesh.grpc.requests) == before + 2
    counted = mesh.counted("dubbo-cached")
    assert (counted["ok"], counted["denied"], counted["cached"]) == (5, 5, 8)


@peer("npm")
def test_a_service_that_is_late_or_away_refuses_or_not_as_configured(clients: Clients, mesh: Mesh) -> None:
    jobs = clients(catalogue.dubbo_client("npm"))
    slow = {"method": "whoami", "attachments": {"tenant": "slow"}}
    (late,) = jobs.run(port=mesh.ports["dubbo-grpc"], calls=[slow])
    assert "can't be asked" in late["error"]["message"]
    (closed,) = jobs.run(port=mesh.ports["dubbo-away-closed"], calls=[{"method": "whoami"}])
    assert "can't be asked" in closed["error"]["message"]
    (opened,) = jobs.run(port=mesh.ports["dubbo-away-open"], calls=[{"method": "whoami"}])
    assert opened["value"] == "alpha"
    assert mesh.counted("dubbo-away-open")["failure_mode_allowed"] == 1


# -- a real Envoy


def envoys_bootstrap(port: int, admin: int, service: int) -> dict[str, Any]:
    """HTTP that is answered directly, once the service has let it pass."""
    manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    authz = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "authz"}, "timeout": "5s"},
    }
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "in"}}}
    connections = {
        "@type": manager,
        "stat_prefix": "in",
        "http_filters": [
            {"name": "envoy.filters.http.ext_authz", "typed_config": authz},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}]
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": service}}}}
    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    authz_cluster = {
        "name": "authz",
        "type": "STATIC",
        "typed_extension_protocol_options": http2,
        "load_assignment": {"cluster_name": "authz", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    return {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "static_resources": {
            "listeners": [{"name": "in", "address": address, "filter_chains": [{"filters": filters}]}],
            "clusters": [authz_cluster],
        },
    }


def fields_of(message: Any, prefix: str = "") -> set[str]:
    """The paths of all fields that are set; of maps only the field itself."""
    found = set()
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            found.add(path)
        else:
            found |= fields_of(value, f"{path}.")
    return found


@peer("envoy", "npm")
def test_a_real_envoy_asks_the_same_service_with_the_same_fields(
    clients: Clients, mesh: Mesh, start_here: Start, tmp_path: Path
) -> None:
    port, admin = free_port(), free_port()
    bootstrap = tmp_path / "envoy.json"
    bootstrap.write_text(json.dumps(envoys_bootstrap(port, admin, mesh.grpc.port)))
    start_here(catalogue.envoy(bootstrap), lambda: answers(port))
    before = len(mesh.grpc.requests)
    told = []
    for tenant in ("t1", "t2"):
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        asking.request("GET", "/org.example.HelloService/whoami", headers={"tenant": tenant})
        told.append(asking.getresponse().status)
        asking.close()
    assert told == [200, 403]
    theirs = mesh.grpc.requests[before].attributes
    call = {"method": "whoami", "attachments": {"tenant": "t1"}}
    clients(catalogue.dubbo_client("npm")).run(port=mesh.ports["dubbo-grpc"], calls=[call])
    ours = mesh.grpc.requests[-1].attributes
    # Envoy's own: metadata contexts are of its filters, even if empty.
    expected = {one for one in fields_of(theirs) if "metadata_context" not in one}
    assert expected - fields_of(ours) == set()
    assert fields_of(ours) - expected <= {"context_extensions", "request.http.size"}
    for name in ("source", "destination"):
        mine, other = getattr(ours, name).address.socket_address, getattr(theirs, name).address.socket_address
        assert (mine.address, bool(mine.port_value)) == (other.address, bool(other.port_value))
    assert ours.request.http.path == theirs.request.http.path
    assert ours.request.http.headers["tenant"] == theirs.request.http.headers["tenant"] == "t1"


@peer("npm")
def test_conf_ext_authz_works_with_a_service_at_its_address(
    clients: Clients, start_here: Start, proxy: Callable[..., Proxy], services: tuple[GrpcService, HttpService]
) -> None:
    server, port, redis_port = free_port(), free_port(), free_port()
    text = (ROOT / "conf" / "ext_authz.yaml").read_text()
    places = {"20880": port, "20881": server, "6400": redis_port, "9191": services[0].port, "9192": services[1].port}
    for written, real in places.items():
        text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{real}")
    start_here(catalogue.dubbo_server("npm", "alpha", server))
    proxy(yaml.safe_load(text.replace("${ENVIRONMENT:-test}", "test")))
    calls = [{"method": "add", "args": [3, 4]}, {"method": "whoami"}]
    added, who = clients(catalogue.dubbo_client("npm")).run(port=port, calls=calls)
    assert "add is not for you" in added["error"]["message"]
    assert who["value"] == "alpha"
    assert services[0].requests[-1].attributes.context_extensions["environment"] == "test"
