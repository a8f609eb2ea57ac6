"""
What workers counted, added up in the supervisor.

Lives here: `Reader`, which says what a process counted since it was asked last; `Totals`, which adds that to the counts
of another one with the same configuration, so that whatever shows counts shows those of all. Does not: asking
(`supervisor`).

Counts go by name, as they do in metrics: two routes of one name are one. What was counted stays when its worker ends;
what is a level (connections that are open, requests under way) goes with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from metaproxy.admin.traffic import STATES, connection_states
from metaproxy.app.service import ProxyService
from metaproxy.cluster.elsewhere import PoolElsewhere
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.routes import Route
from metaproxy.counts import Histogram, LongHistogram, StreamCounts, StreamedExchange, TargetCounts
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.overload import OverloadMonitor
from metaproxy.proxy.snapshot import FilterUse, ListenerSnapshot
from metaproxy.support.unparsed import UNPARSED

Key = tuple[str, ...]
"""What is counted: its kind, and the names of where."""
Added = Mapping[str, object]
"""By attribute: a number, a mapping of numbers, or a histogram as `_Buckets`."""
Levels = Mapping[str, float]

LISTENER_LEVELS = ("active_exchanges", "connections_active")
BREAKER_LEVELS = ("connections", "pending", "requests", "retries")
OVERLOAD_COUNTERS = ("refused_connections", "shed_requests", "closed_connections")
_BESIDE = ("open",)
"""Attributes of counts that are no numbers."""


@dataclass(frozen=True, slots=True)
class _Buckets:
    """What came to a histogram. long: whether it is one of streams."""

    buckets: Mapping[int, int]
    total: float
    long: bool


@dataclass(frozen=True, slots=True)
class Report:
    """added: since the last report, only what is not 0; levels: as they are now, only what is not 0."""

    added: Mapping[Key, Added] = field(default_factory=dict)
    levels: Mapping[Key, Levels] = field(default_factory=dict)


class Reader:
    """Reads the counts of one process."""

    def __init__(self, process: ProxyService) -> None:
        self._process = process
        self._last: dict[int, tuple[object, dict[str, object]]] = {}

    def report(self) -> Report:
        """Return what was counted since the last report."""
        added: dict[Key, Added] = {}
        last: dict[int, tuple[object, dict[str, object]]] = {}
        for key, counts in counted(self._process):
            if id(counts) in last:
                continue
            _, before = self._last.get(id(counts), (None, {}))
            now = dict(_values(counts))
            difference = {name: one for name, value in now.items() if (one := _since(before.get(name), value))}
            last[id(counts)] = counts, {name: _copy(value) for name, value in now.items()}
            if difference:
                added[key] = _joined(added.get(key), difference)
        self._last = last
        whole: dict[Key, Levels] = {}
        for key, values in levels(self._process):
            whole[key] = _sum_of((whole[key], values)) if key in whole else values
        return Report(added, whole)


def counted(process: ProxyService) -> Iterator[tuple[Key, object]]:
    """Yield all that counts, with its key; what was never used is left out where there may be many."""
    yield ("overload",), process.network.overload
    yield ("unparsed",), UNPARSED
    for name, listener in process.listeners.items():
        yield ("listener", name), listener.counts
        for route in _routes(listener.snapshot):
            for target in route.all_targets():
                if target.counts.outcomes or target.counts.fallbacks or target.counts.streams:
                    yield ("target", name, route.name, target.name), target.counts
            for copy in route.mirror.targets if isinstance(route.mirror, Mirror) else ():
                yield ("mirror", name, route.name, copy.name), copy.counts
    for name, cluster in process.clusters.items():
        yield ("cluster", name), cluster.counts
        for endpoint in (*cluster.endpoints, *cluster.leaving):
            if endpoint.counts.requests or endpoint.counts.connections or endpoint.counts.connect_errors:
                yield ("endpoint", name, endpoint.address), endpoint.counts
    for use in _filters(process):
        counters = getattr(use.plugin, "counters", None)
        if isinstance(counters, dict):
            yield ("filter", use.listener, use.name), counters


def _filters(process: ProxyService) -> Iterable[FilterUse]:
    return process.snapshot.filters if process.snapshot is not None else ()


def _routes(snapshot: ListenerSnapshot) -> Iterator[Route]:
    yield from snapshot.routes.routes
    yield snapshot.no_route


def levels(process: ProxyService) -> Iterator[tuple[Key, Levels]]:
    """Yield what is so now, where it is not 0."""
    for name, listener in process.listeners.items():
        if found := _nonzero(listener.counts, LISTENER_LEVELS):
            yield ("listener", name), found
        for route in _routes(listener.snapshot):
            for target in route.all_targets():
                if target.counts.streams is not None and target.counts.streams.open:
                    yield ("target", name, route.name, target.name), {"open": len(target.counts.streams.open)}
    for name, cluster in process.clusters.items():
        if found := _nonzero(cluster.breaker, BREAKER_LEVELS):
            yield ("cluster", name), found
        for endpoint in cluster.endpoints:
            state = {"active": endpoint.active, "ejected": int(endpoint.ejected), **connection_states(endpoint)}
            if found := {key: value for key, value in state.items() if value}:
                yield ("endpoint", name, endpoint.address), found


class _StreamElsewhere:
    """A stream of another process: what has passed of it is counted at its end."""

    request_bytes = response_bytes = request_chunks = response_chunks = 0


class OpenElsewhere(dict[StreamedExchange, None]):
    """The place of the open streams of other processes: only how many there are."""

    def __init__(self, count: int) -> None:
        super().__init__((_StreamElsewhere(), None) for _ in range(count))


class Totals:
    """Adds the reports of workers to the counts of the supervisor. workers: by what they are known by."""

    def __init__(self, process: ProxyService) -> None:
        self._process = process
        self._levels: dict[object, Mapping[Key, Levels]] = {}
        self._places: dict[Key, object] = {}
        self._of: object = None

    def take(self, worker: object, report: Report) -> None:
        """Add what a worker counted."""
        for key, added in report.added.items():
            place = self._place(key)
            if place is not None:
                _add(place, added)
        self._levels[worker] = report.levels
        self._show()

    def forget(self, worker: object) -> None:
        """A worker has ended: what it counted stays."""
        if self._levels.pop(worker, None) is not None:
            self._show()

    def of(self, worker: object) -> Mapping[Key, Levels]:
        """The levels of a worker, as it said last."""
        return self._levels.get(worker, {})

    def _place(self, key: Key) -> object | None:
        """The counts of a key; what a configuration since then has not is looked for once."""
        if key not in self._places:
            self._places = {}
            self._add_places()
            self._places.setdefault(key, None)
        return self._places[key]

    def _add_places(self) -> None:
        for key, counts in _all(self._process):
            self._places.setdefault(key, counts)

    def reset(self) -> None:
        """Another configuration is in force."""
        self._places = {}
        self._show()

    def _show(self) -> None:
        """Write the levels of all workers into the counts that are shown."""
        whole: dict[Key, Levels] = {}
        for one in self._levels.values():
            for key, values in one.items():
                whole[key] = _sum_of((whole[key], values)) if key in whole else values
        for name, listener in self._process.listeners.items():
            _write(listener.counts, LISTENER_LEVELS, whole.get(("listener", name), {}))
            for route in _routes(listener.snapshot):
                for target in route.all_targets():
                    streams = target.counts.streams
                    if streams is not None:
                        open_ = whole.get(("target", name, route.name, target.name), {}).get("open", 0)
                        streams.open = OpenElsewhere(int(open_))
        for name, cluster in self._process.clusters.items():
            _write(cluster.breaker, BREAKER_LEVELS, whole.get(("cluster", name), {}))
            for endpoint in cluster.endpoints:
                _show_endpoint(endpoint, whole.get(("endpoint", name, endpoint.address), {}))


def _show_endpoint(endpoint: Endpoint, found: Levels) -> None:
    endpoint.active = int(found.get("active", 0))
    open_ = {name: number for name in STATES if (number := int(found.get(name, 0)))}
    if open_ or isinstance(endpoint.pool, PoolElsewhere):
        endpoint.pool = PoolElsewhere(open_)


def _all(process: ProxyService) -> Iterator[tuple[Key, object]]:
    """As `counted`, with what was never used."""
    yield from counted(process)
    for name, listener in process.listeners.items():
        for route in _routes(listener.snapshot):
            for target in route.all_targets():
                yield ("target", name, route.name, target.name), target.counts
    for name, cluster in process.clusters.items():
        for endpoint in (*cluster.endpoints, *cluster.leaving):
            yield ("endpoint", name, endpoint.address), endpoint.counts


def _sum_of(parts: Iterable[Levels]) -> Levels:
    whole: dict[str, float] = {}
    for one in parts:
        for name, value in one.items():
            whole[name] = whole.get(name, 0) + value
    return whole


def _nonzero(source: object, names: Iterable[str]) -> dict[str, float]:
    return {name: value for name in names if (value := getattr(source, name))}


def _write(place: object, names: Iterable[str], values: Levels) -> None:
    for name in names:
        setattr(place, name, int(values.get(name, 0)))


# -- differences


def _values(counts: object) -> Iterator[tuple[str, object]]:
    """Each attribute that is counted."""
    if isinstance(counts, dict):
        yield "", counts
    elif isinstance(counts, OverloadMonitor):
        yield from ((name, getattr(counts, name)) for name in OVERLOAD_COUNTERS)
    else:
        slots: tuple[str, ...] = type(counts).__slots__  # type: ignore[attr-defined]
        for name in slots:
            if name not in _BESIDE and name not in LISTENER_LEVELS:
                yield name, getattr(counts, name)


def _copy(value: object) -> object:
    if isinstance(value, Histogram):
        return value.buckets.copy(), value.total
    if isinstance(value, StreamCounts):
        return {name: _copy(one) for name, one in _values(value)}
    return dict(value) if isinstance(value, dict) else value


def _since(before: object, now: object) -> object:
    """What was added; something false when nothing was."""
    if isinstance(now, Histogram):
        buckets, total = before if isinstance(before, tuple) else ([0] * len(now.buckets), 0.0)
        if buckets == now.buckets:
            return None
        more = {
            place: new - old for place, (new, old) in enumerate(zip(now.buckets, buckets, strict=True)) if new != old
        }
        return _Buckets(more, now.total - total, isinstance(now, LongHistogram))
    if isinstance(now, StreamCounts):
        known = before if isinstance(before, dict) else {}
        return {name: one for name, value in _values(now) if (one := _since(known.get(name), value))}
    if isinstance(now, dict):
        known = before if isinstance(before, dict) else {}
        return {key: more for key, value in now.items() if (more := value - known.get(key, 0))}
    if isinstance(now, int | float):
        return now - (before if isinstance(before, int | float) else 0)
    return None


def _joined(first: Added | None, second: Added) -> Added:
    """Two differences of one key."""
    if first is None:
        return second
    return {name: _plus(first.get(name), second.get(name)) for name in {**first, **second}}


def _plus(one: object, other: object) -> object:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, _Buckets) and isinstance(other, _Buckets):
        return _Buckets(_plus_all(one.buckets, other.buckets), one.total + other.total, one.long)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {key: _plus(one.get(key), other.get(key)) for key in {**one, **other}}
    assert isinstance(one, int | float) and isinstance(other, int | float)
    return one + other


def _plus_all(one: Mapping[int, int], other: Mapping[int, int]) -> dict[int, int]:
    return {place: one.get(place, 0) + other.get(place, 0) for place in {**one, **other}}


def _add(counts: object, added: Added) -> None:
    """Add a difference to counts."""
    for name, more in added.items():
        if name == "" and isinstance(counts, dict) and isinstance(more, Mapping):
            _add_to(counts, more)
            continue
        value = counts.of_streams() if name == "streams" and isinstance(counts, TargetCounts) else getattr(counts, name)
        if isinstance(more, _Buckets) and isinstance(value, Histogram):
            for place, number in more.buckets.items():
                value.buckets[place] += number
            value.total += more.total
        elif isinstance(value, StreamCounts) and isinstance(more, Mapping):
            _add(value, more)
        elif isinstance(value, dict) and isinstance(more, Mapping):
            _add_to(value, more)
        elif isinstance(more, int | float) and isinstance(value, int | float):
            setattr(counts, name, value + more)


def _add_to(mine: dict[object, float], more: Mapping[object, float]) -> None:
    for key, number in more.items():
        mine[key] = mine.get(key, 0) + number
