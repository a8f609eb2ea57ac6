"""How hard a limit presses, look by look, and which share of what comes is then refused."""

from __future__ import annotations

import random

import pytest

from metaproxy.proxy.gauges import LagGauge, MemoryGauge, Share

LIMIT = 0.1


def lag(*values: float, refused: bool = True) -> list[float]:
    gauge = LagGauge("lag")
    gauge.limit = LIMIT
    pressures = []
    for value in values:
        gauge.look(value, refused)
        pressures.append(round(gauge.pressure, 3))
    return pressures


def test_a_lag_beyond_its_limit_presses_harder_at_each_look_and_the_harder_the_later_the_loop_is() -> None:
    assert lag(0.1001, 0.1001, 0.1001) == pytest.approx([0.1, 0.2, 0.3], abs=0.01)
    assert lag(0.2, 0.2) == [0.2, 0.4]
    assert lag(*[9.0] * 9) == [0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8, 3.0, 3.0]


def test_between_half_its_limit_and_the_limit_the_share_stays_and_below_it_falls_slowly_to_nothing() -> None:
    assert lag(0.3, 0.06, 0.09) == [0.3, 0.3, 0.3]
    assert lag(0.3, *[0.05] * 4) == [0.3, 0.2, 0.1, 0.0, 0.0]


def test_a_priority_of_which_nothing_comes_is_passed_at_once() -> None:
    assert lag(0.2, 0.2, 0.2, 0.2, refused=False) == [0.2, 1.2, 2.2, 3.0]


def test_without_a_limit_nothing_presses() -> None:
    gauge = LagGauge("lag")
    gauge.look(9.0, False)
    assert (gauge.value, gauge.pressure, gauge.level) == (9.0, 0.0, 0)
    gauge.limit = LIMIT
    gauge.look(9.0, False)
    gauge.limit = 0.0
    gauge.look(9.0, False)
    assert gauge.pressure == 0.0


def test_the_level_is_that_of_the_priority_of_which_some_are_refused() -> None:
    gauge = LagGauge("lag")
    gauge.limit = LIMIT
    levels = []
    for _ in range(7):
        gauge.look(0.4, True)
        levels.append(gauge.level)
    assert levels == [1, 1, 2, 2, 2, 3, 3]


def test_memory_beyond_its_limit_takes_a_whole_step_a_look_and_five_calm_looks_to_go_back() -> None:
    gauge = MemoryGauge("memory")
    gauge.limit = 100.0
    seen = []
    for value in (101, 101, 101, 101, *[90] * 15):
        gauge.look(value)
        seen.append(gauge.level)
    assert seen == [1, 2, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 0]
    assert not gauge.beyond and gauge.pressure == 0.0


@pytest.mark.parametrize(("value", "least", "most"), [(0.0, 0, 0), (0.25, 220, 280), (1.0, 1000, 1000)])
def test_a_share_refuses_as_many_as_it_says_and_counts_them(value: float, least: int, most: int) -> None:
    share = Share(random.Random(1).random)
    share.value = value
    refused = sum(share.refuses() for _ in range(1000))
    assert least <= refused <= most and share.count == refused and share.passed == 1000 - refused
