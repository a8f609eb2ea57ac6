from __future__ import annotations

import math
from bisect import bisect_left
from itertools import pairwise
from typing import Any

import pytest

from metaproxy.counts import (
    BOUNDS,
    EXPOSED,
    RATIO,
    ClusterCounts,
    Counter,
    EndpointCounts,
    Histogram,
    ListenerCounts,
    LongHistogram,
    TargetCounts,
    bucket_of,
    counter,
    grown,
)


def test_the_bounds_of_the_buckets_rise() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert BOUNDS[0] > 0
    assert set(EXPOSED) <= set(BOUNDS), "what is exposed could not be summed up"
    assert all(high / low < RATIO + 0.001 for low, high in pairwise(BOUNDS))


def test_a_duration_is_counted_up_to_the_first_bound_that_is_not_below_it() -> None:
    near = [math.nextafter(bound, towards) for bound in BOUNDS for towards in (0.0, math.inf)]
    for duration in (-1.0, 0.0, *BOUNDS, *near, 1e9, math.inf, math.nan):
        assert bucket_of(duration) == bisect_left(BOUNDS, duration)


@pytest.mark.parametrize("duration", [0.00003, 0.00012, 0.0007, 0.0013, 0.0076, 0.033, 0.17, 0.8, 3.3, 17.0, 59.0])
def test_a_percentile_is_wrong_by_a_tenth_at_most(duration: float) -> None:
    histogram = Histogram()
    for _ in range(1000):
        histogram.add(duration)
    for share in (0.01, 0.5, 0.9, 0.99, 0.999, 1.0):
        assert histogram.percentile(share) == pytest.approx(duration, rel=0.1)


def test_a_slow_one_in_twenty_is_seen_at_the_share_that_it_has() -> None:
    histogram = Histogram()
    for _ in range(95):
        histogram.add(0.001)
    for _ in range(5):
        histogram.add(0.8)
    assert histogram.percentile(0.9) == pytest.approx(0.001, rel=0.1)
    assert histogram.percentile(0.99) == pytest.approx(0.8, rel=0.1)
    assert (histogram.slower(0.002), histogram.slower(0.0001), histogram.slower(100.0)) == (5, 100, 0)


@pytest.mark.parametrize(
    ("duration", "bucket"),
    [
        (0.0, 0),
        (BOUNDS[0], 0),
        (BOUNDS[0] * 1.01, 1),
        (0.001, BOUNDS.index(0.001)),
        (1.0, BOUNDS.index(1.0)),
        (1.01, BOUNDS.index(1.0) + 1),
        (60.0, len(BOUNDS) - 1),
        (60.1, len(BOUNDS)),
    ],
)
def test_a_duration_is_counted_in_the_bucket_whose_upper_bound_it_does_not_exceed(duration: float, bucket: int) -> None:
    histogram = Histogram()
    histogram.add(duration)
    assert [index for index, number in enumerate(histogram.buckets) if number] == [bucket]
    assert (histogram.count, histogram.total) == (1, duration)


def test_an_empty_histogram_has_no_percentile() -> None:
    assert Histogram().percentile(0.5) is None


def test_a_percentile_lies_in_its_bucket() -> None:
    histogram = Histogram()
    for _ in range(90):
        histogram.add(0.002)
    for _ in range(10):
        histogram.add(0.2)
    median, late = histogram.percentile(0.5), histogram.percentile(0.99)
    assert median is not None and 0.001 < median <= 0.0025
    assert late is not None and 0.1 < late <= 0.25
    assert histogram.percentile(0.0) == pytest.approx(0.002, rel=0.1)
    assert histogram.percentile(1.0) == pytest.approx(0.2, rel=0.1)


def test_percentiles_never_fall_as_the_share_rises() -> None:
    histogram = Histogram()
    for step in range(1, 200):
        histogram.add(step * step / 500)
    shown = [histogram.percentile(share / 100) or 0.0 for share in range(101)]
    assert shown == sorted(shown)


def test_what_is_slower_than_every_bound_is_shown_as_the_last_bound() -> None:
    histogram = Histogram()
    histogram.add(1000.0)
    assert histogram.percentile(0.5) == BOUNDS[-1]


@pytest.mark.parametrize("kind", [ListenerCounts, ClusterCounts, EndpointCounts])
def test_every_counter_starts_at_nothing(kind: Any) -> None:
    counts = kind()
    assert not any(getattr(counts, name) for name in kind.__slots__ if name != "latency")


@pytest.mark.parametrize("held", [False, True])
def test_exchanges_that_have_ended_are_counted(held: bool) -> None:
    counts, endpoint = [TargetCounts() for _ in range(3)], Histogram()
    durations = [0.0, 0.0004, 0.0004, 0.3, 61.0, 1e9] * 100
    if held:
        counter.hold()
    for number, duration in enumerate(durations):
        outcome = "timeout" if number % 5 == 4 else "ok"
        counter.ended(counts[number % 3], outcome, 10, 2**33, duration, endpoint if number % 2 else None)
    if held:
        compiled = type(counter) is not Counter
        assert (sum(one.latency.count for one in counts) < 600) is compiled
        counter.fetch()
        counter.settle()
    for number, one in enumerate(counts):
        expected = Histogram()
        for duration in durations[number::3]:
            expected.add(duration)
        assert one.latency.buckets == expected.buckets
        assert one.latency.total == pytest.approx(expected.total)
        assert one.outcomes == {"ok": 160, "timeout": 40}
        assert (one.request_bytes, one.response_bytes) == (2000, 200 * 2**33)
    assert endpoint.count == 300


def test_counts_that_nobody_has_any_more_are_counted_to_the_end() -> None:
    endpoint = Histogram()
    counter.hold()
    for _ in range(1000):
        counter.ended(TargetCounts(), "ok", 1, 1, 0.1, endpoint)
    counter.settle()
    assert endpoint.count == 1000


def test_what_is_freed_may_count() -> None:
    counts, freed = TargetCounts(), TargetCounts()

    class Last(TargetCounts):
        def __del__(self) -> None:
            counter.ended(freed, "ok", 1, 1, 0.1, None)

    counter.hold()
    for _ in range(300):
        counter.ended(Last(), "ok", 1, 1, 0.1, None)
        counter.ended(counts, "ok", 1, 1, 0.1, None)
    counter.settle()
    assert (counts.outcomes, freed.outcomes) == ({"ok": 300}, {"ok": 300})


def test_histograms_of_other_bounds_are_not_added_up() -> None:
    with pytest.raises(ValueError, match="buckets"):
        Histogram().take(LongHistogram())


def test_outside_of_hold_and_settle_all_is_counted_at_once() -> None:
    counts = TargetCounts()
    counter.ended(counts, "ok", 1, 2, 0.1, None)
    assert (counts.outcomes, counts.latency.count) == ({"ok": 1}, 1)


def test_what_buckets_have_more_than_before_is_told_by_place() -> None:
    histogram = Histogram({3: 2**40, 5: 1})
    before = histogram.buckets[:]
    assert grown(histogram.buckets, before) == {}
    histogram.buckets[3] += 2**35
    histogram.buckets[len(BOUNDS)] += 1
    assert grown(histogram.buckets, before) == {3: 2**35, len(BOUNDS): 1}


def test_counters_go_beyond_32_bits() -> None:
    place, many = 3, 2**40
    histogram, counts = Histogram({place: many}), TargetCounts()
    histogram.add(BOUNDS[place])
    counts.count("ok", many)
    counts.count("reset", many)
    counts.count("ok")
    assert (histogram.count, histogram.buckets[place]) == (many + 1, many + 1)
    assert counts.outcomes == {"ok": many + 1, "reset": many}


def test_a_copy_of_a_histogram_does_not_go_on_counting() -> None:
    histogram = LongHistogram()
    histogram.add(7.0)
    copy = histogram.copy()
    histogram.add(9.0)
    assert (type(copy), copy.count, copy.total) == (LongHistogram, 1, 7.0)
    copy.take(histogram)
    assert (copy.count, copy.total, histogram.count) == (3, 23.0, 2)


def test_an_outcome_that_there_was_not_is_not_among_them() -> None:
    counts = TargetCounts()
    assert counts.outcomes == {}
    counts.count("timeout")
    assert counts.outcomes == {"timeout": 1}
    counts.count("ok")
    assert counts.outcomes == {"timeout": 1, "ok": 1}


def test_two_of_a_kind_share_nothing() -> None:
    one, other = TargetCounts(), TargetCounts()
    one.count("ok")
    one.latency.add(1.0)
    assert other.outcomes == {}
    assert other.latency.count == 0


@pytest.mark.parametrize("kind", [ListenerCounts, ClusterCounts, EndpointCounts, TargetCounts, Histogram])
def test_a_counter_that_is_misspelt_is_an_error(kind: type) -> None:
    with pytest.raises(AttributeError):
        kind().requets = 1


def test_streams_that_last_for_hours_are_told_apart() -> None:
    histogram = LongHistogram()
    for hours in (1, 2, 3):
        histogram.add(hours * 3600.0)
    median = histogram.percentile(0.5)
    assert median is not None
    assert median == pytest.approx(2 * 3600.0, rel=0.1)
    assert histogram.slower(9000.0) == 1
    assert set(histogram.exposed) <= set(histogram.bounds)
