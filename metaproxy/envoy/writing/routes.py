"""
What routes of several protocols have in common, as Envoy has it: destinations, subsets, mirrors.

Lives here: `destination`, `subset`, `mirrors`, `time_of`. Does not: conditions (`conditions`), each protocol's routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from metaproxy.config import model
from metaproxy.envoy.routing import SUBSETS
from metaproxy.envoy.writing.keys import Keys, Plain, percent, seconds

TIMEOUT = 15.0
"""Seconds: of a request, by default, here and in Envoy."""


@dataclass(slots=True)
class Around:
    """
    What listeners and routes need to know of the configuration. tracer: where spans go; timed: clusters whose
    request_timeout their routes say.
    """

    clusters: Mapping[str, model.Cluster]
    tracer: Plain | None = None
    timed: set[str] = field(default_factory=set)


def names_of(route: Keys) -> list[str]:
    """The clusters that a route leads to."""
    section = route.section
    assert isinstance(section, model.Route)
    return [section.cluster] if section.cluster is not None else list(section.clusters or ())


def destination(route: Keys) -> Plain:
    """`cluster` or `weighted_clusters` of a route action."""
    weights = route.mapping("clusters")
    if weights:
        route.ignore("cluster")
        return {
            "weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in weights.items()]}
        }
    return {"cluster": route.text("cluster")}


def subset(route: Keys) -> Plain:
    values = route.mapping("subset")
    return {"metadata_match": {"filter_metadata": {SUBSETS: values}}} if values else {}


def mirrors(route: Keys) -> list[Plain]:
    found = []
    for mirror in route.each("mirror"):
        plain: Plain = {"cluster": mirror.text("cluster")}
        if mirror.given("percent"):
            plain["runtime_fraction"] = percent(mirror.number("percent"))
        mirror.close()
        found.append(plain)
    return found


def time_of(route: Keys, around: Around) -> float | None:
    """The time that requests of a route have, if it is not the default: its own, or that of all its clusters."""
    if route.given("timeout"):
        return route.number("timeout")
    route.ignore("timeout")
    clusters = [around.clusters[name] for name in names_of(route) if name in around.clusters]
    times = {cluster.request_timeout for cluster in clusters}
    around.timed |= {cluster.name for cluster in clusters}
    if len(times) > 1:
        route.wrong.append(f"{route.path}: its clusters have different request_timeout; give the route a timeout")
    time = min(times, default=TIMEOUT)
    return None if time == TIMEOUT else float(time)


def backoff_of(retry: Keys) -> Plain:
    """`retry_back_off`, if it is not the default."""
    if not retry.given("backoff"):
        retry.ignore("backoff")
        return {}
    least, most = (float(one) for one in getattr(retry.section, "backoff"))  # noqa: B009 - Section has no such field
    retry.ignore("backoff")
    return {"base_interval": seconds(least), "max_interval": seconds(most)}
