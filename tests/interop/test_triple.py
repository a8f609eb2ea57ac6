"""
Triple through the proxy: Dubbo for Java and for Python, and clients of gRPC.

Lives here: all kinds of calls, Dubbo's serializations and exceptions, routes by its keys, deadlines, errors. Does not:
what Triple has in common with gRPC (test_grpc.py).
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import catalogue
import grpc_peers
import pytest
import rpc_peers
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import free_port

peer = pytest.mark.peer
Proxies = Callable[..., Proxy]

# Not from Python to Java: apache-dubbo ends each request with an empty message, which only its own server ignores.
PAIRS = [("triple", "triple"), ("triple", "apache-dubbo"), ("apache-dubbo", "apache-dubbo")]
DEADLINE_EXCEEDED = 4


class Mesh(NamedTuple):
    """fronts: the proxy's ports by the server behind them, and of one with routes."""

    proxy: Proxy
    fronts: dict[str, int]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Proxies) -> Mesh:
    names = [name for name in rpc_peers.TRIPLE_PEERS if not catalogue.missing(name)]
    servers = {name: free_port() for name in names}
    for name, port in servers.items():
        start(rpc_peers.triple_server(name, name, port))
    fronts = {name: free_port() for name in (*names, "routes")}
    routes = [
        {"match": {"application": "peers-client", "tenant": "t1"}, "cluster": "triple",
         "request": {"set": {"stamp": "proxied", "group": "blue"}, "remove": ["secret"]}},
        {"match": {"interface": "org.example.triple.Greeter", "method": "hello"}, "cluster": "triple"},
        {"match": {"interface": "org.example.triple.Greeter"},
         "reply": {"error": "denied", "message": "hello is enough"}},
        {"match": {"method": "unary"}, "cluster": "nowhere"},
    ]  # fmt: skip
    listeners = [
        listener(name, fronts[name], "triple", [{"cluster": name}], filters=[{"deadline": {}}]) for name in names
    ]
    listeners.append(listener("routes", fronts["routes"], "triple", routes))
    clusters = [cluster(name, port, protocol="triple") for name, port in servers.items()]
    clusters.append(cluster("nowhere", free_port(), protocol="triple"))
    return Mesh(shared_proxy({"listeners": listeners, "clusters": clusters}), fronts)


@pytest.mark.parametrize(
    "client, server", [pytest.param(*pair, marks=peer(*pair), id="-".join(pair)) for pair in PAIRS]
)
def test_all_kinds_of_calls_pass(client: str, server: str, clients: Clients, mesh: Mesh) -> None:
    requests = [{"text": "a"}, {"text": "b"}]
    calls = [
        {"method": "unary", "request": {"text": "hi", "size": 1000}},
        {"method": "serverStream", "request": {"text": "s", "count": 3, "size": 100_000}},
        {"method": "clientStream", "requests": requests},
        {"method": "bidiStream", "requests": requests},
        {"method": "unary", "request": {"text": "x", "code": 13, "message": "why"}},
    ]
    *answered, failed = clients(rpc_peers.triple_client(client)).run(port=mesh.fronts[server], calls=calls)
    values = [each["value"] for each in answered]
    assert [each["replies"] for each in values] == [["hi"], ["s"] * 3, ["a+b"], ["a", "b"]]
    assert ([each["bytes"] for each in values], values[0]["served_by"]) == ([1000, 300_000, 0, 0], server)
    assert "why" in failed["error"]["message"]


@pytest.mark.parametrize("client", [pytest.param(each, marks=peer(each)) for each in grpc_peers.CLIENTS])
@pytest.mark.parametrize("server", [pytest.param(each, marks=peer(each)) for each in rpc_peers.TRIPLE_PEERS])
def test_clients_of_grpc_call_servers_of_triple(client: str, server: str, clients: Clients, mesh: Mesh) -> None:
    requests = [{"text": "a"}, {"text": "b"}]
    calls = [
        {"method": "Unary", "request": {"text": "hi"}},
        {"method": "ServerStream", "request": {"text": "s", "count": 3}},
        {"method": "ClientStream", "requests": requests},
        {"method": "BidiStream", "requests": requests},
        {"method": "Unary", "request": {"text": "x", "code": 13, "message": "why"}},
    ]
    *answered, failed = clients(grpc_peers.client(client)).run(port=mesh.fronts[server], calls=calls)
    assert [grpc_peers.replies(each) for each in answered] == [["hi"], ["s"] * 3, ["a+b"], ["a", "b"]]
    assert failed["error"]["class"] == "INTERNAL"


@peer("triple")
def test_attachments_statuses_and_timeouts_pass(clients: Clients, mesh: Mesh) -> None:
    calls = [
        {"request": {"trailing": {"back": "b"}}, "attachments": {"tenant": "t1"}},
        {"request": {"code": 5, "message": "no such"}},
        {"method": "serverStream", "request": {"count": 2, "code": 5, "message": "no such"}},
        {"request": {"delay_ms": 3000}},
    ]
    jobs = clients(rpc_peers.triple_client("triple"))
    attached, unknown, streamed, late = jobs.run(port=mesh.fronts["triple"], timeout=500, calls=calls)
    assert attached["value"]["metadata"]["tenant"] == "t1"
    assert attached["value"]["attachments"]["back"] == "b"
    assert (unknown["error"]["code"], streamed["error"]["code"]) == (5, 5)
    assert late["error"].get("dubbo") == 2 or late["error"].get("code") == DEADLINE_EXCEEDED


@peer("triple")
@pytest.mark.parametrize("serialization", ["hessian2", "fastjson2"])
def test_arguments_that_are_no_protobuf_pass(serialization: str, clients: Clients, mesh: Mesh) -> None:
    calls = [
        {"method": "hello", "text": "bob", "times": 2},
        {"method": "crash", "text": "why"},
        {"method": "count", "text": "n"},
        {"method": "talk", "texts": ["a", "b"]},
    ]
    jobs = clients(rpc_peers.triple_client("triple"))
    results = jobs.run(port=mesh.fronts["triple"], serialization=serialization, calls=calls)
    hello, crashed, counted, talked = results
    assert hello["value"]["replies"] == ["hello bob hello bob from triple"]
    assert "why" in crashed["error"]["message"]
    assert counted["value"]["replies"] == ["n 0", "n 1", "n 2"]
    assert talked["value"]["replies"] == [["a", "triple"], ["b", "triple"]]


@peer("triple")
def test_routes_go_by_dubbos_keys_and_change_them(clients: Clients, mesh: Mesh) -> None:
    calls: list[dict[str, Any]] = [
        {"request": {"text": "x"}, "attachments": {"tenant": "t1", "secret": "s"}},
        {"method": "hello", "text": "bob", "times": 1},
        {"method": "crash", "text": "why"},
        {"request": {"text": "x"}},
    ]
    jobs = clients(rpc_peers.triple_client("triple"))
    stamped, hello, denied, nowhere = jobs.run(port=mesh.fronts["routes"], calls=calls)
    metadata = stamped["value"]["metadata"]
    assert (metadata["stamp"], "secret" in metadata) == ("proxied", False)
    assert hello["value"]["replies"] == ["hello bob from triple"]
    assert "hello is enough" in denied["error"]["message"]
    assert nowhere["error"]


@peer("triple")
def test_a_call_by_http_with_json_passes(mesh: Mesh) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", mesh.fronts["triple"], timeout=10)
    body = json.dumps(["bob", 1])
    connection.request("POST", "/org.example.triple.Greeter/hello", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (200, "hello bob from triple")
    connection.close()
