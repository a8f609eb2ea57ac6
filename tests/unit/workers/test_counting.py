"""Asking workers what they counted, one question at a time for each."""

from __future__ import annotations

from dataclasses import replace

from loop import Loop, fired
from running_proxy import Running
from twisted.internet.defer import Deferred
from workers_in_memory import Spawned

from metaproxy.workers.counting import PATIENCE, Counting
from metaproxy.workers.member import READY, Member
from metaproxy.workers.messages import Count
from metaproxy.workers.sums import Report, Totals
from metaproxy.workers.watch import Watch

COUNTED = Report({("listener", "front"): {"connections": 3}})


class Counted:
    """Two workers, ready, and a proxy that gets what they count."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.spawned = Spawned(self.loop)
        self.proxy = Running().proxy
        self.members = [
            Member(number, self.loop, self.spawned, lambda member: None, lambda member: None) for number in (0, 1)
        ]
        self.watch = Watch(self.members, self.loop)
        self.counting = Counting(self.members, Totals(self.proxy), self.watch, self.loop)
        for member in self.members:
            member.start()
            member.state = READY

    def _told(self, member: Member) -> None:
        """A member is ready, or gone."""

    @property
    def connections(self) -> int:
        return self.proxy.listeners["front"].counts.connections

    def asked(self) -> list[int]:
        return [len(self.spawned.fellows[number].of(Count)) for number in (0, 1)]


def test_it_ends_when_all_have_answered_and_what_they_counted_is_added_up() -> None:
    hall = Counted()
    for fellow in hall.spawned.fellows.values():
        fellow.answers[Count] = COUNTED
    found = fired(hall.counting.refresh())
    hall.loop.turn()
    assert (found, hall.connections) == ([None], 6)


def test_one_that_has_more_is_asked_until_it_has_told_all() -> None:
    hall = Counted()
    parts = [replace(COUNTED, more=True), replace(COUNTED, more=True), COUNTED]
    hall.spawned.fellows[0].answers[Count] = lambda: parts.pop(0)
    hall.spawned.fellows[1].answers[Count] = Report()
    found = fired(hall.counting.refresh(filters=True))
    hall.loop.turn(40)
    assert (found, hall.connections, hall.asked()) == ([None], 9, [3, 1])
    assert [one.filters for one in hall.spawned.fellows[0].of(Count)] == [True, False, False]


def test_it_goes_on_without_one_that_is_busy_which_is_not_asked_again_before_it_has_answered() -> None:
    hall = Counted()
    late: Deferred[Report] = Deferred()
    hall.spawned.fellows[0].answers[Count] = late
    found = fired(hall.counting.refresh())
    hall.loop.advance(PATIENCE)
    assert found == [None]
    hall.counting.refresh()
    hall.loop.turn()
    assert hall.asked() == [1, 2]
    late.callback(COUNTED)
    hall.loop.turn()
    assert hall.connections == 3
    hall.counting.refresh()
    hall.loop.turn()
    assert hall.asked() == [2, 3]


def test_one_that_is_quiet_is_not_asked() -> None:
    hall = Counted()
    for member in hall.members:
        member.quiet = True
    assert fired(hall.counting.refresh()) == [None]
    hall.loop.turn()
    assert hall.asked() == [0, 0]


def test_one_who_wants_filters_too_does_not_get_a_look_without_them() -> None:
    hall = Counted()
    late: Deferred[Report] = Deferred()
    hall.spawned.fellows[0].answers[Count] = late
    plain, whole = fired(hall.counting.refresh()), fired(hall.counting.refresh(filters=True))
    hall.loop.turn()
    assert hall.asked() == [1, 1]
    late.callback(Report())
    hall.spawned.fellows[0].answers[Count] = Report()
    hall.loop.turn()
    assert (plain, whole) == ([None], [None])
    assert [one.filters for one in hall.spawned.fellows[1].of(Count)] == [False, True]


def test_one_who_asks_while_workers_are_asked_waits_for_the_next_look() -> None:
    hall = Counted()
    whole, plain = fired(hall.counting.refresh(filters=True)), fired(hall.counting.refresh())
    hall.loop.turn()
    assert (plain, whole, hall.asked()) == ([None], [None], [2, 2])
