"""
What a proxy has counted, as JSON, and adding it to what another one counts: so that a counter never goes back.

Lives here: `export`, `since`, `add`. Does not: when that is done (`predecessor`, `successor`), names of metrics.

Counts go by name, as they do in metrics. What is a level (connections that are open, requests under way) is not
carried: it stays with its process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from metaproxy.app.service import ProxyService
from metaproxy.counts import Histogram, StreamCounts, TargetCounts
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.snapshot import ListenerSnapshot

LEVELS = ("active_exchanges", "connections_active", "open")
"""Attributes of counts that go down again."""

Exported = dict[str, Any]
"""By place, by attribute: numbers, and mappings of numbers."""


def export(proxy: ProxyService) -> Exported:
    """Return all that was counted, but for what is 0."""
    found: Exported = {}
    for place, counts in _counted(proxy):
        values = _values(counts)
        if values:
            found[place] = _plus(found[place], values) if place in found else values
    return found


def since(before: Any, now: Any) -> Any:
    """Return what came between two exports."""
    if isinstance(now, Mapping):
        known = before if isinstance(before, Mapping) else {}
        return {key: more for key, value in now.items() if (more := since(known.get(key), value))}
    return now - (before or 0)


def add(proxy: ProxyService, exported: Mapping[str, Any]) -> list[str]:
    """Add an export to what is counted here. Return the places that are not there any more."""
    places: dict[str, object] = {}
    for place, counts in _counted(proxy):
        places.setdefault(place, counts)
    for place, values in exported.items():
        if place in places:
            _add(places[place], values)
    return [place for place in exported if place not in places]


def _counted(proxy: ProxyService) -> Iterator[tuple[str, object]]:
    """Yield all that counts, with its place; what several places have in common once."""
    seen: set[int] = set()
    for place, counts in _everything(proxy):
        if id(counts) not in seen:
            seen.add(id(counts))
            yield "\n".join(place), counts


def _everything(proxy: ProxyService) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, listener in proxy.listeners.items():
        yield ("listener", name), listener.counts
        yield from _of_routes(name, listener.snapshot)
    for name, cluster in proxy.clusters.items():
        yield ("cluster", name), cluster.counts
        for endpoint in (*cluster.endpoints, *cluster.leaving):
            yield ("endpoint", name, endpoint.address), endpoint.counts
    for use in proxy.snapshot.filters if proxy.snapshot is not None else ():
        counters = getattr(use.plugin, "counters", None)
        if isinstance(counters, dict):
            yield ("filter", use.listener, use.name), counters


def _of_routes(name: str, snapshot: ListenerSnapshot) -> Iterator[tuple[tuple[str, ...], object]]:
    for route in (*snapshot.routes.routes, snapshot.no_route):
        for target in route.all_targets():
            yield ("target", name, route.name, target.name), target.counts
        for copy in route.mirror.targets if isinstance(route.mirror, Mirror) else ():
            yield ("mirror", name, route.name, copy.name), copy.counts


def _values(counts: object) -> Any:
    """Return what JSON has for counts, or for one of their attributes."""
    if isinstance(counts, Histogram):
        buckets = {str(place): number for place, number in enumerate(counts.buckets) if number}
        return {"buckets": buckets, "total": counts.total} if buckets else {}
    if isinstance(counts, dict):
        return {str(key): value for key, value in counts.items() if value and isinstance(value, int | float)}
    if counts is None or isinstance(counts, int | float):
        return counts
    slots: tuple[str, ...] = type(counts).__slots__  # type: ignore[attr-defined]
    values = {name: _values(getattr(counts, name)) for name in slots if name not in LEVELS}
    return {name: value for name, value in values.items() if value}


def _plus(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {key: _plus(one[key], other[key]) if key in one and key in other else one.get(key, other.get(key))
                for key in {**one, **other}}  # fmt: skip
    return one + other


def _add(counts: Any, values: Mapping[str, Any]) -> None:
    if isinstance(counts, Histogram):
        for place, number in values["buckets"].items():
            if int(place) < len(counts.buckets):
                counts.buckets[int(place)] += number
        counts.total += values["total"]
    elif isinstance(counts, dict):
        for key, number in values.items():
            counts[key] = counts.get(key, 0) + number
    else:
        for name, more in values.items():
            _add_attribute(counts, name, more)


def _add_attribute(counts: Any, name: str, more: Any) -> None:
    """name: one that this version has, or it is left."""
    if name not in type(counts).__slots__ or name in LEVELS:
        return
    value = counts.of_streams() if name == "streams" and isinstance(counts, TargetCounts) else getattr(counts, name)
    if isinstance(value, Histogram | dict | StreamCounts) and isinstance(more, Mapping):
        _add(value, more)
    elif isinstance(value, int | float) and isinstance(more, int | float):
        setattr(counts, name, value + more)
