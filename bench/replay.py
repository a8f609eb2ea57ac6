"""
The path of requests in one process, with sockets that cost nothing: what an exchange costs, without a kernel's noise.

    python -m bench.replay dubbo 64x1              nanoseconds of CPU a request
    python -m bench.replay dubbo 64x1 --body 16384 --routes 1000

Lives here: the fake sockets, the rounds. Does not: what is asked and answered (`replayed_*`), instructions a request
(`instructions`), real sockets and other proxies (`run`).
"""

from __future__ import annotations

import argparse
import gc
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from twisted.internet.interfaces import IReactorCore, IReactorFDSet
from twisted.internet.task import Clock
from zope.interface import implementer

from bench.replayed import Protocol, Script
from bench.replayed_databases import DATABASES
from bench.replayed_golden import GOLDEN
from bench.replayed_http import HTTP
from bench.replayed_rpc import RPC
from metaproxy.interfaces import ILayout

SCRIPTS: dict[str, Script] = {**HTTP, **GOLDEN, **DATABASES}
ROWS = (
    "dubbo 64x1", "dubbo 4x64", "thrift 64x1", "thrift 4x64", "multiplex 4x64", "redis 64x1", "redis 64x16",
    "redis-cluster 64x16", "dubbo 64x1 --routes 1000",
    "dubbo 64x1 --body 16384", "multiplex 64x1 --body 16384", "redis 64x1 --body 16384",
    *(f"{name} 64x1" for name in SCRIPTS),
)  # fmt: skip
"""Protocol, and connections x requests in flight on each; multiplex is Thrift over shared connections."""
CYCLES = 10
"""Rounds before those that are counted."""
BODY = 64
"""Bytes of an argument and of what is answered, unless they are given."""


@implementer(IReactorFDSet, IReactorCore)
class FakeReactor(Clock):
    """A clock that goes by CPU time's own, and no sockets."""

    def addReader(self, reader: object) -> None: ...

    def removeReader(self, reader: object) -> None: ...

    def seconds(self) -> float:
        return time.perf_counter()


class FakeSocket:
    """Gives what it was handed, as much at a time as is asked for; keeps what it is sent."""

    number = 1000
    family = 2

    def __init__(self) -> None:
        FakeSocket.number += 1
        self._fd = FakeSocket.number
        self._incoming, self._at = b"", 0
        self.sent: list[Buffer] = []

    def hand(self, data: bytes) -> None:
        """Have these bytes read behind what is there."""
        self._incoming, self._at = self._incoming[self._at :] + data, 0

    @property
    def left(self) -> int:
        return len(self._incoming) - self._at

    def fileno(self) -> int:
        return self._fd

    def recv(self, size: int, flags: int = 0) -> bytes:
        at, self._at = self._at, min(self._at + size, len(self._incoming))
        if at == self._at:
            raise BlockingIOError
        return self._incoming[at : self._at]

    def send(self, data: Buffer) -> int:
        self.sent.append(data)
        return len(data)

    def sendmsg(self, pieces: list[Buffer]) -> int:
        self.sent += pieces
        return sum(map(len, pieces))

    def close(self) -> None: ...

    def getsockopt(self, *_: int) -> int:
        return 0


class FakePoll:
    def register(self, *_: int) -> None: ...

    def modify(self, *_: int) -> None: ...

    def forget(self, *_: int) -> None: ...

    def fileno(self) -> int:
        return 999

    def close(self) -> None: ...


Buffer = bytes | memoryview


def _scripted(script: Script) -> Protocol:
    return Protocol(
        script.codec, lambda route: "", script.cluster, lambda body, routes: (script.request, script.answers)
    )


PROTOCOLS: dict[str, Protocol] = {**RPC, **{name: _scripted(one) for name, one in SCRIPTS.items()}}
CONFIG = """
admin: {{listen: "127.0.0.1:1"}}
listeners:
  - name: bench
    listen: 127.0.0.1:7777
    protocol: {codec}
    filters: [{{local_rate_limit: {{limit: 100000000, per: 1s, burst: 100000000}}}}]
    routes: [{routes}]
clusters:
  - name: backend
    endpoints: ["127.0.0.1:1"]
    {more}
    breaker: {{max_connections: 100000, max_pending: 100000, max_requests: 100000}}
"""


class Replay:
    """
    The proxy with `connections` clients, each of which has `depth` requests in flight. body: bytes of an argument and
    of an answer; routes: as many, each hit in turn.
    """

    def __init__(self, protocol: str, connections: int, depth: int, body: int = BODY, routes: int = 1) -> None:
        from metaproxy.proxy import transport

        made = PROTOCOLS[protocol]
        self._request, self._answers = made.peers(b"y" * body, routes)
        self._upstreams: list[tuple[Any, FakeSocket]] = []
        self._greeted: set[FakeSocket] = set()
        self._connection = transport.Connection
        self._network = self._made_network()
        table = ", ".join(f"{{{made.match(route)}cluster: backend}}" for route in range(routes))
        text = CONFIG.format(codec=made.codec, routes=table, more=made.cluster)
        self._script = SCRIPTS.get(protocol)
        self._hello = self._script.hello if self._script else b""
        self._outcome = self._script.outcome if self._script else "ok"
        self._accepted = self._listener(text, made.layout)
        in_order = self._script is not None and self._script.in_order
        self._varies = self._script is not None or made.layout is not None or routes > 1
        self._depth, self._in_order = depth, in_order
        self._number = 0
        self._clients: list[tuple[Any, FakeSocket]] = []
        self._silent: list[tuple[Any, FakeSocket]] = []
        self.connect(connections)

    def connect(self, connections: int) -> None:
        """Clients that take part from now on; those that are there are silent for good."""
        self._silent += self._clients
        self._clients = [self._client(self._accepted, number) for number in range(connections)]
        if self._script:
            self._log_in(self._script)
        for _, sock in self._clients:
            sock.sent.clear()
        self.size = connections * self._depth

    def _made_network(self) -> Any:
        from metaproxy.proxy import transport
        from metaproxy.proxy.flush_queue import FlushQueue

        clock = FakeReactor()
        network: Any = transport.Network(clock, FlushQueue(clock))
        network._poll = FakePoll()
        network.connect = self._connect
        network.listen = lambda where, accepted, backlog=0: SimpleNamespace(
            bound="x", accepted=accepted, address=where, close=lambda: None, hand_to=lambda accepted: None
        )
        return network

    def _listener(self, text: str, layout: Callable[[], ILayout] | None) -> Callable[[Any], Any]:
        from metaproxy.app.application import Application
        from metaproxy.app.service import ProxyService
        from metaproxy.config.build import Builder
        from metaproxy.plugins import Registry
        from metaproxy.telemetry.access_log.files import LogFiles

        registry, clock = Registry(), self._network.clock
        proxy = ProxyService(self._network, registry)
        builder = Builder(registry, clock, LogFiles(clock))
        problems = Application("bench.yaml", [], proxy, builder, clock).apply_text(text)
        if problems:
            raise SystemExit("\n".join(problems))
        if layout is not None:  # here no server is asked
            proxy.clusters["backend"].lay_out(layout())
        listener = proxy.listeners["bench"]
        self._counts = [route.targets[0].counts for route in listener.snapshot.routes.routes]
        accepted: Callable[[Any], Any] = next(iter(listener.sockets.values())).accepted
        return accepted

    def _connect(self, where: object, protocol: Any, timeout: float, source: str = "") -> None:
        sock = FakeSocket()
        connection = self._connection(self._network, sock, "127.0.0.1:1", "127.0.0.1:2")  # type: ignore[arg-type]
        self._network.attach(connection, protocol)
        self._upstreams.append((connection, sock))

    def _client(self, accepted: Callable[[Any], Any], number: int) -> tuple[Any, FakeSocket]:
        sock = FakeSocket()
        connection = self._connection(self._network, sock, "127.0.0.1:7777", f"127.0.0.1:{number + 1}")  # type: ignore[arg-type]
        self._network.attach(connection, accepted(connection))
        return connection, sock

    def _log_in(self, script: Script) -> None:
        """Each client's login, and those of the connections to servers that it brings about."""
        self._turn([], lambda: None)  # what the proxy says first
        self._greet()
        for step in script.login:
            for _, sock in self._clients:
                sock.hand(step(b"".join(sock.sent)))
                sock.sent.clear()
            self._turn(self._clients, lambda: None)
            self._answer_all(lambda: None)

    def _ask(self) -> None:
        """What each client will send; where a script says it, by the number of its request."""
        for _, sock in self._clients:
            first = self._number
            sock.hand(b"".join(self._request(first + id + 1) for id in range(self._depth)))
            self._number += self._depth if self._varies and not self._in_order else 0
        self._number += self._depth if self._in_order else 0

    def _greet(self) -> None:
        """What the server says first on the connections that are new."""
        new = [(connection, sock) for connection, sock in self._upstreams if self._hello and sock not in self._greeted]
        if not new:
            return
        for _, sock in new:
            sock.hand(self._hello)
            self._greeted.add(sock)
        self._turn(new, lambda: None)

    def _answer_all(self, count: Callable[[], object]) -> None:
        """Clients are read and servers answer, until they are asked nothing more."""
        while True:
            self._greet()
            for _, sock in self._upstreams:
                if sock.sent:
                    asked = b"".join(sock.sent)
                    sock.sent.clear()
                    sock.hand(self._answers(asked))
            ready = [one for one in (*self._clients, *self._upstreams) if one[1].left]
            if not ready:
                return
            left = sum(sock.left for _, sock in ready)
            self._turn(ready, count)
            if sum(sock.left for _, sock in ready) == left:
                raise SystemExit("the proxy reads no more")

    def cycle(self, count: Callable[[], object]) -> None:
        """
        Each client asks and is answered. count: called before and after what the proxy does. Raises SystemExit unless
        all are answered, and well: a refusal costs something else.
        """
        self._ask()
        well = self._answered_well()
        self._answer_all(count)
        for _, sock in self._clients:
            if not sock.sent:
                raise SystemExit("a client got no answer")
            sock.sent.clear()
        if self._answered_well() != well + self.size:
            outcomes = sum((Counter(counts.outcomes) for counts in self._counts), Counter())
            raise SystemExit(f"not every request of a round was answered well; so far there are {dict(outcomes)}")

    def _answered_well(self) -> int:
        return sum(counts.outcomes.get(self._outcome, 0) for counts in self._counts)

    def _turn(self, ready: list[tuple[Any, FakeSocket]], count: Callable[[], object]) -> None:
        turn = self._network.turn
        count()
        turn.begin()
        for connection, _ in ready:
            connection.read()
        turn.end()
        count()


def settle(replay: Replay) -> None:
    for _ in range(CYCLES):
        replay.cycle(lambda: None)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50000, 20, 100)


def nanoseconds(replay: Replay, seconds: float) -> int:
    """CPU time a request; the tenth percentile of rounds, as other work on the machine only adds."""
    settle(replay)
    figures: list[float] = []
    end = time.monotonic() + seconds
    marks: list[int] = []
    while time.monotonic() < end:
        replay.cycle(lambda: marks.append(time.thread_time_ns()))
        figures.append(sum(marks[1::2]) - sum(marks[::2]))
        marks.clear()
    return round(sorted(figures)[len(figures) // 10] / replay.size)


def replay_of(words: Sequence[str] | None = None) -> tuple[Replay, argparse.Namespace]:
    """What a command line, or a row of the table, asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__.split("\n\n")[0])
    parser.add_argument("protocol", choices=sorted(PROTOCOLS))
    parser.add_argument("load", nargs="?", default="64x1", help="connections x requests in flight: 64x1, 4x64")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--body", type=int, default=BODY, help="bytes of an argument or value; %(default)s")
    parser.add_argument("--routes", type=int, default=1, help="entries of the route table, each hit in turn; 1")
    given = parser.parse_args(words)
    if not re.fullmatch(r"\d+x\d+", given.load):
        parser.error(f"load is {given.load!r}; write 64x1: connections, x, requests in flight on each")
    connections, depth = map(int, given.load.split("x"))
    return Replay(given.protocol, connections, depth, given.body, given.routes), given


def main() -> None:
    replay, given = replay_of()
    print(f"{given.protocol} {given.load}: {nanoseconds(replay, given.seconds)} ns a request")


if __name__ == "__main__":
    main()
