from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from metaproxy.counts import TargetCounts, counter
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.socket_protocol import SocketProtocol


class Flushed(SocketProtocol):
    def __init__(self) -> None:
        self.times = 0

    def flush(self) -> None:
        self.times += 1

    def unflushable(self, failure: Failure) -> None:
        failure.raiseException()


def test_what_is_written_in_a_turn_leaves_at_its_end() -> None:
    turn, one = FlushQueue(Clock()), Flushed()
    turn.begin()
    turn.add(one)
    assert one.times == 0
    turn.end()
    assert one.times == 1


def test_what_is_written_outside_of_a_turn_leaves_right_after() -> None:
    clock = Clock()
    turn, one = FlushQueue(clock), Flushed()
    turn.add(one)
    clock.advance(0)
    assert one.times == 1


def test_a_flush_that_writes_to_another_flushes_that_too() -> None:
    turn, second = FlushQueue(Clock()), Flushed()

    class Writes(Flushed):
        def flush(self) -> None:
            turn.add(second)

    turn.begin()
    turn.add(Writes())
    turn.end()
    assert second.times == 1


def test_a_turn_has_one_time() -> None:
    clock = Clock()
    turn = FlushQueue(clock)
    clock.advance(5)
    turn.begin()
    clock.advance(1)
    assert turn.now == turn.refresh() == 5
    turn.end()
    assert turn.refresh() == 6


def test_what_has_ended_in_a_turn_is_counted_at_its_end_whatever_a_flush_does() -> None:
    turn, counts = FlushQueue(Clock()), TargetCounts()

    class Fails(Flushed):
        def flush(self) -> None:
            raise OSError("no flush")

    turn.begin()
    counter.ended(counts, "ok", 1, 1, 0.1, None)
    turn.add(Fails())
    with pytest.raises(OSError, match="no flush"):
        turn.end()
    assert counts.outcomes == {"ok": 1}
    counter.ended(counts, "ok", 1, 1, 0.1, None)
    assert counts.outcomes == {"ok": 2}
