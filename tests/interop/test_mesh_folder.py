"""
The scenarios of Aeraki's end-to-end tests, with a folder of YAML in the place of Kubernetes, Aeraki and istiod.

Lives here: real clients and servers of Dubbo, Thrift, bRPC, tRPC and Redis, with a proxy beside the client and one
beside the servers; every change is a file that is written. Does not: what is made of which object (tests/unit/mesh).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
import rpc_peers
from catalogue import Clients, Start
from mesh_folder import MeshFolder
from proxied import Proxy
from running import answers, eventually, free_port

peer = pytest.mark.peer
HELLO, STOCK, ECHO, TECHO, RLS = "hello.demo", "stock.demo", "echo.demo", "techo.demo", "rls.demo"
V1, V2 = "127.0.31.1", "127.0.31.2"
"""Where the proxies beside the servers of each version listen."""
SERVICE = "org.example.HelloService"
FRAMED = {"transport": "framed", "protocol": "binary", "mux": False}


class Mesh(NamedTuple):
    """at: where clients reach the service of each protocol, at the proxy beside them."""

    folder: MeshFolder
    client: Proxy
    server: Proxy
    at: dict[str, int]
    dubbo: dict[str, int]
    thrift: dict[str, int]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    folder = MeshFolder(tmp_path_factory.mktemp("mesh"), shared_proxy)
    at = {name: free_port() for name in ("dubbo", "thrift")}
    dubbo, thrift = ({version: free_port() for version in ("v1", "v2")} for _ in range(2))
    for version, port in dubbo.items():
        start(catalogue.dubbo_server("npm", version, port))
    for version, port in thrift.items():
        start(catalogue.thrift_server("py", version, f"{port}:framed:binary"), lambda port=port: answers(port))
    places = {"v1": V1, "v2": V2}
    folder.service(HELLO, at["dubbo"], "metaprotocol-dubbo", [(places[v], port, v) for v, port in dubbo.items()])
    folder.service(STOCK, at["thrift"], "metaprotocol-thrift", [(places[v], port, v) for v, port in thrift.items()])
    return Mesh(
        folder, folder.proxy("client"), folder.proxy("server", False, INSTANCE_IPS=f"{V1},{V2}"), at, dubbo, thrift
    )


@pytest.fixture(autouse=True)
def put_back(mesh: Mesh, request: pytest.FixtureRequest) -> None:
    """Each test begins with services that have no routes of their own."""
    for path in mesh.folder.path.glob("MetaRouter-*.yaml"):
        path.unlink()
    mesh.folder.rule(HELLO, ["v1", "v2"])
    mesh.folder.rule(STOCK, ["v1", "v2"])


def greeted(clients: Clients, mesh: Mesh, times: int = 1, **call: Any) -> Counter[str]:
    """How many calls were answered by which version; what failed by its error."""
    calls = [{"method": "sayHello", "args": ["Aeraki"], **call}] * times
    results = clients(catalogue.dubbo_client("npm")).run(port=mesh.at["dubbo"], calls=calls)
    return Counter(version_of(one) for one in results)


def version_of(result: dict[str, Any]) -> str:
    if "error" in result:
        return str(result["error"]["message"])
    value = str(result["value"])
    assert value.startswith("hello Aeraki from "), value
    return value.removeprefix("hello Aeraki from ")


def stocked(clients: Clients, mesh: Mesh, *calls: dict[str, Any]) -> list[dict[str, Any]]:
    return clients(catalogue.thrift_client("py")).run(port=mesh.at["thrift"], calls=list(calls), **FRAMED)


def to(subset: str, host: str = HELLO, weight: int = 0) -> str:
    return f"{{destination: {{host: {host}, subset: {subset}}}, weight: {weight}}}"


def _forget(mesh: Mesh, name: str) -> None:
    for kind in ("ServiceEntry", "DestinationRule", "MetaRouter"):
        mesh.folder.remove(kind, name)
    mesh.folder.settle()


# -- routes


@peer("npm")
def test_all_calls_go_to_one_version_and_after_the_change_to_the_other(clients: Clients, mesh: Mesh) -> None:
    mesh.folder.router(HELLO, f"routes: [{{route: [{to('v1')}]}}]")
    assert greeted(clients, mesh, 20) == {"v1": 20}
    mesh.folder.router(HELLO, f"routes: [{{route: [{to('v2')}]}}]")
    assert greeted(clients, mesh, 20) == {"v2": 20}


@peer("npm")
def test_weights_share_the_calls(clients: Clients, mesh: Mesh) -> None:
    mesh.folder.router(HELLO, f"routes: [{{route: [{to('v1', weight=20)}, {to('v2', weight=80)}]}}]")
    found = greeted(clients, mesh, 400)
    assert found["v1"] + found["v2"] == 400
    assert 40 <= found["v1"] <= 130  # of 80 that are expected: more than five standard deviations


@peer("npm")
@pytest.mark.parametrize(
    ("attribute", "call"),
    [
        (f"interface: {{exact: {SERVICE}}}", {}),
        ("method: {prefix: say}", {}),
        ("method: {regex: 'say(Hello|Bye)'}", {}),
        ("lane: {exact: beta}", {"attachments": {"lane": "beta"}}),
        ("lane: {exact: ''}", {"attachments": {"lane": "any"}}),
    ],
)
def test_attributes_choose_the_version(attribute: str, call: dict[str, Any], clients: Clients, mesh: Mesh) -> None:
    routes = f"{{match: {{attributes: {{{attribute}}}}}, route: [{to('v2')}]}}, {{route: [{to('v1')}]}}"
    mesh.folder.router(HELLO, f"routes: [{routes}]")
    assert greeted(clients, mesh, 3, **call) == {"v2": 3}
    if "lane" in attribute:
        assert greeted(clients, mesh, 3) == {"v1": 3}


@peer("npm")
def test_the_same_method_goes_to_the_same_server(clients: Clients, mesh: Mesh) -> None:
    mesh.folder.rule(HELLO, ["v1", "v2"], {"loadBalancer": {"consistentHash": {"httpHeaderName": "method"}}})
    mesh.folder.router(HELLO, f"routes: [{{route: [{{destination: {{host: {HELLO}}}}}]}}]")
    found = greeted(clients, mesh, 40)
    assert list(found.values()) == [40]
    assert set(found) <= {"v1", "v2"}


@peer("npm", "java")
def test_what_is_set_on_requests_and_responses_is_seen_by_server_and_client(
    clients: Clients, mesh: Mesh, start_here: Start
) -> None:
    port, at = free_port(), free_port()
    start_here(catalogue.dubbo_server("java", "v1", port))
    mesh.folder.service("java.demo", at, "metaprotocol-dubbo", [("127.0.0.1", port, "v1")])
    mesh.folder.router(
        "java.demo",
        f"routes: [{{route: [{to('v1', 'java.demo')}], requestMutation: [{{key: foo, value: bar}}], "
        "responseMutation: [{key: foo, value: baz}]}]",
    )
    call = {"method": "attachments", "args": []}
    (result,) = clients(catalogue.dubbo_client("java")).run(port=at, calls=[call])
    assert (result["value"]["foo"], result["attachments"]["foo"]) == ("bar", "baz")
    _forget(mesh, "java")


@peer("npm")
def test_half_of_the_calls_are_copied(clients: Clients, mesh: Mesh) -> None:
    mesh.folder.router(
        HELLO,
        f"routes: [{{route: [{to('v1')}], mirror: {{host: {HELLO}, subset: v2}}, mirrorPercentage: {{value: 50}}}}]",
    )

    def copied() -> int:
        name = f"127.0.0.1_{mesh.at['dubbo']}"
        (found,) = (one for one in mesh.client.admin("/routes")["listeners"] if one["name"] == name)
        return sum(int(mirror["requests"]) for route in found["routes"] for mirror in route["mirrors"])

    assert greeted(clients, mesh, 200) == {"v1": 200}
    assert eventually(lambda: copied() >= 60)
    assert copied() <= 140


# -- limits, before the servers


@peer("npm")
def test_of_ten_calls_two_pass_a_bucket_of_two(clients: Clients, mesh: Mesh) -> None:
    bucket = "{maxTokens: 2, tokensPerFill: 2, fillInterval: 60s}"
    mesh.folder.router(HELLO, f"{{routes: [{{route: [{to('v1')}]}}], localRateLimit: {{tokenBucket: {bucket}}}}}")
    found = greeted(clients, mesh, 10)
    assert found["v1"] == 2
    (refused,) = set(found) - {"v1"}
    assert "limit" in refused


@peer("npm")
def test_a_condition_has_a_bucket_of_its_own(clients: Clients, mesh: Mesh) -> None:
    condition = "{match: {attributes: {method: {exact: sayHello}}}, tokenBucket: {maxTokens: 3, fillInterval: 60s}}"
    mesh.folder.router(HELLO, f"{{routes: [{{route: [{to('v2')}]}}], localRateLimit: {{conditions: [{condition}]}}}}")
    assert greeted(clients, mesh, 10)["v2"] == 3
    results = clients(catalogue.dubbo_client("npm")).run(port=mesh.at["dubbo"], calls=[{"method": "whoami"}] * 10)
    assert [one.get("value") for one in results] == ["v2"] * 10


@peer("npm", "redis-server")
def test_of_ten_calls_five_pass_where_a_service_counts_five_an_hour(
    clients: Clients, mesh: Mesh, start_here: Start, tmp_path: Path
) -> None:
    redis, port = free_port(), free_port()
    start_here(catalogue.redis_server(redis, tmp_path), lambda: answers(redis))
    (tmp_path / "ratelimit" / "config").mkdir(parents=True)
    (tmp_path / "ratelimit" / "config" / "hello.yaml").write_text(
        "domain: hello\ndescriptors: [{key: method, value: sayHello, rate_limit: {unit: hour, requests_per_unit: 5}}]\n"
    )
    command = catalogue.rate_limit_service(port, free_port(), free_port(), redis, tmp_path)
    start_here(command, lambda: answers(port))
    ports, endpoints = f"[{{number: {port}, name: grpc}}]", "[{address: 127.0.0.1}]"
    mesh.folder.put("ServiceEntry", "rls", f"{{hosts: [{RLS}], ports: {ports}, endpoints: {endpoints}}}")
    limit = (
        f"{{domain: hello, denyOnFail: true, requestTimeout: 2s, rateLimitService: 'outbound|{port}||{RLS}', "
        "descriptors: [{property: method, descriptorKey: method}]}"
    )
    mesh.folder.router(HELLO, f"{{routes: [{{route: [{to('v1')}]}}], globalRateLimit: {limit}}}")
    assert greeted(clients, mesh, 10)["v1"] == 5
    mesh.folder.remove("MetaRouter", "hello")
    mesh.folder.remove("ServiceEntry", "rls")
    mesh.folder.settle()


# -- who is affected


@peer("npm")
def test_only_namespaces_to_which_a_router_is_exported_are_affected(clients: Clients, mesh: Mesh) -> None:
    mesh.folder.router(HELLO, f"{{routes: [{{route: [{to('v2')}]}}], exportTo: [other]}}")
    assert _protocol(mesh.client, mesh.at["dubbo"]) == "tcp"
    found = greeted(clients, mesh, 40)  # bytes pass, and one connection has one server
    assert list(found.values()) == [40] and set(found) <= {"v1", "v2"}
    mesh.folder.router(HELLO, f"{{routes: [{{route: [{to('v2')}]}}], exportTo: [demo]}}")
    assert _protocol(mesh.client, mesh.at["dubbo"]) == "dubbo"
    assert greeted(clients, mesh, 20) == {"v2": 20}


def _protocol(proxy: Proxy, port: int) -> str:
    """What the listener at a port of the proxy beside clients speaks."""
    (found,) = (one for one in proxy.admin("/listeners")["listeners"] if one["name"] == f"127.0.0.1_{port}")
    return str(found["protocol"])


@peer("npm")
def test_policies_before_the_servers_refuse_what_they_deny(clients: Clients, mesh: Mesh) -> None:
    mesh.folder.put(
        "DubboAuthorizationPolicy", "no-hello", "{action: DENY, rules: [{to: [{operation: {methods: ['say*']}}]}]}"
    )
    mesh.folder.settle()
    refused = greeted(clients, mesh, 3)
    assert all("denied" in text for text in refused), refused
    (who,) = clients(catalogue.dubbo_client("npm")).run(port=mesh.at["dubbo"], calls=[{"method": "whoami"}])
    assert who["value"] in ("v1", "v2")
    mesh.folder.remove("DubboAuthorizationPolicy", "no-hello")
    mesh.folder.settle()
    assert set(found := greeted(clients, mesh, 20)) <= {"v1", "v2"}, found


@peer("npm")
def test_a_file_that_is_wrong_changes_nothing_and_the_status_says_why(clients: Clients, mesh: Mesh) -> None:
    mesh.folder.router(HELLO, f"routes: [{{route: [{to('v2')}]}}]")
    mesh.folder.put("MetaRouter", "hello", f"{{hosts: [{HELLO}], routes: [{{rout: [{to('v1')}]}}]}}")
    kept = eventually(lambda: [one for one in mesh.client.admin("/crds")["objects"] if one["state"] == "kept"])
    assert "did you mean 'route'?" in kept[0]["reasons"][0]
    assert greeted(clients, mesh, 5) == {"v2": 5}


# -- Thrift


@peer("py")
def test_thrift_goes_to_one_version_and_after_the_change_to_the_other(clients: Clients, mesh: Mesh) -> None:
    call = {"method": "sayHello", "args": ["Aeraki"]}
    for version in ("v1", "v2"):
        mesh.folder.router(STOCK, f"routes: [{{route: [{to(version, STOCK)}]}}]")
        assert [version_of(one) for one in stocked(clients, mesh, *[call] * 5)] == [version] * 5


@peer("py")
def test_a_server_whose_calls_fail_is_left_alone(clients: Clients, mesh: Mesh, start_here: Start) -> None:
    bad, port = free_port(), free_port()
    failing = start_here(catalogue.thrift_server("py", "bad", f"{bad}:framed:binary"), lambda: answers(bad))
    outlier = {"consecutive5xxErrors": 2, "interval": "1s", "baseEjectionTime": "5m", "maxEjectionPercent": 50}
    good = ("127.0.0.1", mesh.thrift["v1"], "v1")
    policy = {"loadBalancer": {"simple": "ROUND_ROBIN"}, "outlierDetection": outlier}
    mesh.folder.service("frail.demo", port, "metaprotocol-thrift", [good, ("127.0.0.1", bad, "v2")], policy=policy)
    mesh.folder.settle()
    failing.kill()
    client = clients(catalogue.thrift_client("py"))
    call = {"method": "sayHello", "args": ["Aeraki"]}
    first = [version_of(one) for one in client.run(port=port, calls=[call] * 10, **FRAMED)]
    assert len([one for one in first if one != "v1"]) in (2, 3), first
    assert [version_of(one) for one in client.run(port=port, calls=[call] * 10, **FRAMED)] == ["v1"] * 10
    for kind in ("ServiceEntry", "DestinationRule"):
        mesh.folder.remove(kind, "frail")
    mesh.folder.settle()


# -- gateways


@pytest.fixture
def edge(
    mesh: Mesh, proxy: Callable[..., Proxy]
) -> Iterator[Callable[[str, dict[str, int], Callable[[str], str]], int]]:
    """
    edge(protocol, servers, router): a gateway of a service of this protocol, and the port at which it listens. Clients
    within the mesh reach the service at another address. router: what makes a MetaRouter's routes of a destination.
    """
    mine = MeshFolder(mesh.folder.path, proxy)
    entry = (
        "{{hosts: [out.demo], addresses: [127.0.31.9], ports: [{{number: {port}, name: {name}}}], "
        "endpoints: {servers}}}"
    )
    server = "{{port: {{number: {port}, name: {name}}}, hosts: ['*'], bind: 127.0.0.1}}"

    def started(protocol: str, servers: dict[str, int], router: Callable[[str], str]) -> int:
        port, name = free_port(), f"tcp-metaprotocol-{protocol}"
        listed = [{"address": "127.0.0.1", "ports": {name: at}, "labels": {"version": v}} for v, at in servers.items()]
        mine.put("ServiceEntry", "out", entry.format(port=port, name=name, servers=json.dumps(listed)))
        mine.rule("out.demo", list(servers))
        mine.put("Gateway", "edge", f"{{selector: {{istio: edge}}, servers: [{server.format(port=port, name=name)}]}}")
        mine.router("out.demo", f"{{gateways: [demo/edge], routes: [{router(outside('v1', port))}]}}")
        mine.proxy("router~127.0.0.1~edge.demo~demo.svc.cluster.local", LABELS={"istio": "edge"})
        mine.settle()
        return port

    yield started
    mine.remove("Gateway", "edge")
    _forget(mesh, "out")


def outside(version: str, port: int) -> str:
    """A destination of the service behind the gateway."""
    return f"{{destination: {{host: out.demo, subset: {version}, port: {{number: {port}}}}}}}"


@peer("py")
def test_a_gateway_switches_versions_while_a_clients_connection_stays_open(
    clients: Clients, mesh: Mesh, edge: Callable[..., int]
) -> None:
    port = edge("thrift", mesh.thrift, lambda destination: f"{{route: [{destination}]}}")
    client = clients(catalogue.thrift_client("py"), "gateway")
    hello, pause = {"method": "sayHello", "args": ["Aeraki"]}, {"method": "slow", "args": [300]}
    client.start(port=port, calls=[hello, pause] * 12, **FRAMED)
    time.sleep(0.6)  # the connection is open and in use
    mesh.folder.router("out.demo", f"{{gateways: [demo/edge], routes: [{{route: [{outside('v2', port)}]}}]}}")
    results = [version_of(one) for one in client.finish()[::2]]
    assert (results[0], results[-1], len(results)) == ("v1", "v2", 12)
    assert results == sorted(results)


@peer("npm")
def test_at_a_gateway_an_empty_text_matches_each_method(clients: Clients, mesh: Mesh, edge: Callable[..., int]) -> None:
    match = "{attributes: {method: {exact: ''}}}"
    port = edge("dubbo", mesh.dubbo, lambda destination: f"{{match: {match}, route: [{destination}]}}")
    calls = [{"method": "sayHello", "args": ["Aeraki"]}]
    results = clients(catalogue.dubbo_client("npm")).run(port=port, calls=calls)
    assert [version_of(one) for one in results] == ["v1"]


# -- other protocols


@peer("brpc")
def test_routes_of_brpc_lead_to_the_right_version(clients: Clients, mesh: Mesh, start_here: Start) -> None:
    ports, at = {version: free_port() for version in ("v1", "v2")}, free_port()
    for version, port in ports.items():
        start_here(rpc_peers.brpc_server("brpc", version, port))
    mesh.folder.put("ApplicationProtocol", "brpc", "{protocol: brpc, codec: aeraki.meta_protocol.codec.brpc}")
    mesh.folder.service(ECHO, at, "metaprotocol-brpc", [("127.0.0.1", port, v) for v, port in ports.items()])
    beta = "{attributes: {lane: {exact: beta}}}"
    routes = f"{{match: {beta}, route: [{to('v2', ECHO)}]}}, {{route: [{to('v1', ECHO)}]}}"
    mesh.folder.router(ECHO, f"routes: [{routes}]")
    calls = [
        {"message": "hi", "kv": {"lane": lane}} for lane in ("beta", "alpha", "beta")
    ]  # fmt: skip
    results = clients(rpc_peers.brpc_client("brpc")).run(port=at, calls=calls)
    assert [one["value"]["served_by"] for one in results] == ["v2", "v1", "v2"], results
    _forget(mesh, "echo")


@peer("trpc")
def test_routes_of_trpc_lead_to_the_right_version(clients: Clients, mesh: Mesh, start_here: Start) -> None:
    ports, at = {version: free_port() for version in ("v1", "v2")}, free_port()
    for version, port in ports.items():
        start_here(rpc_peers.trpc_server(version, port, free_port()))
    mesh.folder.service(TECHO, at, "metaprotocol-trpc", [("127.0.0.1", port, v) for v, port in ports.items()])
    beta = "{attributes: {lane: {exact: beta}}}"
    routes = f"{{match: {beta}, route: [{to('v2', TECHO)}]}}, {{route: [{to('v1', TECHO)}]}}"
    mesh.folder.router(TECHO, f"routes: [{routes}]")
    jobs = clients(rpc_peers.trpc_client())
    calls = [{"message": "hi", "trans_info": {"lane": lane}} for lane in ("beta", "alpha")]
    results = jobs.run(port=at, calls=calls)
    assert [one["value"]["served_by"] for one in results] == ["v2", "v1"], results
    _forget(mesh, "techo")


# -- Redis


@peer("redis-py", "redis-server")
def test_redis_logs_in_at_servers_and_routes_keys_by_prefix(
    mesh: Mesh, start_here: Start, tmp_path_factory: Any
) -> None:
    import redis

    plain, guarded, at, other = free_port(), free_port(), free_port(), free_port()
    start_here(catalogue.redis_server(plain, tmp_path_factory.mktemp("redis")), lambda: answers(plain))
    guard = ("--requirepass", "hunter2")
    start_here(catalogue.redis_server(guarded, tmp_path_factory.mktemp("redis"), *guard), lambda: answers(guarded))
    mesh.folder.service("cache.demo", at, "redis", [("127.0.0.1", plain, "v1")])
    mesh.folder.service("users.demo", other, "redis", [("127.0.0.1", guarded, "v1")])
    mesh.folder.put("Secret", "users", "{stringData: {password: hunter2}}", "")
    mesh.folder.put("Secret", "clients", "{stringData: {token: letmein}}", "")
    auth = "{redis: {auth: {secret: {name: users}}}}"
    mesh.folder.put("RedisDestination", "users", f"{{host: users.demo, trafficPolicy: {{connectionPool: {auth}}}}}")
    routes = "[{match: {key: {prefix: 'user:'}}, route: {host: users.demo}}, {route: {host: cache.demo}}]"
    settings = "{auth: {secret: {name: clients}}}"
    mesh.folder.put("RedisService", "cache", f"{{host: [cache.demo], settings: {settings}, redis: {routes}}}")
    mesh.folder.settle()
    with redis.Redis(port=at, driver_info=None) as stranger, pytest.raises(redis.exceptions.AuthenticationError):
        stranger.get("x")
    with redis.Redis(port=at, password="letmein", driver_info=None) as client:
        assert client.set("user:1", "ann") and client.set("page:1", "home")
        assert (client.get("user:1"), client.get("page:1")) == (b"ann", b"home")
    with redis.Redis(port=guarded, password="hunter2", driver_info=None) as behind:
        assert behind.keys() == [b"user:1"]
    with redis.Redis(port=plain, driver_info=None) as behind:
        assert behind.keys() == [b"page:1"]
    for path in mesh.folder.path.glob("*-users.yaml"):
        path.unlink()
    for kind in ("ServiceEntry", "DestinationRule", "RedisService"):
        mesh.folder.remove(kind, "cache")
    mesh.folder.settle()


# -- Envoy's own filters


@peer("npm")
def test_native_dubbo_goes_where_a_virtual_service_says(clients: Clients, mesh: Mesh) -> None:
    at = free_port()
    servers = [("127.0.0.1", port, version) for version, port in mesh.dubbo.items()]
    mesh.folder.service("plain.demo", at, "dubbo", servers, annotations={"interface": SERVICE})
    for version in ("v1", "v2"):
        route = f"{{route: [{to(version, 'plain.demo')}]}}"
        mesh.folder.put("VirtualService", "plain", f"{{hosts: [plain.demo], http: [{route}]}}")
        mesh.folder.settle()
        calls = [{"method": "sayHello", "args": ["Aeraki"]}] * 5
        results = clients(catalogue.dubbo_client("npm")).run(port=at, calls=calls)
        assert [version_of(one) for one in results] == [version] * 5
    mesh.folder.remove("VirtualService", "plain")
    for kind in ("ServiceEntry", "DestinationRule"):
        mesh.folder.remove(kind, "plain")
    mesh.folder.settle()


@peer("py")
def test_native_thrift_goes_where_a_virtual_service_says(clients: Clients, mesh: Mesh) -> None:
    at = free_port()
    servers = [("127.0.0.1", port, version) for version, port in mesh.thrift.items()]
    mesh.folder.service("raw.demo", at, "thrift", servers)
    for version in ("v2", "v1"):
        route = f"{{route: [{to(version, 'raw.demo')}]}}"
        mesh.folder.put("VirtualService", "raw", f"{{hosts: [raw.demo], http: [{route}]}}")
        mesh.folder.settle()
        calls = [{"method": "sayHello", "args": ["Aeraki"]}] * 5
        results = clients(catalogue.thrift_client("py")).run(port=at, calls=calls, **FRAMED)
        assert [version_of(one) for one in results] == [version] * 5
    mesh.folder.remove("VirtualService", "raw")
    for kind in ("ServiceEntry", "DestinationRule"):
        mesh.folder.remove(kind, "raw")
    mesh.folder.settle()
