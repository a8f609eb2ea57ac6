from __future__ import annotations

from twisted.internet.task import Clock
from twisted.python.failure import Failure

from metaproxy.proxy.deadlines import AT_ONCE, DeadlineQueues, Deadlines


class Timed:
    def __init__(self, started: float) -> None:
        self.started = started
        self.timed_out = 0

    def time_out(self) -> None:
        self.timed_out += 1

    def broke(self, failure: Failure) -> None:
        failure.raiseException()


def test_an_unanswered_request_times_out_at_its_deadline() -> None:
    clock, exchange = Clock(), Timed(0.0)
    Deadlines(clock, 2.0).watch(exchange)
    clock.advance(1.9)
    assert not exchange.timed_out
    clock.advance(0.1)
    assert exchange.timed_out == 1  # type: ignore[comparison-overlap]


def test_who_is_forgotten_does_not_time_out() -> None:
    clock, exchange = Clock(), Timed(0.0)
    deadlines = Deadlines(clock, 2.0)
    deadlines.watch(exchange)
    deadlines.forget(exchange, None)
    clock.advance(5)
    assert not exchange.timed_out


def test_each_has_the_whole_time_from_its_own_start() -> None:
    clock = Clock()
    deadlines = Deadlines(clock, 2.0)
    exchanges = [Timed(number * 0.5) for number in range(5)]
    for exchange in exchanges:
        deadlines.watch(exchange)
        clock.advance(0.5)
    assert [one.timed_out for one in exchanges] == [1, 1, 0, 0, 0]
    clock.advance(0.5)
    assert [one.timed_out for one in exchanges] == [1, 1, 1, 0, 0]


def test_one_timer_serves_a_queue() -> None:
    clock = Clock()
    deadlines = Deadlines(clock, 2.0)
    for number in range(1000):
        deadlines.watch(Timed(clock.seconds() + number * 0))
    assert len(clock.getDelayedCalls()) == 1


def test_equal_timeouts_share_a_queue_and_none_has_none() -> None:
    queues = DeadlineQueues(Clock())
    assert queues.of(2.0) is queues.of(2.0)
    assert queues.of(2.0) is not queues.of(3.0)
    assert queues.of(0) is None


def test_a_request_that_starts_as_another_times_out_holds_up_nobody() -> None:
    clock = Clock()
    deadlines = Deadlines(clock, 2.0)

    class Followed(Timed):
        """The end of one lets another start, as where a client may have only so many under way."""

        def time_out(self) -> None:
            super().time_out()
            deadlines.watch(Timed(clock.seconds()))

    exchanges = [Followed(0.0) for _ in range(3 * AT_ONCE)]
    for exchange in exchanges:
        deadlines.watch(exchange)
    clock.advance(2.0)
    clock.pump([0.0] * 3)
    assert all(one.timed_out == 1 for one in exchanges)
    assert len(clock.getDelayedCalls()) == 1
