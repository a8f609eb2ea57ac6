"""The new process's part of an upgrade."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence

import pytest
from other_process import other_end

from metaproxy.app.handover import Document, Handed, entry
from metaproxy.app.successor import Successor, live_of
from metaproxy.support.addresses import parse
from metaproxy.support.inherited import LISTENER, InheritedSocket, InheritedSockets


class New:
    """A process that was started by another one, with two sockets, of which it wants the first."""

    def __init__(self, warm: bool = True) -> None:
        self.reactor = other_end()
        self.opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        first, second = (
            InheritedSocket(sock, parse(f"127.0.0.1:{80 + place}"), LISTENER) for place, sock in enumerate(self.opened)
        )
        self.inherited = InheritedSockets([first, second], waiting=True)
        document: Document = {
            "version": 1, "pid": 70, "epoch": 2, "warm": warm, "state": {"live": {"canary": 30, "odd": [1]}},
            "sockets": [entry(17, LISTENER, first.where, False), entry(18, LISTENER, second.where, False)],
        }  # fmt: skip
        self.link, self.theirs = socket.socketpair()
        self.stderr, errors = os.dup(2), os.memfd_create("errors")
        self.handed = Handed(document, [first, second], self.link, errors, os.dup(2))
        self.warm = False
        self.state: Mapping[str, object] | None = None
        self.served = 0
        self.counts: Mapping[str, object] = {}
        self.inherited.take(parse("127.0.0.1:80"))
        self.successor = Successor(
            self.handed, self.inherited, self, lambda: self.warm,
            lambda: [parse("127.0.0.1:80"), parse("127.0.0.1:90")], self.serving, self.reactor.stop, self.reactor,
            self.reactor,
        )  # fmt: skip
        self.successor.start()

    def take(self, state: Mapping[str, object]) -> Sequence[str]:
        assert self.inherited.waiting, "before it accepts"
        self.state = state
        return ["something"]

    def take_counts(self, given: Mapping[str, object]) -> Sequence[str]:
        self.counts = given
        return []

    def serving(self) -> None:
        self.served += 1

    def close(self) -> None:
        for one in (*self.opened, self.link, self.theirs):
            one.close()
        os.close(self.stderr)


@pytest.fixture
def new() -> Iterator[New]:
    made = New()
    yield made
    made.close()


def test_it_is_ready_when_it_could_serve_and_accepts_when_it_may(new: New) -> None:
    new.reactor.advance(1)
    assert new.reactor.heard() == []
    new.warm = True
    new.reactor.advance(1)
    (said,) = new.reactor.heard()
    second = new.opened[1]
    assert said["ready"]["pid"] == os.getpid()
    assert (said["ready"]["taken"], said["ready"]["bound"]) == ([17], ["127.0.0.1:90"])
    assert [*map(len, (said["ready"]["took"], said["ready"]["closed"]))] == [1, 1] and second.fileno() == -1
    assert new.inherited.waiting
    new.reactor.says(go={"version": 1, "state": {"pauses": {}}})
    assert new.reactor.heard() == [{"serving": os.getpid()}]
    assert not new.inherited.waiting and new.state == {"pauses": {}} and new.served == 1
    new.successor.pause_ended("one")
    assert new.reactor.heard() == [{"resume": "one"}]
    new.reactor.says(counts={"listener": {}})
    assert new.counts == {"listener": {}}
    over: list[None] = []
    new.successor.over().addCallback(over.append)
    assert over == []
    new.reactor.ends()
    new.successor.over().addCallback(over.append)
    assert over == [None, None]
    assert new.served == 1 and not new.reactor.stopped


def test_it_ends_when_the_old_one_goes_on(new: New) -> None:
    new.reactor.says(stop="too late")
    assert new.reactor.stopped == 1
    new.reactor.ends()
    new.reactor.says(go={"version": 1, "state": {}})
    assert new.inherited.waiting and not new.served


def test_it_serves_when_the_old_one_died(new: New) -> None:
    new.reactor.ends()
    assert not new.inherited.waiting and new.served == 1 and not new.reactor.stopped
    new.reactor.advance(1)


def test_a_state_of_another_version_is_left(new: New) -> None:
    new.warm = True
    new.reactor.advance(1)
    new.reactor.says(go={"version": 9, "state": {"pauses": {}}})
    assert new.state is None and new.served == 1


def test_a_proxy_that_was_not_ready_itself_asks_for_no_more() -> None:
    new = New(warm=False)
    assert "ready" in new.reactor.heard()[0]
    new.close()


def test_a_pause_that_ends_before_it_serves_is_its_own(new: New) -> None:
    new.successor.pause_ended("one")
    assert new.reactor.heard() == []


def test_the_configuration_is_checked_with_the_live_values_of_before(new: New) -> None:
    assert live_of(new.handed) == {"canary": 30}
    new.handed.document["version"] = 9
    assert live_of(new.handed) == {}
