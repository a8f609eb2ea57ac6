"""
Real tRPC peers with metaproxy between them: trpc-java at both ends.

Lives here: routes by function and by trans_info, mutations, errors in the protocol's words, limits, faults, time
limits, one-way calls, attachments, the three kinds of streams. Does not: the peers alone (test_rpc_peers.py), streams
that share a connection, or whose ends are slow or die (test_rpc_streams.py), the codec's bytes (tests/unit/codecs).

trpc-java's server loses frames of streams that share a connection, without a proxy too: its TcpRpcConnection.send fails
when two of its threads are in it. So its streams have a connection each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import rpc_peers
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import Jobs, eventually, free_port

pytestmark = pytest.mark.peer("trpc")

ECHO = "trpc.example.echo.Echo"
CHANGES = {
    "request": {"set": {"tenant": "blue", "stamp": "proxied"}, "remove": ["debug"]},
    "response": {"set": {"via": "metaproxy"}},
}
LISTENERS: dict[str, dict[str, Any]] = {
    "routed": {
        "routes": [
            {"name": "canary", "match": {"tenant": "t1"}, "cluster": "beta"},
            {"name": "hurried", "match": {"service": ECHO, "method": "Slow"}, "cluster": "alpha", "timeout": "300ms"},
            {"name": "rest", "match": {"func": {"prefix": f"/{ECHO}/"}}, "cluster": "alpha", **CHANGES},
        ]
    },
    "strict": {
        "routes": [
            {"match": {"method": "Fail"}, "reply": {"error": "denied", "message": "failing is not for you"}},
            {"match": {"method": "Slow"}, "cluster": "gone"},
        ]
    },
    "limited": {
        "filters": [{"local_rate_limit": {"limit": 1, "per": "1h"}}],
        "routes": [{"cluster": "alpha"}],
    },
    "faulty": {
        "filters": [
            {"fault": {"faults": [{"percentage": 100, "error": {"name": "server_nofunc", "message": "no luck today"}}]}}
        ],
        "routes": [{"cluster": "alpha"}],
    },
    "hurried": {"filters": [{"deadline": {}}], "routes": [{"cluster": "alpha"}]},
    "plain": {"routes": [{"cluster": "alpha"}]},
    "streams": {
        "routes": [
            {"match": {"tenant": "t1"}, "cluster": "beta-streams"},
            {"match": {"method": "Client", "stamp": {"present": True}}, "cluster": "beta-streams"},
            {"match": {"func": {"suffix": "/Server"}}, "cluster": "alpha-streams", **CHANGES},
            {"match": {"method": {"in": ["Client", "Both"]}}, "cluster": "alpha-streams"},
        ]
    },
    "no-streams": {
        "routes": [
            {"match": {"method": "Both"}, "reply": {"error": "limited", "message": "no more today"}},
            {"match": {"method": "Client"}, "cluster": "gone"},
        ]
    },
    "unary-streams": {"routes": [{"cluster": "alpha"}]},
}


class Mesh(NamedTuple):
    """ports: of the listeners, by their names."""

    proxy: Proxy
    ports: dict[str, int]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy]) -> Mesh:
    clusters = [cluster("gone", free_port(), connect_timeout="1s")]
    for name in ("alpha", "beta"):
        port, streams = free_port(), free_port()
        start(rpc_peers.trpc_server(name, port, streams))
        clusters += [cluster(name, port), cluster(f"{name}-streams", streams, connections={"mode": "pool"})]
    ports = {name: free_port() for name in LISTENERS}
    listeners = [listener(name, ports[name], "trpc", **options) for name, options in LISTENERS.items()]
    return Mesh(shared_proxy({"listeners": listeners, "clusters": clusters}), ports)


@pytest.fixture(scope="module")
def jobs(clients: Clients) -> Jobs:
    return clients(rpc_peers.trpc_client())


def one(jobs: Jobs, port: int, **call: Any) -> dict[str, Any]:
    """The result of one call on a connection of its own."""
    (result,) = jobs.run(port=port, calls=[call])
    found: dict[str, Any] = result
    return found


def failure(result: dict[str, Any]) -> tuple[int, int, bool]:
    """Codes of the framework and of the function, and whether there is a text."""
    error = result["error"]
    return error["code"], error["business"], bool(error["message"])


# -- calls


def test_trans_info_and_functions_route(jobs: Jobs, mesh: Mesh) -> None:
    calls = [{"message": "a"}, {"message": "b", "trans_info": {"tenant": "t1"}}]
    first, second = jobs.run(port=mesh.ports["routed"], calls=calls)
    assert (first["value"]["served_by"], second["value"]["served_by"]) == ("alpha", "beta")


def test_the_server_and_the_client_see_changed_trans_info(jobs: Jobs, mesh: Mesh) -> None:
    sent = {"debug": "1", "kept": "k", "tenant": "red"}
    value = one(jobs, mesh.ports["routed"], message="hi", trans_info=sent)["value"]
    assert value["trans_info"] == {"kept": "k", "tenant": "blue", "stamp": "proxied"}
    assert (value["back"]["via"], value["back"]["served-by"]) == ("metaproxy", "alpha")


@pytest.mark.parametrize("compress", ["gzip", "snappy"])
def test_compressed_bodies_and_attachments_pass(compress: str, jobs: Jobs, mesh: Mesh) -> None:
    call = {"message": "hi " * 500, "attachment": "raw \x00\xff" * 100, "size": 100_000}
    (result,) = jobs.run(port=mesh.ports["routed"], compress=compress, calls=[call])
    value = result["value"]
    assert (value["message"], value["attachment"], value["size"]) == (call["message"], call["attachment"], 100_000)


def test_what_the_server_says_of_failures_is_carried(jobs: Jobs, mesh: Mesh) -> None:
    calls = [{"method": "fail", "message": "business"}, {"method": "fail", "message": "why"}, {"method": "nope"}]
    results = jobs.run(port=mesh.ports["routed"], calls=calls)
    assert [failure(each) for each in results] == [(0, 4711, True), (999, 999, True), (12, 0, True)]


def test_the_proxys_errors_are_those_of_the_framework(jobs: Jobs, mesh: Mesh) -> None:
    calls = [{"message": "hi"}, {"method": "fail", "message": "x"}, {"method": "slow", "message": "1"}]
    unknown, denied, gone = jobs.run(port=mesh.ports["strict"], calls=calls)
    assert failure(unknown) == (11, 0, True)
    assert f"no route matched for {ECHO}/Say" in unknown["error"]["message"]
    assert failure(denied) == (41, 0, True)
    assert "failing is not for you" in denied["error"]["message"]
    assert failure(gone) == (111, 0, True)


def test_a_route_timeout_is_a_timeout_of_the_server(jobs: Jobs, mesh: Mesh) -> None:
    late, after = jobs.run(port=mesh.ports["routed"], calls=[{"method": "slow", "message": "1500"}, {"message": "on"}])
    assert failure(late) == (21, 0, True)
    assert after["value"]["message"] == "on"


def test_the_clients_own_time_limit_is_kept_and_shortened(jobs: Jobs, mesh: Mesh) -> None:
    calls = [{"message": "quick"}, {"method": "slow", "message": "1500"}]
    quick, late = jobs.run(port=mesh.ports["hurried"], timeout=700, calls=calls)
    assert quick["value"]["message"] == "quick"
    assert late["error"]["code"] in (21, 101)  # who is first: the proxy or the client itself
    (row,) = [
        value
        for name, value in mesh.proxy.stats().items()
        if name.startswith("metaproxy_filter_events_total{") and 'event="shortened"' in name
    ]
    assert row == 2


def test_a_rate_limit_says_so(jobs: Jobs, mesh: Mesh) -> None:
    passed, refused = jobs.run(port=mesh.ports["limited"], calls=[{"message": "a"}, {"message": "b"}])
    assert passed["value"]["message"] == "a"
    assert failure(refused) == (23, 0, True)


def test_a_fault_can_be_any_error_of_the_protocol(jobs: Jobs, mesh: Mesh) -> None:
    refused = one(jobs, mesh.ports["faulty"], message="a")
    assert failure(refused) == (12, 0, True)
    assert "no luck today" in refused["error"]["message"]


def test_a_one_way_call_arrives_and_holds_nothing(jobs: Jobs, mesh: Mesh) -> None:
    calls = [{"message": "noted here", "oneway": True}, {"message": "between"}]
    noted, between = jobs.run(port=mesh.ports["plain"], calls=calls)
    assert (noted["value"], between["value"]["message"]) == (None, "between")
    arrived = eventually(lambda: "noted here" in one(jobs, mesh.ports["plain"], method="noted")["value"]["message"])
    assert arrived
    assert mesh.proxy.outcomes().get("oneway", 0) >= 1


def test_calls_at_once_share_a_connection_and_each_gets_its_own_answer(jobs: Jobs, mesh: Mesh) -> None:
    calls = [{"method": "slow", "message": "200"}, *({"message": f"m{number}"} for number in range(40))]
    slow, *results = jobs.run(port=mesh.ports["plain"], calls=calls, together=True)
    assert slow["value"]["message"] == "slept"
    assert [each["value"]["message"] for each in results] == [f"m{number}" for number in range(40)]


# -- streams


def test_the_three_kinds_of_streams_pass(jobs: Jobs, mesh: Mesh) -> None:
    calls = [
        {"method": "server", "message": "m", "count": 3, "size": 100},
        {"method": "client", "messages": ["a", "b"]},
        {"method": "both", "messages": ["a", "b", "c"]},
        {"method": "client", "messages": []},
        {"method": "server", "message": "m", "count": 300, "size": 10_000},
    ]
    results = [each["value"] for each in jobs.run(port=mesh.ports["streams"], calls=calls)]
    assert [each["messages"] for each in results[:4]] == [["m0", "m1", "m2"], ["a+b"], ["a", "b", "c"], [""]]
    assert results[4]["messages"] == [f"m{number}" for number in range(300)]
    assert results[4]["size"] == 3_000_000


def test_many_messages_of_a_client_pass_in_order(jobs: Jobs, mesh: Mesh) -> None:
    """
    Within a quarter of a window: then trpc-java sends its first FEEDBACK, and fails by itself, without a proxy too,
    when another of its threads sends at that moment.
    """
    messages = [f"{number}:" + "x" * 90 for number in range(150)]
    result = one(jobs, mesh.ports["streams"], method="both", messages=messages)
    assert result["value"]["messages"] == messages


def test_streams_at_once_have_a_connection_each_where_their_cluster_says_so(jobs: Jobs, mesh: Mesh) -> None:
    calls = [{"method": "server", "message": f"s{number}-", "count": 50, "size": 2000} for number in range(8)]
    results = jobs.run(port=mesh.ports["streams"], calls=calls, together=True)
    for number, result in enumerate(results):
        assert result["value"]["messages"] == [f"s{number}-{index}" for index in range(50)]
    opened = 'metaproxy_endpoint_connections_total{cluster="alpha-streams"'
    assert sum(int(value) for name, value in mesh.proxy.stats().items() if name.startswith(opened)) > 1


def test_trans_info_of_a_stream_routes_and_is_changed(jobs: Jobs, mesh: Mesh) -> None:
    def requests(cluster: str) -> int:
        rows = mesh.proxy.stats().items()
        return sum(
            int(value)
            for name, value in rows
            if name.startswith("metaproxy_exchanges_total{") and f'cluster="{cluster}"' in name
        )

    before = requests("beta-streams")
    result = one(jobs, mesh.ports["streams"], method="both", messages=["a"], trans_info={"tenant": "t1"})
    assert result["value"]["messages"] == ["a"]
    assert eventually(lambda: requests("beta-streams") == before + 1)


def test_an_error_of_the_server_within_a_stream_is_the_clients(jobs: Jobs, mesh: Mesh) -> None:
    calls = [
        {"method": "both", "messages": ["a", "fail"]},
        {"method": "client", "messages": ["a", "fail"]},
        {"method": "both", "messages": ["on"]},
    ]
    both, client, after = jobs.run(port=mesh.ports["streams"], calls=calls)
    for failed in (both, client):
        assert "fail" in failed["error"]["message"]
    assert after["value"]["messages"] == ["on"]


def test_a_stream_that_the_proxy_refuses_says_why(jobs: Jobs, mesh: Mesh) -> None:
    calls = [
        {"method": "server", "message": "m", "count": 1},
        {"method": "both", "messages": ["a"]},
        {"method": "client", "messages": ["a"]},
    ]
    unknown, limited, gone = jobs.run(port=mesh.ports["no-streams"], calls=calls)
    assert [each["error"]["code"] for each in (unknown, limited, gone)] == [11, 23, 111]
    assert "no more today" in limited["error"]["message"]


def test_a_stream_that_the_server_refuses_is_refused(jobs: Jobs, mesh: Mesh) -> None:
    """It says nothing: its client gives up."""
    (failed,) = jobs.run(port=mesh.ports["unary-streams"], timeout=1000, calls=[{"method": "both", "messages": ["a"]}])
    assert "error" in failed


def test_a_server_that_dies_fails_its_calls(jobs: Jobs, start_here: Start, proxy: Callable[..., Proxy]) -> None:
    port, streams = free_port(), free_port()
    server = start_here(rpc_peers.trpc_server("mortal", port, streams))
    front = free_port()
    running = proxy(
        {
            "listeners": [listener("front", front, "trpc", [{"cluster": "mortal"}])],
            "clusters": [cluster("mortal", port)],
        }
    )
    results = jobs.run(port=front, calls=[{"message": "alive"}])
    assert results[0]["value"]["served_by"] == "mortal"
    server.signal(9)
    eventually(lambda: not server.running)
    (lost,) = jobs.run(port=front, calls=[{"message": "dead"}])
    assert lost["error"]["code"] in (111, 141)
    assert running.outcomes().get("ok") == 1
