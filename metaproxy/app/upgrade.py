"""
The old process's part of an upgrade: it starts the new one and goes on serving until that one has taken its place.

Lives here: `Upgrade`. Does not: the new one's part (`successor`), the form of what they say (`handover`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from metaproxy.admin.roles import Adopting, IReactor, Json, UpgradeFailed
from metaproxy.app.handover import VERSION, Document, Link, NewProcess, SocketEntry, Spawned, connected

log = Logger()

TIMEOUT = 60.0
"""Seconds that a new process has until it serves, by default."""
ENDED = 1.0
"""Seconds in which the exit code of a process that has closed the link is there."""
LOOKS = 20


class Predecessor(Protocol):
    """The running proxy, as an upgrade sees it."""

    def sockets(self) -> list[SocketEntry]:
        """All that listens."""

    def state(self) -> Json:
        """What the new process is to know besides its configuration."""

    def warm(self) -> bool: ...

    def starting(self) -> None:
        """A new process was started."""

    def stays(self) -> None:
        """The new process failed: this one goes on as before."""

    def resume(self, name: str) -> None:
        """A pause of a cluster has ended in the new process."""

    def leave(self, pid: int, taken: Sequence[int], link: Link) -> None:
        """Another process serves: accept no more, drain, end. taken: descriptors that it has; link: speaks to it."""


Start = Callable[[Document], NewProcess]
"""Starts a new process. Raises OSError."""


@dataclass
class _Attempt:
    """One upgrade that is under way."""

    process: NewProcess
    began: float
    done: Deferred[Json]
    link: Link | None = None
    timer: IDelayedCall | None = None
    found: Mapping[str, object] = field(default_factory=dict)


class Upgrade:
    """
    epoch: how many upgrades led to this process. parent: the pid of the process before it, 0 for none. last: how the
    last attempt ended, None before the first.
    """

    def __init__(self, proxy: Predecessor, start: Start, reactor: IReactor, adopting: Adopting) -> None:
        self.epoch = 0
        self.parent = 0
        self.last: Json | None = None
        self.leaving = False
        self.waits = False
        self._proxy = proxy
        self._start = start
        self._reactor = reactor
        self._adopting = adopting
        self._now: _Attempt | None = None

    def status(self) -> Json:
        """Return what /upgrade shows."""
        state = "leaving" if self.leaving else "starting" if self.waits else "upgrading" if self._now else "serving"
        return {"state": state, "pid": os.getpid(), "epoch": self.epoch, "parent_pid": self.parent, "last": self.last}

    def begin(self, timeout: float = TIMEOUT) -> Deferred[Json]:
        """
        Start a new process. Fires with what it took once it serves; fails with UpgradeFailed when it does not within
        `timeout` seconds, and this one goes on. Raises UpgradeFailed at once while one is under way.
        """
        if self._now is not None or self.leaving or self.waits:
            raise UpgradeFailed("an upgrade is under way; wait for its end")
        done: Deferred[Json] = Deferred()
        document: Document = {
            "version": VERSION, "pid": os.getpid(), "epoch": self.epoch + 1, "warm": self._proxy.warm(),
            "sockets": self._proxy.sockets(), "state": self._proxy.state(),
        }  # fmt: skip
        self._proxy.starting()
        try:
            process = self._start(document)
        except OSError as error:
            self._not_upgraded(f"the new process can't be started: {error}", done)
            return done
        log.info("upgrade: process {pid} is started", pid=process.pid)
        attempt = self._now = _Attempt(process, self._reactor.seconds(), done)
        attempt.timer = self._reactor.callLater(timeout, self._too_late, attempt, timeout)
        link = Link(lambda content: self._heard(attempt, content), lambda: self._ended(attempt))
        attempt.link = connected(self._adopting, process.link, link)
        return done

    def by_signal(self) -> None:
        """The same, where only the log can say how it ended."""
        try:
            self.begin().addErrback(lambda failure: failure.trap(UpgradeFailed))
        except UpgradeFailed as error:
            log.warn("upgrade: {error}", error=error)

    # -- what the new process says

    def _heard(self, attempt: _Attempt, content: Json) -> None:
        if self.leaving and "resume" in content:
            self._proxy.resume(str(content["resume"]))
        if self._now is not attempt:
            return
        if "failed" in content:
            self._failed(attempt, str(content["failed"]))
        elif "ready" in content and attempt.link is not None and not attempt.found:
            ready = content["ready"]
            attempt.found = ready if isinstance(ready, dict) else {}
            attempt.link.send({"go": {"version": VERSION, "state": self._proxy.state()}})
        elif "serving" in content and attempt.found:
            self._handed_over(attempt)

    def _handed_over(self, attempt: _Attempt) -> None:
        self._now, self.leaving = None, True
        if attempt.timer is not None:
            attempt.timer.cancel()
        found = attempt.found
        pid = _int(found.get("pid"))
        taken = found.get("taken")
        descriptors = [_int(one) for one in taken] if isinstance(taken, list) else []
        attempt.process.forget()
        seconds = round(self._reactor.seconds() - attempt.began, 3)
        self.last = {
            "upgraded": True, "pid": pid, "seconds": seconds,
            **{key: found.get(key, []) for key in ("took", "bound", "closed")},
        }  # fmt: skip
        log.info("upgrade: process {pid} serves after {seconds} s; this one drains", pid=pid, seconds=seconds)
        assert attempt.link is not None  # it said so on it
        self._proxy.leave(pid, descriptors, attempt.link)
        attempt.done.callback(self.last)

    # -- why there is none

    def _ended(self, attempt: _Attempt) -> None:
        """The link is closed: its exit code may not be there yet."""
        if self._now is attempt:
            self._look(attempt, LOOKS)

    def _look(self, attempt: _Attempt, left: int) -> None:
        if self._now is not attempt:
            return
        code = attempt.process.exit_code()
        if code is None and left:
            self._reactor.callLater(ENDED / LOOKS, self._look, attempt, left - 1)
        else:
            how = "closed the connection to this one" if code is None else f"ended with {code}"
            self._failed(attempt, f"the new process {how} before it served")

    def _too_late(self, attempt: _Attempt, timeout: float) -> None:
        attempt.timer = None
        if self._now is attempt:
            why = "" if not attempt.found else "; it had been ready"
            self._failed(attempt, f"the new process did not serve within {timeout:g} s{why}")

    def _failed(self, attempt: _Attempt, text: str) -> None:
        self._now = None
        if attempt.timer is not None and attempt.timer.active():
            attempt.timer.cancel()
        errors = attempt.process.errors().strip()
        if attempt.link is not None:
            attempt.link.send({"stop": text})
            attempt.link.close()
        attempt.process.kill()
        attempt.process.forget()
        self._not_upgraded(f"{text}\n{errors}" if errors and errors not in text else text, attempt.done)

    def _not_upgraded(self, text: str, done: Deferred[Json]) -> None:
        self.last = {"upgraded": False, "error": text}
        log.error("upgrade: {text}\nthis process goes on", text=text)
        self._proxy.stays()
        done.errback(UpgradeFailed(text))


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def upgrades(proxy: Predecessor, reactor: IReactor) -> Upgrade:
    """Return upgrades of this process by another one with its command line, started where it was started itself."""
    command = [sys.executable, *sys.orig_argv[1:]]
    return Upgrade(proxy, partial(Spawned, command, os.getcwd()), reactor, cast(Adopting, reactor))
