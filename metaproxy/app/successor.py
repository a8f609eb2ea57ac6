"""
The new process's part of an upgrade: it waits until it could serve, takes what the old one has, and accepts.

Lives here: `Successor`. Does not: the old one's part (`upgrade`), the form of what they say (`handover`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from metaproxy.admin.roles import Adopting, IReactor, Json
from metaproxy.admin.service import AdminService
from metaproxy.app.handover import VERSION, Handed, Link, connected
from metaproxy.app.service import ProxyService
from metaproxy.app.upgrade import Upgrade
from metaproxy.config.schema.nodes import Scalar
from metaproxy.proxy.transport import Network
from metaproxy.support.addresses import Address, show
from metaproxy.support.inherited import InheritedSockets

log = Logger()

LOOK_EVERY = 0.02
"""Seconds between looks whether it could serve."""


class Taking(Protocol):
    """What takes the state: `carried.Carried`."""

    def take(self, state: Mapping[str, object]) -> Sequence[str]:
        """Return a line for each thing that can't be taken."""

    def take_counts(self, given: Mapping[str, object]) -> Sequence[str]:
        """The same, of what was counted since."""


class Successor:
    """
    could_serve: whether endpoints are found and the like; listening: where the process listens; serving: called when it
    accepts; stop: ends the process.
    """

    def __init__(
        self,
        handed: Handed,
        inherited: InheritedSockets,
        carried: Taking,
        could_serve: Callable[[], bool],
        listening: Callable[[], Iterable[Address]],
        serving: Callable[[], object],
        stop: Callable[[], object],
        reactor: IReactor,
        adopting: Adopting,
    ) -> None:
        self._handed = handed
        self._inherited = inherited
        self._carried = carried
        self._could_serve = could_serve
        self._listening = listening
        self._serving = serving
        self._stop = stop
        self._reactor = reactor
        self._adopting = adopting
        self._link: Link | None = None
        self._done = self._over = False
        self._waiting: list[Deferred[None]] = []
        self._look = LoopingCall(self._is_ready)
        self._look.clock = reactor

    def start(self) -> None:
        """The reactor runs."""
        self._link = connected(self._adopting, self._handed.link, Link(self._heard, self._ended))
        self._look.start(LOOK_EVERY)

    def _is_ready(self) -> None:
        if self._link is None or (self._handed.document["warm"] and not self._could_serve()):
            return
        self._look.stop()
        entries = zip(self._handed.sockets, self._handed.document["sockets"], strict=True)
        numbers = {id(one): entry["fd"] for one, entry in entries}
        taken = [one for one in self._inherited.taken if id(one) in numbers]
        places = {one.where for one in taken}
        self._link.send(
            {
                "ready": {
                    "pid": os.getpid(),
                    "taken": [numbers[id(one)] for one in taken],
                    "took": sorted(one.bound for one in taken),
                    "bound": sorted({show(one.sockaddr) for one in self._listening() if one not in places}),
                    "closed": self._inherited.close_left(),
                }
            }
        )

    def over(self) -> Deferred[None]:
        """Fires when the process before has ended, and so has said all that it counted."""
        found: Deferred[None] = Deferred()
        if self._over:
            found.callback(None)
        else:
            self._waiting.append(found)
        return found

    def pause_ended(self, name: str) -> None:
        """What the process before still holds of a cluster goes on, too."""
        if self._link is not None and self._done:
            self._link.send({"resume": name})

    def _heard(self, content: Json) -> None:
        if "stop" in content:
            log.error("upgrade: the process before goes on: {why}", why=content["stop"])
            self._done = True
            self._stop()
        elif "counts" in content and self._done:
            counts = content["counts"]
            self._warn(self._carried.take_counts(counts) if isinstance(counts, dict) else [])
        elif "go" in content and not self._done:
            self._begin(content["go"])

    def _warn(self, lines: Iterable[str]) -> None:
        for line in lines:
            log.warn("upgrade: not carried over: {line}", line=line)

    def _begin(self, given: object) -> None:
        """given: what the process before had at this moment."""
        self._done = True
        state = given.get("state") if isinstance(given, dict) and given.get("version") == VERSION else None
        if isinstance(state, dict):
            self._warn(self._carried.take(state))
        else:
            log.warn("upgrade: nothing but sockets is carried over: the process before describes the rest otherwise")
        self._inherited.begin()
        if self._link is not None:
            self._link.send({"serving": os.getpid()})
        self._handed.restore_stderr()
        log.info("upgrade: serving in the place of process {pid}", pid=self._handed.document["pid"])
        self._serving()

    def _ended(self) -> None:
        self._over = True
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)
        if self._done:
            return
        # It did not say stop: so it died, and its clients have only this process.
        pid = self._handed.document["pid"]
        log.error("upgrade: process {pid} ended before it handed over; this one serves", pid=pid)
        if self._look.running:
            self._look.stop()
        self._inherited.close_left()
        self._begin({"version": VERSION, "state": {}})


def follow(
    handed: Handed,
    inherited: InheritedSockets,
    carried: Taking,
    network: Network,
    admin: AdminService,
    proxy: ProxyService,
    upgrade: Upgrade,
    reactor: IReactor,
) -> Successor:
    """Have this process take the place of the one that started it, as soon as the reactor runs."""

    def listening() -> list[Address]:
        own = [] if admin.port is None else [admin.port.where]
        return [*(one.address for one in network.listening()), *own]

    def serving() -> None:
        upgrade.waits = False

    upgrade.epoch, upgrade.parent, upgrade.waits = handed.document["epoch"], handed.document["pid"], True
    successor = Successor(
        handed, inherited, carried, lambda: proxy.ready, listening, serving, reactor.stop, reactor,
        cast(Adopting, reactor),
    )  # fmt: skip
    proxy.pause_ended.append(successor.pause_ended)
    reactor.callWhenRunning(successor.start)
    return successor


def live_of(handed: Handed) -> dict[str, Scalar]:
    """Return the live values of the process before: the configuration is checked with them."""
    given = handed.document["state"].get("live") if handed.document["version"] == VERSION else None
    found = given if isinstance(given, dict) else {}
    return {str(name): value for name, value in found.items() if isinstance(value, str | int | float | bool)}
