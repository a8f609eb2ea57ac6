"""How hard a limit presses, look by look, and which share of what comes is then refused."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from metaproxy.proxy.gauges import LagGauge, MemoryGauge, Share

LIMIT = 0.1
ALL = (True, True, True)
LATE = 0.15
"""Twice what is aimed at: half of what passed is to pass."""


def lag(*values: float, asked: Sequence[bool] = ALL, pressure: float = 0.0) -> list[float]:
    """The pressure after each but the first of these looks; that has the pressure that is given."""
    gauge = LagGauge("lag")
    gauge.limit = LIMIT
    gauge.look(values[0], asked)
    gauge.pressure = pressure
    pressures = []
    for value in values[1:]:
        gauge.look(value, asked)
        pressures.append(round(gauge.pressure, 3))
    return pressures


def test_what_passes_becomes_as_much_less_as_the_lag_is_beyond_its_aim_and_never_less_than_half_at_a_time() -> None:
    assert lag(0.1, 0.1, pressure=0.25) == [0.25]
    assert lag(0.125, 0.125, pressure=0.25) == [0.55]
    assert lag(LATE, LATE, pressure=1.2) == [1.6]
    assert lag(9.0, 9.0, pressure=2.2) == [2.6]


def test_one_late_look_changes_nothing() -> None:
    assert lag(0.02, 9.0, 0.02, 9.0, 0.09) == [0.0] * 4


def test_after_a_step_there_is_no_other_until_what_is_measured_has_come_after_it() -> None:
    assert lag(*[LATE] * 8) == [0.5, 0.5, 0.5, 0.75, 0.75, 0.75, 0.875]
    assert lag(0.35, 0.35, 0.35, 0.35, 0.35, 0.35, 0.35) == [0.5, 0.5, 0.5, 0.5, 0.5, 0.75]


def test_between_its_aim_and_the_limit_it_stays_and_below_it_passes_as_much_more() -> None:
    assert lag(*[0.08] * 5, pressure=1.5) == [1.5] * 4
    assert lag(0.06, 0.06, pressure=1.6) == [1.48]
    assert lag(0.01, 0.01, pressure=1.6) == [1.48], "a quarter, and two hundredths, at most"
    assert [lag(0.0, 0.0, pressure=one) for one in (1.01, 1.0, 0.0)] == [[1.0], [0.98], [0.0]]


def test_once_hardly_any_of_a_priority_passes_it_is_the_next_ones_turn_and_at_the_last_one_it_ends() -> None:
    assert lag(LATE, LATE, pressure=0.95)[-1] == 1.0
    assert lag(LATE, LATE, pressure=1.0)[-1] == 1.5
    assert lag(*[LATE] * 12, pressure=2.95)[-1] == 3.0


def test_a_priority_of_which_nothing_comes_is_passed_at_once() -> None:
    assert lag(*[LATE] * 4, asked=(False, True, True)) == [0.5, 1.5, 1.5]
    assert lag(*[LATE] * 5, asked=(False, False, False)) == [0.5, 1.5, 2.5, 3.0]


def test_without_a_limit_nothing_presses() -> None:
    gauge = LagGauge("lag")
    gauge.look(9.0, ALL)
    assert (gauge.value, gauge.pressure, gauge.level) == (9.0, 0.0, 0)
    gauge.limit = LIMIT
    gauge.look(9.0, ALL)
    gauge.limit = 0.0
    gauge.look(9.0, ALL)
    assert gauge.pressure == 0.0


@pytest.mark.parametrize(("pressure", "level"), [(0.0, 0), (0.1, 1), (1.0, 1), (1.02, 2), (3.0, 3)])
def test_the_level_is_that_of_the_priority_of_which_some_are_refused(pressure: float, level: int) -> None:
    gauge = LagGauge("lag")
    gauge.pressure = pressure
    assert gauge.level == level


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
    assert least <= refused <= most and share.count == refused
