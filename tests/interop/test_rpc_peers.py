"""
The peers that speak bRPC, tRPC and Triple, each with another peer and no proxy between: what fails here is not ours.

Lives here: the calls of each kind that a client can make of a server. Does not: anything of metaproxy.
"""

from __future__ import annotations

from typing import NamedTuple

import catalogue
import grpc_peers
import pytest
import rpc_peers
from catalogue import Clients, Start
from running import eventually, free_port

peer = pytest.mark.peer
TIMEOUT = 2
EXCEPTION = {"brpc": 3, "starlight": 1005}
"""What a client calls the server's 2001: neither gives out the code that came."""


@pytest.fixture(scope="module")
def brpc_ports(start: Start) -> dict[str, int]:
    """The ports of the bRPC servers that are installed; each has its own name."""
    ports = {name: free_port() for name in rpc_peers.BRPC_PEERS if not catalogue.missing(name)}
    for name, port in ports.items():
        start(rpc_peers.brpc_server(name, name, port))
    return ports


@pytest.mark.parametrize(
    "client, server, compress",
    [
        pytest.param(client, server, compress, marks=peer(client, server))
        for client in rpc_peers.BRPC_PEERS
        for server in rpc_peers.BRPC_PEERS
        for compress in ("none", "snappy", "gzip", "zlib")
        if (client, server) != ("brpc", "starlight") or compress == "none"  # Starlight reads no other of brpc-java
    ],
)
def test_every_brpc_client_is_answered_by_every_server(
    client: str, server: str, compress: str, clients: Clients, brpc_ports: dict[str, int]
) -> None:
    calls = [{"method": "echo", "message": "hi"}, {"method": "fail", "message": "why"}]
    jobs = clients(rpc_peers.brpc_client(client))
    echoed, failed = jobs.run(port=brpc_ports[server], compress=compress, calls=calls)
    assert (echoed["value"]["message"], echoed["value"]["served_by"]) == ("hi", server)
    assert "why" in failed["error"]["message"]
    assert failed["error"]["code"] == EXCEPTION[client]


@peer("brpc")
def test_brpc_carries_attachments_and_many_calls_at_once(clients: Clients, brpc_ports: dict[str, int]) -> None:
    jobs = clients(rpc_peers.brpc_client("brpc"))
    calls = [{"message": "x", "attachment": "\x00\xff raw", "kv": {"tenant": "t1"}, "log_id": 7}, {"message": "y"}]
    first, second = jobs.run(port=brpc_ports["brpc"], calls=calls)
    assert (first["value"]["attachment"], first["value"]["kv"]) == ("\x00\xff raw", {"tenant": "t1"})
    assert (second["value"]["attachment"], second["value"]["kv"]) == ("", {})
    slow = [{"method": "slow", "message": "100"}] * 3
    results = jobs.run(port=brpc_ports["brpc"], calls=slow, together=True)
    assert [each["value"]["message"] for each in results] == ["slept"] * 3


@peer("brpc", "starlight")
@pytest.mark.parametrize("server", rpc_peers.BRPC_PEERS)
def test_brpc_tells_a_service_a_method_and_an_answer_that_do_not_come(
    server: str, clients: Clients, brpc_ports: dict[str, int]
) -> None:
    calls = [{"method": "slow", "message": "2000"}, {"message": "after"}, {"method": "nope"}, {"method": "nowhere"}]
    jobs = clients(rpc_peers.brpc_client("brpc"))
    late, echoed, *unknown = jobs.run(port=brpc_ports[server], timeout=400, calls=calls)
    assert late["error"]["code"] == TIMEOUT
    assert echoed["value"]["message"] == "after"
    # brpc-java's own server answers these with a correlation_id of 0, so that its client waits in vain.
    code = {"brpc": TIMEOUT, "starlight": EXCEPTION["brpc"]}[server]
    assert [each["error"]["code"] for each in unknown] == [code, code]


@peer("starlight", "brpc")
@pytest.mark.parametrize("server", rpc_peers.BRPC_PEERS)
def test_starlight_carries_key_value_attachments(server: str, clients: Clients, brpc_ports: dict[str, int]) -> None:
    message = {"brpc": "hi", "starlight": "hi?tenant"}[server]
    calls = [{"message": message, "kv": {"tenant": "t1"}}]
    (result,) = clients(rpc_peers.brpc_client("starlight")).run(port=brpc_ports[server], calls=calls)
    assert result["value"]["message"] == {"brpc": "hi", "starlight": "hi|tenant=t1"}[server]


@pytest.fixture(scope="module")
def stream_port(start: Start) -> int:
    port = free_port()
    start(rpc_peers.brpc_stream_server(port))
    return port


def test_brpc_streams_carry_messages_both_ways_until_both_sides_close(clients: Clients, stream_port: int) -> None:
    steps = [
        {"do": "open", "mode": "echo"},
        {"do": "send", "text": "one"},
        {"do": "fill", "bytes": 200_000},
        {"do": "receive"},
        {"do": "size"},
        {"do": "open", "mode": "count:3", "stream": "other"},
        {"do": "receive", "stream": "other"},
        {"do": "close"},
        {"do": "closed"},
        {"do": "closed", "stream": "other"},
    ]
    results = clients(rpc_peers.brpc_stream_client()).run(port=stream_port, steps=steps)
    opened = {"text": "opened", "accepted": True}
    values = [each.get("value", each) for each in results]
    assert values == [opened, None, None, "one", {"bytes": 200_000}, opened, "0", None, "closed", "closed"]


def test_brpc_streams_are_refused_reset_and_stopped_without_feedback(clients: Clients, stream_port: int) -> None:
    steps = [
        {"do": "open", "mode": "refuse"},
        {"do": "open", "mode": "fail"},
        {"do": "open", "mode": "reset", "stream": "r"},
        {"do": "closed", "stream": "r"},
        {"do": "open", "mode": "sink", "stream": "s"},
        {"do": "fill", "bytes": 5_000_000, "stream": "s"},
        {"do": "send", "text": "end", "stream": "s"},
        {"do": "receive", "stream": "s"},
        {"do": "open", "mode": "deaf", "stream": "d"},
        {"do": "fill", "bytes": 5_000_000, "stream": "d", "seconds": 0.5},
    ]
    results = clients(rpc_peers.brpc_stream_client()).run(port=stream_port, steps=steps)
    assert results[0]["value"] == {"text": "refused", "accepted": False}
    assert results[1]["error"]["message"] == "2001: no: fail"
    assert (results[3]["value"], results[7]["value"]) == ("reset", "1 5000000")
    assert results[9]["error"]["class"] == "TimeoutError"


@peer("brpc", "starlight")
@pytest.mark.parametrize("server", rpc_peers.BRPC_PEERS)
def test_calls_by_hand_tell_what_servers_of_brpc_answer(
    server: str, clients: Clients, brpc_ports: dict[str, int]
) -> None:
    call = {"do": "call", "service": "example.EchoService", "method": "Echo", "text": "hi"}
    steps = [
        {**call, "attachment": "raw \x00\xff", "log_id": 7, "user_fields": {"a": "b"}, "timeout_ms": 2000},
        {**call, "method": "Fail"},
        {**call, "method": "Nope"},
        {**call, "service": "no.Such"},
    ]
    results = clients(rpc_peers.brpc_stream_client()).run(port=brpc_ports[server], steps=steps)
    echoed, failed, method, service = [each["value"] for each in results]
    assert (echoed["code"], echoed["text"], echoed["correlation_id_kept"]) == (0, "hi", True)
    assert (failed["code"], failed["correlation_id_kept"]) == (2001, True)
    codes = {"brpc": (2001, 2001, False), "starlight": (1002, 1001, True)}
    assert (method["code"], service["code"], method["correlation_id_kept"]) == codes[server]
    if server == "brpc":
        assert echoed["attachment"] == "raw \x00\xff"


class TrpcPorts(NamedTuple):
    unary: int
    streams: int


@pytest.fixture(scope="module")
def trpc_ports(start: Start) -> TrpcPorts:
    ports = TrpcPorts(free_port(), free_port())
    start(rpc_peers.trpc_server("alpha", *ports))
    return ports


@peer("trpc")
@pytest.mark.parametrize("job", [{}, {"compress": "gzip"}, {"compress": "snappy"}], ids=["none", "gzip", "snappy"])
def test_trpc_carries_trans_info_and_attachments_both_ways(
    job: dict[str, str], clients: Clients, trpc_ports: TrpcPorts
) -> None:
    call = {"message": "hi", "trans_info": {"tenant": "t1"}, "attachment": "raw \x00\xff", "size": 1000}
    (result,) = clients(rpc_peers.trpc_client()).run(port=trpc_ports.unary, calls=[call], **job)
    value = result["value"]
    assert (value["message"], value["served_by"], value["size"]) == ("hi", "alpha", 1000)
    assert (value["trans_info"], value["back"]["served-by"]) == ({"tenant": "t1"}, "alpha")
    assert value["attachment"] == "raw \x00\xff"


@peer("trpc")
def test_trpc_tells_errors_of_the_business_from_its_own(clients: Clients, trpc_ports: TrpcPorts) -> None:
    calls = [
        {"method": "fail", "message": "business"},
        {"method": "fail", "message": "why"},
        {"method": "nope"},
        {"method": "slow", "message": "2000"},
        {"message": "after"},
    ]
    *failed, after = clients(rpc_peers.trpc_client()).run(port=trpc_ports.unary, timeout=400, calls=calls)
    codes = [(each["error"]["code"], each["error"]["business"]) for each in failed]
    assert codes == [(0, 4711), (999, 999), (12, 0), (101, 0)]
    assert after["value"]["message"] == "after"


@peer("trpc")
def test_trpc_makes_one_way_calls_and_calls_at_once(clients: Clients, trpc_ports: TrpcPorts) -> None:
    jobs = clients(rpc_peers.trpc_client())
    # A job closes its connection behind its last call, whether that was sent or not: so a call follows.
    calls = [{"message": "x"}, {"message": "n", "oneway": True}, {"message": "y"}]
    assert jobs.run(port=trpc_ports.unary, calls=calls)[1] == {"value": None}
    noted = {"method": "noted"}
    assert eventually(lambda: jobs.run(port=trpc_ports.unary, calls=[noted])[0]["value"]["message"] == "n")
    slow = [{"method": "slow", "message": "100"}] * 3
    results = jobs.run(port=trpc_ports.unary, calls=slow, together=True)
    assert [each["value"]["message"] for each in results] == ["slept"] * 3


@peer("trpc")
def test_trpc_has_three_kinds_of_streams(clients: Clients, trpc_ports: TrpcPorts) -> None:
    calls = [
        {"method": "server", "message": "m", "count": 3, "size": 100},
        {"method": "client", "messages": ["a", "b"]},
        {"method": "both", "messages": ["a", "b", "c"]},
        {"method": "server", "message": "m", "count": 100, "size": 10_000},
        {"method": "both", "messages": ["a", "fail"]},
        {"method": "client", "messages": ["a", "fail"]},
    ]
    *streamed, both, client = clients(rpc_peers.trpc_client()).run(port=trpc_ports.streams, calls=calls)
    assert [each["value"]["messages"] for each in streamed[:3]] == [["m0", "m1", "m2"], ["a+b"], ["a", "b", "c"]]
    assert [each["value"]["size"] for each in streamed] == [300, 0, 0, 1_000_000]
    for failed in (both, client):
        assert "fail" in failed["error"]["message"]


@pytest.fixture(scope="module")
def triple_ports(start: Start) -> dict[str, int]:
    """The ports of the Triple servers that are installed; each has its own name."""
    ports = {name: free_port() for name in rpc_peers.TRIPLE_PEERS if not catalogue.missing(name)}
    for name, port in ports.items():
        start(rpc_peers.triple_server(name, name, port))
    return ports


# Not from Python to Java: apache-dubbo ends each request with an empty message, which only its own server ignores.
TRIPLE = [("triple", "triple"), ("triple", "apache-dubbo"), ("apache-dubbo", "apache-dubbo")]


@pytest.mark.parametrize(
    "client, server", [pytest.param(*pair, marks=peer(*pair), id="-".join(pair)) for pair in TRIPLE]
)
def test_every_triple_client_is_answered_by_every_server(
    client: str, server: str, clients: Clients, triple_ports: dict[str, int]
) -> None:
    requests = [{"text": "a"}, {"text": "b"}]
    calls = [
        {"method": "unary", "request": {"text": "hi", "size": 1000}},
        {"method": "serverStream", "request": {"text": "s", "count": 3, "size": 100_000}},
        {"method": "clientStream", "requests": requests},
        {"method": "bidiStream", "requests": requests},
        {"method": "unary", "request": {"text": "x", "code": 13, "message": "why"}},
    ]
    *answered, failed = clients(rpc_peers.triple_client(client)).run(port=triple_ports[server], calls=calls)
    values = [each["value"] for each in answered]
    assert [each["replies"] for each in values] == [["hi"], ["s"] * 3, ["a+b"], ["a", "b"]]
    assert ([each["bytes"] for each in values], values[0]["served_by"]) == ([1000, 300_000, 0, 0], server)
    assert "why" in failed["error"]["message"]


@pytest.mark.parametrize("client", [pytest.param(each, marks=peer(each)) for each in grpc_peers.CLIENTS])
@pytest.mark.parametrize("server", [pytest.param(each, marks=peer(each)) for each in rpc_peers.TRIPLE_PEERS])
def test_every_client_of_grpc_is_answered_by_every_triple_server(
    client: str, server: str, clients: Clients, triple_ports: dict[str, int]
) -> None:
    requests = [{"text": "a"}, {"text": "b"}]
    calls = [
        {"method": "Unary", "request": {"text": "hi"}},
        {"method": "ServerStream", "request": {"text": "s", "count": 3}},
        {"method": "ClientStream", "requests": requests},
        {"method": "BidiStream", "requests": requests},
        {"method": "Unary", "request": {"text": "x", "code": 13, "message": "why"}},
    ]
    *answered, failed = clients(grpc_peers.client(client)).run(port=triple_ports[server], calls=calls)
    assert [grpc_peers.replies(each) for each in answered] == [["hi"], ["s"] * 3, ["a+b"], ["a", "b"]]
    assert failed["error"]["class"] == "INTERNAL"
    assert "why" in failed["error"]["message"]


@peer("triple")
def test_triple_of_java_has_attachments_statuses_and_timeouts(clients: Clients, triple_ports: dict[str, int]) -> None:
    calls = [
        {"request": {"trailing": {"back": "b"}}, "attachments": {"tenant": "t1"}},
        {"request": {"code": 5, "message": "no such"}},
        {"method": "serverStream", "request": {"count": 2, "code": 5, "message": "no such"}},
        {"request": {"delay_ms": 3000}},
    ]
    jobs = clients(rpc_peers.triple_client("triple"))
    attached, unknown, streamed, late = jobs.run(port=triple_ports["triple"], timeout=500, calls=calls)
    assert attached["value"]["metadata"]["tenant"] == "t1"
    assert attached["value"]["attachments"] == {"back": "b", "served-by": "triple"}
    assert (unknown["error"]["code"], streamed["error"]["code"]) == (5, 5)
    assert late["error"]["dubbo"] == 2


@peer("triple")
@pytest.mark.parametrize("serialization", ["hessian2", "fastjson2"])
def test_triple_of_java_wraps_what_is_no_protobuf(
    serialization: str, clients: Clients, triple_ports: dict[str, int]
) -> None:
    calls = [
        {"method": "hello", "text": "bob", "times": 2},
        {"method": "crash", "text": "why"},
        {"method": "count", "text": "n"},
        {"method": "talk", "texts": ["a", "b"]},
    ]
    jobs = clients(rpc_peers.triple_client("triple"))
    hello, crashed, counted, talked = jobs.run(port=triple_ports["triple"], serialization=serialization, calls=calls)
    assert hello["value"]["replies"] == ["hello bob hello bob from triple"]
    assert "why" in crashed["error"]["message"]
    assert counted["value"]["replies"] == ["n 0", "n 1", "n 2"]
    assert talked["value"]["replies"] == [["a", "triple"], ["b", "triple"]]
