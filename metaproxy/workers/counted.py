"""
All that a proxy counts, walked over: what came to it since the last look, and adding that to another proxy's counts.

Lives here: `counted`, `CountReader`, `places`, `places_of`, `add`. Does not: the way from one process to another
(`sums`, which adds up workers; `app.carried_counts`, which carries over an upgrade), names of metrics, what filters
collect under their own names.

Counts go by name, as they do in metrics: two routes of one name are one. What is a level (connections that are open,
requests under way) is not counted: it goes down again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from metaproxy.app.service import ProxyService
from metaproxy.cluster.routes import Route
from metaproxy.config.slices import checkpoint
from metaproxy.counts import EndpointCounts, Histogram, StreamCounts, TargetCounts
from metaproxy.proxy.descriptor_reserve import DescriptorReserve
from metaproxy.proxy.gauges import Share
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.overload import OverloadMonitor
from metaproxy.proxy.shed_share import ShedShare
from metaproxy.proxy.snapshot import ListenerSnapshot
from metaproxy.support.unparsed import UNPARSED

Key = tuple[str, ...]
"""What is counted: its kind, and the names of where."""
Added = Mapping[Any, object]
"""By attribute, or by entry of a mapping: a number, or another such mapping. Only what is not 0."""

LISTENER_LEVELS = ("active_exchanges", "connections_active")
_LEVELS = (*LISTENER_LEVELS, "open")
_ATTRIBUTES: Mapping[type, tuple[str, ...]] = {
    OverloadMonitor: ("closed_connections", "shed_requests"),
    Share: ("count",),
    ShedShare: ("count",),
    DescriptorReserve: ("refused_connections", "failed_connects"),
    TargetCounts: TargetCounts.names,
}
"""Of what has more in its slots, or less; all others have only counts and _LEVELS there."""


def counted(process: ProxyService, unused: bool = False) -> Iterator[tuple[Key, object]]:
    """
    Yield all that counts, with its key. unused: also what never counted anything, where there may be many. An object
    comes once for each of its places. Other work may go on between two of them.
    """
    yield from _of_process(process)
    for name in list(process.listeners):  # who looks may do so in slices
        yield from _of_listener(process, name, unused)
    for name in list(process.clusters):
        yield from _of_cluster(process, name, unused)


def _of_process(process: ProxyService) -> Iterator[tuple[Key, object]]:
    network = process.network
    yield ("overload",), network.overload
    yield ("overload", "connections"), network.overload.connections
    for priority, share in enumerate(network.overload.requests):
        yield ("overload", "requests", str(priority)), share
    yield ("descriptors",), network.descriptors
    yield ("unparsed",), UNPARSED
    for use in process.snapshot.filters if process.snapshot is not None else ():
        counters = getattr(use.plugin, "counters", None)
        if isinstance(counters, dict):
            yield ("filter", use.listener, use.name), counters


def _of_listener(process: ProxyService, name: str, unused: bool) -> Iterator[tuple[Key, object]]:
    listener = process.listeners.get(name)
    if listener is None:
        return
    yield ("listener", name), listener.counts
    for route in routes(listener.snapshot):
        checkpoint()
        for target in route.all_targets():
            if unused or _was_used(target.counts):
                yield ("target", name, route.name, target.name), target.counts
        for copy in route.mirror.targets if isinstance(route.mirror, Mirror) else ():
            yield ("mirror", name, route.name, copy.name), copy.counts


def _of_cluster(process: ProxyService, name: str, unused: bool) -> Iterator[tuple[Key, object]]:
    cluster = process.clusters.get(name)
    if cluster is None:
        return
    yield ("cluster", name), cluster.counts
    for endpoint in (*cluster.endpoints, *cluster.leaving):
        checkpoint()
        if unused or _was_asked(endpoint.counts):
            yield ("endpoint", name, endpoint.address), endpoint.counts


def routes(snapshot: ListenerSnapshot) -> Iterator[Route]:
    """Yield the routes of a listener, the one of no route, too."""
    yield from snapshot.routes.routes
    yield snapshot.no_route


def _was_used(counts: TargetCounts) -> bool:
    return bool(counts.outcomes or counts.fallbacks or counts.streams)


def _was_asked(counts: EndpointCounts) -> bool:
    return bool(counts.requests or counts.connections or counts.connect_errors)


class _Look(NamedTuple):
    """What was seen of some counts. before: see `_copied`; mark: see `_mark`."""

    counts: object
    before: Mapping[object, object]
    mark: object


class CountReader:
    """Reads what a process counts; its state is that of the last look."""

    def __init__(self, process: ProxyService) -> None:
        self._process = process
        self._last: dict[int, _Look] = {}

    def read(self) -> dict[Key, Added]:
        """
        Return what was counted since the last look. Looks are compared by object and not by key: one that another
        configuration made begins at 0.
        """
        found: dict[Key, Added] = {}
        last: dict[int, _Look] = {}
        for key, counts in counted(self._process):
            if id(counts) in last:
                continue
            seen, mark = self._last.get(id(counts)), _mark(counts)
            if seen is not None and mark is not None and mark == seen.mark:
                last[id(counts)] = seen
                continue
            before = seen.before if seen is not None else {}
            if added := _since(before, counts):
                found[key] = _joined(found[key], added) if key in found else added
                before = _copied(counts)
            last[id(counts)] = _Look(counts, before, mark)
        self._last = last
        return found


def places(process: ProxyService) -> dict[Key, object]:
    """Return the counts to which those of a key are added."""
    return _first(counted(process, unused=True))


def section_of(key: Key) -> Key:
    """Return where a key belongs: what is counted of one listener, of one cluster, or of the process."""
    kind = key[0]
    if kind in ("listener", "target", "mirror"):
        return "listener", key[1]
    return ("cluster", key[1]) if kind in ("cluster", "endpoint") else ()


def places_of(process: ProxyService, section: Key) -> dict[Key, object]:
    """As `places`, of one section: a hundredth of the work, where there are many."""
    if not section:
        return _first(_of_process(process))
    kind, name = section
    return _first(_of_listener(process, name, True) if kind == "listener" else _of_cluster(process, name, True))


def _first(found: Iterator[tuple[Key, object]]) -> dict[Key, object]:
    """Return the first of each key."""
    first: dict[Key, object] = {}
    for key, counts in found:
        first.setdefault(key, counts)
    return first


# -- one difference


_MARKS: Mapping[type, Callable[[Any], tuple[object, ...]]] = {
    TargetCounts: attrgetter(
        "_ok", "cached", "fallbacks", "hedges", "latency.total", "request_bytes", "response_bytes", "retries"
    ),
    EndpointCounts: attrgetter("latency.total", *(name for name in EndpointCounts.__slots__ if name != "latency")),
}


def _mark(counts: object) -> object:
    """
    Return what differs when anything was counted, and takes a tenth of the time of comparing all: of targets and
    endpoints, as there are many. None for others, and for targets with streams.
    """
    read = _MARKS.get(type(counts))
    if read is None:
        return None
    if isinstance(counts, TargetCounts):
        return None if counts.streams is not None else (read(counts), sum(counts._others.values()))
    return read(counts)


def _names(counts: object) -> tuple[str, ...]:
    kind = type(counts)
    found = _ATTRIBUTES.get(kind)
    if found is None:
        slots: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]
        found = tuple(name for name in slots if name not in _LEVELS)
    return found


def _copied(counts: object) -> Any:
    """Return what `_since` compares with later."""
    if counts is None or isinstance(counts, int | float):
        return counts
    if isinstance(counts, Histogram):
        return counts.buckets[:], counts.total
    if isinstance(counts, dict):
        return counts.copy()
    return {name: _copied(getattr(counts, name)) for name in _names(counts)}


def _since(before: Any, now: object) -> Any:
    """Return what was added; something false where nothing was. before: of `_copied`, {} or None for nothing."""
    if now is None or isinstance(now, int | float):
        return (now or 0) - (before or 0)
    if isinstance(now, Histogram):
        buckets, total = before or (type(now)().buckets, 0.0)
        if buckets == now.buckets:
            return None
        pairs = enumerate(zip(now.buckets, buckets, strict=True))
        return {"buckets": {place: new - old for place, (new, old) in pairs if new != old}, "total": now.total - total}
    known = before or {}
    if isinstance(now, dict):
        return {key: more for key, value in now.items() if (more := value - known.get(key, 0))}
    return {name: more for name in _names(now) if (more := _since(known.get(name), getattr(now, name)))}


def _joined(one: Any, other: Any) -> Any:
    """Return the sum of two differences."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        whole = {**one, **other}
        for key in one.keys() & other.keys():
            whole[key] = _joined(one[key], other[key])
        return whole
    return one + other


def add(counts: Any, added: Mapping[Any, object]) -> None:
    """Add a difference. What another version counts, and this one does not, is left."""
    if isinstance(counts, Histogram):
        _add_durations(counts, added)
    elif isinstance(counts, dict):
        for key, more in added.items():
            if isinstance(more, int | float):
                counts[key] = counts.get(key, 0) + more
    else:
        for name in _names(counts):
            if name in added:
                _add_attribute(counts, name, added[name])


def _add_durations(histogram: Histogram, added: Mapping[Any, Any]) -> None:
    for place, number in added["buckets"].items():
        if int(place) < len(histogram.buckets):  # as text, where it was JSON meanwhile
            histogram.buckets[int(place)] += number
    histogram.total += added["total"]


def _add_attribute(counts: Any, name: str, more: object) -> None:
    if name == "outcomes" and isinstance(more, Mapping):
        for outcome, number in more.items():
            counts.count(outcome, number)
        return
    value = counts.of_streams() if name == "streams" and isinstance(counts, TargetCounts) else getattr(counts, name)
    if isinstance(value, Histogram | dict | StreamCounts) and isinstance(more, Mapping):
        add(value, more)
    elif isinstance(value, int | float) and isinstance(more, int | float):
        setattr(counts, name, value + more)
