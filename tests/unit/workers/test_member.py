"""One worker as the supervisor knows it: its life, and what it has."""

from __future__ import annotations

import os
import socket

import pytest
from loop import Loop
from twisted.logger import capturedLogs, formatEvent
from workers_in_memory import Spawned

from metaproxy.workers import member
from metaproxy.workers.member import ENDING, GONE, READY, STARTING, Member
from metaproxy.workers.messages import HandedConnection, Line, Took


class Life:
    """A member with its fellow, and what was heard of it."""

    def __init__(self, ready: bool = True) -> None:
        self.loop = Loop()
        self.spawned = Spawned(self.loop, ready)
        self.heard: list[str] = []
        self.member = Member(
            0, self.loop, self.spawned, lambda one: self.heard.append("ready"), lambda one: self.heard.append("gone"), 3
        )

    def start(self) -> Life:
        self.member.start()
        self.loop.turn()
        return self

    def hand(self, listener: str) -> bool:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            return self.member.hand(HandedConnection(listener, "here", "there"), theirs.fileno())

    def end(self, how: str = "signal 9") -> None:
        self.spawned.die(0, how)


def test_it_is_starting_until_its_process_says_that_it_is_there() -> None:
    life = Life(ready=False)
    assert life.member.state == GONE
    life.start()
    assert (life.member.state, life.heard) == (STARTING, [])
    life.spawned.fellows[0].ready()
    life.loop.turn()
    assert life.heard == ["ready"]
    assert (life.member.pid, life.member.data_path) == (1001, "pure")


def test_its_process_is_given_its_cpu() -> None:
    assert Life().start().spawned.cpus == [3]


def test_a_process_that_can_not_be_started_leaves_it_gone() -> None:
    life = Life()
    life.spawned.refuse = 1
    with pytest.raises(OSError, match="unavailable"):
        life.start()
    assert life.member.state == GONE
    assert life.start().member.state == STARTING


def test_its_connections_are_counted_until_they_end() -> None:
    life = Life().start()
    for listener in ("a", "a", "b"):
        life.hand(listener)
    life.loop.turn()
    assert life.member.take_back() == []
    assert (life.member.connections, life.member.total, life.member.given) == ({"a": 2, "b": 1}, 3, 3)
    life.spawned.fellows[0].leave("a")
    life.loop.turn()
    assert (life.member.connections["a"], life.member.total, life.member.given) == (1, 2, 3)


def test_with_its_end_its_connections_are_lost_and_it_can_be_started_again() -> None:
    life = Life().start()
    life.hand("a")
    life.hand("a")
    life.loop.turn()
    life.end("status 1")
    assert life.heard == ["ready", "gone"]
    assert (life.member.state, life.member.why, life.member.lost) == (GONE, "status 1", 2)
    assert (life.member.total, life.member.connections["a"]) == (0, 0)
    life.start()
    assert (life.member.restarts, life.member.state, life.member.why) == (1, STARTING, "")
    assert life.member.lost == 2


def test_what_it_was_handed_and_has_not_said_to_have_is_not_lost_with_it() -> None:
    life = Life().start()
    life.spawned.fellows[0].takes = False
    life.hand("a")
    life.loop.turn()
    life.spawned.fellows[0].line.tell(Took())  # read behind its end, as the system may say that first
    life.hand("b")
    life.end()
    assert life.member.lost == 1
    ((message, descriptor),) = life.member.take_back()
    assert message.listener == "b"
    os.close(descriptor)
    assert not life.hand("a"), "it has no line"


def test_a_process_that_closes_its_line_is_ended() -> None:
    life = Life().start()
    life.spawned.fellows[0].line.close()
    life.loop.turn()
    assert life.member.state == ENDING
    assert life.spawned.processes[0].signals == ["KILL"]


def test_it_takes_connections_while_it_is_ready_and_takes_what_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member, "MOST_WAITING", 3)
    life = Life().start()
    assert not life.member.takes
    life.member.state = READY
    assert life.member.takes
    channel = life.member.channel
    assert channel is not None
    while channel.waiting < 3:
        channel.tell(HandedConnection("a", "x" * 50_000, ""))
    assert not life.member.takes
    life.loop.until(lambda: channel.waiting < 3)
    assert life.member.takes
    life.end()
    assert not life.member.takes


def test_what_it_logs_is_logged_with_its_number() -> None:
    life = Life().start()
    with capturedLogs() as found:
        life.spawned.fellows[0].line.tell(Line("warn", "metaproxy.cluster", "a server {is} gone"))
        life.loop.turn()
    assert [formatEvent(one) for one in found] == ["worker 0: a server {is} gone"]
    assert found[0]["log_namespace"] == "metaproxy.cluster"
