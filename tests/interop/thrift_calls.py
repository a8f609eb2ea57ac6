"""
The calls that every Thrift client makes of every Thrift server, and what must come back, whatever is between.

Lives here: cells (transport, protocol, multiplexed or not), the calls, the check of their results, a server's ports.
Does not: starting anything.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import catalogue
from running import Jobs, free_port

ITEM = {
    "name": "thing \u00e9\u20ac",
    "count": -70000,
    "on": True,
    "small": -5,
    "medium": -300,
    "large": 1 << 52,
    "ratio": -0.1,
    "raw": "\x00\xff",
    "flags": [True, False, True],
    "numbers": [-2, 1, 300000],
    "sums": {"a": [1, -1], "b": []},
    "inner": {"name": "in", "counts": [5]},
}


class Cell(NamedTuple):
    """One way to speak Thrift."""

    transport: str
    protocol: str
    mux: bool

    def __str__(self) -> str:
        return f"{self.transport}-{self.protocol}" + ("-mux" if self.mux else "")


def cells(server: str, client: str) -> list[Cell]:
    """The ways that both peers have."""
    both = set(catalogue.thrift_pairs(server)) & set(catalogue.thrift_pairs(client))
    return [
        Cell(transport, protocol, mux)
        for transport, protocol in sorted(both)
        for mux in (False, True)
        # Header and multiplexed are not made for each other, and Node's multiplexed server reads strict binary only.
        if not mux or (transport != "header" and not (server == "js" and protocol == "old"))
    ]


def server_ports(server: str) -> dict[Cell, int]:
    """A port for each way that a server has: plain and multiplexed calls share one where it answers both."""
    ports: dict[Cell, int] = {}
    for cell in cells(server, server):
        shared = ports.get(Cell(cell.transport, cell.protocol, False))
        ports[cell] = shared if shared and server != "js" else free_port()
    return ports


def server_specs(server: str, ports: dict[Cell, int]) -> list[str]:
    """The arguments of the server's program."""
    apart = server == "js"
    specs = {
        f"{port}:{cell.transport}:{cell.protocol}" + (":mux" if cell.mux and apart else "")
        for cell, port in ports.items()
        if apart or not cell.mux
    }
    return sorted(specs)


def converse(jobs: Jobs, client: str, server: str, cell: Cell, port: int, note: str) -> None:
    """One connection of the client: results of every kind, the declared exception, one that is not, a one-way call."""
    lossy = "js" in (client, server) and cell.protocol == "compact"
    item = {**ITEM, "flags": [False]} if lossy else ITEM
    calls = [
        {"method": "sayHello", "args": ["bob"]},
        {"method": "add", "args": [3, 4]},
        {"method": "echo", "args": [item]},
        {"method": "ping"},
        {"method": "reject", "args": ["no"]},
        {"method": "crash", "args": ["boom"]},
        {"method": "note", "args": [note]},
    ]
    results = jobs.run(port=port, transport=cell.transport, protocol=cell.protocol, mux=cell.mux, calls=calls)
    hello, added, echoed, pinged, rejected, crashed, noted = results
    assert hello.get("value") == f"hello bob from {server}", hello
    assert added.get("value") == 7, added
    assert _same(echoed.get("value"), item, client, lossy), echoed
    assert "error" not in pinged, pinged
    assert rejected["error"] == {"class": "Rejected", "message": "no"}
    assert "ApplicationException" in crashed["error"]["class"], crashed
    assert "error" not in noted, noted


def _same(value: Any, item: dict[str, Any], client: str, lossy: bool) -> bool:
    """lossy: Node's compact protocol, which reads the booleans of a list all as false, has a part in it."""
    if client == "cpp":  # which compares by itself, with an item of its own
        return value is not lossy
    return isinstance(value, dict) and {**value, "numbers": sorted(value["numbers"])} == item


def noted(jobs: Jobs, cell: Cell, port: int) -> list[str]:
    """What one-way calls have brought the server."""
    calls = [{"method": "noted"}]
    (result,) = jobs.run(port=port, transport=cell.transport, protocol=cell.protocol, mux=cell.mux, calls=calls)
    texts: list[str] = result.get("value") or []
    return texts
