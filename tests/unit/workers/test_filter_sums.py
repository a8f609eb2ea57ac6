"""What filters of workers measure and collect, put together in the supervisor."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from running_proxy import Running
from twisted.logger import capturedLogs, formatEvent

from metaproxy.proxy.snapshot import FilterUse
from metaproxy.workers import filter_sums
from metaproxy.workers.filter_sums import FilterReader, FilterReport, FilterSums

LIMIT = ("front", "limit")


class Filter:
    """Measures and collects."""

    per_worker = ("ratio",)

    def __init__(self) -> None:
        self.gauges: dict[str, float] = {"open": 0.0}
        self.calls: dict[str, float] = {}
        self.sizes: list[float] = []
        self.waiting = 0.0
        self.broken = False

    def collect(self) -> Iterator[Metric]:
        if self.broken:
            raise ValueError("no")
        calls = CounterMetricFamily("calls", "Calls.", labels=["who"])
        for who, number in self.calls.items():
            calls.add_metric([who], number, created=1700000000.0)
        yield calls
        sizes = HistogramMetricFamily("sizes", "Sizes.")
        small = sum(one < 10 for one in self.sizes)
        sizes.add_metric([], [("10.0", small), ("+Inf", len(self.sizes))], sum(self.sizes))
        yield sizes
        yield GaugeMetricFamily("waiting", "Waiting.", value=self.waiting)
        summary = SummaryMetricFamily("took", "Took.", count_value=len(self.sizes), sum_value=sum(self.sizes))
        summary.add_sample("took", {"quantile": "0.5"}, 3.0)
        yield summary


class Process:
    """A proxy with filters. number: of the worker."""

    def __init__(self, number: int, *plugins: object, place: tuple[str, str] = LIMIT) -> None:
        self.number = number
        self.running = Running()
        self.uses(*(FilterUse(*place, plugin) for plugin in plugins))
        self.reader = FilterReader(self.running.proxy, self.running.network.clock.seconds)

    def uses(self, *uses: FilterUse) -> None:
        snapshot: Any = self.running.proxy.snapshot
        object.__setattr__(snapshot, "filters", uses)

    def read(self) -> FilterReport:
        found: FilterReport = pickle.loads(pickle.dumps(self.reader.read()))
        return found


class Hall:
    """Two workers with a filter each, and the supervisor, whose own has nothing to do."""

    def __init__(self) -> None:
        self.filters = [Filter(), Filter()]
        self.workers = [Process(number, one) for number, one in enumerate(self.filters)]
        self.supervisor = Process(-1, Filter())
        self.sums = FilterSums(self.supervisor.running.proxy)

    def look(self) -> None:
        for worker in self.workers:
            self.sums.take(worker.number, worker.read())

    def shown(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for metric in self.sums.collect():
            for sample in metric.samples:
                name = sample.name + "".join(f" {value}" for value in sample.labels.values())
                found[name] = found.get(name, 0) + sample.value
        return found


def test_counters_and_histograms_are_added_up_and_stay_when_a_worker_ends() -> None:
    hall = Hall()
    one, other = hall.filters
    one.calls, other.calls = {"a": 3, "b": 1}, {"a": 2}
    one.sizes, other.sizes = [4.0, 40.0], [5.0]
    hall.look()
    expected = {
        "calls_total a": 5, "calls_total b": 1, "sizes_bucket 10.0": 2, "sizes_bucket +Inf": 3, "sizes_count": 3,
        "sizes_sum": 49, "took_count": 3, "took_sum": 49, "waiting": 0,
    }  # fmt: skip
    assert hall.shown() == expected
    hall.look()
    assert hall.shown() == expected
    other.calls["a"] += 4
    hall.look()
    hall.sums.forget(1)
    assert hall.shown() == {**expected, "calls_total a": 9}


def test_metrics_that_are_levels_are_the_sum_of_the_workers_that_there_are() -> None:
    hall = Hall()
    hall.filters[0].waiting, hall.filters[1].waiting = 3.0, 4.0
    hall.look()
    hall.look()
    assert hall.shown()["waiting"] == 7
    hall.sums.forget(0)
    assert hall.shown()["waiting"] == 4


def test_gauges_are_added_up_but_for_those_that_stand_by_worker() -> None:
    hall = Hall()
    for plugin, open_ in zip(hall.filters, (3.0, 4.0), strict=True):
        plugin.gauges = {"open": open_, "ratio": open_ / 10, "none": 0.0}
    hall.look()
    assert hall.sums.values() == {(*LIMIT, "open"): 7.0, (*LIMIT, "none"): 0.0}
    assert hall.sums.values_by_worker() == {("0", *LIMIT, "ratio"): 0.3, ("1", *LIMIT, "ratio"): 0.4}
    hall.sums.forget(1)
    assert hall.sums.values() == {(*LIMIT, "open"): 3.0, (*LIMIT, "none"): 0.0}


def test_only_what_came_since_the_last_look_is_sent() -> None:
    plugin = Filter()
    worker = Process(0, plugin)
    plugin.calls = {"a": 3}
    assert [*worker.read().collected[LIMIT]["calls"].samples.values()] == [3]
    assert not worker.read().collected[LIMIT]["calls"].samples
    plugin.calls["a"] = 4
    assert [*worker.read().collected[LIMIT]["calls"].samples.values()] == [1]


def test_a_filter_that_begins_at_nothing_takes_nothing_back_and_is_counted_on() -> None:
    hall = Hall()
    hall.filters[0].calls = {"a": 5}
    hall.look()
    hall.filters[0].calls = {"a": 1}
    hall.look()
    assert hall.shown()["calls_total a"] == 5
    hall.filters[0].calls = {"a": 3}
    hall.look()
    assert hall.shown()["calls_total a"] == 7


def test_a_filter_of_several_routes_is_added_up_and_one_that_listeners_share_counts_once() -> None:
    one, other = Filter(), Filter()
    one.calls, other.calls = {"a": 1}, {"a": 2}
    worker = Process(0, one, other)
    report = worker.read()
    assert [*report.collected[LIMIT]["calls"].samples.values()] == [3]
    worker.uses(FilterUse("front", "log", one), FilterUse("back", "log", one))
    one.calls["a"] += 7
    report = worker.read()
    assert [*report.collected] == [("front", "log")]
    assert report.gauges == {("front", "log", "open"): 0.0, ("back", "log", "open"): 0.0}


def test_one_that_raises_is_left_out_and_logged_once() -> None:
    plugin, sound = Filter(), Filter()
    sound.calls = {"b": 1}
    worker = Process(0, plugin)
    worker.uses(FilterUse("front", "broken", plugin), FilterUse("front", "sound", sound))
    plugin.broken = True
    with capturedLogs() as found:
        for _ in range(2):
            assert [*worker.read().collected] == [("front", "sound")]
    assert [formatEvent(one) for one in found] == ["front: broken: what it measures is left out"]


def test_what_a_configuration_has_no_more_is_not_shown() -> None:
    hall = Hall()
    hall.filters[0].calls = {"a": 5}
    hall.look()
    hall.supervisor.uses()
    hall.sums.reset()
    hall.sums.forget(0)
    hall.sums.forget(1)
    assert hall.shown() == {}
    hall.filters[0].calls["a"] += 1
    hall.look()  # a worker that still has the configuration before
    assert "calls_total a" not in hall.shown()


def test_how_many_series_there_are_has_a_bound(monkeypatch: Any) -> None:
    monkeypatch.setattr(filter_sums, "MOST", 7)  # six of the others
    hall = Hall()
    hall.filters[0].calls = {"a": 1, "b": 2}
    hall.look()
    hall.filters[0].calls["a"] += 1
    hall.look()
    calls = {name: value for name, value in hall.shown().items() if name.startswith("calls")}
    assert calls == {"calls_total a": 2, "calls_total b": 2} and len(hall.shown()) <= 8


def test_what_several_listeners_have_in_common_is_not_counted_again_for_a_new_one() -> None:
    hall = Hall()
    shared = hall.filters[0]
    shared.calls = {"a": 100}
    hall.look()
    hall.workers[0].uses(FilterUse("ahead", "limit", shared), FilterUse(*LIMIT, shared))
    hall.supervisor.uses(FilterUse("ahead", "limit", Filter()), FilterUse(*LIMIT, Filter()))
    hall.sums.reset()
    shared.calls["a"] += 1
    hall.look()
    assert hall.shown()["calls_total a"] == 101
