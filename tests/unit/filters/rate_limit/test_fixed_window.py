from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.filters.rate_limit.descriptors import Asked, Limit
from metaproxy.filters.rate_limit.fixed_window import PASSED, REFUSED, Decision, InProcess, OnRedis, name_of
from metaproxy.filters.rate_limit.quota_headers import Quota

TWO_A_MINUTE = Limit(2, "minute")


def user(name: str, limit: Limit = TWO_A_MINUTE) -> Asked:
    return Asked((("user", name),), limit)


def at(now: float) -> Clock:
    clock = Clock()
    clock.advance(now)
    return clock


def passed(counts: Any, *asked: Asked, hits: int = 1) -> bool:
    return bool(counts.ask(asked, hits).passed)


def test_so_many_pass_in_each_window_and_windows_begin_at_multiples_of_the_unit() -> None:
    clock = at(6000 + 58)
    counts = InProcess(clock, 100)
    assert [passed(counts, user("ann")) for _ in range(3)] == [True, True, False]
    clock.advance(1.9)
    assert not passed(counts, user("ann"))
    clock.advance(0.1)
    assert [passed(counts, user("ann")) for _ in range(3)] == [True, True, False]


def test_each_set_of_values_is_counted_for_itself() -> None:
    counts = InProcess(at(0), 100)
    assert [passed(counts, user(name)) for name in ("ann", "bob", "ann", "bob", "ann")] == [True] * 4 + [False]


def test_any_descriptor_over_its_limit_refuses_and_all_of_them_are_counted() -> None:
    counts = InProcess(at(0), 100)
    all_of_them = Asked((("all", ""),), Limit(3, "minute"))
    asked = [(user("ann"), all_of_them)] * 3 + [(user("bob"), all_of_them)]
    assert [passed(counts, *one) for one in asked] == [True, True, False, False]


def test_the_same_entries_in_another_unit_are_counted_apart() -> None:
    counts = InProcess(at(0), 100)
    minute, second = user("ann", Limit(10, "minute")), user("ann", Limit(1, "second"))
    assert [passed(counts, minute, second) for _ in range(2)] == [True, False]
    assert [passed(counts, minute) for _ in range(9)] == [True] * 8 + [False]


def test_a_request_may_count_as_several() -> None:
    counts = InProcess(at(0), 100)
    assert [passed(counts, user("ann"), hits=2), passed(counts, user("ann"))] == [True, False]


def test_a_limit_of_nothing_lets_nothing_pass() -> None:
    assert not passed(InProcess(at(0), 100), user("ann", Limit(0, "day")))


def test_the_quota_is_that_of_the_descriptor_with_the_least_left() -> None:
    counts = InProcess(at(70), 100)
    decision = counts.ask([user("ann", Limit(9, "hour")), user("ann")], 1)
    assert decision.quota == Quota(2, 60, 1, 50)


@given(st.lists(st.integers(0, 50), max_size=200), st.integers(1, 5))
def test_the_number_of_counts_is_bounded(users: list[int], most: int) -> None:
    counts = InProcess(at(0), most)
    for number in users:
        counts.ask([user(str(number))], 1)
        assert len(counts) <= most


def test_no_quota_is_made_where_none_is_wanted() -> None:
    counts = InProcess(at(70), 100, quotas=False)
    assert [counts.ask([user("ann"), user("bob", Limit(1, "hour"))], 1) for _ in range(2)] == [PASSED, REFUSED]


class Fake:
    """A Redis that notes what it is asked."""

    def __init__(self) -> None:
        self.commands: list[Any] = []
        self.answer: Deferred[Any] = Deferred()
        self.closed = False

    def call(self, commands: Any) -> Deferred[Any]:
        self.commands.append(commands)
        return self.answer

    def close(self) -> None:
        self.closed = True


def test_on_redis_each_descriptor_is_counted_and_expires_in_one_pipeline() -> None:
    redis: Any = Fake()
    counts = OnRedis("shop", at(7265), redis, "limits:")
    decisions: list[Decision] = []
    counts.ask([user("ann"), Asked((("a", "b"),), Limit(100, "hour"))], 3).addCallback(decisions.append)
    assert redis.commands == [
        [
            (b"INCRBY", b"limits:shop|user=ann|minute|7260", b"3"),
            (b"EXPIRE", b"limits:shop|user=ann|minute|7260", b"60"),
            (b"INCRBY", b"limits:shop|a=b|hour|7200", b"3"),
            (b"EXPIRE", b"limits:shop|a=b|hour|7200", b"3600"),
        ]
    ]
    redis.answer.callback([3, 1, 3, 1])
    assert decisions == [Decision(False, Quota(2, 60, -1, 55), over=[(0, Quota(2, 60, -1, 55))])]
    counts.stop()
    assert redis.closed


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), min_size=1, max_size=3, unique=True))
def test_no_value_that_a_client_chooses_is_counted_under_anothers_name(pairs: list[tuple[str, str]]) -> None:
    names = {name_of("d", Asked(((key, value), ("x", "y")), TWO_A_MINUTE), 0) for key, value in pairs}
    assert len(names) == len(pairs)
    assert name_of("d", user("a|minute|0"), 0) != name_of("d", Asked((("user", "a"), ("minute", "0")), TWO_A_MINUTE), 0)
