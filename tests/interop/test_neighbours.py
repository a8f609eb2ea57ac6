"""
What the neighbours of a server that hangs, and of a client that reads nothing, notice: nothing.

Lives here: real servers that are stopped, clients that ask for much and read none of it. Does not: how long neighbours
wait among faults of all kinds (tests/soak/test_chaos.py), which connection is paused for whom (tests/unit/proxy).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import catalogue
import pytest
from calls import Caller, Dubbo, LargeRedis, Neighbour, Protocol, Redis, Thrift
from catalogue import Start
from proxied import Proxy, cluster, listener
from redis_line import Line
from running import Program, answers, free_port

pytestmark = pytest.mark.peer("redis-server", "npm", "py")

TIMEOUT = 1.0
"""`request_timeout`: what a server that hangs costs those who ask it."""
SOON = 2.0
"""Far more than a neighbour waits (milliseconds) on a busy machine, far less than what a stall would cost it."""
CLIENTS = 20
EACH = {"redis": 1024, "dubbo": 64, "thrift": 64}
"""Calls that each of them sends at once: what the servers can take in a moment, once they go on."""
LARGE = 400
"""Answers of 1 MB that are asked for and not read: far beyond `max_buffered`."""
PROTOCOLS: dict[str, Protocol] = {"redis": Redis, "other": Redis, "dubbo": Dubbo, "thrift": Thrift}
"""Clusters of one server each."""


class Mesh(NamedTuple):
    """ports and servers: by cluster."""

    proxy: Proxy
    ports: dict[str, int]
    servers: dict[str, Program]


@pytest.fixture
def mesh(start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path) -> Mesh:
    behind = {name: free_port() for name in PROTOCOLS}
    commands = {
        "redis": catalogue.redis_server(behind["redis"], tmp_path),
        "other": catalogue.redis_server(behind["other"], tmp_path),
        "dubbo": catalogue.dubbo_server("npm", "d", behind["dubbo"]),
        "thrift": catalogue.thrift_server("py", "t", f"{behind['thrift']}:framed:binary"),
    }
    servers = {name: start_here(commands[name], lambda port=port: answers(port)) for name, port in behind.items()}
    ports = {name: free_port() for name in PROTOCOLS}
    listeners = [
        listener(name, port, PROTOCOLS[name].__name__.lower(), [{"cluster": name}]) for name, port in ports.items()
    ]
    clusters = [cluster(name, port, request_timeout=f"{TIMEOUT:g}s") for name, port in behind.items()]
    return Mesh(proxy({"listeners": listeners, "clusters": clusters}), ports, servers)


async def connected(callers: Iterable[Caller], port: int) -> None:
    for caller in callers:
        await asyncio.get_running_loop().create_connection(caller.itself, "127.0.0.1", port)


async def ends_of(callers: list[Caller], seconds: float) -> None:
    """Waits until nothing is owed to any of them."""
    async with asyncio.timeout(seconds):
        while any(caller.owed for caller in callers):
            await asyncio.sleep(0.01)


def nothing_is_wrong(callers: Iterable[Caller]) -> bool:
    for caller in callers:
        caller.close()
        assert caller.wrong == []
        assert sum(caller.outcomes.values()) == caller.sent
    return True


def burst(protocol: Protocol, each: int) -> list[Caller]:
    """Clients that send so many calls at once, and no more."""
    callers = [Caller(protocol, number, each) for number in range(CLIENTS)]
    for caller in callers:
        caller.stopping = True
    return callers


@pytest.mark.parametrize("hung", EACH)
def test_a_server_that_hangs_under_load_holds_up_its_own_clients_and_no_others(hung: str, mesh: Mesh) -> None:
    async def play() -> None:
        others = {name: Neighbour(protocol, 100) for name, protocol in PROTOCOLS.items() if name != hung}
        for name, neighbour in others.items():
            await connected([neighbour], mesh.ports[name])
        callers = burst(PROTOCOLS[hung], EACH[hung])
        mesh.servers[hung].signal(signal.SIGSTOP)
        try:
            await connected(callers, mesh.ports[hung])
            await ends_of(callers, 20 * TIMEOUT)
            status, _ = await asyncio.to_thread(mesh.proxy.ask, "/ready")
        finally:
            mesh.servers[hung].signal(signal.SIGCONT)
        again = Neighbour(PROTOCOLS[hung], 100)
        await connected([again], mesh.ports[hung])
        async with asyncio.timeout(20 * TIMEOUT):
            while not again.outcomes["ok"]:  # what it was asked before comes first
                await asyncio.sleep(0.01)
        for neighbour in (again, *others.values()):
            neighbour.stopping = True
        await ends_of([again, *others.values()], SOON)
        assert nothing_is_wrong([*callers, again, *others.values()])
        assert all(set(caller.outcomes) == {"error"} for caller in callers) and status == 200
        assert {name: set(neighbour.outcomes) for name, neighbour in others.items()} == {key: {"ok"} for key in others}
        assert max(wait for neighbour in others.values() for _, wait in neighbour.waits) < SOON

    asyncio.run(play())


def test_who_reads_nothing_of_400_mb_costs_no_neighbour_an_answer_and_gets_its_own_later(mesh: Mesh) -> None:
    async def play() -> None:
        others = [Neighbour(protocol, number) for number in range(5) for protocol in (Redis, LargeRedis)]
        slow = Caller(LargeRedis, 100, LARGE)
        slow.stopping, slow.reads = True, False
        with Line(mesh.ports["redis"]) as line:
            line.say(LargeRedis.fill())
            assert [line.reply() for _ in range(LargeRedis.COUNT)] == [b"+OK\r\n"] * LargeRedis.COUNT
        await connected([slow, *others], mesh.ports["redis"])
        async with asyncio.timeout(20 * TIMEOUT):
            while min(len(neighbour.waits) for neighbour in others) < 50:
                await asyncio.sleep(0.01)
        assert slow.owed == LARGE
        slow.read_on()
        await ends_of([slow], 20 * TIMEOUT)
        for neighbour in others:
            neighbour.stopping = True
        await ends_of([*others], SOON)
        assert nothing_is_wrong([slow, *others])
        assert all(set(neighbour.outcomes) == {"ok"} for neighbour in (slow, *others))
        assert max(wait for neighbour in others for _, wait in neighbour.waits) < SOON

    asyncio.run(play())
