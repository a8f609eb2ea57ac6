"""Steps of clients and servers in any order, and what must hold at their end."""

from __future__ import annotations

from collections import Counter
from typing import Any

from harness import HEAD, LineCodec, Stage, answer, call
from hypothesis import strategies as st
from zope.interface import implementer

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.interfaces import IExchange, IOnComplete

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["ask", "ask", "ask", "answer", "answer", "wait", "kill client", "kill server", "refuse", "fin"]
        ),
        st.integers(0, 7),
    ),
    max_size=60,
)


@implementer(IOnComplete)
class Ends:
    """How often each exchange completed, and how."""

    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()
        self.outcomes: list[str] = []

    def on_complete(self, exchange: IExchange) -> None:
        self.seen[id(exchange)] += 1
        self.kept = [*getattr(self, "kept", []), exchange]  # so that no id is used twice
        self.outcomes.append(exchange.outcome)


class Play:
    """Carries out steps: clients ask under clashing ids with bodies of their own; servers echo in any order."""

    def __init__(self, mode: str, breaker: Breaker, codec: Any = None) -> None:
        self.ends = Ends()
        self.stage = Stage(
            codec=codec, endpoints=2, hooks={"on_complete": (self.ends.on_complete,)}, breaker=breaker,
            connections=ConnectionSettings(mode=mode), request_timeout=5.0,
        )  # fmt: skip
        self.clients = [self.stage.client() for _ in range(3)]
        self.asked: list[set[bytes]] = [set() for _ in self.clients]
        self.owed: dict[int, list[bytes]] = {}
        self.number = 0

    def run(self, steps: list[tuple[str, int]]) -> None:
        for name, number in steps:
            getattr(self, name.replace(" ", "_"))(number)
            self.collect()
        for _ in range(12):
            self.stage.clock.advance(1.0)

    def collect(self) -> None:
        for index, wire in enumerate(self.stage.network.upstreams):
            self.owed.setdefault(index, []).extend(self.requests(wire.take()))

    def requests(self, data: bytes) -> list[bytes]:
        found = []
        while data:
            size = 4 + HEAD.unpack_from(data)[0]
            found.append(data[:size])
            data = data[size:]
        return found

    def ask(self, number: int) -> None:
        which = number % 3
        wire = self.clients[which]
        if not wire.closed:
            self.number += 1
            body = f"{which}:{self.number}".encode()
            self.asked[which].add(body)
            self.stage.say(wire, self.request(number, body))

    def request(self, number: int, body: bytes) -> bytes:
        return call(number, body=body)

    def answer(self, number: int) -> None:
        for index, wire in enumerate(self.stage.network.upstreams):
            if self.owed.get(index) and not wire.closed:
                self.stage.say(wire, self.reply(self.owed[index], number))
                return

    def reply(self, owed: list[bytes], number: int) -> bytes:
        request = owed.pop(number % len(owed))
        return answer(HEAD.unpack_from(request)[1], request[17:])

    def wait(self, number: int) -> None:
        self.stage.clock.advance(number)

    def kill_client(self, number: int) -> None:
        self.clients[number % 3].end()

    def kill_server(self, number: int) -> None:
        wires = self.stage.network.upstreams
        if wires:
            wires[number % len(wires)].end()

    def refuse(self, number: int) -> None:
        self.stage.network.accept = not self.stage.network.accept
        for _, protocol in self.stage.network.dialled:
            if protocol.alive and protocol.transport is None:
                protocol.connectionFailed("refused", bool(number % 2))

    def fin(self, number: int) -> None:
        wire = self.clients[number % 3]
        if not wire.closed:
            self.stage.finish(wire)

    def check(self) -> None:
        stage = self.stage
        assert set(self.ends.seen.values()) <= {1}
        assert len(self.ends.seen) == stage.listener.counts.requests == self.number
        assert stage.listener.counts.active_exchanges == 0
        breaker = stage.cluster.breaker
        assert (breaker.requests, breaker.pending) == (0, 0)
        assert all(endpoint.active == 0 for endpoint in stage.endpoints)
        alive = sum(1 for _, protocol in stage.network.dialled if protocol.alive)
        assert breaker.connections == alive
        for which, wire in enumerate(self.clients):
            bodies = self.bodies(wire.written)
            assert len(bodies) == len(set(bodies))
            assert set(bodies) <= self.asked[which]

    def bodies(self, data: bytes) -> list[bytes]:
        """What the clients got of their own; errors of the proxy aside."""
        return [frame[13:] for frame in self.requests(data) if not frame[12]]


class FifoPlay(Play):
    """The same with a protocol whose answers have no id, and whose requests bind connections in every way."""

    WORDS = ("get", "get", "begin", "end", "block", "subscribe", "tell", "select 1")

    def __init__(self, mode: str, breaker: Breaker) -> None:
        super().__init__(mode, breaker, LineCodec())
        self.order: list[list[bytes]] = [[] for _ in self.clients]
        self.locals = 0

    def request(self, number: int, body: bytes) -> bytes:
        word = self.WORDS[number % len(self.WORDS)]
        if word.startswith("select"):
            self.locals += 1
        elif word not in ("subscribe", "tell"):
            self.order[int(body[:1])].append(body)
        return word.encode() + b" " + body + b"\n"

    def requests(self, data: bytes) -> list[bytes]:
        return [line for line in data.split(b"\n") if line and not line.startswith((b"profile", b"subscribe", b"tell"))]

    def reply(self, owed: list[bytes], number: int) -> bytes:
        return b"ok " + owed.pop(0).split()[1] + b"\n"

    def bodies(self, data: bytes) -> list[bytes]:
        return [line.split()[1] for line in data.split(b"\n") if line.startswith(b"ok")]

    def check(self) -> None:
        held = sum(self.stage.downstream(wire).waiting for wire in self.clients)
        counts = self.stage.listener.counts
        assert len(self.ends.seen) == counts.requests - counts.active_exchanges
        assert set(self.ends.seen.values()) <= {1}
        blocked = sum(1 for wire in self.clients for _ in self.stage.downstream(wire).under_way())
        assert counts.active_exchanges == blocked == self.stage.cluster.breaker.requests
        gone = sum(wire.closed for wire in self.clients)
        assert gone or counts.requests + counts.local_answers + held == self.number
        for which, wire in enumerate(self.clients):
            got = self.bodies(wire.written)
            wanted = iter(self.order[which])
            assert all(body in wanted for body in got), "an answer out of order, twice, or somebody else's"
