"""
What was decided since the start and is in no configuration, in force in all workers: pauses of clusters, levels of the
log. The supervisor keeps it, so that a worker that is started again has it, and so has the process that follows.

Lives here: `Decisions`, and the endpoints of pauses. Does not: live values, which are part of a configuration; what is
decided about endpoints (`supervisor`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence

from twisted.internet.defer import Deferred, DeferredList

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, Json, as_json
from metaproxy.app.service import ProxyService
from metaproxy.telemetry.log_levels import LogLevels
from metaproxy.workers.member import READY, STARTING, Member
from metaproxy.workers.messages import LogLevelsAre, PauseCluster, ResumeCluster

PATIENCE = 2.0
"""Seconds that an answer waits for workers that are busy."""


class Decisions:
    """members: the workers; proxy: the supervisor's own, in which a pause holds nothing."""

    def __init__(self, members: Sequence[Member], proxy: ProxyService) -> None:
        self._members = members
        self._proxy = proxy
        self._levels: LogLevels | None = None
        self._asked: list[Deferred[object]] = []
        proxy.pause_begun.append(lambda name, most, seconds: self._ask(PauseCluster(name, most, seconds)))
        proxy.pause_ended.append(lambda name: self._ask(ResumeCluster(name)))

    def follow(self, levels: LogLevels) -> None:
        """Have these levels of the log in all workers."""
        self._levels = levels
        levels.changed.append(self._tell_levels)

    def tell(self, member: Member) -> None:
        """A worker has become ready: it takes connections from now on."""
        if member.channel is None:
            return
        self.tell_pauses(member)
        if self._levels is not None and self._levels.chosen:
            member.channel.tell(LogLevelsAre(dict(self._levels.chosen)))

    def tell_pauses(self, member: Member, but: Collection[str] = ()) -> None:
        """Tell it the pauses that there are. but: clusters that it had before, and so their pauses."""
        for name, (pause, seconds) in self._proxy.pauses().items():
            if name not in but and member.channel is not None:
                member.channel.tell(PauseCluster(name, pause.most, seconds))

    def forget_asked(self) -> None:
        """What was asked before, such as at the end of a pause by its time, is no part of the next `answers`."""
        self._asked = []

    def answers(self) -> Deferred[list[object]]:
        """Fires with what the workers that are there answer to the last pause, or to its end."""
        asked, self._asked = self._asked, []
        done: Deferred[list[object]] = Deferred()
        DeferredList(asked, consumeErrors=True).addCallback(
            lambda found: done.callback([answer for good, answer in found if good])
        )
        return done

    def _ask(self, message: object) -> None:
        self._asked = []
        for one in self._there():
            if one.channel is None:
                continue
            if one.answers:  # one that is gone meanwhile comes back with what is decided then
                asked = one.channel.ask(message).addTimeout(PATIENCE, self._proxy.network.clock)
                self._asked.append(asked.addErrback(lambda failure: None))
            else:  # it is busy, or gets another configuration: it may have a pause of before
                one.channel.tell(message)

    def _tell_levels(self) -> None:
        for member in self._there():
            if member.channel is not None and self._levels is not None:
                member.channel.tell(LogLevelsAre(dict(self._levels.chosen)))

    def _there(self) -> list[Member]:
        return [one for one in self._members if one.state in (STARTING, READY)]


class DecideAll(Endpoint):
    """
    Has all workers decide as the supervisor does. Answered when it is in force. inner: the supervisor's own; whole:
    what the answers of the workers are together.
    """

    def __init__(self, inner: Endpoint, decisions: Decisions, whole: Callable[[list[object]], Json]) -> None:
        self._inner = inner
        self._decisions = decisions
        self._whole = whole
        self.path, self.about = inner.path, inner.about  # type: ignore[misc]

    def post(self, ask: AdminRequest) -> Deferred[AdminResponse]:
        """Raises HttpError."""
        self._decisions.forget_asked()
        own: Json = json.loads(self._inner.post(ask).body)  # type: ignore[attr-defined]
        return self._decisions.answers().addCallback(lambda found: as_json({**own, **self._whole(found)}))


def paused(found: list[object]) -> Json:
    """Return what is under way in all workers."""
    return {"active": sum(one for one in found if isinstance(one, int))}


def resumed(found: list[object]) -> Json:
    """Return what all workers held."""
    parts = [one for one in found if isinstance(one, dict)]
    whole = {key: sum(one[key] for one in parts) for key in ("released", "refused")}
    return {**whole, "longest_wait_ms": max((one["longest_wait_ms"] for one in parts), default=0.0)}
