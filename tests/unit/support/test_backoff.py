from __future__ import annotations

from metaproxy.support.backoff import Backoff


def test_it_doubles_from_the_first_to_the_last() -> None:
    backoff = Backoff(1.0, 10.0, lambda: 1.0)
    assert [backoff.next() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_up_to_half_of_it_is_left_to_chance() -> None:
    assert Backoff(1.0, 10.0, lambda: 0.0).next() == 0.5
    draws = {Backoff(8.0, 8.0).next() for _ in range(50)}
    assert len(draws) > 10
    assert all(4.0 <= one <= 8.0 for one in draws)


def test_it_begins_from_the_first_after_a_success() -> None:
    backoff = Backoff(1.0, 10.0, lambda: 1.0)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert backoff.next() == 1.0


def test_years_of_failures_do_not_overflow() -> None:
    backoff = Backoff(0.1, 30.0, lambda: 1.0)
    for _ in range(5000):
        last = backoff.next()
    assert last == 30.0
