"""
Who may call what, as real Dubbo, Thrift and Redis clients see it.

Lives here: refusals in each client's own words, permissions, shadow policies, what the access log tells. Does not: the
semantics of policies (tests/unit/filters/test_rbac.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
from authority import Authority
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import answers, eventually, free_port

peer = pytest.mark.peer
SERVICE = "org.example.HelloService"

RBAC: dict[str, Any] = {
    "policies": {
        "nobody-adds": {"action": "deny", "permissions": [{"method": "add"}, {"command": "FLUSHALL"}]},
        "no-red-tenants": {"action": "deny", "principals": [{"tenant": "red", "not": {"user": {"prefix": "admin"}}}]},
        "neighbours": {"principals": [{"source.address": {"cidr": "127.0.0.0/8"}}]},
    },
    "shadow": {"greeters": {"permissions": [{"method": {"prefix": "say"}}, {"command": "GET"}]}},
}
STRANGERS: dict[str, Any] = {"policies": {"far": {"principals": [{"source.address": {"cidr": "10.0.0.0/8"}}]}}}


class Mesh(NamedTuple):
    """Ports of listeners: `guarded` have RBAC, `closed` STRANGERS, `open` nothing; by protocol."""

    proxy: Proxy
    log: Path
    guarded: dict[str, int]
    closed: dict[str, int]
    open: dict[str, int]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    directory = tmp_path_factory.mktemp("rbac")
    ports = {name: free_port() for name in ("dubbo", "thrift", "redis")}
    start(catalogue.dubbo_server("npm", "alpha", ports["dubbo"]))
    start(catalogue.thrift_server("py", "alpha", f"{ports['thrift']}:framed:binary"), lambda: answers(ports["thrift"]))
    start(catalogue.redis_server(ports["redis"], directory), lambda: answers(ports["redis"]))
    found: dict[str, dict[str, int]] = {}
    listeners = []
    for name, options in (("guarded", RBAC), ("closed", STRANGERS), ("open", None)):
        found[name] = {protocol: free_port() for protocol in ports}
        for protocol, port in found[name].items():
            filters = [{"rbac": options}] if options else []
            log = [{"file": str(directory / "access.json"), "format": "json"}]
            routes = [{"cluster": protocol}]
            listeners.append(listener(f"{name}-{protocol}", port, protocol, routes, filters=filters, access_log=log))
    config = {"listeners": listeners, "clusters": [cluster(name, port) for name, port in ports.items()]}
    return Mesh(shared_proxy(config), directory / "access.json", **found)


REFUSED = [
    pytest.param("java", "org.apache.dubbo.rpc.RpcException", marks=peer("java", "npm")),
    pytest.param("npm", "Error", marks=peer("npm")),
    pytest.param("dubbo-py", "RuntimeError", marks=peer("dubbo-py", "npm")),
]


@pytest.mark.parametrize("name, raised", REFUSED)
def test_a_dubbo_client_is_refused_what_a_policy_denies_and_keeps_the_rest(
    name: str, raised: str, clients: Clients, mesh: Mesh
) -> None:
    calls = [{"method": "add", "args": [3, 4]}, {"method": "whoami"}]
    jobs = clients(catalogue.dubbo_client(name))
    added, who = jobs.run(port=mesh.guarded["dubbo"], calls=calls)
    assert added["error"]["class"] == raised
    assert "rbac: access denied" in added["error"]["message"]
    assert who["value"] == "alpha"
    assert jobs.run(port=mesh.open["dubbo"], calls=calls[:1])[0]["value"] == 7


@pytest.mark.parametrize("name", [pytest.param(each, marks=peer(each, "npm")) for each in ("java", "npm")])
def test_attachments_tell_who_may_call(name: str, clients: Clients, mesh: Mesh) -> None:
    tenants = [
        {"tenant": "blue"},
        {"tenant": "red"},
        {"tenant": "red", "user": "bob"},
        {"tenant": "red", "user": "admin1"},
    ]
    calls = [{"method": "whoami", "attachments": attachments} for attachments in tenants]
    results = clients(catalogue.dubbo_client(name)).run(port=mesh.guarded["dubbo"], calls=calls)
    assert [result.get("value") for result in results] == ["alpha", None, None, "alpha"]
    assert all("rbac: access denied" in results[place]["error"]["message"] for place in (1, 2))


@pytest.mark.parametrize("name, raised", REFUSED)
def test_a_dubbo_client_from_an_address_that_no_policy_allows_is_refused_everything(
    name: str, raised: str, clients: Clients, mesh: Mesh
) -> None:
    (who,) = clients(catalogue.dubbo_client(name)).run(port=mesh.closed["dubbo"], calls=[{"method": "whoami"}])
    assert (who["error"]["class"], "rbac: access denied" in who["error"]["message"]) == (raised, True)


@pytest.mark.parametrize("name", [pytest.param(each, marks=peer(each, "py")) for each in ("py", "js", "java")])
def test_a_thrift_client_is_refused_with_an_application_exception(name: str, clients: Clients, mesh: Mesh) -> None:
    calls = [{"method": "add", "args": [3, 4]}, {"method": "sayHello", "args": ["bob"]}]
    options = {"transport": "framed", "protocol": "binary", "mux": False}
    jobs = clients(catalogue.thrift_client(name))
    added, hello = jobs.run(port=mesh.guarded["thrift"], calls=calls, **options)
    assert "ApplicationException" in added["error"]["class"]
    assert "rbac: access denied" in added["error"]["message"]
    assert hello["value"] == "hello bob from alpha"
    assert jobs.run(port=mesh.open["thrift"], calls=calls, **options)[0]["value"] == 7


@peer("redis-py", "redis-server")
@pytest.mark.parametrize("resp", [2, 3])
def test_redis_py_raises_no_permission(resp: int, mesh: Mesh) -> None:
    import redis

    with redis.Redis(port=mesh.guarded["redis"], protocol=resp, decode_responses=True) as client:
        client.set("kept", "1")
        with pytest.raises(redis.exceptions.NoPermissionError, match="rbac: access denied"):
            client.flushall()
        pipeline = client.pipeline(transaction=False)
        pipeline.get("kept").execute_command("FLUSHALL").get("kept")
        results = pipeline.execute(raise_on_error=False)
        assert (results[0], results[2]) == ("1", "1")
        assert isinstance(results[1], redis.exceptions.NoPermissionError)
    with redis.Redis(port=mesh.open["redis"], protocol=resp, decode_responses=True) as client:
        assert client.flushall() is True
        assert client.get("kept") is None


@peer("redis-py", "redis-server")
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("resp", [2, 3])
def test_nothing_of_a_transaction_is_done_when_a_part_of_it_is_refused(resp: int, first: bool, mesh: Mesh) -> None:
    import redis

    with redis.Redis(port=mesh.guarded["redis"], protocol=resp, decode_responses=True) as client:
        client.set("whole", "1")
        pipeline = client.pipeline(transaction=True)
        if first:
            pipeline.flushall().set("whole", "2")
        else:
            pipeline.set("whole", "2").flushall()
        with pytest.raises(redis.exceptions.NoPermissionError, match="rbac: access denied"):
            pipeline.set("whole", "3").execute()
        assert client.get("whole") == "1"
        assert client.pipeline(transaction=True).set("whole", "4").get("whole").execute() == [True, "4"]
    with redis.Redis(port=mesh.open["redis"], protocol=resp, decode_responses=True) as client:
        pipeline = client.pipeline(transaction=True).set("whole", "2").flushall()
        assert pipeline.execute() == [True, True]


@peer("redis-py", "redis-server")
def test_a_certificate_tells_who_may_write(start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    import redis

    authority = Authority(tmp_path)
    ours = authority.issue("proxy", "127.0.0.1")
    certificates = {
        "writer": authority.issue("app", uri="spiffe://cluster.local/ns/shop/sa/writer"),
        "reader": authority.issue("app", uri="spiffe://cluster.local/ns/shop/sa/reader"),
        "liar": authority.issue("spiffe://cluster.local/ns/shop/sa/writer", file="liar"),
    }
    policies = {
        "writers": {"principals": [{"source.identity": "spiffe://cluster.local/ns/shop/sa/writer"}]},
        "readers": {
            "principals": [{"source.identity": {"prefix": "spiffe://cluster.local/ns/shop/"}}],
            "permissions": [{"command": "GET"}],
        },
    }
    upstream, port = free_port(), free_port()
    start_here(catalogue.redis_server(upstream, tmp_path), lambda: answers(upstream))
    tls = {"certificate": str(ours.certificate), "key": str(ours.key), "client_ca": str(authority.ca)}
    options = {"tls": {**tls, "require_client_certificate": True}, "filters": [{"rbac": {"policies": policies}}]}
    proxy(
        {
            "listeners": [listener("in", port, "redis", [{"cluster": "one"}], **options)],
            "clusters": [cluster("one", upstream)],
        }
    )

    def may(who: str, *words: str) -> bool:
        cert = certificates[who]
        keys = {"ssl_certfile": str(cert.certificate), "ssl_keyfile": str(cert.key), "ssl_ca_certs": str(authority.ca)}
        with redis.Redis(port=port, host="127.0.0.1", ssl=True, **keys) as client:
            try:
                client.execute_command(*words)
            except redis.exceptions.NoPermissionError:
                return False
            return True

    assert [may(who, "SET", "a", "1") for who in certificates] == [True, False, False]
    assert [may(who, "GET", "a") for who in certificates] == [True, True, False]


@peer("redis-py", "redis-server")
def test_counters_and_the_access_log_tell_which_policy_decided(mesh: Mesh) -> None:
    import redis

    def counted(event: str) -> float:
        labels = ('listener="guarded-redis"', 'filter="rbac"', f'event="{event}"')
        (found,) = (value for name, value in mesh.proxy.stats().items() if all(label in name for label in labels))
        return float(found)

    names = ("allowed", "denied", "shadow_allowed", "shadow_denied")
    before = {name: counted(name) for name in names}
    with redis.Redis(port=mesh.guarded["redis"], driver_info=None) as client:
        client.get("a")
        client.execute_command("EXISTS", "a")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.flushall()
    assert {name: counted(name) - before[name] for name in names} == {
        "allowed": 2, "denied": 1, "shadow_allowed": 1, "shadow_denied": 2,
    }  # fmt: skip

    def told() -> dict[str, str]:
        lines = [json.loads(line) for line in mesh.log.read_text().splitlines()]
        return {each["operation"]: each["details"] for each in lines if each["listener"] == "guarded-redis"}

    assert eventually(lambda: {"GET", "EXISTS", "FLUSHALL"} <= set(told()))
    assert told()["GET"] == (
        "rbac_shadow_allowed_matched_policy[greeters]; rbac_access_allowed_matched_policy[neighbours]"
    )
    assert told()["EXISTS"].startswith("rbac_shadow_denied_matched_policy[none]")
    assert told()["FLUSHALL"].endswith("rbac_access_denied_matched_policy[nobody-adds]")
