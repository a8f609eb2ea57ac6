"""
The load of the chaos test: callers from the start to the end, bursts, and clients that read nothing for a while.

Lives here: `Load`, a thread with an event loop that all of them share. Does not: a caller (tests/shared/calls.py,
stream_callers.py), those whose wait is measured (chaos_neighbours.py), what goes wrong meanwhile (chaos_faults.py).
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from calls import Caller, Dubbo, Http, LargeRedis, Protocol, Redis, Thrift
from stream_callers import H1Streams, H2Streams, Plan, Streams
from stream_calls import KINDS, grpc_play, http_play

PROTOCOLS: dict[str, Protocol] = {
    "dubbo": Dubbo, "thrift": Thrift, "redis": Redis, "redis-tls": Redis, "calm": Redis, "http": Http,
}  # fmt: skip
"""Of the listeners. `calm` leads to a server that nothing happens to; `grpc` is in STREAMS alone."""
STEADY = {"dubbo": (6, 4), "thrift": (6, 1), "redis": (6, 4), "redis-tls": (4, 4), "http": (4, 1)}
"""Connections to each listener, and how many requests each has under way."""
PAUSE = 0.02
"""Seconds before each next one: a proxy that has no time left makes all wait, without any fault."""
STREAMS: dict[str, Plan] = {"http": http_play, "grpc": grpc_play}
STREAMING = 2
"""Connections of HTTP/2 to each of those, with a stream of each kind under way, and of HTTP/1.1 with one."""
STREAM_PAUSE = 0.1
BURSTS = {"dubbo": (20, 32), "thrift": (20, 32), "redis": (20, 512), "http": (20, 8)}
"""Clients that ask a server which hangs, and how many requests each sends at once."""
SLOW = (2, 60)
"""
Clients that read nothing for a while, and how many answers of 1 MB each asks for: less than four times `max_buffered`,
with which a client would be closed, and its requests have no answer that could be counted.
"""


SLOW_STREAMS = (2, 20)
"""Clients that give no credit for a while, and how many streams each has."""


class Load(threading.Thread):
    """made: all callers, also those of bursts."""

    def __init__(self, ports: dict[str, int], ca: Path) -> None:
        super().__init__(daemon=True)
        self.ports = ports
        self.context = ssl.create_default_context(cafile=str(ca))
        self.made: list[Caller | H1Streams | H2Streams] = []
        self._loop = asyncio.new_event_loop()

    def run(self) -> None:
        self._loop.run_forever()

    def begin(self) -> None:
        self.start()
        for name, (clients, depth) in STEADY.items():
            self._add(name, PROTOCOLS[name], clients, depth)
        for name, plan in STREAMS.items():
            for _ in range(STREAMING):
                self._add_streams(name, H2Streams(plan, len(self.made), len(KINDS), STREAM_PAUSE))
        for _ in range(STREAMING):
            self._add_streams("http", H1Streams(http_play, len(self.made), pause=STREAM_PAUSE))

    def _add_streams(self, name: str, caller: H1Streams | H2Streams) -> None:
        self.made.append(caller)
        asyncio.run_coroutine_threadsafe(caller.connect(self.ports[name]), self._loop).result(30)

    def slow_streams(self) -> list[H2Streams]:
        """They read when they are asked to: `read_on`."""
        callers = []
        for name, plan in STREAMS.items():
            for _ in range(SLOW_STREAMS[0]):
                caller = H2Streams(partial(plan, kind="both"), len(self.made), SLOW_STREAMS[1])
                caller.stopping, caller.reads = True, False
                self._add_streams(name, caller)
                callers.append(caller)
        return callers

    def burst(self, name: str) -> list[Caller]:
        return self._add(name, PROTOCOLS[name], *BURSTS[name], stopping=True)

    def slow_readers(self) -> list[Caller]:
        """They read when they are asked to: `read_on`."""
        return self._add("redis", LargeRedis, *SLOW, stopping=True, reads=False)

    def read_on(self, callers: Sequence[Caller | Streams]) -> None:
        for caller in callers:
            self._loop.call_soon_threadsafe(caller.read_on)

    def _add(
        self, name: str, protocol: Protocol, clients: int, depth: int, *, stopping: bool = False, reads: bool = True
    ) -> list[Caller]:
        callers = []
        for _ in range(clients):
            caller = Caller(protocol, len(self.made), depth, PAUSE)
            caller.stopping, caller.reads = stopping, reads
            self.made.append(caller)
            callers.append(caller)
        asyncio.run_coroutine_threadsafe(self._connect(callers, name), self._loop).result(30)
        return callers

    async def _connect(self, callers: list[Caller], name: str) -> None:
        context, host = (self.context, "localhost") if name.endswith("-tls") else (None, None)
        for caller in callers:
            where = ("127.0.0.1", self.ports[name])
            await self._loop.create_connection(caller.itself, *where, ssl=context, server_hostname=host)

    def release(self) -> None:
        """Closes the connections of bursts and slow readers that have all their answers."""
        for caller in self.made:
            if caller.stopping and not caller.owed and not caller.closing:
                self._loop.call_soon_threadsafe(caller.close)

    def stop(self) -> None:
        """Sends nothing new."""
        for caller in self.made:
            caller.stopping = True

    def close(self) -> None:
        for caller in self.made:
            self._loop.call_soon_threadsafe(caller.close)
        self._loop.call_soon_threadsafe(self._loop.call_later, 0.2, self._loop.stop)
        self.join(10)


def all_ended(callers: Sequence[Caller | Streams], seconds: float = 20.0) -> bool:
    """Whether each request of theirs got its end in that time."""
    deadline = time.monotonic() + seconds
    while any(caller.owed for caller in callers):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
