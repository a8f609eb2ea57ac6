from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.retry import REASONS, UNSENT, RetryPolicy, within_budget
from metaproxy.message import ErrorKind

ALL = sorted(REASONS)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (ErrorKind.CONNECT, "connect"), (ErrorKind.NO_ENDPOINT, "connect"), (ErrorKind.RESET, "reset"),
        (ErrorKind.BAD_RESPONSE, "reset"), (ErrorKind.OVERLOAD, "overload"), (ErrorKind.TIMEOUT, "timeout"),
        (None, "error"),
    ],
)  # fmt: skip
def test_a_failure_is_followed_by_another_try_if_its_reason_is_listed(kind: ErrorKind | None, reason: str) -> None:
    assert RetryPolicy(1, on=[reason]).allows(kind, 1, safe=True)
    assert not RetryPolicy(1, on=[other for other in ALL if other != reason]).allows(kind, 1, safe=True)


@pytest.mark.parametrize(
    "kind", [ErrorKind.DENIED, ErrorKind.LIMITED, ErrorKind.BAD_REQUEST, ErrorKind.NOT_FOUND, ErrorKind.UNSUPPORTED]
)
def test_what_will_fail_again_is_not_tried_again(kind: ErrorKind) -> None:
    assert not RetryPolicy(5, on=ALL, unsafe=True).allows(kind, 1, safe=True)


@pytest.mark.parametrize("kind", [None, *ErrorKind])
def test_a_request_that_may_have_been_executed_is_repeated_only_if_that_does_no_harm(kind: ErrorKind | None) -> None:
    allowed = RetryPolicy(1, on=ALL).allows(kind, 1, safe=False)
    assert allowed == (kind in UNSENT)
    assert not allowed or RetryPolicy(1, on=ALL, unsafe=True).allows(kind, 1, safe=False)


def test_there_are_as_many_further_tries_as_attempts_says() -> None:
    policy = RetryPolicy(2, on=["connect"])
    assert [policy.allows(ErrorKind.CONNECT, tries, True) for tries in (1, 2, 3, 4)] == [True, True, False, False]


def test_no_reasons_mean_no_retry() -> None:
    policy = RetryPolicy(5, on=[])
    assert not any(policy.allows(kind, 1, True) for kind in (None, *ErrorKind))


def test_a_reason_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError):
        RetryPolicy(1, on=["conect"])


@given(st.integers(1, 10_000), st.floats(0, 10), st.floats(0, 10), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_never_longer_than_the_longest(tries: int, base: float, most: float, chance: float) -> None:
    delay = RetryPolicy(1, backoff=(base, most), uniform=lambda: chance).delay(tries)
    assert 0 <= delay <= most


def test_full_jitter_spreads_delays_over_the_whole_time() -> None:
    chances = iter([0.0, 0.5, 0.999])
    policy = RetryPolicy(3, backoff=(1.0, 10.0), uniform=lambda: next(chances))
    assert [policy.delay(1), policy.delay(2), policy.delay(3)] == [0.0, 1.0, pytest.approx(3.996)]


def test_without_a_budget_max_retries_bounds_what_is_under_way() -> None:
    breaker = Breaker(max_retries=2)
    breaker.requests = 1000
    assert within_budget(breaker)
    breaker.retries = 2
    assert not within_budget(breaker)


def test_a_budget_is_a_share_of_the_requests_under_way_and_three_at_least() -> None:
    breaker = Breaker(max_retries=1, retry_budget=20.0)
    breaker.retries = 2
    assert within_budget(breaker), "three at a time, however few requests there are"
    breaker.retries = 3
    assert not within_budget(breaker)
    breaker.requests = 100
    assert within_budget(breaker)
    breaker.retries = 20
    assert not within_budget(breaker)
