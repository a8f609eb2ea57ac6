"""
What workers counted, added up in the supervisor.

Lives here: `Reader`, which says what a process counted since it was asked last; `Totals`, which adds that to the counts
of another one with the same configuration, so that whatever shows counts shows those of all. Does not: the walk over
what is counted (`counted`), asking (`counting`), what filters measure and collect (`filter_sums`).

What was counted stays when its worker ends; what is a level (connections that are open, requests under way) goes with
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from metaproxy.admin.traffic import STATES, connection_states
from metaproxy.app.service import ProxyService
from metaproxy.cluster.elsewhere import PoolElsewhere
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.counts import StreamedExchange
from metaproxy.proxy.descriptor_reserve import DescriptorReserve
from metaproxy.proxy.pause import Pause
from metaproxy.workers.counted import LISTENER_LEVELS, Added, CountReader, Key, add, places, routes
from metaproxy.workers.filter_sums import FilterReader, FilterReport, FilterSums

Levels = Mapping[str, float]

BREAKER_LEVELS = ("connections", "pending", "requests", "retries")


@dataclass(frozen=True, slots=True)
class Report:
    """
    added: since the last report, only what is not 0; levels: as they are now, only what is not 0; filters: what they
    measure and collect, None where that was not asked for.
    """

    added: Mapping[Key, Added] = field(default_factory=dict)
    levels: Mapping[Key, Levels] = field(default_factory=dict)
    filters: FilterReport | None = None


class Reader:
    """Reads the counts of one process."""

    def __init__(self, process: ProxyService) -> None:
        self._process = process
        self._counts = CountReader(process)
        self._filters = FilterReader(process, process.network.clock.seconds)

    def report(self, filters: bool = False) -> Report:
        """Return what was counted since the last report. filters: also what they measure and collect."""
        found = self._filters.read() if filters else None
        return Report(self._counts.read(), _by_key(levels(self._process)), found)


def levels(process: ProxyService) -> Iterator[tuple[Key, Levels]]:
    """Yield what is so now, where it is not 0."""
    for name, listener in process.listeners.items():
        if found := _nonzero(listener.counts, LISTENER_LEVELS):
            yield ("listener", name), found
        for route in routes(listener.snapshot):
            for target in route.all_targets():
                if target.counts.streams is not None and target.counts.streams.open:
                    yield ("target", name, route.name, target.name), {"open": len(target.counts.streams.open)}
    for name, cluster in process.clusters.items():
        found = _nonzero(cluster.breaker, BREAKER_LEVELS)
        if cluster.paused_by is not None and (held := len(cluster.paused_by)):
            found["held"] = held
        if found:
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
    """Adds the reports of workers, by their numbers, to the counts of the supervisor. filters: what theirs measure."""

    def __init__(self, process: ProxyService) -> None:
        self._process = process
        self._levels: dict[int, Mapping[Key, Levels]] = {}
        self._places: dict[Key, object | None] = {}
        self.filters = FilterSums(process)

    def take(self, worker: int, report: Report) -> None:
        """Add what a worker counted."""
        for key, added in report.added.items():
            place = self._place(key)
            if place is not None:
                add(place, added)
                if isinstance(place, DescriptorReserve) and "refused_connections" in added:
                    place.note_refusal()
        self._levels[worker] = report.levels
        if report.filters is not None:
            self.filters.take(worker, report.filters)
        self._show()

    def forget(self, worker: int) -> None:
        """A worker has ended: what it counted stays."""
        self.filters.forget(worker)
        if self._levels.pop(worker, None) is not None:
            self._show()

    def of(self, worker: int) -> Mapping[Key, Levels]:
        """The levels of a worker, as it said last."""
        return self._levels.get(worker, {})

    def _place(self, key: Key) -> object | None:
        """The counts of a key; what a configuration since then has not is looked for once."""
        if key not in self._places:
            missing = dict.fromkeys((*self._places, key))
            self._places = {**missing, **places(self._process)}
        return self._places[key]

    def reset(self) -> None:
        """Another configuration is in force."""
        self._places = {}
        self.filters.reset()
        self._show()

    def _show(self) -> None:
        """Write the levels of all workers into the counts that are shown."""
        whole = _by_key(item for one in self._levels.values() for item in one.items())
        for name, listener in self._process.listeners.items():
            _write(listener.counts, LISTENER_LEVELS, whole.get(("listener", name), {}))
            for route in routes(listener.snapshot):
                for target in route.all_targets():
                    streams = target.counts.streams
                    if streams is not None:
                        open_ = whole.get(("target", name, route.name, target.name), {}).get("open", 0)
                        streams.open = OpenElsewhere(int(open_))
        for name, cluster in self._process.clusters.items():
            of_cluster = whole.get(("cluster", name), {})
            _write(cluster.breaker, BREAKER_LEVELS, of_cluster)
            if isinstance(cluster.paused_by, Pause):
                cluster.paused_by.elsewhere = int(of_cluster.get("held", 0))
            for endpoint in cluster.endpoints:
                _show_endpoint(endpoint, whole.get(("endpoint", name, endpoint.address), {}))


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
