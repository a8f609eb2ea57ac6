"""
Nodes, versions and rollouts as the admin API's JSON has them.

Lives here: one function for each. Does not: endpoints (`fleet`, `rollouts`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from twisted.internet.interfaces import IReactorTime

from metaproxy.admin.resource import Json, as_time
from metaproxy.control.fleet import Fleet, NodeRecord
from metaproxy.control.nodes import Node
from metaproxy.control.plan import Plan
from metaproxy.control.rollout import Rollout
from metaproxy.control.rollout_spec import shown_moment
from metaproxy.control.stream import Stream
from metaproxy.control.subscription import Subscription

MAX_NAMES = 200
"""Names of resources that are listed of one subscription."""


class Shown:
    """What is shown of a fleet. plan: what is in force, None before the source was read."""

    def __init__(self, fleet: Fleet, plan: Plan | None, clock: IReactorTime) -> None:
        self._fleet = fleet
        self._plan = plan
        self._clock = clock
        self._skew = time.time() - clock.seconds()

    def at(self, seconds: float | None) -> str | None:
        """Return a time of the clock as people read it."""
        return as_time(seconds + self._skew) if seconds is not None else None

    def node(self, record: NodeRecord) -> Json:
        """Return a node as lists have it."""
        node = record.node
        target = self._plan.target(node).version if self._plan is not None else ""
        refused = list(record.refused)
        return {
            "id": node.id,
            "cluster": node.cluster,
            "zone": node.zone,
            "agent": node.agent,
            "address": node.peer,
            "state": record.state,
            "release": self._plan.version(node) if self._plan is not None else "",
            "version": record.version,
            "target": target,
            "streams": len(record.streams),
            "since": self.at(record.since),
            "away_since": self.at(record.away_since),
            "behind_seconds": self._ago(record.behind_since),
            "refused": [
                {"type": kind, "name": name, "version": one.version, "error": one.error, "at": self.at(one.at)}
                for kind, name, one in refused[:MAX_NAMES]
            ],
        }

    def whole_node(self, record: NodeRecord) -> Json:
        """Return all that is known of a node."""
        return {
            **self.node(record),
            "metadata": record.node.metadata,
            "stream_list": [self._stream(stream) for stream in record.streams],
        }

    def _stream(self, stream: Stream) -> Json:
        return {
            "delta": stream.delta,
            "type": stream.only.name if stream.only is not None else "all",
            "since": self.at(stream.since),
            "target": stream.target.version,
            "unknown_types": sorted(stream.unknown),
            "types": {one.kind.name: self._subscription(one, stream) for one in stream.subscriptions.values()},
        }

    def _subscription(self, one: Subscription, stream: Stream) -> Json:
        there = stream.target.of(one.kind.url)
        names = sorted(one.sent)
        return {
            "wants": "all" if one.wildcard else len(one.names),
            "accepted": one.accepted,
            "answer_due": one.outstanding is not None,
            "waiting": one.due,
            "leaving": sorted(one.leaving),
            "missing": sorted(name for name in one.names if name not in there)[:MAX_NAMES],
            "resources": {name: one.sent[name].version for name in names[:MAX_NAMES]},
            "resources_total": len(names),
        }

    def _ago(self, seconds: float | None) -> float | None:
        return round(self._clock.seconds() - seconds, 3) if seconds is not None else None

    def totals(self) -> Json:
        """Return how many nodes are in which state."""
        states = Counter(record.state for record in self._fleet.nodes.values())
        return {state: states.get(state, 0) for state in ("in force", "behind", "refused", "away")}

    def versions(self) -> Iterator[Json]:
        """Yield what there is to have, by release and group, with who is to have it and who has it."""
        plan = self._plan
        if plan is None:
            return
        groups = ["", *plan.content.groups]
        aimed, has = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for record in self._fleet.nodes.values():
            if record.here:
                group = record.node.cluster if record.node.cluster in plan.content.groups else ""
                place = plan.version(record.node), group
                aimed[place] += 1
                has[place] += record.state == "in force" and record.version == plan.target(record.node).version
        for release in plan.content.versions or [""]:
            for group in groups:
                snapshot = plan.content.snapshot(release, Node("", group))
                yield {
                    "release": release,
                    "group": group,
                    "version": snapshot.version,
                    "types": {
                        url.rpartition(".")[2]: {"version": snapshot.versions[url], "resources": len(found)}
                        for url, found in snapshot.types.items()
                    },
                    "nodes": aimed[release, group],
                    "in_force": has[release, group],
                }

    def rollout(self, one: Rollout, now: float) -> Json:
        """Return where a rollout is. now: the time of day."""
        stage, spec = one.stage(now), one.spec
        ended = one.returned
        return {
            "group": one.group,
            "release": spec.version,
            "before": spec.before,
            "state": _state(one, now),
            "percent": 0.0 if ended is not None else stage.percent,
            "step": stage.step,
            "steps": [{"percent": step.percent, "hold_seconds": step.hold} for step in spec.steps],
            "start": shown_moment(spec.start) if spec.start is not None else None,
            "next_step": shown_moment(stage.until) if ended is None and stage.until < float("inf") else None,
            "returned": {"at": shown_moment(ended.at), "reason": ended.reason} if ended is not None else None,
        }


def _state(one: Rollout, now: float) -> str:
    if one.returned is not None:
        return "returned"
    step = one.stage(now).step
    return "waiting" if step < 0 else "complete" if step >= len(one.spec.steps) else "under way"
