"""Rounds of seeing to what is ready. What a long turn leaves is in test_transport."""

from __future__ import annotations

from twisted.internet.task import Clock

from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.polling import Watched
from metaproxy.proxy.reactor_wait import TakenWait
from metaproxy.proxy.rounds import FEW, ROUNDS, TURN, UNTIMED, Rounds


class Scripted:
    """A poll that finds as many as the script says, each of which takes a while."""

    def __init__(self, clock: Clock, found: list[int], each: float = 0.0) -> None:
        self._clock, self.found, self._each = clock, found, each
        self.left = 0
        self.waits: list[float | None] = []

    def wait(self, seconds: float | None) -> int:
        self.waits.append(seconds)
        self.left = self.found.pop(0) if self.found else 0
        return self.left

    def see_to(self, most: int) -> int:
        done = min(most, self.left)
        self.left -= done
        self._clock.advance(done * self._each)
        return self.left

    def fileno(self) -> int:
        raise NotImplementedError

    def register(self, fd: int, one: Watched, events: int) -> None:
        raise NotImplementedError

    def modify(self, fd: int, events: int) -> None:
        raise NotImplementedError

    def forget(self, fd: int) -> bool:
        raise NotImplementedError

    def watched(self) -> list[Watched]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def rounds_of(found: list[int], each: float = 0.0) -> tuple[Rounds, Scripted]:
    clock = Clock()
    poll = Scripted(clock, found, each)
    return Rounds(poll, FlushQueue(clock), clock.seconds), poll


def test_a_few_are_seen_to_and_then_the_reactor_is_on() -> None:
    rounds, poll = rounds_of([FEW - 1, 1])
    assert not rounds.see_to_ready(0.5, FEW)
    assert (poll.waits, poll.left) == ([0.5], 0)


def test_behind_many_more_are_looked_for_at_once_and_not_for_ever() -> None:
    rounds, poll = rounds_of([FEW] * 100)
    assert not rounds.see_to_ready(0.5, FEW)
    assert poll.waits == [0.5] + [0] * ROUNDS
    rounds, poll = rounds_of([FEW, FEW, 0, FEW])
    assert not rounds.see_to_ready(None, FEW)
    assert poll.waits == [None, 0, 0]


def test_what_takes_long_ends_the_round_and_what_is_left_comes_without_a_wait() -> None:
    rounds, poll = rounds_of([3 * UNTIMED], TURN / UNTIMED)
    assert rounds.see_to_ready(None, FEW)
    assert (poll.waits, poll.left) == ([None], 2 * UNTIMED)
    assert rounds.see_to_ready(None, FEW)
    assert (poll.waits, poll.left) == ([None], UNTIMED)


def test_without_a_wait_that_is_taken_there_is_one_round() -> None:
    rounds, poll = rounds_of([1, 1, 1])
    rounds.iterate(0.5)
    assert poll.waits == [0.5]


class Rests(TakenWait):
    """Of a reactor that has something to do after each of these times."""

    def __init__(self, *rests: float) -> None:
        self.rests = list(rests)
        self.looks = 0

    def rest(self) -> float:
        return self.rests.pop(0)

    def see_to_reactor(self) -> None:
        self.looks += 1


def test_it_goes_on_by_itself_until_the_reactor_has_something_to_do() -> None:
    rounds, poll = rounds_of([1, 1, 1, 1])
    rounds.wait = Rests(0.25, 0.125, 0.0)
    rounds.iterate(0.5)
    assert poll.waits == [0.5, 0.25, 0.125]


def test_the_reactors_own_descriptors_end_it_and_so_does_a_long_turn() -> None:
    rounds, poll = rounds_of([1, 1])
    rounds.wait = wait = Rests(0.25)
    rounds.note_reactor()
    rounds.iterate(0.5)
    assert (poll.waits, wait.looks) == ([0.5], 1)
    rounds, poll = rounds_of([3 * UNTIMED], TURN / UNTIMED)
    rounds.wait = wait = Rests(0.25)
    rounds.iterate(0.5)
    assert (poll.left, wait.looks) == (2 * UNTIMED, 1)


def test_one_who_asked_for_less_than_the_reactor_would_wait_gets_it_back() -> None:
    """Such as reactor.iterate(0.01) of another loop."""
    rounds, poll = rounds_of([1, 1, 1])
    rounds.wait = Rests(1.5)
    rounds.iterate(0.01)
    assert poll.waits == [0.01]
