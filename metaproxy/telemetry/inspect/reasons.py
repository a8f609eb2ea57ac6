"""
Why an exchange went where it went, in words.

Lives here: `why` of one that ended. Does not: what would happen to a request that nobody sent (`admin.explain`).
"""

from __future__ import annotations

from typing import Any

from metaproxy.message import FrameError

MAX_ROUTES = 64
"""Routes of a listener up to which each that was passed over is looked at: each costs its conditions once more."""
MAX_TOLD = 8
"""Routes passed over that are told, those next to the taken one."""


def why(exchange: Any) -> dict[str, Any]:
    """`route`, `cluster` and `endpoint`: a sentence each; `passed_over`: routes above the taken one, and why."""
    told: dict[str, Any] = {"route": _route(exchange), "cluster": _cluster(exchange), "endpoint": _endpoint(exchange)}
    passed = _passed_over(exchange)
    if passed:
        told["passed_over"] = passed
    return told


def _route(exchange: Any) -> str:
    route = exchange.matched_route
    if route is exchange.snapshot.no_route:
        return "no route matched" if exchange.outcome != "bad_request" else "what routes ask for can't be decoded"
    conditions = "; ".join(map(str, route.conditions)) or "no conditions"
    return conditions if route.percent >= 100 else f"{conditions}; drawn, {route.percent:g} % of these"


def _passed_over(exchange: Any) -> list[dict[str, str]]:
    table = exchange.snapshot.routes
    if len(table.routes) > MAX_ROUTES:
        return []
    try:
        told = table.explain(exchange.message, exchange.client.facts)
    except FrameError:
        return []
    above = []
    for route, (name, holds, reason) in zip(table.routes, told, strict=True):
        if route is exchange.matched_route:
            break
        above.append({"route": name, "why": f"{reason}; not drawn" if holds else reason})
    return above[-MAX_TOLD:]


def _cluster(exchange: Any) -> str:
    route, target = exchange.matched_route, exchange.target
    if route.reply is not None:
        return "the route replies by itself"
    if target is None or target.cluster is None:
        return "answered before one was picked"
    names = [one.name for one in route.targets]
    if target.name not in names:
        return "a fallback: what comes before it had no usable endpoint"
    if len(names) == 1:
        return "the route's only one"
    total = sum(one.weight for one in route.targets)
    weight = route.targets[names.index(target.name)].weight
    by = "drawn" if route.split_by_hash is None else f"by {', '.join(route.split_by_hash.keys)}"
    return f"{by}, weight {weight} of {total}"


def _endpoint(exchange: Any) -> str:
    target, endpoint = exchange.target, exchange.endpoint
    if endpoint is None:
        return "split over several by key" if exchange.response is not None else "none was picked"
    pin = exchange.client.session_pin
    if pin is not None and pin.endpoint is endpoint:
        return "the client has a connection of its own to it"
    return picked_by(target.cluster, exchange.matched_route) if target.cluster is not None else "picked"


def picked_by(cluster: Any, route: Any) -> str:
    """How a cluster picks an endpoint for a route's requests."""
    among = sum(len(level.members) for level in cluster.levels)
    by = f" by {', '.join(route.hash_keys or cluster.hash_keys)}" if cluster.uses_hash else ""
    subset = ", ".join(f"{key}={value}" for key, value in (route.subset or {}).items())
    return f"{cluster.balancer_name}{by}, one of {among}" + (f", of those with {subset}" if subset else "")
