"""
Each client talks to each server without a proxy between: what fails here is a peer's, not ours.

Lives here: a few calls a pair. Does not: anything of metaproxy.
"""

from __future__ import annotations

from pathlib import Path

import catalogue
import pytest
import thrift_calls
from catalogue import Clients, Start
from running import answers, eventually, free_port

peer = pytest.mark.peer


@pytest.fixture(scope="module")
def providers(start: Start) -> dict[str, int]:
    """The ports of the Dubbo providers that are installed; each has its own name."""
    ports = {name: free_port() for name in catalogue.DUBBO_SERVERS if not catalogue.missing(name)}
    for name, port in ports.items():
        start(catalogue.dubbo_server(name, name, port))
    return ports


@pytest.mark.parametrize("client", [pytest.param(each, marks=peer(each)) for each in catalogue.DUBBO_CLIENTS])
@pytest.mark.parametrize("server", [pytest.param(each, marks=peer(each)) for each in catalogue.DUBBO_SERVERS])
def test_every_dubbo_consumer_is_answered_by_every_provider(
    client: str, server: str, clients: Clients, providers: dict[str, int]
) -> None:
    calls = [{"method": "add", "args": [3, 4]}, {"method": "sayHello", "args": ["bob"]}]
    added, hello = clients(catalogue.dubbo_client(client)).run(port=providers[server], calls=calls)
    assert added.get("value") == 7, added
    if (client, server) == ("dubbo-py", "java"):  # it calls a string a `short`
        assert "status 40" in hello["error"]["message"]
    else:
        assert hello.get("value") == f"hello bob from {server}", hello


@peer("java")
@pytest.mark.parametrize("serialization", ["hessian2", "fastjson2"])
def test_java_dubbo_carries_objects_exceptions_attachments_and_one_way_calls(
    serialization: str, clients: Clients, providers: dict[str, int]
) -> None:
    person = {"name": "Ann", "age": 3, "address": {"city": "K\u00f6ln"}, "tags": ["a"], "sums": {"x": 5000000000}}
    calls = [
        {"method": "promote", "args": [person]},
        {"method": "fail", "args": ["why"]},
        {"method": "attachments", "attachments": {"tenant": "t1"}},
        {"method": "note", "args": [serialization]},
        {"method": "noted"},
    ]
    jobs = clients(catalogue.dubbo_client("java"))
    results = jobs.run(port=providers["java"], serialization=serialization, calls=calls)
    promoted, failed, attached, note, notes = results
    assert promoted["value"]["name"] == "Dr. Ann"
    assert promoted["value"]["sums"] == {"x": 5000000000}
    assert promoted["attachments"]["served-by"] == "java"
    assert failed["error"]["class"] == "org.example.HelloException"
    assert attached["value"]["tenant"] == "t1"
    assert note["value"] is None
    assert serialization in notes["value"]


PAIRS = [(client, server) for server in catalogue.THRIFT_SERVERS for client in catalogue.THRIFT_CLIENTS]


@pytest.fixture(scope="module")
def thrift_ports(start: Start) -> dict[str, dict[thrift_calls.Cell, int]]:
    """The ports of the Thrift servers that are installed; each has its own name."""
    ports = {name: thrift_calls.server_ports(name) for name in catalogue.THRIFT_SERVERS if not catalogue.missing(name)}
    for name, each in ports.items():
        specs = thrift_calls.server_specs(name, each)
        start(catalogue.thrift_server(name, name, *specs), lambda each=each: all(map(answers, each.values())))
    return ports


@pytest.mark.parametrize(
    "client, server", [pytest.param(*pair, marks=[peer(*pair), peer("py")], id="-".join(pair)) for pair in PAIRS]
)
def test_every_thrift_client_is_answered_by_every_server_in_every_way_that_they_share(
    client: str, server: str, clients: Clients, thrift_ports: dict[str, dict[thrift_calls.Cell, int]]
) -> None:
    jobs = clients(catalogue.thrift_client(client))
    asking = clients(catalogue.thrift_client("py"))
    for cell in thrift_calls.cells(server, client):
        port = thrift_ports[server][cell]
        note = str(port) if client == "cpp" else f"{client} {cell}"
        thrift_calls.converse(jobs, client, server, cell, port, note)

        def is_noted(cell: thrift_calls.Cell = cell, port: int = port, note: str = note) -> bool:
            return note in thrift_calls.noted(asking, cell, port)

        assert eventually(is_noted)


@peer("redis-server", "redis-py")
@pytest.mark.parametrize("resp", [2, 3])
def test_redis_py_reaches_a_server(resp: int, redis_port: int) -> None:
    import redis

    with redis.Redis(port=redis_port, protocol=resp) as client:
        client.set("k", "v")
        assert client.get("k") == b"v"


@pytest.fixture(scope="module")
def redis_port(start: Start, tmp_path_factory: pytest.TempPathFactory) -> int:
    port = free_port()
    directory: Path = tmp_path_factory.mktemp("redis")
    start(catalogue.redis_server(port, directory), lambda: answers(port))
    return port


@peer("redis-server", "ioredis")
def test_ioredis_reaches_a_server(redis_port: int, clients: Clients) -> None:
    jobs = clients(catalogue.ioredis_client())
    assert jobs.run(port=redis_port, calls=[["set", "i", "1"], ["incr", "i"]]) == [{"value": "OK"}, {"value": 2}]


@peer("redis-server", "redis-cli", "redis-benchmark")
def test_redis_command_line_tools_reach_a_server(redis_port: int) -> None:
    assert catalogue.output("redis-cli", "-p", str(redis_port), "ping") == "PONG"
    ran = catalogue.output("redis-benchmark", "-p", str(redis_port), "-n", "100", "-c", "2", "-q", "-t", "get")
    assert "requests per second" in ran
