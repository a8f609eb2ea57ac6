"""
Real Thrift peers with metaproxy between them.

Lives here: every client by every server in every way that both have; routes, THeader headers, errors, a server that
dies. Does not: the peers alone (test_peers.py), the codec's bytes (tests/unit/codecs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import catalogue
import pytest
import thrift_calls
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import Jobs, answers, eventually, free_port
from thrift_calls import Cell

peer = pytest.mark.peer


def all_answer(ports: Iterable[int]) -> bool:
    return all(map(answers, ports))


PAIRS = [(client, server) for server in catalogue.THRIFT_SERVERS for client in catalogue.THRIFT_CLIENTS]
MATRIX = [
    pytest.param(client, server, cell, marks=[peer(client, server), peer("py")], id=f"{client}-{server}-{cell}")
    for client, server in PAIRS
    for cell in thrift_calls.cells(server, client)
]
# One way of each kind, by clients whose libraries share no code.
WAYS = [
    ("py", Cell("buffered", "binary", False)),
    ("py", Cell("buffered", "old", False)),
    ("py", Cell("framed", "compact", True)),
    ("py", Cell("buffered", "json", False)),
    ("py", Cell("header", "binary", False)),
    ("py", Cell("header", "compact", False)),
    ("thriftpy2", Cell("framed", "binary", False)),
    ("js", Cell("framed", "json", False)),
    ("js", Cell("header", "binary", False)),
    ("java", Cell("buffered", "compact", True)),
    ("java", Cell("framed", "old", False)),
    ("cpp", Cell("header", "binary", False)),
    ("cpp", Cell("framed", "compact", False)),
]


def each_way(ways: Iterable[tuple[str, Cell]]) -> list[Any]:
    return [pytest.param(name, cell, marks=peer(name), id=f"{name}-{cell}") for name, cell in ways]


EACH_WAY = each_way(WAYS)


class Mesh(NamedTuple):
    """A proxy before servers. ports: by server and way, the listener that leads to that server's port for it."""

    proxy: Proxy
    ports: dict[tuple[str, Cell], int]


def client(clients: Clients, name: str) -> Jobs:
    return clients(catalogue.thrift_client(name))


def one(jobs: Jobs, port: int, cell: Cell, method: str, *args: Any, **options: Any) -> dict[str, Any]:
    """The result of one call on a connection of its own."""
    call = {"method": method, "args": list(args), **options}
    (result,) = jobs.run(port=port, transport=cell.transport, protocol=cell.protocol, mux=cell.mux, calls=[call])
    return result


def serve(start: Start, kind: str, name: str, *cells: Cell) -> dict[Cell, int]:
    """A server with a port for each way."""
    ports = {cell: free_port() for cell in cells}
    specs = [
        f"{port}:{cell.transport}:{cell.protocol}" + (":mux" if cell.mux and kind == "js" else "")
        for cell, port in ports.items()
    ]
    start(catalogue.thrift_server(kind, name, *specs), partial(all_answer, ports.values()))
    return ports


@pytest.fixture(scope="module")
def matrix(start: Start, shared_proxy: Callable[..., Proxy]) -> Mesh:
    """Every server, a listener before each of its ports; what the listener's clients speak is detected."""
    listeners, clusters = [], []
    ports: dict[tuple[str, thrift_calls.Cell], int] = {}
    for kind in catalogue.THRIFT_SERVERS:
        if catalogue.missing(kind):
            continue
        reached = thrift_calls.server_ports(kind)
        specs = thrift_calls.server_specs(kind, reached)
        start(catalogue.thrift_server(kind, kind, *specs), partial(all_answer, reached.values()))
        before = {port: free_port() for port in reached.values()}
        for port, ours in before.items():
            listeners.append(listener(f"{kind}-{port}", ours, "thrift", [{"cluster": f"{kind}-{port}"}]))
            clusters.append(cluster(f"{kind}-{port}", port))
        ports |= {(kind, cell): before[port] for cell, port in reached.items()}
    return Mesh(shared_proxy({"listeners": listeners, "clusters": clusters}), ports)


@pytest.mark.parametrize("name, kind, cell", MATRIX)
def test_every_client_is_answered_by_every_server_in_every_way_that_they_share(
    name: str, kind: str, cell: Cell, clients: Clients, matrix: Mesh
) -> None:
    port = matrix.ports[kind, cell]
    note = str(port) if name == "cpp" else f"{name} {cell}"
    thrift_calls.converse(client(clients, name), name, kind, cell, port, note)
    asking = client(clients, "py")
    assert eventually(lambda: note in thrift_calls.noted(asking, cell, port))


@pytest.fixture(scope="module")
def routed(start: Start, shared_proxy: Callable[..., Proxy]) -> Mesh:
    """
    For each way two servers: noted leads to beta, sayHello and the header tenant t2 too where there are headers;
    sayHello and headers otherwise to alpha; add is denied, nothing else is known.
    """
    cells = sorted({cell for _, cell in WAYS})
    servers = {name: serve(start, "py", name, *cells) for name in ("alpha", "beta")}
    listeners, clusters = [], []
    ports: dict[tuple[str, thrift_calls.Cell], int] = {}
    for cell in cells:
        for name in servers:
            clusters.append(cluster(f"{name}-{cell}", servers[name][cell]))
        ports["py", cell] = free_port()
        listeners.append(listener(str(cell), ports["py", cell], protocol(cell), routes(cell)))
    return Mesh(shared_proxy({"listeners": listeners, "clusters": clusters}), ports)


def protocol(cell: Cell) -> dict[str, Any]:
    """The codec, fixed to what the way is in place of being detected."""
    transport = {"buffered": "unframed"}.get(cell.transport, cell.transport)
    form = {"old": "binary"}.get(cell.protocol, cell.protocol)
    return {"name": "thrift", "transport": transport, "protocol": form, "multiplexed": cell.mux}


def routes(cell: Cell) -> list[dict[str, Any]]:
    service = {"service": "Hello"} if cell.mux else {}
    changes = {}
    found: list[dict[str, Any]] = []
    if cell.transport == "header":
        found.append({"name": "canary", "match": {"method": "sayHello", "tenant": "t2"}, "cluster": f"beta-{cell}"})
        changes = {
            "request": {"set": {"tenant": "blue", "stamp": "proxied"}, "remove": ["debug"]},
            "response": {"set": {"via": "metaproxy"}},
        }
    return [
        *found,
        {"name": "notes", "match": {"method": "noted", **service}, "cluster": f"beta-{cell}"},
        {"name": "note", "match": {"method": "note", "kind": "oneway"}, "cluster": f"beta-{cell}"},
        {"name": "no-add", "match": {"method": "add"}, "reply": {"error": "denied", "message": "add is not for you"}},
        {
            "name": "rest",
            "match": {"method": {"regex": "sayHello|headers|slow"}},
            "cluster": f"alpha-{cell}",
            **changes,
        },
    ]


@pytest.mark.parametrize("name, cell", [each for each in EACH_WAY if each.values[0] != "cpp"])
def test_two_routes_lead_to_two_servers(name: str, cell: Cell, clients: Clients, routed: Mesh) -> None:
    port, jobs = routed.ports["py", cell], client(clients, name)
    note = f"{name} {cell}"
    assert "error" not in one(jobs, port, cell, "note", note)  # to beta, which is asked below
    assert one(jobs, port, cell, "sayHello", "bob")["value"] == "hello bob from alpha"
    assert eventually(lambda: note in (one(jobs, port, cell, "noted").get("value") or []))


@pytest.mark.parametrize("name, cell", EACH_WAY)
def test_our_errors_are_the_clients_own_exceptions_with_our_words(
    name: str, cell: Cell, clients: Clients, routed: Mesh
) -> None:
    calls = [{"method": "sayHello", "args": ["bob"]}, {"method": "add", "args": [3, 4]}]
    calls += [{"method": "echo", "args": [thrift_calls.ITEM]}, {"method": "ping"}]
    jobs, options = client(clients, name), {"transport": cell.transport, "protocol": cell.protocol, "mux": cell.mux}
    hello, added, _, pinged = jobs.run(port=routed.ports["py", cell], calls=calls, **options)[:4]
    assert hello.get("value") == "hello bob from alpha", hello
    assert "ApplicationException" in added["error"]["class"], added
    assert "add is not for you" in added["error"]["message"], added
    assert "no route matched" in pinged["error"]["message"], pinged
    if name != "thriftpy2":  # which does not show it
        assert pinged["error"]["message"].startswith("1:"), pinged  # unknown method


HEADER_WAYS = each_way((name, cell) for name, cell in WAYS if cell.transport == "header" and name != "cpp")


@pytest.mark.parametrize("name, cell", HEADER_WAYS)
def test_a_header_routes(name: str, cell: Cell, clients: Clients, routed: Mesh) -> None:
    port, jobs = routed.ports["py", cell], client(clients, name)
    assert one(jobs, port, cell, "sayHello", "a", headers={"tenant": "t2"})["value"] == "hello a from beta"
    assert one(jobs, port, cell, "sayHello", "a", headers={"tenant": "t1"})["value"] == "hello a from alpha"


@pytest.mark.parametrize("name, cell", HEADER_WAYS)
def test_the_server_sees_mutated_headers(name: str, cell: Cell, clients: Clients, routed: Mesh) -> None:
    port, sent = routed.ports["py", cell], {"debug": "1", "kept": "k", "tenant": "t1"}
    result = one(client(clients, name), port, cell, "headers", headers=sent)
    assert result["value"] == {"kept": "k", "tenant": "blue", "stamp": "proxied"}
    if name == "py":  # the only one that shows the answer's
        assert result["headers"] == {"via": "metaproxy", "served-by": "alpha"}


@peer("py")
@pytest.mark.parametrize("form", ["binary", "compact"])
def test_requests_in_zlib_are_routed_and_carried(form: str, clients: Clients, routed: Mesh) -> None:
    cell = Cell("header", form, False)
    calls = [{"method": "sayHello", "args": ["b" * 5000], "headers": {"tenant": "t1"}}, {"method": "ping"}]
    options = {"transport": "header", "protocol": form, "zlib": True}
    hello, pinged = client(clients, "py").run(port=routed.ports["py", cell], calls=calls, **options)
    assert hello.get("value") == f"hello {'b' * 5000} from alpha"
    assert "no route matched" in pinged["error"]["message"]


@peer("py")
@pytest.mark.parametrize("cell", [Cell("buffered", "binary", False), Cell("framed", "compact", True)], ids=str)
def test_a_large_argument_and_answer_pass(cell: Cell, clients: Clients, routed: Mesh) -> None:
    name = "x" * 3_000_000
    result = one(client(clients, "py"), routed.ports["py", cell], cell, "sayHello", name)
    assert result.get("value") == f"hello {name} from alpha"


@pytest.mark.parametrize("cell", [Cell("buffered", "binary", False), Cell("framed", "compact", False)], ids=str)
@pytest.mark.parametrize("name", [pytest.param(each, marks=peer(each)) for each in ("py", "js", "java", "thriftpy2")])
def test_a_server_killed_in_the_middle_fails_its_own_calls_only(
    name: str, cell: Cell, clients: Clients, start_here: Start, proxy: Callable[..., Proxy]
) -> None:
    port, victim, other = free_port(), free_port(), free_port()
    spec = f"{cell.transport}:{cell.protocol}"
    killed = start_here(catalogue.thrift_server("py", "victim", f"{victim}:{spec}"))
    start_here(catalogue.thrift_server("py", "other", f"{other}:{spec}"))
    rules = [{"match": {"method": "slow"}, "cluster": "victim"}, {"cluster": "other"}]
    between = proxy(
        {
            "listeners": [listener("in", port, "thrift", rules)],
            "clusters": [cluster("victim", victim), cluster("other", other)],
        }
    )
    waiting, bystander = client(clients, name), clients(catalogue.thrift_client("py"), "bystander")
    options = {"transport": cell.transport, "protocol": cell.protocol, "mux": False}
    assert one(waiting, port, cell, "slow", 1)["value"] == 1
    calls = [{"method": "slow", "args": [4500]}, {"method": "sayHello", "args": ["a"]}]
    waiting.start(port=port, calls=calls, **options)
    assert one(bystander, port, cell, "sayHello", "b")["value"] == "hello b from other"
    killed.kill()
    failed, went_on = waiting.finish()
    assert "ApplicationException" in failed["error"]["class"], failed
    assert f"127.0.0.1:{victim}" in failed["error"]["message"], failed
    assert went_on.get("value") == "hello a from other", went_on
    assert "connect to" in one(waiting, port, cell, "slow", 1)["error"]["message"]
    start_here(catalogue.thrift_server("py", "again", f"{victim}:{spec}"))
    assert eventually(lambda: one(waiting, port, cell, "slow", 1).get("value") == 1)
    assert one(bystander, port, cell, "sayHello", "b")["value"] == "hello b from other"
    outcomes = between.outcomes()
    assert set(outcomes) == {"ok", "reset", "connect"}
    assert outcomes["reset"] == 1
