from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from metaproxy.filters.rate_limit.descriptors import Asked, Limit
from metaproxy.filters.rate_limit.fixed_window import InProcess
from metaproxy.filters.rate_limit.over_limit_cache import OverLimitCache
from metaproxy.filters.rate_limit.quota_headers import Quota

LIMIT = Limit(2, "minute")


class Counting:
    """A service that answers at once, and notes how often it was asked."""

    failures = (OSError,)

    def __init__(self, clock: Clock) -> None:
        self._counts = InProcess(clock, 1000)
        self.asked = 0
        self.stopped = False

    def ask(self, asked: Any, hits: int) -> Any:
        self.asked += 1
        return succeed(self._counts.ask(asked, hits))

    def stop(self) -> None:
        self.stopped = True


def user(name: str, limit: Limit = LIMIT) -> Asked:
    return Asked((("user", name),), limit)


def passed(remembered: OverLimitCache, *asked: Asked) -> bool:
    answer: Any = remembered.ask(asked, 1)
    return bool((answer.result if hasattr(answer, "result") else answer).passed)


def bench(most: int = 100) -> tuple[Clock, Counting, OverLimitCache]:
    clock = Clock()
    counting = Counting(clock)
    return clock, counting, OverLimitCache(counting, clock, most)


def test_what_is_over_its_limit_is_not_asked_about_until_its_window_ends() -> None:
    clock, counting, remembered = bench()
    assert [passed(remembered, user("ann")) for _ in range(10)] == [True, True, *[False] * 8]
    assert counting.asked == 3
    clock.advance(59.9)
    assert not passed(remembered, user("ann"))
    clock.advance(0.2)
    assert passed(remembered, user("ann"))
    assert (counting.asked, len(remembered)) == (4, 0)


def test_others_are_asked_about() -> None:
    _, counting, remembered = bench()
    for name in ("ann", "ann", "ann", "bob", "bob"):
        passed(remembered, user(name))
    assert counting.asked == 5
    assert not passed(remembered, user("bob"), user("ann"))
    assert counting.asked == 5


def test_the_same_entries_with_another_limit_are_another_thing() -> None:
    _, _, remembered = bench()
    for _ in range(3):
        passed(remembered, user("ann"))
    assert passed(remembered, user("ann", Limit(100, "hour")))


def test_the_quota_of_what_is_remembered_tells_how_long_it_lasts() -> None:
    clock, _, remembered = bench()
    for _ in range(3):
        passed(remembered, user("ann"))
    clock.advance(20)
    decision: Any = remembered.ask([user("ann")], 1)
    assert decision.quota == Quota(2, 60, 0, 40)


@given(st.lists(st.integers(0, 20), max_size=100), st.integers(1, 4))
def test_what_is_remembered_is_bounded_and_never_lets_more_pass(users: list[int], most: int) -> None:
    _, _, remembered = bench(most)
    _, _, plain = bench()
    for number in users:
        assert passed(remembered, user(str(number))) == passed(plain, user(str(number)))
        assert len(remembered) <= most


def test_failures_and_the_end_are_those_of_the_service() -> None:
    _, counting, remembered = bench()
    assert remembered.failures == (OSError,)
    remembered.stop()
    assert counting.stopped
