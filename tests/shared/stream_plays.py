"""Clients and servers that stream in any interleaving, and what must hold at their end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, repeat

from hypothesis import strategies as st
from plays import Ends
from reel import Reel, frame, frames
from twisted.internet.defer import Deferred

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.testing import Stage
from metaproxy.testing.stage import Wire

STREAM_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "open", "open", "ask", "say", "say", "say", "finish", "finish", "give_up", "head", "head", "head",
                "tell", "tell", "tell", "end", "end", "fail", "answer", "refuse", "choke_client", "choke_server",
                "release",
                "kill_client", "kill_server", "wait", "long_wait", "grant", "cut", "decide", "decide", "unsent",
                "goodbye", "drain",
            ]
        ),
        st.integers(0, 11),
    ),
    max_size=80,
)  # fmt: skip


class Talk:
    """One exchange as its client sees it, and as the server does that got it."""

    def __init__(self, client: int, id: int, tag: bytes) -> None:
        self.client, self.id, self.tag = client, id, tag
        self.sent = b""
        self.finished = self.over = False
        self.got = b""
        self.ends = 0
        self.whole: bytes | None = None
        self.last = ""
        # At the server:
        self.place: tuple[Wire, int] | None = None
        self.received = b""
        self.complete = self.begun = self.told_all = self.moved = False
        self.told = b""


class StreamPlay:
    """
    flow, window: see Reel. waits: of each chunk and head, in turn, whether a filter keeps it. attempts: further tries.
    Bodies are unique, so that bytes of another exchange would show.
    """

    def __init__(self, flow: str, window: int, capacity: int, waits: Sequence[bool] = (), attempts: int = 0) -> None:
        self.ends = Ends()
        codec = self.codec(flow, window, capacity)
        self._waits = cycle(waits) if waits else repeat(False)
        self.kept: list[Deferred[None]] = []
        self.retries = attempts > 0
        self.stage = Stage(
            codec,
            endpoints=2,
            hooks={
                "on_complete": (self.ends.on_complete,),
                "on_request": (self.filter,),
                "on_response": (self.filter,),
                "on_chunk": (self.filter,),
            },
            connections=ConnectionSettings(mode=codec.connections),
            request_timeout=50.0,
            stream_idle=60.0,
        )
        if attempts:
            self.stage.route.retry = RetryPolicy(attempts, on=("connect", "reset", "error"), unsafe=True)
        self.clients = [self.stage.client() for _ in range(3)]
        self.talks: list[Talk] = []
        self.held: list[tuple[Wire, bytes]] = []
        self.number = 0
        self.window = window

    def run(self, steps: list[tuple[str, int]]) -> None:
        for name, number in steps:
            getattr(self, name)(number)
            self.collect()
        for wire in [*self.clients, *self.stage.network.upstreams]:
            if not wire.closed:
                wire.protocol.resumeProducing()
        self.collect()
        while self.kept:
            self.decide(0)
            self.collect()
        for _ in range(200):
            self.stage.clock.advance(10.0)
            self.collect()

    def codec(self, flow: str, window: int, capacity: int) -> Reel:
        return Reel(flow=flow, window=window, capacity=capacity, resets=flow == "stream")

    def filter(self, *seen: object) -> Deferred[None] | None:
        """A filter of all hooks: it lets pass, or keeps until `decide`."""
        if not next(self._waits):
            return None
        self.kept.append(Deferred())
        return self.kept[-1]

    def decide(self, number: int) -> None:
        if self.kept:
            self.kept.pop(number % len(self.kept)).callback(None)
            self.stage.clock.advance(0)

    # -- what arrives

    def collect(self) -> None:
        for index, wire in enumerate(self.clients):
            for kind, id, payload in frames(wire.take()):
                if kind != "w":
                    self.at_client(self.of(index, id), kind, payload)
        for wire in self.stage.network.upstreams:
            for kind, id, payload in frames(wire.take()):
                if kind != "w":
                    self.at_server(wire, kind, id, payload)

    def of(self, client: int, id: int) -> Talk:
        return next(talk for talk in reversed(self.talks) if (talk.client, talk.id) == (client, id))

    def at_client(self, talk: Talk, kind: str, payload: bytes) -> None:
        assert not talk.over or talk.last == "gave up", f"{kind} behind the end of {talk.tag!r}"
        if kind in "WE":
            assert not talk.got, "a whole answer behind a head"
            talk.whole = payload
        elif kind in "OF":
            assert payload == talk.tag
        else:
            talk.got += payload if kind in "DCX" else b""
        if kind in "WECXR":
            talk.ends += 1
            talk.over = True
            talk.last = kind

    def at_server(self, wire: Wire, kind: str, id: int, payload: bytes) -> None:
        if kind in "WO":
            talk = next(one for one in self.talks if one.tag == payload)
            assert talk.place is None or self.retries or talk.moved, "sent twice"
            assert not talk.got, "tried again behind the first bytes of the answer"
            talk.place, talk.received = (wire, id), b""
            talk.begun = talk.told_all = False
            talk.told = b""
            talk.complete = kind == "W"
            return
        found = [one for one in self.talks if one.place == (wire, id)]
        if not found:  # of a try before the last
            assert self.retries or kind == "R"
            return
        talk = found[0]
        assert not talk.complete or kind == "R"
        if kind in "DC":
            talk.received += payload
        if kind in "CR":
            talk.complete = True
            talk.told_all = talk.told_all or kind == "R"

    # -- what clients do

    def open(self, number: int, kind: str = "O") -> None:
        client = number % 3
        if self.clients[client].closed or self.clients[client].paused:
            return
        self.number += 1
        talk = Talk(client, self.number, b"<%d>" % self.number)
        talk.finished = kind == "W"
        self.talks.append(talk)
        self.from_client(talk, kind, talk.tag)

    def ask(self, number: int) -> None:
        self.open(number, "W")

    def from_client(self, talk: Talk, kind: str, payload: bytes) -> None:
        self.stage.say(self.clients[talk.client], frame(kind, talk.id, payload))

    def speaking(self, number: int) -> Talk | None:
        found = [
            talk for talk in self.talks
            if not (talk.finished or talk.over or self.clients[talk.client].closed or self.clients[talk.client].paused)
        ]  # fmt: skip
        return found[number % len(found)] if found else None

    def say(self, number: int, kind: str = "D") -> None:
        talk = self.speaking(number)
        if talk is not None:
            self.number += 1
            piece = b"%s:%d;" % (talk.tag, self.number)
            talk.sent += piece
            talk.finished = kind == "C"
            self.from_client(talk, kind, piece)

    def finish(self, number: int) -> None:
        self.say(number, "C")

    def give_up(self, number: int) -> None:
        talk = self.speaking(number)
        if talk is not None:
            talk.finished = talk.over = True
            talk.last = "gave up"
            self.from_client(talk, "R", b"")

    def kill_client(self, number: int) -> None:
        if number < 3 and not self.clients[number].closed:
            self.clients[number].end()

    def cut(self, number: int) -> None:
        if number < 3 and not self.clients[number].closed and not self.clients[number].paused:
            self.stage.finish(self.clients[number])

    # -- what servers do

    def serving(self, number: int, begun: bool) -> Talk | None:
        found = [
            talk for talk in self.talks
            if talk.place is not None and not talk.told_all and talk.begun is begun
            and not talk.place[0].closed and not talk.place[0].paused
        ]  # fmt: skip
        return found[number % len(found)] if found else None

    def from_server(self, talk: Talk, kind: str, payload: bytes) -> None:
        assert talk.place is not None
        wire, id = talk.place
        self.stage.say(wire, frame(kind, id, payload))

    def head(self, number: int) -> None:
        talk = self.serving(number, begun=False)
        if talk is not None:
            talk.begun = True
            self.from_server(talk, "O", talk.tag)

    def tell(self, number: int, kind: str = "D") -> None:
        talk = self.serving(number, begun=True)
        if talk is not None:
            self.number += 1
            piece = b"%s=%d;" % (talk.tag, self.number)
            talk.told += piece
            talk.told_all = kind != "D"
            self.from_server(talk, kind, piece)

    def end(self, number: int) -> None:
        self.tell(number, "C")

    def fail(self, number: int) -> None:
        self.tell(number, "X")

    def answer(self, number: int, kind: str = "W") -> None:
        talk = self.serving(number, begun=False)
        if talk is not None:
            talk.begun = talk.told_all = True
            self.from_server(talk, kind, b"whole" + talk.tag)

    def refuse(self, number: int) -> None:
        talk = self.serving(number, begun=bool(number % 2))
        if talk is not None:
            talk.begun = talk.told_all = True
            self.from_server(talk, "R", b"no")

    def unsent(self, number: int) -> None:
        """A server refuses what it has not looked at."""
        talk = self.serving(number, begun=False)
        if talk is not None:
            talk.told_all = talk.moved = True
            self.from_server(talk, "U", b"not now")

    def goodbye(self, number: int) -> None:
        """A server wants no more requests on a connection."""
        wires = [wire for wire in self.stage.network.upstreams if not wire.closed and not wire.paused]
        if wires:
            self.stage.say(wires[number % len(wires)], frame("G", 0))

    def drain(self, number: int) -> None:
        """The proxy takes nothing new of a client."""
        if number < 3 and not self.clients[number].closed:
            self.stage.downstream(self.clients[number]).drain()

    def kill_server(self, number: int) -> None:
        wires = [wire for wire in self.stage.network.upstreams if not wire.closed]
        if wires:
            wires[number % len(wires)].end()

    # -- what the network does

    def choke_client(self, number: int) -> None:
        if number < 3 and not self.clients[number].closed:
            self.clients[number].protocol.pauseProducing()

    def choke_server(self, number: int) -> None:
        wires = [wire for wire in self.stage.network.upstreams if not wire.closed]
        if wires:
            wires[number % len(wires)].protocol.pauseProducing()

    def release(self, number: int) -> None:
        for wire in [*self.clients, *self.stage.network.upstreams]:
            if not wire.closed:
                wire.protocol.resumeProducing()

    def grant(self, number: int) -> None:
        """Windows are opened, on both sides, for one exchange."""
        if not self.window or not self.talks:
            return
        talk = self.talks[number % len(self.talks)]
        size = (64).to_bytes(4, "big")
        if not self.clients[talk.client].closed:
            self.stage.say(self.clients[talk.client], frame("w", talk.id, size))
        if talk.place is not None and not talk.place[0].closed:
            self.stage.say(talk.place[0], frame("w", talk.place[1], size))

    def wait(self, number: int) -> None:
        self.stage.clock.advance(number)

    def long_wait(self, number: int) -> None:
        self.stage.clock.advance(20.0 + number)

    # -- what must hold

    def check(self) -> None:
        for talk in self.talks:
            assert talk.told.startswith(talk.got), "an answer that no server gave"
            assert talk.sent.startswith(talk.received), "a request that its client did not make"
            assert talk.ends <= 1
            if talk.last in ("C", "X"):
                assert talk.got == talk.told
            if talk.last == "W":
                assert talk.whole == b"whole" + talk.tag
        assert all(times == 1 for times in self.ends.seen.values())
        assert "" not in self.ends.outcomes
        stage = self.stage
        assert stage.cluster.breaker.requests == 0
        assert [endpoint.active for endpoint in stage.endpoints] == [0, 0]
        for wire in self.clients:
            if not wire.closed:
                downstream = stage.downstream(wire)
                assert downstream.inflight == 0
                assert "buffered" not in downstream.paused_by


class OrderedStreamPlay(StreamPlay):
    """The same where answers are found by their order: servers answer the oldest request of a connection first."""

    def __init__(self, waits: Sequence[bool] = (), attempts: int = 0) -> None:
        self.order: dict[Wire, list[Talk]] = {}
        self.newest: dict[Wire, Talk] = {}
        super().__init__("connection", 0, 0, waits, attempts)

    def codec(self, flow: str, window: int, capacity: int) -> Reel:
        return Reel(flow=flow, resets=False, fifo=True)

    def at_server(self, wire: Wire, kind: str, id: int, payload: bytes) -> None:
        if kind in "WO":
            self.newest[wire] = talk = next(one for one in self.talks if one.tag == payload)
            self.order.setdefault(wire, []).append(talk)
        super().at_server(wire, kind, self.newest[wire].id, payload)

    def serving(self, number: int, begun: bool) -> Talk | None:
        found = [
            places[0] for wire, places in self.order.items()
            if places and places[0].begun is begun and places[0].place == (wire, places[0].id)
            and not wire.closed and not wire.paused
        ]  # fmt: skip
        return found[number % len(found)] if found else None

    def from_server(self, talk: Talk, kind: str, payload: bytes) -> None:
        assert talk.place is not None
        if kind not in "OD":
            self.order[talk.place[0]].pop(0)
        super().from_server(talk, kind, payload)
