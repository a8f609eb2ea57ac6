"""
The counters of a running proxy as Prometheus metrics and as a flat mapping, read when they are asked for.

Lives here: `Metrics`, which walks listeners, routes, clusters and endpoints; `exposition`, text in pieces. Does not:
names and labels (`families`), counting (`counts`: the path adds to plain attributes, and nothing is done here for it).

A thousand routes are some ten thousand lines. So they are made in pieces that take a millisecond or two, and the
writer lets the reactor go on in between.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import accumulate
from operator import itemgetter
from typing import Any, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

import twisted
from metaproxy import __version__
from metaproxy.cluster.routes import Route
from metaproxy.counts import (
    EndpointCounts,
    Histogram,
    ListenerCounts,
    LongHistogram,
    MirrorCounts,
    StreamCounts,
    TargetCounts,
)
from metaproxy.routing.table import PRIORITIES
from metaproxy.support.unparsed import UNPARSED
from metaproxy.telemetry.metrics import families as names
from metaproxy.telemetry.metrics.families import Family
from metaproxy.telemetry.metrics.merge import cut, entries, merged
from metaproxy.telemetry.roles import Configuration, FilterMetrics, FilterUse, Logs, MirrorTarget, Proxy, WorkerProcess

PIECE = 200
"""Samples that are made at a time."""
SORTED_AT_ONCE = 2000
"""Texts that are sorted before other work may go on."""
AT_ONCE = 200
"""What is read, grouped or sorted at a time."""
QUANTILES = (0.5, 0.9, 0.99)
"""Of histograms, in the flat mapping."""


def _ends(kind: type[Histogram]) -> list[tuple[str, int]]:
    """The buckets that are exposed, each with the one in which it ends: what is counted is finer."""
    ends = [(floatToGoString(bound), kind.bounds.index(bound)) for bound in kind.exposed]
    return [*ends, ("+Inf", len(kind.bounds))]


_ENDS = {kind: _ends(kind) for kind in (Histogram, LongHistogram)}

Value = float | Histogram
Labels = tuple[str, ...]
Row = tuple[Labels, Value]
"""The values of a family's labels, in their order, and the value."""


T = TypeVar("T")


def _nothing() -> None:
    """Nothing else waits."""


class Metrics(Collector):
    """
    proxy: an app.service.ProxyService. configuration: an app.application.Application, or None; logs: a
    log_files.LogFiles, or None: their metrics are then absent, or 0. workers: those of a supervisor, none where there
    is one process; elsewhere: what their filters measure, in the place of this process's own, which have no exchanges.
    """

    def __init__(
        self,
        proxy: Proxy,
        configuration: Configuration | None = None,
        logs: Logs | None = None,
        workers: Sequence[WorkerProcess] = (),
        elsewhere: FilterMetrics | None = None,
    ) -> None:
        self._proxy = proxy
        self._elsewhere = elsewhere
        self._configuration = configuration
        self._logs = logs
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """Each family whole, as prometheus_client's registries want it."""
        whole: Metric | None = None
        for piece in self.pieces():
            if whole is None or whole.name != piece.name:
                if whole is not None:
                    yield whole
                whole = piece
            else:
                whole.samples.extend(piece.samples)
        if whole is not None:
            yield whole

    def pieces(self) -> Iterator[Metric]:
        """The same, but a family of many series comes as several Metrics of one name, one after the other."""
        for family, rows in self._read():
            if family.kind == "histogram":
                yield from _histogram(family, rows)
            else:
                yield from _numbers(family, rows)

        for metric in self._collected():
            yield from cut(metric, PIECE)

    def flat(self, between: Callable[[], None] = _nothing) -> Iterator[tuple[str, float]]:
        """
        Series, as `name{label="value"}`, with their numbers; of a histogram its count, sum and QUANTILES. In the order
        of their texts. between: called from time to time, where other work may go on.
        """
        # Lists by name: one dictionary of hundreds of thousands would be put elsewhere as a whole each time it grows.
        found: dict[str, list[tuple[str, float]]] = {}
        for one in self._series(between):
            between()
            name, brace, _ = one[0].partition("{")
            found.setdefault(name + brace, []).append(one)
        for name in sorted(found):  # `{` behind a name sorts after what may go on in its place
            between()
            yield from _merged(found.pop(name), between)

    def _series(self, between: Callable[[], None]) -> Iterator[tuple[str, float]]:
        for family, rows in self._read():
            between()  # also where there are no rows: what is read next is grouped meanwhile
            for labels, value in rows:
                if isinstance(value, Histogram):  # all of one moment
                    yield from [
                        (series(f"{family.name}_count", family.labels, labels), value.count),
                        (series(f"{family.name}_sum", family.labels, labels), _short(value.total)),
                        *(
                            (
                                series(family.name, (*family.labels, "quantile"), (*labels, str(share))),
                                _short(value.percentile(share) or 0.0),
                            )
                            for share in QUANTILES
                        ),
                    ]
                else:
                    yield series(family.name, family.labels, labels), _short(value)
        for metric in self._collected():
            for sample in metric.samples:
                if not sample.name.endswith(("_bucket", "_created")):
                    name = series(sample.name, list(sample.labels), list(sample.labels.values()))
                    yield name, _short(sample.value)

    def _collected(self) -> list[Metric]:
        """What filters collect under names of their own."""
        own = {id(one.plugin): one.plugin for one in self._filters() if hasattr(one.plugin, "collect")}
        return merged(own.values() if self._elsewhere is None else (*own.values(), self._elsewhere))

    def _read(self) -> Iterator[tuple[Family, list[Row]]]:
        """
        Families in the order of names.FAMILIES, each with some of its rows, or none: between two of them other work may
        go on. So nothing that it may change is walked over across a yield.
        """
        build = (sys.version.split()[0], twisted.__version__, __version__)
        yield names.BUILD, [(build, 1.0)]
        process = _Process.of(self._proxy, self._configuration, self._logs)
        for family in names.PROCESS:
            yield family, [((), _number(family.read(process)))]
        overload = self._proxy.network.overload
        levels = (overload.memory, overload.lag)
        yield names.OVERLOAD, [((one.option.rpartition(".")[2],), one.level) for one in levels]
        yield from _rows(names.SHED, {(word,): [one] for word, one in zip(PRIORITIES, overload.requests, strict=True)})
        if self._workers:
            yield from _rows(names.WORKER, {(str(one.number),): [one] for one in self._workers})
        if self._configuration is not None:
            reloads = self._configuration.reloads
            yield names.RELOADS, [(("applied",), reloads["applied"]), (("refused",), reloads["refused"])]
            planes = self._configuration.xds_counts
            yield from _rows(names.XDS_SERVER, {(name,): [one] for name, one in planes.items()})
            kinds: dict[Labels, Sequence[object]] = {
                (name, kind): [of] for name, one in planes.items() for kind, of in one.subscriptions.items()
            }
            yield from _rows(names.XDS, kinds)
        yield from _rows(names.LISTENER, self._listeners())
        yield (
            names.CERTIFICATE,
            [
                ((name, one.snapshot.codec.name), one.snapshot.tls.not_after)
                for name, one in self._proxy.listeners.items()
                if one.snapshot.tls is not None
            ],
        )
        yield names.UNPARSED, [(key, number) for key, number in sorted(UNPARSED.items())]
        yield names.PLUGIN_ERRORS, list(self._plugin_errors())
        targets = yield from _grouped_slowly(names.PLUGIN_ERRORS, self._targets())
        yield names.EXCHANGES, []
        for part in _parts(targets):
            yield names.EXCHANGES, list(_outcomes(part))
        used: dict[Labels, list[TargetCounts]] = {}
        streams: dict[Labels, list[StreamCounts]] = {}
        for part in _parts(targets):
            used.update((labels, counts) for labels, counts in part.items() if _used(counts))
            streams.update((labels, found) for labels, counts in part.items() if (found := _streams(counts)))
            yield names.EXCHANGES, []
        yield from _rows(names.TARGET, used)
        yield from _rows(names.STREAM, streams)
        mirrors = yield from _grouped_slowly(names.STREAM[-1], self._mirrors())
        yield from _rows(names.MIRROR, mirrors)
        clusters = dict(self._proxy.snapshot.clusters) if self._proxy.snapshot is not None else {}
        yield from _rows(names.CLUSTER, {(name,): [cluster] for name, cluster in clusters.items()})
        yield (
            names.EJECTIONS,
            [((name, cause), n) for name, one in clusters.items() for cause, n in one.counts.ejections.items()],
        )
        endpoints = yield from _grouped_slowly(
            names.EJECTIONS,
            (
                ((name, endpoint.address), endpoint)
                for name, cluster in clusters.items()
                for endpoint in cluster.endpoints
            ),
        )
        yield from _rows(names.ENDPOINT_STATE, endpoints)
        learnt = [(labels, one) for labels, found in endpoints.items() for one in found]
        roles = [(labels, role) for labels, one in learnt if (role := one.learnt.get("role"))]
        yield names.ENDPOINT_ROLE, [((*labels, role), 1) for labels, role in dict.fromkeys(roles)]
        lags = {labels: one.lag for labels, one in learnt if one.lag is not None}
        yield names.ENDPOINT_LAG, list(lags.items())
        counts: dict[Labels, list[EndpointCounts]] = {}
        for group in _parts(endpoints):
            counts.update((labels, _distinct(one.counts for one in found)) for labels, found in group.items())
            yield names.ENDPOINT_LAG, []
        yield from _rows(names.ENDPOINT, counts)
        yield from _emptied(names.ENDPOINT[-1], targets, used, endpoints, counts)
        filters = self._filters()
        yield names.FILTER_EVENTS, list(entries(filters, "counters").items())
        if self._elsewhere is None:
            yield names.FILTER_VALUES, list(entries(filters, "gauges").items())
        else:
            yield names.FILTER_VALUES, list(self._elsewhere.values().items())
            yield names.WORKER_FILTER_VALUES, list(self._elsewhere.values_by_worker().items())

    def _plugin_errors(self) -> Iterator[Row]:
        for name, listener in self._proxy.listeners.items():
            for method, number in listener.counts.plugin_errors.items():
                yield (name, "-", method), number
        clusters = self._proxy.snapshot.clusters if self._proxy.snapshot is not None else {}
        for name, cluster in clusters.items():
            for method, number in cluster.counts.plugin_errors.items():
                yield ("-", name, method), number

    def _mirrors(self) -> Iterator[tuple[Labels, MirrorCounts]]:
        return (
            ((name, listener.snapshot.codec.name, route.name, target.name), target.counts)
            for name, listener in list(self._proxy.listeners.items())
            for route in listener.snapshot.routes.routes
            for target in _mirror_targets(route)
        )

    def _filters(self) -> Sequence[FilterUse]:
        return self._proxy.snapshot.filters if self._proxy.snapshot is not None else ()

    def _listeners(self) -> dict[Labels, list[ListenerCounts]]:
        return {
            (name, listener.snapshot.codec.name): [listener.counts] for name, listener in self._proxy.listeners.items()
        }

    def _targets(self) -> Iterator[tuple[Labels, TargetCounts]]:
        return (
            ((name, listener.snapshot.codec.name, route.name, target.name), target.counts)
            for name, listener in list(self._proxy.listeners.items())
            for route in (*listener.snapshot.routes.routes, listener.snapshot.no_route)
            for target in route.all_targets()
        )


@dataclass(slots=True)
class _Process:
    """What names.PROCESS reads."""

    uptime: float
    ready: bool
    draining: bool
    version: int
    plugin_errors: int
    memory: float
    memory_limit: float
    lag: float
    refused_connections: int
    shed_requests: int
    closed_connections: int
    descriptors_refused: int
    descriptors_failed: int
    last_reload_success: bool = True
    applied: float = 0.0
    refused: float = 0.0
    log_lines: int = 0
    log_dropped: int = 0
    log_errors: int = 0

    @classmethod
    def of(cls, proxy: Proxy, configuration: Configuration | None, logs: Logs | None) -> _Process:
        version = proxy.snapshot.version if proxy.snapshot is not None else 0
        uptime = max(time.time() - proxy.started, 0.0)
        overload, descriptors = proxy.network.overload, proxy.network.descriptors
        made = cls(
            uptime, proxy.ready, proxy.draining, version, len(proxy.registry.errors),
            memory=overload.memory.value, memory_limit=overload.memory.limit, lag=overload.lag.value,
            refused_connections=overload.refused_connections, shed_requests=overload.shed_requests,
            closed_connections=overload.closed_connections,
            descriptors_refused=descriptors.refused_connections, descriptors_failed=descriptors.failed_connects,
        )  # fmt: skip
        if configuration is not None:
            refused = configuration.refused
            made = replace(
                made,
                last_reload_success=refused is None,
                applied=configuration.applied,
                refused=refused["time"] if refused is not None else 0.0,
            )
        if logs is not None:
            counts = logs.counts
            made = replace(made, log_lines=counts.lines, log_dropped=counts.dropped, log_errors=counts.errors)
        return made


def series(name: str, labels: Sequence[str], values: Sequence[str]) -> str:
    """`name{label="value"}` as the text format has it, labels sorted."""
    if not labels:
        return name
    quoted = (f'{label}="{_quoted(value)}"' for label, value in sorted(zip(labels, values, strict=True)))
    return f"{name}{{{','.join(quoted)}}}"


def _short(value: float) -> float:
    """What people read: whole numbers without a point, seconds to the microsecond."""
    if not math.isfinite(value):
        return value
    return int(value) if value == int(value) else round(value, 6)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


# -- reading


def _number(value: Value) -> float:
    return value.count if isinstance(value, Histogram) else float(value)


def _mirror_targets(route: Route) -> Sequence[MirrorTarget]:
    targets: Sequence[MirrorTarget] = getattr(route.mirror, "targets", ())
    return targets


def _grouped_slowly(
    family: Family, pairs: Iterable[tuple[Labels, T]]
) -> Generator[tuple[Family, list[Row]], None, dict[Labels, list[T]]]:
    """
    By labels, each object once: a series must be there once, although two routes may have one name, or one address
    stand twice. Yields no rows of the family that was read last, from time to time.
    """
    found: dict[Labels, dict[int, T]] = {}
    for number, (labels, one) in enumerate(pairs):
        if number % AT_ONCE == AT_ONCE - 1:
            yield family, []
        found.setdefault(labels, {})[id(one)] = one
    return {labels: list(group.values()) for labels, group in found.items()}


def _emptied(family: Family, *grouped: dict[Labels, Any]) -> Iterator[tuple[Family, list[Row]]]:
    """Free them some at a time: of 10,000 entries at once it takes as long as to make them."""
    for found in grouped:
        while found:
            for _ in range(min(AT_ONCE, len(found))):
                found.popitem()
            yield family, []


def _parts(found: Mapping[Labels, T]) -> Iterator[dict[Labels, T]]:
    """Some of the entries at a time."""
    items = list(found.items())
    return (dict(items[start : start + AT_ONCE]) for start in range(0, len(items), AT_ONCE))


def _merged(rows: list[tuple[str, float]], between: Callable[[], None]) -> Iterator[tuple[str, float]]:
    """In the order of their texts, some at a time; of those with one text the last that was read."""
    parts = []
    for start in range(0, len(rows), SORTED_AT_ONCE):
        parts.append(sorted(rows[start : start + SORTED_AT_ONCE], key=_TEXT))
        between()
    rows.clear()
    last: tuple[str, float] | None = None
    for number, row in enumerate(merge(*map(_used_up, parts), key=_TEXT)):
        if number % AT_ONCE == 0:
            between()
        if last is not None and last[0] != row[0]:
            yield last
        last = row
    if last is not None:
        yield last


_TEXT = itemgetter(0)


def _used_up(rows: list[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """The same one by one, each free when it is not used any more: to free them at once takes long."""
    rows.reverse()
    while rows:
        yield rows.pop()


def _distinct(counts: Iterable[T]) -> list[T]:
    return list({id(one): one for one in counts}.values())


def _used(counts: list[TargetCounts]) -> bool:
    return any(one.outcomes or one.fallbacks or one.streams for one in counts)


def _streams(counts: list[TargetCounts]) -> list[StreamCounts]:
    return [one.streams for one in counts if one.streams is not None]


def _rows(families: Iterable[Family], found: Mapping[Labels, Sequence[object]]) -> Iterator[tuple[Family, list[Row]]]:
    for family in families:
        yield family, []
        for part in _parts(found):
            yield family, [(labels, _sum([family.read(one) for one in sources])) for labels, sources in part.items()]


def _sum(values: Sequence[Value]) -> Value:
    """A histogram is copied, as it goes on counting while it is written."""
    histograms = [one for one in values if isinstance(one, Histogram)]
    if not histograms:
        return sum(one for one in values if not isinstance(one, Histogram))
    whole = histograms[0].copy()
    for other in histograms[1:]:
        whole.take(other)
    return whole


def _outcomes(targets: Mapping[Labels, list[TargetCounts]]) -> Iterator[Row]:
    for labels, found in targets.items():
        whole = dict(found[0].outcomes) if found else {}
        for counts in found[1:]:
            for outcome, number in counts.outcomes.items():
                whole[outcome] = whole.get(outcome, 0) + number
        for outcome, number in whole.items():
            yield (*labels, outcome), number


# -- Metrics of prometheus_client


def _numbers(family: Family, rows: list[Row]) -> Iterator[Metric]:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    for start in range(0, len(rows) or 1, PIECE):
        metric = kind(family.name, family.about, labels=family.labels)
        for labels, value in rows[start : start + PIECE]:
            if not isinstance(value, Histogram):
                metric.add_metric(labels, value)
        yield metric


def _histogram(family: Family, rows: list[Row]) -> Iterator[Metric]:
    step = max(PIECE // (len(_ENDS[Histogram]) + 2), 1)
    for start in range(0, len(rows) or 1, step):
        metric = HistogramMetricFamily(family.name, family.about, labels=family.labels)
        for labels, value in rows[start : start + step]:
            if isinstance(value, Histogram):
                counts = list(accumulate(value.buckets))
                buckets = [(le, counts[end]) for le, end in _ENDS[type(value)]]
                metric.add_metric(labels, buckets, value.total)
        yield metric


# -- text


class _Piece(Collector):
    """What an encoder takes for a whole registry."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


_EOF = b"# EOF\n"


def exposition(metrics: Iterable[Metric], accept: str) -> tuple[str, Iterator[bytes]]:
    """
    The content type and the text, in pieces. metrics: of several with one name, one after the other, the first gives
    the head. accept: the header of the request, which asks for OpenMetrics or not.
    """
    encode, content_type = choose_encoder(accept)
    return content_type, _pieces(metrics, encode, "openmetrics" in content_type)


def _pieces(metrics: Iterable[Metric], encode: Callable[[Collector], bytes], openmetrics: bool) -> Iterator[bytes]:
    name = ""
    for metric in metrics:
        text = encode(_Piece(metric)).removesuffix(_EOF)
        if metric.name == name:
            while text.startswith(b"#"):
                text = text[text.index(b"\n") + 1 :]
        name = metric.name
        yield text
    if openmetrics:
        yield _EOF
