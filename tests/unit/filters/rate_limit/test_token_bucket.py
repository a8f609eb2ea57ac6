from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from metaproxy.filters.rate_limit.token_bucket import LONGEST, Bucket, Buckets, Filling, value_of
from metaproxy.testing import FakeExchange


class Caller(FakeExchange):
    def __init__(self, **metadata: str) -> None:
        super().__init__(metadata=metadata)


def test_a_bucket_is_full_at_first() -> None:
    bucket, filling = Bucket(3), Filling(1, 1, 3)
    assert [bucket.take(filling, 100.0) for _ in range(4)] == [True, True, True, False]


@given(st.booleans(), st.integers(1, 20), st.floats(0.1, 100), st.integers(1, 20), st.integers(1, 40))
def test_after_the_time_that_it_tells_there_is_a_token_and_not_before(
    steady: bool, amount: int, per: float, burst: int, taken: int
) -> None:
    bucket, filling = Bucket(burst), Filling(amount, per, burst, steady)
    for _ in range(taken):
        bucket.take(filling, 1000.0)
    wait = bucket.wait(filling, 1000.0)
    if wait > 1e-6:
        assert not bucket.take(filling, 1000.0 + wait - min(wait / 2, 1e-6) - 1e-7)
    assert bucket.take(filling, 1000.0 + wait + 1e-6)


def test_buckets_are_told_apart_by_value_and_one_without_keys_serves_all() -> None:
    ann: Any = Caller(user="ann")
    bob: Any = Caller(user="bob")
    alone, apart = Buckets(Filling(1, 1, 1), (), 5), Buckets(Filling(1, 1, 1), ("user",), 5)
    assert alone.of(ann) is alone.of(bob)
    assert apart.of(ann) is not apart.of(bob)
    assert apart.of(ann) is apart.of(ann)
    assert (len(alone), len(apart)) == (1, 2)


def test_long_values_are_kept_as_digests_that_differ() -> None:
    values = [value_of(Caller(user="x" * LONGEST + tail), ("user",)) for tail in ("", "a", "b", "\ud800")]
    assert len(set(values)) == 4
    assert [isinstance(value, bytes) for value in values] == [False, True, True, True]
