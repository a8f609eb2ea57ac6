from __future__ import annotations

from metaproxy.xds.backoff import Backoff, NackPacer


def test_waits_double_up_to_the_bound_and_begin_again() -> None:
    backoff = Backoff(1, 4, share=lambda: 1.0)
    assert [backoff.next() for _ in range(4)] == [1, 2, 4, 4]
    backoff.reset()
    assert backoff.next() == 1


def test_a_wait_is_some_share_of_its_bound_and_never_nothing() -> None:
    shares = iter([0.5, 0.25, 0.0])
    backoff = Backoff(1, 30, share=lambda: next(shares), least=0.05)
    assert [backoff.next() for _ in range(3)] == [0.5, 0.5, 0.05]


def test_the_first_refusal_waits_for_nothing() -> None:
    assert NackPacer().delay("v1", 7.0) == 0.0


def test_a_refusal_of_another_version_waits_for_a_second_behind_the_last() -> None:
    pacer = NackPacer()
    for now in (0.0, 1.0, 3.0):
        pacer.sent("v1", now)
    assert pacer.delay("v1", 3.0) == 4.0
    assert pacer.delay("v2", 3.0) == 1.0
    assert pacer.delay("v2", 5.0) == 0.0


def test_time_that_passed_counts() -> None:
    pacer = NackPacer()
    pacer.sent("v1", 0.0)
    assert pacer.delay("v1", 0.25) == 0.75
