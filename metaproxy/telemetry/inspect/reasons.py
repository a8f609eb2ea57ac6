"""
Why an exchange went where it went, in words.

Lives here: `why` of one that ended. Does not: what would happen to a request (`admin.explain`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.routes import Route
from metaproxy.message import FrameError
from metaproxy.telemetry.roles import CompletedExchange

MAX_ROUTES = 64
"""Routes of a listener up to which each that was passed over is looked at: each costs its conditions again."""
MAX_PASSED_OVER = 8
"""Routes passed over that are shown, those next to the taken one."""


class PassedOver(TypedDict):
    """A route above the one that was taken, and why it was not."""

    route: str
    why: str


class Reasons(TypedDict):
    """A sentence each; passed_over: routes above the taken one."""

    route: str
    cluster: str
    endpoint: str
    passed_over: NotRequired[list[PassedOver]]


def why(exchange: CompletedExchange) -> Reasons:
    """Return why an exchange took its route, its cluster and its endpoint."""
    if exchange.outcome == "event":
        own = "a push on the client's own connection"
        return Reasons(route=own, cluster=own, endpoint=own)
    reasons = Reasons(route=_route(exchange), cluster=_cluster(exchange), endpoint=_endpoint(exchange))
    passed = _passed_over(exchange)
    if passed:
        reasons["passed_over"] = passed
    return reasons


def _route(exchange: CompletedExchange) -> str:
    route = exchange.matched_route
    if route is exchange.snapshot.no_route:
        return "no route matched" if exchange.outcome != "bad_request" else "what routes ask for can't be decoded"
    conditions = "; ".join(map(str, route.conditions)) or "no conditions"
    return conditions if route.percent >= 100 else f"{conditions}; drawn, {route.percent:g} % of these"


def _passed_over(exchange: CompletedExchange) -> list[PassedOver]:
    table = exchange.snapshot.routes
    if len(table.routes) > MAX_ROUTES:
        return []
    try:
        found = table.explain(exchange.message, exchange.client.facts)
    except FrameError:
        return []
    above: list[PassedOver] = []
    for route, (name, holds, reason) in zip(table.routes, found, strict=True):
        if route is exchange.matched_route:
            break
        above.append(PassedOver(route=name, why=f"{reason}; not drawn" if holds else reason))
    return above[-MAX_PASSED_OVER:]


def _cluster(exchange: CompletedExchange) -> str:
    route, target = exchange.matched_route, exchange.target
    if route.reply is not None:
        return "the route replies by itself"
    if target is None:
        return "answered before one was picked"
    names = [one.name for one in route.targets]
    if target.name not in names:
        return "a fallback: what comes before it had no usable endpoint"
    if len(names) == 1:
        return "the route's only one"
    total = sum(one.weight for one in route.targets)
    weight = route.targets[names.index(target.name)].weight
    keys: Sequence[str] = getattr(route.split_by_hash, "keys", ())
    by = f"by {', '.join(keys)}" if keys else "drawn"
    return f"{by}, weight {weight} of {total}"


def _endpoint(exchange: CompletedExchange) -> str:
    target, endpoint = exchange.target, exchange.endpoint
    if endpoint is None:
        return "split over several by key" if exchange.response is not None else "none was picked"
    pin = exchange.client.session_pin
    if pin is not None and pin.endpoint is endpoint:
        return "the client has a connection of its own to it"
    return picked_by(target.cluster, exchange.matched_route) if target is not None else "picked"


def picked_by(cluster: Cluster, route: Route) -> str:
    """How a cluster picks an endpoint for a route's requests."""
    among = sum(len(level.members) for level in cluster.levels)
    by = f" by {', '.join(route.hash_keys or cluster.hash_keys)}" if cluster.uses_hash else ""
    subset = ", ".join(f"{key}={value}" for key, value in (route.subset or {}).items())
    return f"{cluster.balancer_name}{by}, one of {among}" + (f", of those with {subset}" if subset else "")
