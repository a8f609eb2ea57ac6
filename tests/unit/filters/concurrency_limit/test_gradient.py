from __future__ import annotations

import random
from heapq import heappop, heappush
from typing import Any

import pytest

from metaproxy.filters.concurrency_limit.gradient import PINNED, Adaptive, Gradient
from metaproxy.options import made
from metaproxy.plugins import OptionError
from metaproxy.units import Seconds

NO_JITTER = {"jitter": 0, "requests": 5, "interval": 60}


def controller(**options: Any) -> Gradient:
    """A controller whose times begin at 0 and whose windows are a second."""
    options = {"update_interval": 1, "min_rtt": NO_JITTER, **options}
    return Gradient(made(Adaptive, options, "adaptive"), random.Random(1), 0.0)


def answers(gradient: Gradient, at: float, took: float, number: int = 5) -> None:
    """So many answers that took so long."""
    for _ in range(number):
        gradient.turn(at)
        gradient.record(at, at + took)


def test_it_begins_with_a_measurement_and_few_requests() -> None:
    gradient = controller()
    assert (gradient.measuring, gradient.limit) == (True, 3)
    answers(gradient, 0.1, 0.02, 4)
    assert gradient.measuring
    answers(gradient, 0.2, 0.02, 1)
    assert not gradient.measuring
    assert gradient.min_rtt == pytest.approx(0.02)


def test_a_measurement_takes_the_percentile_of_its_requests() -> None:
    gradient = controller(percentile=90, min_rtt={**NO_JITTER, "requests": 10})
    for took in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10):
        gradient.record(0.0, took / 1000)
    assert gradient.min_rtt == pytest.approx(0.010)


def test_while_answers_are_as_quick_as_they_can_be_the_limit_grows_by_gradient_and_headroom() -> None:
    gradient = controller()
    answers(gradient, 0.1, 0.010)
    answers(gradient, 0.5, 0.010)
    gradient.turn(1.2)
    # gradient = 0.010 * 1.25 / 0.010; limit = 3 * 1.25 + sqrt(3 * 1.25)
    assert gradient.gradient == pytest.approx(1.25)
    assert gradient.headroom == pytest.approx(3.75**0.5)
    assert gradient.limit == 5


def test_slower_answers_lower_the_limit() -> None:
    gradient = controller()
    answers(gradient, 0.1, 0.010)
    gradient.limit = 100
    answers(gradient, 0.5, 0.020)
    gradient.turn(1.2)
    assert gradient.gradient == pytest.approx(0.625)
    assert gradient.limit == int(62.5 + 62.5**0.5)


@pytest.mark.parametrize(("took", "expected"), [(10.0, 0.5), (0.0001, 2.0)])
def test_the_gradient_stays_between_a_half_and_two(took: float, expected: float) -> None:
    gradient = controller()
    answers(gradient, 0.1, 0.010)
    answers(gradient, 0.5, took)
    gradient.turn(1.2)
    assert gradient.gradient == expected


def test_the_limit_never_exceeds_the_greatest_one() -> None:
    gradient = controller(max_limit=20)
    answers(gradient, 0.1, 0.010)
    for second in range(1, 20):
        answers(gradient, second + 0.2, 0.010)
    assert gradient.limit == 20


def test_a_window_without_answers_changes_nothing() -> None:
    gradient = controller()
    answers(gradient, 0.1, 0.010)
    gradient.limit = 50
    for second in range(1, 30):
        gradient.turn(second)
    assert gradient.limit == 50


def test_after_the_interval_it_measures_again_with_few_requests_and_returns_to_its_limit() -> None:
    gradient = controller()
    answers(gradient, 0.1, 0.010)
    gradient.limit = 80
    gradient.turn(60.0)
    assert not gradient.measuring
    gradient.turn(60.2)
    assert (gradient.measuring, gradient.limit) == (True, 3)
    answers(gradient, 60.3, 0.030)
    assert (gradient.measuring, gradient.limit) == (False, 80)
    assert gradient.min_rtt == pytest.approx(0.030)


def test_requests_from_before_a_measurement_are_no_part_of_it() -> None:
    gradient = controller()
    answers(gradient, 0.1, 0.010)
    gradient.turn(61.0)
    for _ in range(20):
        gradient.record(60.0, 61.5)
    assert gradient.measuring
    answers(gradient, 61.5, 0.010)
    assert gradient.min_rtt == pytest.approx(0.010)


def test_five_windows_at_the_least_limit_have_it_measure_again_at_once() -> None:
    gradient = controller()
    answers(gradient, 0.1, 0.010)
    windows = 0
    while not gradient.measuring and windows < 20:
        windows += 1
        answers(gradient, windows + 0.2, 1.0)
        gradient.turn(windows + 0.3)
    assert windows in (PINNED + 1, PINNED + 2)


def test_the_jitter_puts_the_next_measurement_off_by_at_most_its_share() -> None:
    dues: list[float] = []
    for seed in range(200):
        options = made(Adaptive, {"min_rtt": {"requests": 1, "interval": 100, "jitter": 20}}, "adaptive")
        gradient = Gradient(options, random.Random(seed), 0.0)
        gradient.record(0.0, 0.0)
        assert not gradient.measuring
        now = 0.0
        while not gradient.measuring:
            now += 0.5
            gradient.turn(now)
        dues.append(now)
    assert 100 <= min(dues) < 103 and 117 < max(dues) <= 120


def test_a_fixed_shortest_time_is_never_measured() -> None:
    gradient = controller(min_rtt={"fixed": "10ms"})
    assert not gradient.measuring
    for second in range(1, 200):
        answers(gradient, second, 1.0)
    assert (gradient.measuring, gradient.limit, gradient.min_rtt) == (False, 3, 0.01)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"update_interval": 0}, ("update_interval",)),
        ({"min_rtt": {"requests": 0}}, ("min_rtt", "requests")),
        ({"min_rtt": {"min_concurrency": 0}}, ("min_rtt", "min_concurrency")),
        ({"min_rtt": {"interval": 0}}, ("min_rtt", "interval")),
        ({"max_limit": 2}, ("max_limit",)),
    ],
)
def test_wrong_options_are_told_with_their_place(options: dict[str, object], path: tuple[str, ...]) -> None:
    with pytest.raises(OptionError) as caught:
        made(Adaptive, options, "adaptive")
    assert caught.value.path == path


def served(capacity: int, seconds: float, gradient: Gradient, begin: float = 0.0, base: float = 0.01) -> int:
    """
    A server that answers `capacity` requests in `base` seconds each; more wait their turn. 64 callers ask again as soon
    as they are answered, or 1 ms after a refusal. How many were under way at most in the last half.
    """
    now, under_way, order, most = begin, 0, 0, 0
    free = [begin] * capacity
    events: list[tuple[float, int, float | None]] = [(begin, caller, None) for caller in range(64)]
    while now < begin + seconds:
        now, _, started = heappop(events)
        order += 1
        if started is not None:
            under_way -= 1
            gradient.record(started, now)
        gradient.turn(now)
        if under_way >= gradient.limit:
            heappush(events, (now + 0.001, 1000 + order, None))
            continue
        under_way += 1
        begins = max(now, heappop(free))
        heappush(free, begins + base)
        heappush(events, (begins + base, 1000 + order, now))
        if now > begin + seconds / 2 and not gradient.measuring:
            most = max(most, under_way)
    return most


def test_the_limit_finds_what_a_server_can_take_and_follows_it_down() -> None:
    """64 callers, a server for 16, then for 4; headroom and buffer are what it may add to that."""
    options = Adaptive(min_rtt={"requests": 10, "interval": 3600}, update_interval=Seconds(0.1))
    gradient = Gradient(options, random.Random(7), 0.0)
    most = served(16, 10.0, gradient)
    assert 16 <= most <= 32, most
    assert gradient.min_rtt == pytest.approx(0.01)
    most = served(4, 10.0, gradient, begin=10.0)
    assert 3 <= most <= 10, most
