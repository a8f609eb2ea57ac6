"""
Who runs what, and who refused what: /fleet, /nodes/{id}, /versions, /ready.

Lives here: these endpoints. Does not: how each is shown (`shown`).
"""

from __future__ import annotations

from metaproxy.admin.resource import (
    AdminRequest,
    AdminResponse,
    Endpoint,
    HttpError,
    as_json,
    as_time,
    nearest,
)
from metaproxy.control.admin.of_fleet import OfFleet
from metaproxy.control.plane import Plane

MAX_NODES = 1000
"""Nodes of one answer of /fleet."""
STATES = ("in force", "behind", "refused", "away")


class Ready(Endpoint):
    path = "/ready"
    aliases = ("/readyz",)
    about = "200 once the source was read and is served, else 503. No token."
    open = True

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def get(self, ask: AdminRequest) -> AdminResponse:
        ready = self._plane.plan is not None
        return as_json({"status": "ready" if ready else "starting"}, 200 if ready else 503)


class Nodes(OfFleet):
    path = "/fleet"
    about = "The nodes and their states; `state=`, `cluster=`, `q=` (part of an id) pick some, at most `limit=`."

    def get(self, ask: AdminRequest) -> AdminResponse:
        shown, query = self.shown(), ask.query
        state, cluster, part = query.get("state", ""), query.get("cluster"), query.get("q", "")
        if state and state not in STATES:
            raise HttpError(400, f"no state {state[:100]!r}; {nearest(state, STATES)}", "state")
        most = _number(query.get("limit", str(MAX_NODES)))
        found = [
            record
            for record in self.fleet.nodes.values()
            if (not state or record.state == state)
            and (cluster is None or record.node.cluster == cluster)
            and part in record.node.id
        ]
        worst = {"refused": 0, "behind": 1, "away": 2}
        found.sort(key=lambda record: (worst.get(record.state, 3), record.node.id))
        plane = self.plane
        return as_json(
            {
                "server": self.control.identifier,
                **plane.status(),
                "applied": as_time(plane.applied),
                "streams": len(self.control.streams),
                "states": shown.totals(),
                "total": len(found),
                "nodes": [shown.node(record) for record in found[:most]],
            }
        )


def _number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= MAX_NODES:
        raise HttpError(400, f"limit is {text[:20]!r}; write 1 to {MAX_NODES}", "limit")
    return int(text)


class OneNode(OfFleet):
    path = "/nodes/{id}"
    about = "One node: what it asked for, has, refused and why; its metadata."

    def get(self, ask: AdminRequest) -> AdminResponse:
        name = ask.place["id"]
        record = self.fleet.nodes.get(name)
        if record is None:
            raise HttpError(404, f"no node {name[:200]!r}; {nearest(name, list(self.fleet.nodes))}", "path")
        return as_json(self.shown().whole_node(record))


class Versions(OfFleet):
    path = "/versions"
    about = "What there is to have, by release and group: versions of each type, and how many nodes have it."

    def get(self, ask: AdminRequest) -> AdminResponse:
        return as_json({"versions": list(self.shown().versions())})
