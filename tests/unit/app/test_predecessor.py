"""A process that leaves, over real sockets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from metaproxy.app.handover import Link
from metaproxy.app.pid_file import PidFile
from metaproxy.app.predecessor import PATIENCE, RunningProxy
from metaproxy.app.systemd import Notifier
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.transport import Network
from metaproxy.support.addresses import parse

REACTOR: Any = reactor


class Leaving:
    """
    What an admin API, a proxy and a state are to it. draining: ends when the proxy has drained; counts: when workers
    have said what they counted.
    """

    def __init__(self, tmp_path: Path) -> None:
        self.clock = Clock()
        self.happened: list[object] = []
        self.draining: Deferred[None] = Deferred()
        self.counts: Deferred[None] = succeed(None)
        self.ready = True
        self.port: Any = None
        vars(self.clock)["stop"] = lambda: self.happened.append("stop")
        self.pid_file = tmp_path / "twistd.pid"
        self.pid_file.write_text("1")
        self.options: dict[str, object] = {"pidfile": str(self.pid_file)}
        self.network = Network(REACTOR, FlushQueue(REACTOR))
        self.paths = [tmp_path / "a", tmp_path / "b"]
        for path in self.paths:
            self.network.listen(parse(f"unix:{path}"), lambda connection: None)
        me: Any = self
        self.running = RunningProxy(
            self.network, me, me, me, PidFile(self.options), Notifier({}), me.clock, lambda: self.counts
        )  # fmt: skip

    def state(self) -> dict[str, object]:
        return {"live": {}}

    def counted(self) -> dict[str, object]:
        return {"listener": 1}

    def drain(self, patient: bool) -> Deferred[None]:
        assert patient
        self.network.close()
        return self.draining

    def resume(self, name: str) -> None:
        self.happened.append(name)

    def hand_over(self, taken: bool) -> None:
        self.happened.append(("admin", taken))


@pytest.fixture
def leaving(tmp_path: Path) -> Leaving:
    return Leaving(tmp_path)


def test_it_leaves_the_files_of_sockets_that_are_taken_and_ends_when_it_has_drained(leaving: Leaving) -> None:
    entries = leaving.running.sockets()
    assert [(one["kind"], one["listen"]) for one in entries] == [("listener", f"unix:{one}") for one in leaving.paths]
    assert leaving.running.state() == {"live": {}} and leaving.running.warm()
    leaving.running.starting()
    assert not leaving.pid_file.exists()
    link, transport = Link(lambda content: None, lambda: None), StringTransport()
    link.makeConnection(transport)
    leaving.running.leave(7, [entries[0]["fd"]], link)
    assert [one.exists() for one in leaving.paths] == [True, False]
    assert leaving.options["pidfile"] == f"{leaving.pid_file}.{os.getpid()}"
    leaving.running.resume("one")
    assert leaving.happened == [("admin", False), "one"] and not transport.disconnecting
    leaving.draining.callback(None)
    assert transport.value() == b'{"counts": {"listener": 1}}\n'
    assert transport.disconnecting and "stop" not in leaving.happened
    leaving.clock.advance(1)
    assert leaving.happened[-1] == "stop"


def test_what_workers_counted_up_to_the_end_is_sent_too(leaving: Leaving) -> None:
    leaving.counts = Deferred()
    link, transport = Link(lambda content: None, lambda: None), StringTransport()
    link.makeConnection(transport)
    leaving.running.leave(7, [], link)
    leaving.draining.callback(None)
    assert transport.value() == b""
    leaving.counts.callback(None)
    assert transport.value() == b'{"counts": {"listener": 1}}\n'


def test_it_does_not_end_before_the_one_before_it_has(leaving: Leaving) -> None:
    """Whose last counts go on from here."""
    before: Deferred[None] = Deferred()
    leaving.running.before = lambda: before
    link, transport = Link(lambda content: None, lambda: None), StringTransport()
    link.makeConnection(transport)
    leaving.running.leave(7, [], link)
    leaving.draining.callback(None)
    assert transport.value() == b""
    before.callback(None)
    assert transport.value() == b'{"counts": {"listener": 1}}\n'


def test_it_does_not_wait_for_ever_for_the_one_before_it(leaving: Leaving) -> None:
    leaving.running.before = Deferred
    link, transport = Link(lambda content: None, lambda: None), StringTransport()
    link.makeConnection(transport)
    leaving.running.leave(7, [], link)
    leaving.draining.callback(None)
    leaving.clock.advance(PATIENCE)
    assert transport.disconnecting


def test_it_stays(leaving: Leaving) -> None:
    leaving.running.starting()
    leaving.running.stays()
    assert leaving.pid_file.read_text() == "1"
    leaving.network.close()


def test_a_port_of_the_admin_api_is_handed_over_too(leaving: Leaving) -> None:
    class Port:
        where, keeps_file = parse("127.0.0.1:9901"), False

        def fileno(self) -> int:
            return 44

    leaving.port = Port()
    assert leaving.running.sockets()[-1] == {
        "fd": 44, "kind": "admin", "listen": "127.0.0.1:9901", "keeps_file": False,
    }  # fmt: skip
    leaving.running.leave(7, [44], Link(lambda content: None, lambda: None))
    assert leaving.happened == [("admin", True)]
