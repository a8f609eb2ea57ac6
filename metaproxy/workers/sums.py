"""
What workers counted, added up in the supervisor.

Lives here: `Reader`, which says what a process counted since it was asked last; `Totals`, which adds that to the counts
of another one with the same configuration, so that whatever shows counts shows those of all. Does not: the walk over
what is counted (`counted`), asking (`counting`), what filters measure and collect (`filter_sums`).

What was counted stays when its worker ends; what is a level (connections that are open, requests under way) goes with
it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import is_

from metaproxy.admin.traffic import STATES, connection_states
from metaproxy.app.service import ProxyService
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.elsewhere import PoolElsewhere
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.config.slices import checkpoint
from metaproxy.counts import StreamedExchange, TargetCounts
from metaproxy.proxy.descriptor_reserve import DescriptorReserve
from metaproxy.proxy.pause import Pause
from metaproxy.workers.counted import LISTENER_LEVELS, Added, CountReader, Key, add, places_of, routes, section_of
from metaproxy.workers.filter_sums import FilterReader, FilterReport, FilterSums

Levels = Mapping[str, float]

BREAKER_LEVELS = ("connections", "pending", "requests", "retries")


@dataclass(frozen=True, slots=True)
class Report:
    """
    added: since the last report, only what is not 0; levels: as they are now, only what has changed since then, of each
    only what is not 0; filters: what they measure and collect, None where that was not asked for; more: there is more
    to be asked for at once.
    """

    added: Mapping[Key, Added] = field(default_factory=dict)
    levels: Mapping[Key, Levels] = field(default_factory=dict)
    filters: FilterReport | None = None
    more: bool = False


PART = 500
"""Keys in a report at most: to unpack and add up so many takes some 5 ms."""


class Reader:
    """Reads the counts of one process."""

    def __init__(self, process: ProxyService) -> None:
        self._process = process
        self._counts = CountReader(process)
        self._levels: Mapping[Key, Levels] = {}
        self._filters = FilterReader(process, process.network.clock.seconds)
        self._parts: deque[Report] = deque()

    def report(self, filters: bool = False) -> Report:
        """
        Return what was counted since the last report, or the next part of it where there was more. filters: also what
        they measure and collect. Other work may go on meanwhile.
        """
        found = self._filters.read() if filters else None
        if not self._parts:
            self._parts.extend(_parts(self._counts.read(), self._changed_levels()))
        return replace(self._parts.popleft(), filters=found, more=bool(self._parts))

    def _changed_levels(self) -> dict[Key, Levels]:
        before, now = self._levels, _by_key(levels(self._process))
        changed: dict[Key, Levels] = {}
        for key, values in now.items():
            checkpoint()
            if before.get(key) != values:
                changed[key] = values
        changed.update((key, {}) for key in before.keys() - now.keys())
        self._levels = now
        return changed


def _parts(added: Mapping[Key, Added], levels: Mapping[Key, Levels]) -> Iterator[Report]:
    """Yield reports of PART keys; one of none where there is nothing."""
    yield Report(dict(islice(added.items(), PART)), dict(islice(levels.items(), PART)))
    for start in range(PART, max(len(added), len(levels)), PART):
        checkpoint()
        stop = start + PART
        yield Report(dict(islice(added.items(), start, stop)), dict(islice(levels.items(), start, stop)))


def levels(process: ProxyService) -> Iterator[tuple[Key, Levels]]:
    """Yield what is so now, where it is not 0. Other work may go on in between."""
    for name, listener in list(process.listeners.items()):
        if found := _nonzero(listener.counts, LISTENER_LEVELS):
            yield ("listener", name), found
        for route in routes(listener.snapshot):
            checkpoint()
            for target in route.all_targets():
                if target.counts.streams is not None and target.counts.streams.open:
                    yield ("target", name, route.name, target.name), {"open": len(target.counts.streams.open)}
    for name, cluster in list(process.clusters.items()):
        found = _nonzero(cluster.breaker, BREAKER_LEVELS)
        if cluster.paused_by is not None and (held := len(cluster.paused_by)):
            found["held"] = held
        if found:
            yield ("cluster", name), found
        for endpoint in tuple(cluster.endpoints):
            checkpoint()
            if endpoint.pool is None and not endpoint.active and not endpoint.ejected:
                continue
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
    """Adds the reports of workers, by their numbers, to the counts of the supervisor. filters: what theirs measure."""

    def __init__(self, process: ProxyService) -> None:
        self._process = process
        self._levels: dict[int, dict[Key, Levels]] = {}
        self._places: dict[Key, Mapping[Key, object]] = {}  # by section, as far as they were looked for
        self._missing: set[Key] = set()  # what was looked for, and is not there
        self._walked: set[Key] = set()  # the sections that were walked since a report came
        self._shown: dict[str, tuple[tuple[object, ...], int]] = {}  # cluster -> what has its levels
        self.filters = FilterSums(process)

    def take(self, worker: int, report: Report) -> None:
        """Add what a worker counted."""
        self._walked.clear()
        for key, added in report.added.items():
            place = self._place(key)
            if place is not None:
                add(place, added)
                if isinstance(place, DescriptorReserve) and "refused_connections" in added:
                    place.note_refusal()
        mine = self._levels.setdefault(worker, {})
        for key, values in report.levels.items():
            if values:
                mine[key] = values
            else:
                mine.pop(key, None)
        if report.filters is not None:
            self.filters.take(worker, report.filters)
        self._show(report.levels)

    def forget(self, worker: int) -> None:
        """A worker has ended: what it counted stays."""
        self.filters.forget(worker)
        self._show(self._levels.pop(worker, {}))

    def of(self, worker: int) -> Mapping[Key, Levels]:
        """The levels of a worker, as it said last."""
        return self._levels.get(worker, {})

    def _place(self, key: Key) -> object | None:
        """The counts of a key; what is not there yet is looked for in one walk of its section."""
        section = section_of(key)
        found = self._places.get(section, {}).get(key)
        if found is None and key not in self._missing:
            if section not in self._walked:
                self._walked.add(section)
                self._places[section] = known = places_of(self._process, section)
                found = known.get(key)
            if found is None:
                self._missing.add(key)
        return found

    def reset(self) -> None:
        """
        Another configuration is in force. A cluster that was not changed is the same object and shows what it did, so
        that of many only those are looked at which were.
        """
        self._places = {}
        self._missing.clear()
        self._walked.clear()
        self._shown = {name: one for name, one in self._shown.items() if name in self._process.clusters}
        self.filters.reset()
        self._show({key for levels in self._levels.values() for key in levels if key[0] == "target"})

    def _show(self, changed: Iterable[Key]) -> None:
        """Write the levels of all workers into the counts that are shown: of what has changed, or is new."""
        for name, listener in self._process.listeners.items():
            _write(listener.counts, LISTENER_LEVELS, self._whole("listener", name))
        of_clusters = set()
        for key in changed:
            if key[0] == "target":
                self._show_target(key)
            elif key[0] != "listener":
                of_clusters.add(key[1])
        for name, cluster in self._process.clusters.items():
            now, number = (cluster, cluster.endpoints, cluster.paused_by), len(cluster.endpoints)
            before, number_before = self._shown.get(name, ((None,), 0))
            same = number == number_before and all(map(is_, before, now))
            if not same:
                self._shown[name] = now, number
                self._missing.clear()  # an endpoint may have come that a worker reported before
            if name in of_clusters or not same:
                self._show_cluster(cluster)

    def _whole(self, *key: str) -> Levels:
        """The sums of all workers."""
        whole: dict[str, float] = {}
        for levels in self._levels.values():
            for name, value in levels.get(key, {}).items():
                whole[name] = whole.get(name, 0) + value
        return whole

    def _show_target(self, key: Key) -> None:
        counts, open_ = self._place(key), int(self._whole(*key).get("open", 0))
        if isinstance(counts, TargetCounts) and (open_ or counts.streams is not None):
            counts.of_streams().open = OpenElsewhere(open_)

    def _show_cluster(self, cluster: Cluster) -> None:
        whole = self._whole("cluster", cluster.name)
        _write(cluster.breaker, BREAKER_LEVELS, whole)
        if isinstance(cluster.paused_by, Pause):
            cluster.paused_by.elsewhere = int(whole.get("held", 0))
        for endpoint in cluster.endpoints:
            _show_endpoint(endpoint, self._whole("endpoint", cluster.name, endpoint.address))


def _show_endpoint(endpoint: Endpoint, found: Levels) -> None:
    endpoint.active = int(found.get("active", 0))
    open_ = {name: number for name in STATES if (number := int(found.get(name, 0)))}
    if open_ or isinstance(endpoint.pool, PoolElsewhere):
        endpoint.pool = PoolElsewhere(open_)


def _by_key(parts: Iterable[tuple[Key, Levels]]) -> dict[Key, Levels]:
    """Return the sums of all that have one key."""
    whole: dict[Key, dict[str, float]] = {}
    for key, values in parts:
        mine = whole.setdefault(key, {})
        for name, value in values.items():
            mine[name] = mine.get(name, 0) + value
    return {**whole}


def _nonzero(source: object, names: Iterable[str]) -> dict[str, float]:
    return {name: value for name in names if (value := getattr(source, name))}


def _write(place: object, names: Iterable[str], values: Levels) -> None:
    for name in names:
        setattr(place, name, int(values.get(name, 0)))
