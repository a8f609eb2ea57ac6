"""
Real Dubbo peers with metaproxy between them.

Lives here: every consumer by every provider through routes, mutations, errors, one-way calls, heartbeats, a dying
provider, one that leaves. Does not: the peers alone (test_peers.py), the codec's bytes (tests/unit/codecs).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import catalogue
import pytest
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import Jobs, eventually, free_port
from steady import Steady

peer = pytest.mark.peer
SERVICE = "org.example.HelloService"
PERSON = {"name": "Ann", "age": 3, "address": {"city": "K\u00f6ln"}, "tags": ["a"], "sums": {"x": 5000000000}}
CLIENTS = [pytest.param(each, marks=peer(each)) for each in catalogue.DUBBO_CLIENTS]
SERVERS = [pytest.param(each, marks=peer(each)) for each in catalogue.DUBBO_SERVERS]


class Mesh(NamedTuple):
    """A proxy before the providers alpha and beta of each kind; the ports are its listeners'."""

    proxy: Proxy
    routed: dict[str, int]
    strict: dict[str, int]


def routes(kind: str) -> list[dict[str, Any]]:
    """whoami and tenant t1 go to beta, everything else of the service to alpha, with other attachments."""
    changes = {
        "request": {"set": {"tenant": "blue", "stamp": "proxied"}, "remove": ["debug"]},
        "response": {"set": {"via": "metaproxy"}},
    }
    return [
        {"name": "canary", "match": {"interface": SERVICE, "tenant": "t1"}, "cluster": f"{kind}-beta"},
        {"name": "who", "match": {"method": {"prefix": "who"}}, "cluster": f"{kind}-beta"},
        {"name": "hurried", "match": {"method": "slow"}, "cluster": f"{kind}-alpha", "timeout": "400ms"},
        {"name": "rest", "match": {"interface": SERVICE}, "cluster": f"{kind}-alpha", **changes},
    ]


def strict_routes(kind: str) -> list[dict[str, Any]]:
    """add is forbidden, sayHello and slow are carried, nothing else is known."""
    return [
        {"name": "no-add", "match": {"method": "add"}, "reply": {"error": "denied", "message": "add is not for you"}},
        {"name": "carried", "match": {"method": {"in": ["sayHello", "slow"]}}, "cluster": f"{kind}-alpha"},
    ]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy]) -> Mesh:
    kinds = [kind for kind in catalogue.DUBBO_SERVERS if not catalogue.missing(kind)]
    routed, strict = {kind: free_port() for kind in kinds}, {kind: free_port() for kind in kinds}
    clusters = []
    for kind in kinds:
        for name in ("alpha", "beta"):
            port = free_port()
            start(catalogue.dubbo_server(kind, name, port, "heartbeat=1000"))
            clusters.append(cluster(f"{kind}-{name}", port))
    listeners = [listener(f"{kind}-routed", port, "dubbo", routes(kind)) for kind, port in routed.items()]
    listeners += [listener(f"{kind}-strict", port, "dubbo", strict_routes(kind)) for kind, port in strict.items()]
    return Mesh(shared_proxy({"listeners": listeners, "clusters": clusters}), routed, strict)


def client(clients: Clients, name: str) -> Jobs:
    return clients(catalogue.dubbo_client(name))


def one(jobs: Jobs, port: int, method: str, *args: Any, **options: Any) -> dict[str, Any]:
    """The result of one call on a connection of its own."""
    call = {"method": method, "args": list(args), **options}
    (result,) = jobs.run(port=port, calls=[call])
    return result


def refuses_strings(client_name: str, kind: str) -> bool:
    """dubbo-py calls a string a `short`: Java cannot find the method."""
    return client_name == "dubbo-py" and kind == "java"


def pairs(*names: str) -> list[Any]:
    """These clients with every provider whose strings they can speak."""
    every = [(name, kind) for name in names for kind in catalogue.DUBBO_SERVERS if not refuses_strings(name, kind)]
    return [pytest.param(*pair, marks=peer(*pair), id="-".join(pair)) for pair in every]


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("name", CLIENTS)
def test_two_routes_lead_each_consumer_to_two_providers(name: str, kind: str, clients: Clients, mesh: Mesh) -> None:
    calls = [{"method": "whoami"}, {"method": "add", "args": [3, 4]}, {"method": "sayHello", "args": ["bob"]}]
    who, added, hello = client(clients, name).run(port=mesh.routed[kind], calls=calls)
    assert who.get("value") == "beta", who
    assert added.get("value") == 7, added
    if refuses_strings(name, kind):
        assert "status 40" in hello["error"]["message"]  # the provider's own refusal, carried as it is
    else:
        assert hello.get("value") == "hello bob from alpha", hello


@pytest.mark.parametrize("name, kind", pairs("java", "npm", "dubbo-py", "dubbo-ssl-python"))  # that send attachments
def test_an_attachment_routes(name: str, kind: str, clients: Clients, mesh: Mesh) -> None:
    result = one(client(clients, name), mesh.routed[kind], "sayHello", "bob", attachments={"tenant": "t1"})
    assert result.get("value") == "hello bob from beta", result


@pytest.mark.parametrize("kind", [each for each in SERVERS if each.values[0] != "dubbo-py"])
@pytest.mark.parametrize("name", CLIENTS)
def test_the_provider_sees_mutated_attachments(name: str, kind: str, clients: Clients, mesh: Mesh) -> None:
    result = one(client(clients, name), mesh.routed[kind], "attachments", attachments={"debug": "1", "kept": "k"})
    seen = result.get("value")
    assert seen, result
    assert (seen["tenant"], seen["stamp"]) == ("blue", "proxied")
    assert "debug" not in seen
    if name not in ("apache", "python3-dubbo"):  # those send no attachments of ours
        assert seen["kept"] == "k"


@peer("java")
@pytest.mark.parametrize("serialization", ["hessian2", "fastjson2"])
def test_java_sees_mutated_attachments_of_request_and_answer_in_both_serializations(
    serialization: str, clients: Clients, mesh: Mesh
) -> None:
    call = {"method": "attachments", "attachments": {"debug": "1", "kept": "k"}}
    (result,) = client(clients, "java").run(port=mesh.routed["java"], serialization=serialization, calls=[call])
    seen = result["value"]
    assert (seen["tenant"], seen["stamp"], seen["kept"], "debug" in seen) == ("blue", "proxied", "k", False)
    assert result["attachments"]["via"] == "metaproxy"
    assert result["attachments"]["served-by"] == "alpha"


@peer("java")
@pytest.mark.parametrize("serialization", ["hessian2", "fastjson2"])
def test_java_objects_exceptions_generic_calls_and_the_echo_test_pass(
    serialization: str, clients: Clients, mesh: Mesh
) -> None:
    calls = [
        {"method": "promote", "args": [PERSON]},
        {"method": "fail", "args": ["why"]},
        {"method": "crash", "args": ["why"]},
        {"method": "sayHello", "args": ["bob"], "generic": True},
        {"method": "$echo", "args": ["x"]},
        {"method": "echo", "args": ["long " * 20000]},
    ]
    results = client(clients, "java").run(port=mesh.routed["java"], serialization=serialization, calls=calls)
    promoted, failed, crashed, generic, echoed, long = results
    assert promoted["value"]["address"]["city"] == "K\u00f6ln"
    assert failed["error"]["class"] == "org.example.HelloException"
    assert (crashed["error"]["class"], crashed["error"]["message"]) == ("java.lang.IllegalStateException", "why")
    assert generic["value"] == "hello bob from alpha"
    assert echoed["value"] == "x"
    assert long["value"] == "long " * 20000


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("name", CLIENTS)
def test_a_call_without_a_route_raises_the_consumers_own_exception_with_our_words(
    name: str, kind: str, clients: Clients, mesh: Mesh
) -> None:
    calls = [{"method": "whoami"}, {"method": "add", "args": [3, 4]}]
    unknown, denied = client(clients, name).run(port=mesh.strict[kind], calls=calls)
    assert "no route matched" in unknown["error"]["message"], unknown
    assert "add is not for you" in denied["error"]["message"], denied
    assert denied["error"]["class"] == EXCEPTIONS[name]


EXCEPTIONS = {
    "java": "org.apache.dubbo.rpc.RpcException",
    "npm": "Error",
    "apache": "Error",
    "dubbo-py": "RuntimeError",
    "dubbo-ssl-python": "DubboResponseException",
    "python3-dubbo": "DubboResponseException",
}


@peer("java")
@pytest.mark.parametrize("serialization", ["hessian2", "fastjson2"])
def test_a_route_timeout_is_a_timeout_for_java(serialization: str, clients: Clients, mesh: Mesh) -> None:
    call = {"method": "slow", "args": [3000]}
    (result,) = client(clients, "java").run(port=mesh.routed["java"], serialization=serialization, calls=[call])
    assert result["error"]["class"] == "org.apache.dubbo.rpc.RpcException"
    assert result["error"]["code"] == 2  # RpcException.TIMEOUT_EXCEPTION
    assert "no answer" in result["error"]["message"]


@pytest.mark.parametrize("name, kind", pairs("java", "dubbo-py"))  # that can call one-way
def test_a_one_way_call_arrives_and_nothing_that_answers_it_gets_through(
    name: str, kind: str, clients: Clients, mesh: Mesh
) -> None:
    """npm and dubbo-py answer one-way calls; with no proxy between, dubbo-py takes that for the next answer."""
    text = f"{name} to {kind}"
    calls = [{"method": "note", "args": [text], "oneway": True}, {"method": "add", "args": [3, 4]}]
    note, added = client(clients, name).run(port=mesh.routed[kind], calls=calls)
    assert note == {"value": None, **({"attachments": {}} if name == "java" else {})}
    assert added.get("value") == 7, added
    assert eventually(lambda: text in one(client(clients, name), mesh.routed[kind], "noted")["value"])


@peer("npm")
@pytest.mark.parametrize("kind", SERVERS)
def test_answers_return_to_their_own_calls_when_many_are_under_way(kind: str, clients: Clients, mesh: Mesh) -> None:
    calls = [{"method": "add", "args": [i, 100 * i]} for i in range(1, 301)]
    results = client(clients, "npm").run(port=mesh.routed[kind], calls=calls, together=True)
    assert [result.get("value") for result in results] == [101 * i for i in range(1, 301)]


@peer("java")
def test_heartbeats_of_both_sides_keep_a_connection_that_is_silent(clients: Clients, mesh: Mesh) -> None:
    calls = [{"method": "sayHello", "args": ["a"]}, {"method": "slow", "args": [2500]}]
    beat = {"heartbeat": "500"}  # Dubbo closes what was silent for three times as long
    results = client(clients, "java").run(port=mesh.strict["java"], parameters=beat, calls=calls)
    assert [result.get("value") for result in results] == ["hello a from alpha", 2500]


@pytest.mark.parametrize("name", [each for each in CLIENTS if each.values[0] not in ("python3-dubbo", "apache")])
@peer("npm")
def test_a_provider_killed_in_the_middle_fails_its_own_calls_only(
    name: str, clients: Clients, start_here: Start, proxy: Callable[..., Proxy]
) -> None:
    victim, other, port = free_port(), free_port(), free_port()
    killed = start_here(catalogue.dubbo_server("npm", "victim", victim))
    start_here(catalogue.dubbo_server("npm", "other", other))
    rules = [{"match": {"method": "slow"}, "cluster": "victim"}, {"cluster": "other"}]
    between = proxy(
        {
            "listeners": [listener("in", port, "dubbo", rules)],
            "clusters": [cluster("victim", victim), cluster("other", other)],
        }
    )
    waiting = client(clients, name)
    bystander = client(clients, "apache")
    assert one(waiting, port, "slow", 1)["value"] == 1
    waiting.start(port=port, calls=[{"method": "slow", "args": [8000]}, {"method": "whoami"}])
    assert one(bystander, port, "whoami")["value"] == "other"
    killed.kill()
    failed, went_on = waiting.finish()
    assert f"127.0.0.1:{victim}" in failed["error"]["message"], failed
    assert went_on.get("value") == "other", went_on
    refused = one(waiting, port, "slow", 1)
    assert "connect to" in refused["error"]["message"], refused
    start_here(catalogue.dubbo_server("npm", "again", victim))
    assert eventually(lambda: one(waiting, port, "slow", 1).get("value") == 1)
    assert one(bystander, port, "whoami")["value"] == "other"
    outcomes = between.outcomes()
    assert set(outcomes) == {"ok", "reset", "connect"}
    assert outcomes["reset"] == 1


@peer("java", "npm")
def test_a_provider_that_leaves_gets_no_call_any_more_although_it_is_still_among_the_endpoints(
    clients: Clients, start_here: Start, proxy: Callable[..., Proxy]
) -> None:
    leaves, stays, port = free_port(), free_port(), free_port()
    leaving = start_here(catalogue.patient(catalogue.dubbo_server("java", "alpha", leaves)))
    start_here(catalogue.dubbo_server("npm", "beta", stays))
    between = proxy(
        {
            "listeners": [
                listener("in", port, "dubbo", [{"cluster": "both", "retry": {"attempts": 2, "on": ["connect"]}}])
            ],
            "clusters": [cluster("both", leaves, stays)],
        }
    )
    jobs = client(clients, "npm")

    def names() -> frozenset[str]:
        """Who answers, in ten calls; fails when one fails."""
        return frozenset(each["value"] for each in jobs.run(port=port, calls=[{"method": "whoami"}] * 10))

    with Steady(names) as calls:
        calls.until(frozenset({"alpha", "beta"}))
        leaving.stop()
        calls.until(frozenset({"beta"}))
        calls.more()
    assert set(between.outcomes()) == {"ok"}
