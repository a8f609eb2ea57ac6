"""The old process's part of an upgrade."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import pytest
from other_process import other_end

from metaproxy.admin.roles import Json, UpgradeFailed
from metaproxy.app.handover import Document, Link, SocketEntry
from metaproxy.app.upgrade import Upgrade


class Process:
    """A new process that was started."""

    pid = 77

    def __init__(self) -> None:
        self.link, self.theirs = socket.socketpair()
        self.code: int | None = None
        self.stderr = ""
        self.killed = False

    def exit_code(self) -> int | None:
        return self.code

    def errors(self) -> str:
        return self.stderr

    def kill(self) -> None:
        self.killed = True

    def forget(self) -> None:
        self.theirs.close()


class Old:
    """The proxy that runs. happened: what it was asked to do."""

    def __init__(self) -> None:
        self.reactor = other_end()
        self.happened: list[object] = []
        self.documents: list[Document] = []
        self.process = Process()
        self.broken = ""
        self.upgrade = Upgrade(self, self.start, self.reactor, self.reactor)
        self.ends: list[Any] = []

    def start(self, document: Document) -> Process:
        if self.broken:
            raise OSError(self.broken)
        self.documents.append(document)
        return self.process

    def begin(self, timeout: float = 10.0) -> None:
        self.upgrade.begin(timeout).addBoth(self.ends.append)

    @property
    def error(self) -> str:
        """Why the one attempt failed."""
        (failure,) = self.ends
        assert failure.check(UpgradeFailed)
        return str(failure.value)

    def sockets(self) -> list[SocketEntry]:
        return [{"fd": 7, "kind": "listener", "listen": "127.0.0.1:80", "keeps_file": False}]

    def state(self) -> Json:
        return {"live": {"canary": len(self.happened)}}

    def warm(self) -> bool:
        return True

    def starting(self) -> None:
        self.happened.append("starting")

    def stays(self) -> None:
        self.happened.append("stays")

    def resume(self, name: str) -> None:
        self.happened.append(f"resume {name}")

    def leave(self, pid: int, taken: Sequence[int], link: Link) -> None:
        self.happened.append(("leaves", pid, list(taken)))


READY = {"pid": 78, "taken": [7], "took": ["127.0.0.1:80"], "bound": [], "closed": []}


def test_it_leaves_when_the_new_process_serves_and_not_before() -> None:
    old = Old()
    old.begin()
    (document,) = old.documents
    assert (document["epoch"], document["warm"], document["sockets"]) == (1, True, old.sockets())
    assert document["state"] == {"live": {"canary": 0}}
    assert old.upgrade.status()["state"] == "upgrading"
    old.reactor.says(ready=READY)
    assert old.reactor.heard() == [{"go": {"version": 1, "state": {"live": {"canary": 1}}}}], "as it is then"
    assert old.happened == ["starting"] and not old.ends
    old.reactor.advance(2)
    old.reactor.says(serving=78)
    assert old.happened[1:] == [("leaves", 78, [7])]
    assert old.ends == [
        {"upgraded": True, "pid": 78, "seconds": 2.0, "took": ["127.0.0.1:80"], "bound": [], "closed": []}
    ]
    assert (old.upgrade.status()["state"], old.upgrade.status()["last"]) == ("leaving", old.ends[0])
    old.reactor.advance(100)
    old.reactor.says(resume="one")
    assert old.happened[2:] == ["resume one"] and not old.process.killed


def test_there_is_one_upgrade_at_a_time() -> None:
    old = Old()
    old.begin()
    with pytest.raises(UpgradeFailed, match="under way"):
        old.upgrade.begin()
    old.upgrade.by_signal()
    old.reactor.says(ready=READY)
    old.reactor.says(serving=78)
    with pytest.raises(UpgradeFailed, match="under way"):
        old.upgrade.begin()
    assert len(old.documents) == 1


def test_a_process_that_has_not_begun_itself_starts_no_other() -> None:
    old = Old()
    old.upgrade.waits = True
    with pytest.raises(UpgradeFailed):
        old.upgrade.begin()
    assert old.upgrade.status()["state"] == "starting"


def test_it_goes_on_when_the_new_one_says_what_is_wrong() -> None:
    old = Old()
    old.begin()
    old.process.stderr = "a warning\n"
    old.reactor.says(failed="p.yaml:1:1: wrong")
    assert old.error == "p.yaml:1:1: wrong\na warning"
    assert old.happened == ["starting", "stays"] and old.upgrade.status()["state"] == "serving"
    assert old.upgrade.last == {"upgraded": False, "error": old.error}
    old.reactor.ends()
    old.process = Process()
    old.begin()
    assert len(old.documents) == 2, "and may try again"


def test_it_goes_on_when_the_new_one_ends_with_what_it_wrote_last() -> None:
    old = Old()
    old.begin()
    old.process.stderr = "ImportError: no module named gone"
    old.reactor.ends()
    assert not old.ends, "the exit code is not there yet"
    old.process.code = 1
    old.reactor.advance(0.1)
    assert "ended with 1" in old.error and "ImportError" in old.error
    assert old.happened == ["starting", "stays"]


def test_one_that_closes_the_link_and_lives_is_ended() -> None:
    old = Old()
    old.begin()
    old.reactor.ends()
    old.reactor.pump([0.1] * 20)
    assert "closed the connection" in old.error and old.process.killed


@pytest.mark.parametrize("ready", [False, True])
def test_one_that_hangs_is_ended_after_the_time_that_it_has(ready: bool) -> None:
    old = Old()
    old.begin(10)
    if ready:
        old.reactor.says(ready=READY)
        old.reactor.heard()
    old.reactor.advance(9.9)
    assert not old.process.killed and not old.ends
    old.reactor.advance(0.2)
    assert "within 10 s" in old.error and ("it had been ready" in old.error) == ready
    assert old.process.killed and [*old.reactor.heard()[0]] == ["stop"]
    old.reactor.says(ready=READY)
    old.reactor.says(serving=78)
    assert old.happened == ["starting", "stays"], "it is too late"


def test_one_that_can_not_be_started_is_an_error() -> None:
    old = Old()
    old.broken = "No such file or directory: '/opt/python'"
    old.begin()
    assert "/opt/python" in old.error and old.happened == ["starting", "stays"]
    old.upgrade.by_signal()
    assert len(old.happened) == 4


def test_it_serves_only_after_it_was_ready() -> None:
    old = Old()
    old.begin()
    old.reactor.says(serving=78)
    assert old.happened == ["starting"]
