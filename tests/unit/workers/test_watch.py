"""Which workers are quiet, and which hang; and what the supervisor does about them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from loop import Loop, fired
from running_proxy import Running
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from workers_hall import RealHall
from workers_in_memory import Spawned

from metaproxy.config.check import check
from metaproxy.plugins import Registry
from metaproxy.workers.asking import AdminLine
from metaproxy.workers.channel import AskFailed
from metaproxy.workers.member import READY, STARTING
from metaproxy.workers.messages import Count, HandedConnection, Prepare
from metaproxy.workers.sums import Report
from metaproxy.workers.supervisor import COUNT_EVERY, PATIENCE, Workers
from metaproxy.workers.watch import HUNG, QUIET

TEXT = 'listeners: [{name: a, listen: "127.0.0.1:1", protocol: redis, routes: [{reply: {error: denied}}]}]'


class Hanging:
    """A supervisor with two workers, whose first one answers no question from `hang` on."""

    def __init__(self, ready: bool = True) -> None:
        self.loop = Loop()
        self.spawned = Spawned(self.loop, ready)
        self.workers = Workers(2, Running().proxy, self.loop, self.spawned)
        self.prepare()
        self.workers.commit()
        self.workers.startService()
        self.loop.turn()
        self.first, self.second = self.workers.members
        self.sockets: list[socket.socket] = []

    def prepare(self) -> list[object]:
        config, problems = check(TEXT, "x.yaml", Registry())
        assert config is not None, problems
        found = fired(self.workers.prepare(config, [], {}))
        self.loop.turn()
        return found

    def hang(self) -> Deferred[Report]:
        late: Deferred[Report] = Deferred()
        self.spawned.fellows[0].answers[Count] = late
        return late

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds / COUNT_EVERY)):
            self.loop.advance(COUNT_EVERY)

    def start_again(self) -> None:
        """The first one has ended, and is started again."""
        while self.first.state != STARTING:
            self.loop.advance(0.1)

    def connect(self) -> None:
        client, accepted = socket.socketpair()
        self.sockets.append(client)
        assert self.workers.hand("a", accepted.fileno(), "127.0.0.1:1", "c")
        accepted.close()
        self.loop.turn()

    def signals(self, number: int = 0) -> list[str]:
        return self.spawned.processes[number].signals


def test_a_worker_that_does_not_answer_gets_no_connection_until_it_does() -> None:
    hall = Hanging()
    late = hall.hang()
    hall.pass_time(QUIET - 2)
    assert hall.first.takes
    hall.pass_time(4)
    assert (hall.first.takes, hall.first.answers, hall.first.state) == (False, False, READY)
    for _ in range(3):
        hall.connect()
    assert [len(hall.spawned.fellows[number].of(HandedConnection)) for number in (0, 1)] == [0, 3]
    hall.spawned.fellows[0].answers[Count] = Report()
    late.callback(Report())
    hall.loop.turn()
    assert hall.first.takes
    hall.connect()
    assert len(hall.spawned.fellows[0].of(HandedConnection)) == 1


def test_a_worker_that_hangs_is_ended_and_started_again() -> None:
    hall = Hanging()
    hall.hang()
    hall.pass_time(HUNG - 2)
    assert hall.signals() == []
    hall.pass_time(4)
    assert (hall.signals(), hall.signals(1)) == (["KILL"], [])
    assert hall.second.answers
    hall.spawned.die(0)
    hall.pass_time(2)
    assert (hall.first.state, hall.first.restarts, hall.first.takes) == (READY, 1, True)


def test_a_worker_that_never_gets_ready_is_ended_and_the_others_serve_meanwhile() -> None:
    hall = Hanging(ready=False)
    hall.spawned.fellows[1].ready()
    hall.loop.turn()
    hall.connect()
    hall.pass_time(10)
    assert (hall.first.state, len(hall.spawned.fellows[1].of(HandedConnection))) == (STARTING, 1)
    hall.pass_time(HUNG)
    assert (hall.signals(), hall.signals(1)) == (["KILL"], [])


def test_one_that_never_gets_ready_has_twice_as_long_each_time_until_it_was_ready() -> None:
    hall = Hanging(ready=False)
    for times in (1, 2, 4):
        hall.pass_time(times * HUNG - 2)
        assert hall.signals() == []
        hall.pass_time(4)
        assert hall.signals() == ["KILL"]
        hall.spawned.die(0)
        hall.start_again()
    hall.spawned.fellows[0].ready()
    hall.loop.turn()
    hall.spawned.die(0)
    hall.start_again()
    hall.pass_time(HUNG + 2)
    assert hall.signals() == ["KILL"]


def test_a_worker_that_cannot_build_what_is_in_force_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    hall = Hanging(ready=False)

    def fail(message: object, descriptor: int) -> object:
        raise AskFailed("no")

    fellow = hall.spawned.fellows[0]
    broken: Deferred[object] = Deferred()
    fellow.answers[Prepare] = broken
    fellow.ready()
    hall.loop.turn()
    broken.errback(AskFailed("MemoryError"))
    hall.loop.turn()
    assert [type(one).__name__ for one in fellow.received] == ["Prepare", "Stop"]
    assert hall.first.state == STARTING


def test_a_configuration_waits_for_no_worker_that_is_quiet_and_for_others_until_they_are_ended() -> None:
    hall = Hanging()
    hall.hang()
    hall.pass_time(QUIET + 2)
    hall.spawned.fellows[0].answers[Prepare] = Deferred()
    assert hall.prepare() == [[]]
    assert len(hall.spawned.fellows[0].of(Prepare)) == 1  # the one of its start
    hall.workers.discard()
    hall.spawned.fellows[1].answers[Prepare] = Deferred()
    hall.spawned.fellows[1].answers[Count] = Deferred()
    found = hall.prepare()
    hall.pass_time(HUNG + 2)
    assert (found, hall.signals(1)) == ([], ["KILL"])
    hall.spawned.die(1)
    assert found == [[]]


def test_one_that_hangs_at_the_end_is_killed() -> None:
    hall = Hanging()
    hall.spawned.die(1)
    done = fired(hall.workers.stopService())
    hall.loop.turn()
    hall.loop.until(lambda: hall.first.state != STARTING)
    assert done == []
    for _ in range(3):
        hall.loop.advance(PATIENCE)
    assert (done, hall.signals()) == ([None], ["KILL"])


def test_a_quiet_worker_is_not_asked_over_its_admin_line(tmp_path: Path) -> None:
    hall = RealHall(tmp_path)
    hall.workers.members[0].quiet = True
    assert hall.get("/workers/0/clusters").status == 503
    assert hall.get("/workers/1/clusters").status == 200
    assert hall.get("/flows").status == 200
    failed = fired(AdminLine(hall.workers.members[0], hall.loop).connect(Factory()))
    assert isinstance(failed[0], Failure)
