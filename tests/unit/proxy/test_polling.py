"""Which sockets are ready, in Python and in C: the same either way."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from metaproxy.proxy.polling import MOST, Poll, Polling, Watched, new_poll


class Watching:
    """Notes what it is called for, and does what it is asked to."""

    def __init__(self, act: Callable[[], None] | None = None) -> None:
        self.calls: list[str | int] = []
        self.fd = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._act = act

    def read(self) -> None:
        self.calls.append("read")
        if self._act is not None:
            self._act()

    def on_events(self, events: int) -> None:
        self.calls.append(events)


class Failures(list[tuple[Watched, str]]):
    def __call__(self, one: Watched) -> None:
        self.append((one, type(sys.exc_info()[1]).__name__))


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture(params=["quickest", "plain"])
def poll(request: pytest.FixtureRequest, failures: Failures) -> Iterator[Polling]:
    made = new_poll(failures) if request.param == "quickest" else Poll(failures)
    yield made
    for one in made.watched():
        assert isinstance(one, Watching)
        os.close(one.fd)
    made.close()


def watch(poll: Polling, act: Callable[[], None] | None = None, events: int = select.EPOLLIN) -> Watching:
    one = Watching(act)
    poll.register(one.fd, one, events)
    return one


def test_what_is_ready_is_called_and_no_other(poll: Polling) -> None:
    ready, empty = watch(poll), watch(poll)
    os.eventfd_read(empty.fd)
    assert poll.wait(0) == poll.left == 1
    assert poll.see_to(8) == poll.left == 0
    assert (ready.calls, empty.calls) == (["read"], [])
    assert poll.see_to(8) == 0
    assert ready.calls == ["read"]


def test_other_events_and_several_at_once_are_told(poll: Polling) -> None:
    both, room = watch(poll, events=select.EPOLLIN | select.EPOLLOUT), watch(poll)
    poll.modify(room.fd, select.EPOLLOUT)
    poll.wait(None)
    poll.see_to(8)
    assert (both.calls, room.calls) == ([select.EPOLLIN | select.EPOLLOUT], [select.EPOLLOUT])


def test_as_many_are_seen_to_as_is_said_and_the_others_are_left(poll: Polling) -> None:
    ones = [watch(poll) for _ in range(5)]
    assert poll.wait(0) == 5
    assert poll.see_to(2) == 3
    assert sum(len(one.calls) for one in ones) == 2
    assert poll.see_to(0) == 3
    assert poll.see_to(100) == 0
    assert [one.calls for one in ones] == [["read"]] * 5


def test_more_than_one_look_finds_come_with_the_next(poll: Polling) -> None:
    ones = [watch(poll) for _ in range(MOST + 3)]
    for _ in range(2):
        poll.wait(0)
        assert 0 < poll.left <= MOST
        for _ in range(poll.left):
            poll.see_to(1)
        for one in ones:
            if one.calls and one.calls != ["over"]:
                os.eventfd_read(one.fd)
                one.calls[:] = ["over"]
    assert all(one.calls == ["over"] for one in ones)


def test_what_was_found_of_one_that_is_forgotten_is_not_for_another_with_its_number(poll: Polling) -> None:
    first, second = watch(poll), watch(poll)
    poll.wait(0)
    poll.see_to(1)
    late = second if first.calls else first
    assert poll.forget(late.fd)
    assert not poll.forget(late.fd)
    again = Watching()
    os.dup2(again.fd, late.fd)
    os.close(again.fd)
    again.fd = late.fd
    poll.register(again.fd, again, select.EPOLLIN)
    assert poll.see_to(8) == 0
    assert (late.calls, again.calls) == ([], [])
    poll.wait(0)
    poll.see_to(8)
    assert again.calls == ["read"]


def test_one_that_raises_costs_the_others_nothing(poll: Polling, failures: Failures) -> None:
    def broken() -> None:
        raise SystemExit

    wrong, right = watch(poll, broken), watch(poll)
    poll.wait(0)
    assert poll.see_to(8) == 0
    assert failures == [(wrong, "SystemExit")]
    assert right.calls == ["read"]


def test_it_waits_until_something_comes_and_no_longer_than_is_said(poll: Polling) -> None:
    one = watch(poll)
    os.eventfd_read(one.fd)
    began = time.monotonic()
    assert poll.wait(0.0101) == 0
    assert time.monotonic() - began >= 0.0101
    assert poll.wait(-1.0) == poll.wait(0.0) == 0
    os.eventfd_write(one.fd, 1)
    assert poll.wait(2e6) == 1


def test_one_that_is_closed_by_what_it_calls_finds_nothing_more(failures: Failures) -> None:
    for poll in (new_poll(failures), Poll(failures)):
        ones = [watch(poll, poll.close) for _ in range(2)]
        poll.wait(0)
        poll.see_to(1)
        assert poll.wait(0) == poll.wait(None) == 0
        for one in ones:
            os.close(one.fd)
    assert failures == []


def test_a_descriptor_that_can_not_be_watched_is_an_error_and_is_not_kept(poll: Polling) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        poll.register(999_999, Watching(), select.EPOLLIN)
    assert poll.watched() == []
    one = watch(poll)
    with pytest.raises(FileExistsError):
        poll.register(one.fd, one, select.EPOLLIN)
    assert not poll.forget(999_999)


def test_its_own_descriptor_can_be_read_while_one_is_ready(poll: Polling) -> None:
    with select.epoll() as outer:
        outer.register(poll.fileno(), select.EPOLLIN)
        assert outer.poll(0) == []
        watch(poll)
        assert len(outer.poll(1)) == 1
