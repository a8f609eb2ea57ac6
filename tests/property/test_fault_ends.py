"""
Whatever faults hit whatever happens besides: every exchange still completes exactly once, every client gets its own
answers only, and no fault, timer or count stays behind.
"""

from __future__ import annotations

from typing import Any

from harness import HEAD
from hypothesis import given
from hypothesis import strategies as st
from plays import STEPS, FifoPlay, Play

from metaproxy.cluster.breaker import Breaker
from metaproxy.filters.fault.filter import fault
from metaproxy.plugins import HOOKS

FAULTS: list[dict[str, object]] = [
    {"percentage": 10, "delay": "0s..8s"},
    {"percentage": 10, "delay": "2s", "error": "overload"},
    {"percentage": 10, "error": {"kind": "timeout", "message": "fault"}},
    {"percentage": 10, "reset": "request"},
    {"percentage": 5, "reset": "answer", "delay_answer": "1s"},
    {"percentage": 10, "rate": 10},
    {"percentage": 10, "truncate": 3},
    {"percentage": 5, "truncate": 2, "rate": 10},
]


class Watched:
    """The hook of a filter for requests. hit: exchanges that have met a fault."""

    def __init__(self, filter: Any) -> None:
        self.filter = filter
        self.hit: list[Any] = []

    def on_request(self, exchange: Any) -> Any:
        before = self.filter.gauges["active"]
        found = self.filter.on_request(exchange)
        if self.filter.gauges["active"] > before:
            self.hit.append(exchange)
        return found

    def under_way(self) -> set[Any]:
        return {exchange for exchange in self.hit if not exchange.outcome}


class Slot:
    """A clock that is the stage's as soon as there is one."""

    stage: Any = None

    def callLater(self, seconds: float, call: Any, *args: Any) -> Any:
        return self.stage.clock.callLater(seconds, call, *args)


def faulty(play: Play, seed: int) -> Watched:
    """Puts the filter in front of a play's route."""
    clock: Any = Slot()
    clock.stage = play.stage
    filter = fault(FAULTS, clock, seed=seed, max_active=5)
    route = play.stage.route
    watched = Watched(filter)
    for hook in (name for name in HOOKS if hasattr(filter, name)):
        own = watched.on_request if hook == "on_request" else getattr(filter, hook)
        setattr(route, hook, (own, *getattr(route, hook)))
    return watched


def settle(play: Play, watched: Watched) -> None:
    """Time for what waits; then nothing of the filter's is left."""
    for _ in range(40):
        play.stage.clock.advance(1.0)
    assert watched.filter.gauges == {"active": len(watched.under_way())}


class ById(Play):
    def requests(self, data: bytes) -> list[bytes]:
        """A frame that is cut is the last one, and none."""
        found = []
        while len(data) >= HEAD.size and len(data) >= 4 + HEAD.unpack_from(data)[0]:
            size = 4 + HEAD.unpack_from(data)[0]
            found.append(data[:size])
            data = data[size:]
        return found


@given(STEPS, st.sampled_from(["multiplex", "pool", "pinned"]), st.integers(0, 1000))
def test_answers_with_ids(steps: list[tuple[str, int]], mode: str, seed: int) -> None:
    play = ById(mode, Breaker())
    watched = faulty(play, seed)
    play.run(steps)
    settle(play, watched)
    play.check()
    assert watched.filter.gauges == {"active": 0}


@given(STEPS, st.sampled_from(["multiplex", "pool"]), st.integers(0, 1000))
def test_answers_without_ids(steps: list[tuple[str, int]], mode: str, seed: int) -> None:
    play = FifoPlay(mode, Breaker())
    watched = faulty(play, seed)
    play.run(steps)
    settle(play, watched)
    ends, counts = play.ends, play.stage.listener.counts
    assert set(ends.seen.values()) <= {1}
    assert len(ends.seen) == counts.requests - counts.active_exchanges
    for which, wire in enumerate(play.clients):
        # What is cut is the last thing that is sent.
        whole = wire.written[: wire.written.rfind(b"\n") + 1]
        assert wire.closed or whole == wire.written
        wanted = iter(play.order[which])
        assert all(body in wanted for body in play.bodies(whole)), "an answer out of order, twice, or somebody else's"
    held = {exchange for wire in play.clients for exchange in play.stage.downstream(wire).under_way()}
    assert watched.under_way() <= held
