from __future__ import annotations

from twisted.internet.task import Clock

from metaproxy.xds.interest import Interest
from metaproxy.xds.translate import Need

A, B = Need("s", "routes", "a"), Need("s", "routes", "b")


def made(seconds: float = 15.0) -> tuple[Interest, Clock, list[Need]]:
    clock, late = Clock(), list[Need]()
    return Interest(clock, lambda server: seconds, late.append), clock, late


def needing(interest: Interest, *needs: Need) -> None:
    for need in needs:
        interest.add(need)
    interest.settle()


def test_the_names_of_a_kind_are_those_that_are_needed() -> None:
    interest, _, _ = made()
    interest.add(B)
    interest.add(A)
    assert interest.settle() == ([B, A], [])
    assert interest.names("s", "routes") == {"a", "b"}
    assert interest.names("s", "endpoints") == set()
    assert interest.settle() == ([], [])


def test_what_two_need_is_asked_for_until_neither_does() -> None:
    interest, _, _ = made()
    needing(interest, A, A)
    interest.remove(A)
    assert interest.settle() == ([], [])
    interest.remove(A)
    interest.add(A)
    assert interest.settle() == ([], [])
    interest.remove(A)
    assert interest.settle() == ([], [A])
    assert interest.names("s", "routes") == set()


def test_what_does_not_come_in_time_is_late_once() -> None:
    interest, clock, late = made()
    needing(interest, A, B)
    clock.advance(10)
    interest.came(B)
    clock.advance(10)
    assert late == [A]
    assert interest.expired == {A}
    interest.came(A)
    assert interest.expired == set()


def test_what_is_needed_no_more_is_not_waited_for() -> None:
    interest, clock, late = made()
    needing(interest, A)
    interest.remove(A)
    interest.settle()
    clock.advance(20)
    assert late == []


def test_a_need_has_its_own_time() -> None:
    interest, clock, late = made()
    needing(interest, A)
    clock.advance(10)
    needing(interest, B)
    clock.advance(10)
    assert late == [A]
    interest.stop()
    assert clock.getDelayedCalls() == []


def test_without_a_limit_nothing_is_late() -> None:
    interest, clock, late = made(0)
    needing(interest, A)
    clock.advance(1e6)
    assert late == []
