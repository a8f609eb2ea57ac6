from __future__ import annotations

from twisted.internet.task import Clock

from metaproxy.xds.interest import Interest
from metaproxy.xds.translate import Need

A, B = Need("s", "routes", "a"), Need("s", "routes", "b")


def made(seconds: float = 15.0) -> tuple[Interest, Clock, list[Need]]:
    clock, late = Clock(), list[Need]()
    return Interest(clock, lambda server: seconds, late.append), clock, late


def test_the_names_of_a_kind_are_those_that_are_needed() -> None:
    interest, _, _ = made()
    assert interest.set([B, A])
    assert interest.names("s", "routes") == ["a", "b"]
    assert interest.names("s", "endpoints") == []
    assert not interest.set([A, B])


def test_what_does_not_come_in_time_is_late_once() -> None:
    interest, clock, late = made()
    interest.set([A, B])
    clock.advance(10)
    interest.came(B)
    clock.advance(10)
    assert late == [A]
    assert interest.expired == {A}
    interest.came(A)
    assert interest.expired == set()


def test_what_is_needed_no_more_is_not_waited_for() -> None:
    interest, clock, late = made()
    interest.set([A])
    interest.set([])
    clock.advance(20)
    assert late == []


def test_a_need_has_its_own_time() -> None:
    interest, clock, late = made()
    interest.set([A])
    clock.advance(10)
    interest.set([A, B])
    clock.advance(10)
    assert late == [A]
    interest.stop()
    assert clock.getDelayedCalls() == []


def test_without_a_limit_nothing_is_late() -> None:
    interest, clock, late = made(0)
    interest.set([A])
    clock.advance(1e6)
    assert late == []
