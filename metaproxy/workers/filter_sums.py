"""
What filters of workers measure (`gauges`) and collect under names of their own (`collect`), put together.

Lives here: `FilterReader`, which reads it in a worker, as often as somebody looks at metrics; `FilterSums`, which has
that of all workers in the supervisor. Does not: `counters` of filters, which are counts as all others (`counted`).

Counters and histograms are added up and stay when a worker ends. All else is a level: the sum of what the workers that
there are have now, but for gauges of which a sum says nothing (IFilter.per_worker), which stand by worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import Metric
from prometheus_client.samples import Sample
from twisted.logger import Logger

from metaproxy.app.service import ProxyService
from metaproxy.proxy.snapshot import FilterUse
from metaproxy.support.log_throttle import LogThrottle
from metaproxy.telemetry.metrics.merge import Key, entries

log = Logger()

MOST = 100_000
"""Samples of one filter of a listener: peers may choose some of their labels, and each worker has its own."""
COUNTERS = ("counter", "histogram", "summary")
"""Types whose samples only grow."""

Place = tuple[str, str]
"""Names of a listener and of a filter."""
Series = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Name of a sample, names of its labels, their values."""


@dataclass(slots=True)
class Family:
    """One metric of a place: what to add to it, if its type is one of COUNTERS, or else what it is now."""

    about: str
    type: str
    unit: str
    samples: dict[Series, float] = field(default_factory=dict)


Families = dict[str, Family]


@dataclass(frozen=True, slots=True)
class FilterReport:
    """gauges: by listener, filter and name; collected: by the name of the metric."""

    gauges: Mapping[Key, float] = field(default_factory=dict)
    collected: Mapping[Place, Families] = field(default_factory=dict)


class FilterReader:
    """Reads the filters of one process. seconds: for what it logs."""

    def __init__(self, process: ProxyService, seconds: Callable[[], float]) -> None:
        self._process = process
        self._last: dict[Place, dict[Series, float]] = {}
        self._log_throttle = LogThrottle(seconds)

    def read(self) -> FilterReport:
        """Return what they measure, and what they collected since the last time. One that raises is left out."""
        gauges: dict[Key, float] = {}
        now: dict[Place, Families] = {}
        seen: set[int] = set()
        # Known places first: what several listeners have in common stays where it was counted, or it comes twice.
        for use in sorted(_uses(self._process), key=lambda use: (use.listener, use.name) not in self._last):
            for key, value in self._gauges(use).items():
                gauges[key] = gauges.get(key, 0) + value
            if id(use.plugin) not in seen:  # one that several listeners have counts for all of them
                seen.add(id(use.plugin))
                for metric in self._metrics(use):
                    _put(now.setdefault((use.listener, use.name), {}), metric)
        before, self._last = self._last, {}
        for place, families in now.items():
            self._last[place] = _leave_new(families, before.get(place, {}))
        return FilterReport(gauges, now)

    def _gauges(self, use: FilterUse) -> Mapping[Key, float]:
        try:
            return entries([use], "gauges")
        except Exception:
            self._failed(use)
            return {}

    def _metrics(self, use: FilterUse) -> list[Metric]:
        collect = getattr(use.plugin, "collect", None)
        try:
            return [] if collect is None else list(collect())
        except Exception:
            self._failed(use)
            return []

    def _failed(self, use: FilterUse) -> None:
        if self._log_throttle.allows((use.listener, use.name)):
            log.failure("{listener}: {name}: what it measures is left out", listener=use.listener, name=use.name)


def _uses(process: ProxyService) -> Sequence[FilterUse]:
    return process.snapshot.filters if process.snapshot is not None else ()


def _put(families: Families, metric: Metric) -> None:
    family = families.setdefault(metric.name, Family(metric.documentation, metric.type, metric.unit))
    for sample in metric.samples:
        # A time of creation and a quantile have no sum.
        if not sample.name.endswith("_created") and "quantile" not in sample.labels:
            series = sample.name, tuple(sample.labels), tuple(sample.labels.values())
            family.samples[series] = family.samples.get(series, 0.0) + sample.value


def _leave_new(families: Families, before: Mapping[Series, float]) -> dict[Series, float]:
    """
    Leave of counters what came to them. Return what they were. One that goes back was begun at 0 by another
    configuration: what it has since then can not be distinguished from what it had, so only what comes later is added.
    """
    last: dict[Series, float] = {}
    for family in families.values():
        if family.type in COUNTERS:
            last.update(family.samples)
            family.samples = {
                series: value - known
                for series, value in family.samples.items()
                if value > (known := before.get(series, 0.0))
            }
    return last


class FilterSums:
    """What filters of all workers measure and collect, as telemetry.roles.FilterMetrics has it."""

    def __init__(self, process: ProxyService) -> None:
        self._process = process
        self._counts: dict[Place, Families] = {}
        self._reports: dict[int, FilterReport] = {}

    def take(self, worker: int, report: FilterReport) -> None:
        """Add what a worker reports."""
        self._reports[worker] = report
        known = {(use.listener, use.name) for use in _uses(self._process)}
        for place, families in report.collected.items():
            if place in known:
                self._add(self._counts.setdefault(place, {}), families)

    def _add(self, mine: Families, families: Families) -> None:
        room = MOST - sum(len(one.samples) for one in mine.values())
        for name, family in families.items():
            if family.type not in COUNTERS:
                continue
            whole = mine.setdefault(name, Family(family.about, family.type, family.unit)).samples
            for series, more in family.samples.items():
                if series in whole:
                    whole[series] += more
                elif room > 0:
                    room -= 1
                    whole[series] = more

    def forget(self, worker: int) -> None:
        """A worker has ended: what it counted stays."""
        self._reports.pop(worker, None)

    def reset(self) -> None:
        """Another configuration is in force: what its filters do not collect is shown no more."""
        known = {(use.listener, use.name) for use in _uses(self._process)}
        self._counts = {place: found for place, found in self._counts.items() if place in known}

    # -- what is shown

    def values(self) -> dict[Key, float]:
        """Gauges by listener, filter and name, added up, without those that stand by worker."""
        apart = self._apart()
        whole: dict[Key, float] = {}
        for report in self._reports.values():
            for key, value in report.gauges.items():
                if key not in apart:
                    whole[key] = whole.get(key, 0) + value
        return whole

    def values_by_worker(self) -> dict[tuple[str, str, str, str], float]:
        """Those of which a sum says nothing, with the number of the worker in front."""
        apart = self._apart()
        return {
            (str(worker), *key): value
            for worker, report in sorted(self._reports.items())
            for key, value in report.gauges.items()
            if key in apart
        }

    def _apart(self) -> set[Key]:
        return {
            (use.listener, use.name, name)
            for use in _uses(self._process)
            for name in getattr(use.plugin, "per_worker", ())
        }

    def collect(self) -> Iterator[Metric]:
        """Yield each family of each place; telemetry.metrics.merge makes one of those with the same name."""
        for families in self._counts.values():
            for name, family in families.items():
                yield _metric(name, family)
        for report in self._reports.values():
            for families in report.collected.values():
                for name, family in families.items():
                    if family.type not in COUNTERS:
                        yield _metric(name, family)


def _metric(name: str, family: Family) -> Metric:
    metric = Metric(name, family.about, family.type, family.unit)
    metric.samples = [
        Sample(sample, dict(zip(names, values, strict=True)), value)
        for (sample, names, values), value in family.samples.items()
    ]
    return metric
