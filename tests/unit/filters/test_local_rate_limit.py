from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.filters.local_rate_limit import LocalRateLimit
from metaproxy.interfaces import IFilter
from metaproxy.message import ErrorKind
from metaproxy.plugins import OptionError, Registry
from metaproxy.testing import check_filter
from metaproxy.units import Seconds


class At:
    """An exchange that began at a time."""

    def __init__(self, started: float) -> None:
        self.started = started


def passed(limit: LocalRateLimit, *times: float) -> list[bool]:
    """Which of the requests that begin at these times go on."""
    exchanges: list[Any] = [At(time) for time in times]
    return [limit.on_request(exchange) is None for exchange in exchanges]


def test_it_keeps_the_contract() -> None:
    check_filter(LocalRateLimit(5))


def test_a_full_bucket_lets_as_many_pass_as_it_holds_and_no_more() -> None:
    assert passed(LocalRateLimit(3), *[100.0] * 5) == [True, True, True, False, False]


def test_what_is_refused_is_told_as_limited() -> None:
    limit = LocalRateLimit(1)
    passed(limit, 100.0)
    exchange: Any = At(100.0)
    reply = limit.on_request(exchange)
    assert reply is not None
    assert (reply.kind, reply.text) == (ErrorKind.LIMITED, "local_rate_limit: too many requests")


def test_an_empty_bucket_refills_evenly() -> None:
    limit = LocalRateLimit(2, per=Seconds(1.0))
    assert passed(limit, 0.0, 0.0, 0.4, 0.5, 0.6, 1.0) == [True, True, False, True, False, True]


def test_per_says_in_which_time_the_limit_counts() -> None:
    limit = LocalRateLimit(6, per=Seconds(60.0), burst=1)
    assert passed(limit, 0.0, 9.0, 10.0, 11.0, 20.0) == [True, False, True, False, True]


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    limit = LocalRateLimit(100, burst=2)
    assert passed(limit, 0.0, *[1000.0] * 3) == [True, True, True, False]


def test_a_limit_below_one_lets_one_pass_after_a_while() -> None:
    assert passed(LocalRateLimit(0.5), 0.0, 1.0, 2.0) == [True, False, True]


def test_an_exchange_that_began_before_another_fills_no_token_twice() -> None:
    """One that waited in an earlier filter comes here later than others that began after it."""
    limit = LocalRateLimit(1, burst=1)
    assert passed(limit, 10.0, 5.0, 10.0, 10.5) == [True, False, False, False]


def test_refused_requests_do_not_put_off_the_next_token() -> None:
    limit = LocalRateLimit(1)
    times = [0.0, *(step / 10 for step in range(1, 10)), 1.0]
    assert passed(limit, *times) == [True, *[False] * 9, True]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"limit": 0}, "limit and per must be greater than 0"),
        ({"limit": -1}, "limit and per must be greater than 0"),
        ({"limit": 1, "per": 0}, "limit and per must be greater than 0"),
        ({"limit": 1, "burst": -1}, "burst must be 1 or more"),
        ({"limit": 1, "burst": 0.5}, "burst must be 1 or more"),
    ],
)
def test_options_with_which_nothing_could_pass_are_refused(options: dict[str, object], told: str) -> None:
    build = Registry().factory(IFilter, "local_rate_limit", options)
    with pytest.raises(ValueError, match=told):
        build()


def test_limit_must_be_there() -> None:
    with pytest.raises(OptionError, match="option 'limit' is missing"):
        Registry().factory(IFilter, "local_rate_limit", {})


@given(
    st.floats(0.1, 100), st.floats(0.1, 100), st.floats(1, 100), st.lists(st.floats(0, 50), min_size=1, max_size=200)
)
def test_in_no_stretch_of_time_more_pass_than_the_burst_and_what_was_filled_in_it(
    limit: float, per: float, burst: float, times: list[float]
) -> None:
    times.sort()
    went = [
        time for time, on in zip(times, passed(LocalRateLimit(limit, Seconds(per), burst), *times), strict=True) if on
    ]
    for first in range(0, len(went), 7):
        for last in range(first, len(went), 7):
            allowed = burst + (went[last] - went[first]) * limit / per
            assert last - first + 1 <= allowed + 1e-6
