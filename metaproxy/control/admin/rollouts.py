"""
Rollouts: /rollouts, /rollouts/return.

Lives here: these endpoints. Does not: what a rollout is (`control.rollout`), how it is shown (`shown`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.admin.resource import AdminRequest, AdminResponse, HttpError, Json, as_json, nearest
from metaproxy.control.admin.of_fleet import OfFleet
from metaproxy.control.fleet import Fleet
from metaproxy.control.plane import Plane
from metaproxy.control.rollout import Rollout
from metaproxy.control.server import Control

_SHAPE = 'JSON such as {"group": "", "reason": "orders fail"}'


class Rates(Protocol):
    """Error rates that are watched."""

    def shown(self, rollout: Rollout) -> Json: ...


class Rollouts(OfFleet):
    path = "/rollouts"
    about = "Rollouts: which share of the nodes has which release, until when, and the error rates on both sides."

    def __init__(self, control: Control, fleet: Fleet, plane: Plane, clock: IReactorTime, rates: Rates) -> None:
        super().__init__(control, fleet, plane, clock)
        self._rates = rates

    def get(self, ask: AdminRequest) -> AdminResponse:
        plan = self.plane.plan
        found = list(plan.rollouts.values()) if plan is not None else []
        now = self.plane.wall()
        shown = self.shown()
        return as_json({"rollouts": [{**shown.rollout(one, now), **self._rates.shown(one)} for one in found]})


class GiveBack(OfFleet):
    path = "/rollouts/return"
    about = "POST ends a rollout: all its nodes get the release before. Body: group and reason."

    def post(self, ask: AdminRequest) -> Deferred[AdminResponse]:
        given = ask.json(_SHAPE)
        group, reason = _asked(given)
        rollouts: Mapping[str, Rollout] = self.plane.plan.rollouts if self.plane.plan is not None else {}
        rollout = rollouts.get(group)
        if rollout is None:
            raise HttpError(404, f"no rollout of the group {group[:200]!r}; {nearest(group, list(rollouts))}", "group")
        if rollout.returned is not None:
            raise HttpError(409, f"it was ended already: {rollout.returned.reason}", "group")
        done = self.plane.give_back(rollout, reason)
        return done.addCallbacks(lambda _: as_json({"returned": rollout.spec.before}), _not_written)


def _asked(given: object) -> tuple[str, str]:
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise HttpError(400, f"not an object; write {_SHAPE}", "body")
    group, reason = given.get("group", ""), given.get("reason", "by an operator")
    if not isinstance(group, str) or not isinstance(reason, str):
        raise HttpError(400, f"group and reason are texts; write {_SHAPE}", "body")
    return group, reason


def _not_written(failure: Failure) -> AdminResponse:
    text = f"it is ended here, but could not be written to the source, so others do not know: {failure.value}"
    raise HttpError(500, text, "source")
