from __future__ import annotations

from typing import Any

import pytest
from present import present
from running_proxy import Running
from twisted.internet.task import Clock

from metaproxy.counts import EndpointCounts, TargetCounts
from metaproxy.telemetry.metrics.windows import (
    AT_ONCE,
    FACTOR,
    KEPT,
    LEAST,
    LOOKS,
    SAMPLE,
    STEP,
    USUAL,
    Source,
    Windows,
    sources,
)


class Watched:
    """One source, on a clock."""

    def __init__(self, others: int = 0) -> None:
        self.clock = Clock()
        self.counts = TargetCounts()
        self.sources: list[Source] = [Source(self.counts, lambda one: one.outcomes)]
        self.sources += [Source(TargetCounts(), lambda one: one.outcomes) for _ in range(others)]
        self.windows = Windows(lambda: self.sources, self.clock)
        self.windows.start()

    def serve(self, seconds: float, lasts: float, rate: int = 10, outcome: str = "ok") -> None:
        for _ in range(int(seconds)):
            for _ in range(rate):
                self.counts.latency.add(lasts)
            self.counts.count(outcome, rate)
            self.clock.advance(1.0)

    def p99(self, seconds: float = 10.0) -> float | None:
        return self.windows.read(self.counts, seconds).percentile(0.99)

    @property
    def usual(self) -> float | None:
        found = self.windows.usual(self.counts)
        return None if found is None else found.value


def test_what_happens_now_is_seen_whatever_was_before() -> None:
    one = Watched()
    one.serve(600, 0.001, rate=100)
    one.serve(10, 0.8, rate=5)
    assert one.p99() == pytest.approx(0.8, rel=0.1)
    assert one.windows.read(one.counts, 10.0).percentile(0.5) == pytest.approx(0.8, rel=0.1)
    assert one.p99(60.0) == pytest.approx(0.001, rel=0.1), "fifty of some five thousand are no hundredth"
    assert one.counts.latency.percentile(0.99) == pytest.approx(0.001, rel=0.1)


def test_what_was_before_the_window_is_not_in_it() -> None:
    one = Watched()
    one.serve(20, 0.8)
    one.serve(12, 0.001)
    assert one.p99() == pytest.approx(0.001, rel=0.1)
    assert one.p99(60.0) == pytest.approx(0.8, rel=0.1)
    one.serve(62, 0.001)
    assert one.p99(KEPT) == pytest.approx(0.001, rel=0.1)


@pytest.mark.parametrize("seconds", [2.0, 10.0, 30.0, 60.0])
def test_a_window_has_as_much_as_it_says_and_no_more(seconds: float) -> None:
    one = Watched()
    one.serve(100, 0.001, rate=1)
    assert seconds - STEP <= one.windows.read(one.counts, seconds).count <= seconds


def test_how_long_a_window_is_in_truth_is_told_so_that_rates_are_right() -> None:
    one = Watched()
    assert one.windows.span(10.0) == 1.0
    one.serve(5, 0.001)
    assert one.windows.span(10.0) == 5.0
    one.serve(100, 0.001)
    for seconds in (2.0, 10.0, 60.0):
        assert one.windows.read(one.counts, seconds).count == 10 * one.windows.span(seconds)


def test_what_came_since_the_last_step_is_in_it() -> None:
    one = Watched()
    one.serve(20, 0.001)
    one.counts.latency.add(5.0)
    assert one.windows.read(one.counts, 10.0).percentile(1.0) == pytest.approx(5.0, rel=0.1)
    assert one.windows.read(one.counts, 10.0).slower(1.0) == 1


def test_counters_are_of_the_window_too() -> None:
    one = Watched()
    one.serve(30, 0.001, outcome="timeout")
    one.serve(8, 0.001, outcome="ok")
    found = one.windows.read(one.counts, 8.0)
    assert (found["timeout"], found["ok"], found["reset"]) == (0, 80, 0)
    assert one.windows.read(one.counts, 60.0)["timeout"] == 300


def test_a_quiet_time_is_empty_and_costs_nothing() -> None:
    one = Watched()
    one.serve(10, 0.001)
    one.clock.advance(STEP)
    for _ in range(100):
        one.clock.advance(STEP)
    assert (one.p99(), one.p99(KEPT)) == (None, None)
    assert one.windows.read(one.counts, KEPT).count == 0
    assert one.usual == pytest.approx(0.001, rel=0.1), "what was usual is remembered"


def test_the_usual_stays_usual_while_it_is_slow_and_is_given_up_after_a_quarter_of_an_hour() -> None:
    one = Watched()
    assert one.usual is None
    one.serve(SAMPLE + 2 * STEP, 0.001)
    assert one.usual == pytest.approx(0.001, rel=0.1)
    one.serve(600, 0.8)
    assert one.usual == pytest.approx(0.001, rel=0.1)
    one.serve(USUAL * SAMPLE, 0.8)
    assert one.usual == pytest.approx(0.8, rel=0.1)


def test_what_is_usual_needs_some_exchanges() -> None:
    one = Watched()
    one.serve(LEAST - 1, 0.5, rate=1)
    assert one.usual is None
    one.serve(4, 0.5, rate=1)
    assert one.usual == pytest.approx(0.5, rel=0.1)
    assert present(one.windows.usual(one.counts)).bound() == pytest.approx(0.5 * FACTOR, rel=0.1)


def test_a_source_that_is_gone_is_forgotten_and_a_new_one_is_read_at_once() -> None:
    one = Watched()
    one.serve(10, 0.001)
    new = EndpointCounts()
    new.latency.add(0.2)
    assert not one.windows.read(new, 10.0), "nobody has it"
    one.sources = [Source(new, lambda counts: {"tries": counts.requests})]
    assert one.windows.read(new, 10.0).count == 1
    one.clock.advance(STEP)
    assert not one.windows.read(one.counts, 10.0)
    assert one.windows.usual(one.counts) is None


def waits_of_a_step(one: Watched) -> list[float]:
    """How long the windows wait each time in one step."""
    waits: list[float] = []
    later = one.clock.callLater
    one.clock.callLater = lambda wait, call: (waits.append(wait), later(wait, call))[1]  # type: ignore[assignment, func-returns-value, method-assign, misc]
    one.clock.advance(STEP)
    return waits


def test_many_sources_are_copied_some_at_a_time() -> None:
    one = Watched(others=3 * AT_ONCE)
    for source in one.sources:
        source.counts.count("ok")
    assert waits_of_a_step(one) == [0, 0, 0, STEP]


def test_sources_that_count_nothing_are_looked_at_many_at_a_time() -> None:
    one = Watched(others=3 * LOOKS)
    assert waits_of_a_step(one) == [0, 0, 0, STEP]


def test_a_source_begins_when_it_counts_and_ends_no_window_of_another() -> None:
    one = Watched(others=5)
    one.serve(10, 0.001)
    other = one.sources[3]
    assert not one.windows.read(other.counts, 10.0)
    assert one.windows.usual(other.counts) is None
    other.counts.count("ok", 2)
    assert one.windows.read(other.counts, 10.0)["ok"] == 2
    one.serve(20, 0.001)
    assert one.windows.read(other.counts, 10.0)["ok"] == 0
    assert one.windows.read(other.counts, 60.0)["ok"] == 2
    assert one.windows.read(one.counts, 60.0)["ok"] == 300


def test_sources_that_come_and_go_within_a_step_do_no_harm() -> None:
    one = Watched(others=3 * AT_ONCE)
    for source in one.sources:
        source.counts.count("ok")
    gone, new = one.sources[-1], Source(TargetCounts(), lambda counts: counts.outcomes)
    one.clock.callLater(STEP, lambda: setattr(one, "sources", [*one.sources[:-1], new]))
    new.counts.count("ok", 7)
    one.serve(10, 0.001)
    assert one.windows.read(new.counts, 60.0)["ok"] == 7
    assert not one.windows.read(gone.counts, 60.0)


def test_thousands_of_new_sources_are_found_in_one_look_at_all_of_them() -> None:
    one = Watched(others=1000)
    looks = 0

    def sources() -> Any:
        nonlocal looks
        looks += 1
        return one.sources

    windows = Windows(sources, one.clock)
    for source in one.sources:
        windows.read(source.counts, 10.0)
    assert looks == 1


def test_it_ends() -> None:
    one = Watched()
    one.windows.stop()
    assert one.clock.getDelayedCalls() == []


def test_every_route_cluster_and_endpoint_of_a_proxy_is_looked_at() -> None:
    running = Running()
    running.exchange(running.client(), "echo")
    running.exchange(running.client(), "gone")
    found = list(sources(running.proxy))
    told = [dict(source.counters(source.counts)) for source in found]
    assert {"ok": 1} in told
    assert {"denied": 1} in told
    assert {"tries": 1, "failed": 0} in told
    assert {"no_endpoint": 0, "overflow_requests": 0, "overflow_pending": 0} in told
    running.proxy.snapshot, running.proxy.listeners = None, {}
    assert list(sources(running.proxy)) == []


def test_a_look_at_all_sources_lets_other_work_go_on_between_them() -> None:
    found = [Source(TargetCounts(), lambda one: one.outcomes) for _ in range(100)]
    turns: list[int] = []
    windows = Windows(lambda: found, Clock(), lambda: turns.append(1))
    found[-1].counts.count("ok")
    assert windows.read(found[-1].counts, 10.0)["ok"] == 1
    assert len(turns) == 100


def test_after_a_step_a_silent_source_costs_no_look_at_the_others() -> None:
    one = Watched(others=100)
    one.clock.advance(STEP + 1)
    windows, asked = one.windows, []
    one.sources = [Source(source.counts, lambda counts: asked.append(counts) or {}) for source in one.sources]  # type: ignore[func-returns-value]
    assert windows.read(TargetCounts(), 10.0).count == 0
    assert asked == []
