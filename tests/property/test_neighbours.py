"""
Five faults at random between well-behaved clients: a slow reader, an oversized answer, a one-way request that is
answered, a request that is given up, a server that hangs. Those clients get every answer, in bounded time.
"""

from __future__ import annotations

from typing import Any

from harness import LineCodec, Lines, Stage
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.message import Kind, Message, Side

LONGEST = 64
"""Bytes of a line from a server; a longer one is skipped."""


class Skipping(Lines):
    """Skips what is too long, as a codec with bounds does."""

    def receive(self, data: bytes) -> list[Message]:
        messages = super().receive(data)
        if self._side is Side.CLIENT:
            return messages
        return [one if len(one.frame) <= LONGEST else Message(Kind.SKIPPED, b"too long") for one in messages]


class SkippingCodec(LineCodec):
    def session(self, side: Side, max_frame: int) -> Lines:
        return Skipping(side)


FAULTS = ["slow", "oversized", "one-way", "cancelled", "hung"]
STEPS = st.lists(
    st.tuples(st.sampled_from(["good", "good", "serve", "serve", *FAULTS]), st.integers(0, 3)), max_size=50
)


class Servers:
    """Each answers `get NAME` with NAME, in order; `big` with a line that is too long, and one-way requests too."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.owed: dict[int, list[bytes]] = {}
        self.hung: set[int] = set()

    def serve(self) -> None:
        stage = self.stage
        for index, wire in enumerate(stage.network.upstreams):
            owed = self.owed.setdefault(index, [])
            owed += wire.take().splitlines()
            if index in self.hung or wire.paused:
                continue
            while owed and not wire.closed:
                stage.say(wire, self.answer(owed.pop(0)))

    def answer(self, request: bytes) -> bytes:
        word, _, name = request.partition(b" ")
        if word == b"tell":
            return b"ERROR against the rules\n"
        return (b"x" * 2 * LONGEST if name == b"big" else name) + b"\n"


class Play:
    def __init__(self) -> None:
        self.stage = Stage(codec=SkippingCodec(), request_timeout=5.0, max_buffered=1000, stall_timeout=20.0)
        self.servers = Servers(self.stage)
        self.good = [self.stage.client() for _ in range(4)]
        self.asked: list[list[bytes]] = [[] for _ in self.good]
        self.bad = [self.stage.client() for _ in range(4)]
        self.number = 0

    def client(self, number: int) -> Any:
        """One that misbehaves; a new one in the place of one that was closed."""
        if self.bad[number].closed:
            self.bad[number] = self.stage.client()
        return self.bad[number]

    def run(self, steps: list[tuple[str, int]]) -> None:
        for name, number in steps:
            getattr(self, name.replace("-", "_"))(number)
        for _ in range(8):
            self.servers.serve()
            self.stage.clock.advance(1.0)
        self.servers.serve()

    def ask(self, number: int) -> None:
        self.number += 1
        self.asked[number].append(b"%d" % self.number)
        self.stage.say(self.good[number], b"get %d\n" % self.number)

    def serve(self, number: int) -> None:
        self.servers.serve()

    def slow(self, number: int) -> None:
        wire = self.client(number)
        downstream = wire.protocol
        if "slow" in downstream.paused_by:
            wire.buffered = 0
            downstream.resumeProducing()
            self.stage.clock.advance(0)
            return
        self.stage.say(wire, b"get a\n" * 8)
        wire.buffered = 500
        downstream.pauseProducing()

    def oversized(self, number: int) -> None:
        wire = self.client(number)
        if not wire.paused:
            self.stage.say(wire, b"get big\n")

    def one_way(self, number: int) -> None:
        wire = self.client(number)
        if not wire.paused:
            self.stage.say(wire, b"tell it\n")

    def cancelled(self, number: int) -> None:
        wire = self.client(number)
        if not wire.paused:
            self.stage.say(wire, b"get x\nget y\n")
        wire.end()


@given(STEPS)
def test_well_behaved_clients_get_every_answer_whatever_their_neighbours_do(steps: list[tuple[str, int]]) -> None:
    play = Play()
    play.run([("ask" if name == "good" else name, number) for name, number in steps if name != "hung"])
    for wire, asked in zip(play.good, play.asked, strict=True):
        assert wire.take().splitlines() == asked
        assert not wire.closed


@given(STEPS)
def test_a_server_that_hangs_costs_only_what_was_sent_to_it_and_that_its_own_time_out(
    steps: list[tuple[str, int]],
) -> None:
    play = Play()
    for name, number in steps:
        if name == "hung":
            # Whatever is under way on the connections of now is never answered; new ones are served.
            play.servers.serve()
            play.servers.hung |= set(range(len(play.stage.network.upstreams)))
        elif name == "good":
            play.ask(number)
        else:
            getattr(play, name.replace("-", "_"))(number)
    play.run([])
    for wire, asked in zip(play.good, play.asked, strict=True):
        lines = wire.take().splitlines()
        assert len(lines) == len(asked), "each has exactly one end"
        for line, word in zip(lines, asked, strict=True):
            assert line == word or line.startswith(b"fail timeout")
        assert not wire.closed
    breaker = play.stage.cluster.breaker
    assert breaker.requests == sum(protocol.protocol.inflight for protocol in play.bad if not protocol.closed)
