"""What workers counted, added up: counts stay, levels go with their worker."""

from __future__ import annotations

import pickle
from itertools import count
from typing import Any

import pytest
from harness import call
from running_proxy import Running

from metaproxy.app.service import ProxyService
from metaproxy.cluster.elsewhere import PoolElsewhere
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.counts import LongHistogram, TargetCounts
from metaproxy.proxy.snapshot import FilterUse
from metaproxy.workers import sums
from metaproxy.workers.counted import Added, Key, places, places_of, section_of
from metaproxy.workers.sums import Levels, OpenElsewhere, Reader, Report, Totals

NUMBERS = count()


class Worker:
    """A proxy that counts, and what reads it."""

    def __init__(self) -> None:
        self.number = next(NUMBERS)
        self.running = Running()
        self.client = self.running.client()
        self.reader = Reader(self.running.proxy)

    def exchange(self, times: int = 1, service: str = "echo") -> None:
        for _ in range(times):
            self.running.exchange(self.client, service)

    def report(self, filters: bool = False) -> Report:
        found: Report = pickle.loads(pickle.dumps(self.reader.report(filters)))
        return found


class Summed:
    """The supervisor's proxy, which has no exchanges of its own."""

    def __init__(self) -> None:
        self.running = Running()
        self.totals = Totals(self.running.proxy)

    def take(self, *workers: Worker) -> None:
        for worker in workers:
            self.totals.take(worker.number, worker.report())

    @property
    def listener(self) -> Any:
        return self.running.proxy.listeners["front"].counts

    @property
    def target(self) -> TargetCounts:
        route = self.running.proxy.listeners["front"].snapshot.routes.routes[0]
        return next(iter(route.all_targets())).counts


def test_what_is_reported_is_what_came_since_the_last_time() -> None:
    worker = Worker()
    worker.exchange(3)
    first = worker.report()
    assert sum(first.added["target", "front", "main", "demo"]["outcomes"].values()) == 3  # type: ignore[attr-defined]
    assert worker.report().added == {}
    worker.exchange()
    assert sum(worker.report().added["target", "front", "main", "demo"]["outcomes"].values()) == 1  # type: ignore[attr-defined]


def test_the_sums_are_those_of_all_workers() -> None:
    one, other, all_ = Worker(), Worker(), Summed()
    one.exchange(3)
    other.exchange(2)
    other.exchange(1, "gone")
    all_.take(one, other)
    assert sum(all_.target.outcomes.values()) == 5
    assert all_.target.latency.count == 5
    assert all_.listener.connections == 2
    all_.take(one, other)
    assert sum(all_.target.outcomes.values()) == 5
    one.exchange()
    all_.take(one, other)
    assert sum(all_.target.outcomes.values()) == 6


def test_sums_have_the_same_percentiles_as_what_was_counted() -> None:
    one, all_ = Worker(), Summed()
    one.exchange(7)
    all_.take(one)
    route = one.running.proxy.listeners["front"].snapshot.routes.routes[0]
    mine = next(iter(route.all_targets())).counts.latency
    assert all_.target.latency.buckets == mine.buckets
    assert all_.target.latency.total == mine.total


def test_endpoints_are_counted_by_their_address() -> None:
    one, all_ = Worker(), Summed()
    one.exchange(4)
    all_.take(one)
    assert [one.counts.requests for one in all_.running.endpoints] == [
        one.counts.requests for one in one.running.endpoints
    ]
    assert sum(one.counts.requests for one in all_.running.endpoints) == 4


def test_levels_are_those_of_the_workers_that_there_are() -> None:
    one, other, all_ = Worker(), Worker(), Summed()
    one.exchange(2)
    for worker in (one, other):
        worker.running.say(worker.client, call(9))
    all_.take(one, other)
    assert all_.listener.connections_active == 2
    assert all_.running.cluster.breaker.requests == 2
    assert sum(one.active for one in all_.running.endpoints) == 2
    all_.totals.forget(other.number)
    assert all_.listener.connections_active == 1
    assert all_.running.cluster.breaker.requests == 1
    assert sum(one.active for one in all_.running.endpoints) == 1


def test_connections_to_endpoints_are_shown_by_their_states() -> None:
    one, all_ = Worker(), Summed()
    one.exchange(6)  # the second endpoint has twice the weight
    all_.take(one)
    pools = [one.pool for one in all_.running.endpoints]
    assert [pool.states for pool in pools if isinstance(pool, PoolElsewhere)] == [{"idle": 1}, {"idle": 1}]
    all_.totals.forget(one.number)
    assert [len(pool.connections) for pool in pools if isinstance(pool, PoolElsewhere)] != []
    assert [one.pool.states for one in all_.running.endpoints if isinstance(one.pool, PoolElsewhere)] == [{}, {}]


def test_what_a_configuration_does_not_have_any_more_is_passed_over() -> None:
    all_ = Summed()
    all_.totals.take(1, Report({("listener", "gone"): {"connections": 1}, ("listener", "front"): {"connections": 2}}))
    assert all_.listener.connections == 2


def test_after_another_configuration_counts_go_to_what_it_has() -> None:
    one, all_ = Worker(), Summed()
    one.exchange(2)
    all_.take(one)
    before = all_.target
    all_.running.apply(2)
    all_.totals.reset()
    one.exchange(3)
    all_.take(one)
    assert all_.target is not before
    assert sum(all_.target.outcomes.values()) == 3


def test_after_another_configuration_a_worker_reports_what_came_since() -> None:
    one, all_ = Worker(), Summed()
    one.exchange(2)
    all_.take(one)
    one.running.apply(2)
    one.exchange(1)
    all_.take(one)
    assert sum(all_.target.outcomes.values()) == 3


def test_streams_are_added_with_their_durations_and_their_open_ones() -> None:
    one, all_ = Worker(), Summed()
    one.exchange()
    route = one.running.proxy.listeners["front"].snapshot.routes.routes[0]
    streams = next(iter(route.all_targets())).counts.of_streams()
    streams.seconds.add(3.0)
    streams.request_chunks += 5
    streams.open.update(OpenElsewhere(2))
    all_.take(one)
    shown = all_.target.of_streams()
    assert (shown.seconds.count, shown.request_chunks, len(shown.open)) == (1, 5, 2)
    assert isinstance(shown.seconds, LongHistogram)
    assert shown.with_open("request_chunks") == 5
    all_.totals.forget(one.number)
    assert len(all_.target.of_streams().open) == 0


def test_counters_of_filters_go_by_listener_and_filter() -> None:
    class Limit:
        def __init__(self) -> None:
            self.counters = {"passed": 0, "limited": 0}

    def used(running: Running) -> Limit:
        plugin = Limit()
        snapshot: Any = running.proxy.snapshot
        object.__setattr__(snapshot, "filters", (FilterUse("front", "local_rate_limit", plugin),))
        return plugin

    one, all_ = Worker(), Summed()
    counts, shown = used(one.running), used(all_.running)
    counts.counters["limited"] += 4
    all_.take(one)
    assert shown.counters == {"passed": 0, "limited": 4}


def test_what_was_refused_while_processes_were_overloaded_is_added_up() -> None:
    one, other, all_ = Worker(), Worker(), Summed()
    for worker, times in ((one, 3), (other, 2)):
        overload = worker.running.network.overload
        overload.connections.count += times
        overload.requests[0].count += times
        overload.requests[2].count += 1
        overload.shed_requests += times + 1
        overload.closed_connections += 1
        worker.running.network.descriptors.failed_connects += times
        worker.running.network.descriptors.refused_connections += times
        worker.exchange()
    all_.take(one, other)
    shown = all_.running.network.overload
    assert (shown.refused_connections, shown.shed_requests, shown.closed_connections) == (5, 7, 2)
    assert [share.count for share in shown.requests] == [5, 0, 2]
    descriptors = all_.running.network.descriptors
    assert (descriptors.failed_connects, descriptors.refused_connections) == (5, 5)
    assert descriptors.refused_for(1.0), "what /problems tells"
    assert sum(all_.target.outcomes.values()) == 2


def test_a_report_of_much_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "PART", 1)
    one, all_ = Worker(), Summed()
    one.exchange(2)
    reports = [one.report(filters=True)]
    while reports[-1].more:
        reports.append(one.report())
    assert len(reports) > 2 and all(len(part.added) <= 1 and len(part.levels) <= 1 for part in reports)
    assert [part.filters is not None for part in reports] == [True, *(False for _ in reports[1:])]
    for part in reports:
        all_.totals.take(one.number, part)
    assert sum(all_.target.outcomes.values()) == 2
    assert (all_.listener.connections, all_.listener.connections_active) == (1, 1)
    one.exchange()
    assert one.report().added, "what came meanwhile is in the next one"


def test_only_levels_that_have_changed_are_reported() -> None:
    one, all_ = Worker(), Summed()
    one.exchange(6)  # both endpoints have a connection
    all_.take(one)
    assert len([key for key in all_.totals.of(one.number) if key[0] == "endpoint"]) == 2
    assert one.report().levels == {}
    one.running.say(one.client, call(9))
    report = one.report()
    assert len([key for key in report.levels if key[0] == "endpoint"]) == 1
    all_.totals.take(one.number, report)
    assert all_.running.cluster.breaker.requests == 1
    assert all_.listener.connections_active == 1, "of before"


def test_streams_are_open_before_anything_of_them_is_counted() -> None:
    one, all_ = Worker(), Summed()
    one.exchange()
    route = one.running.proxy.listeners["front"].snapshot.routes.routes[0]
    streams = next(iter(route.all_targets())).counts.of_streams()
    streams.open.update(OpenElsewhere(1))
    all_.take(one)
    assert all_.target.streams is not None and len(all_.target.streams.open) == 1


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[Key]:
    """The sections that were walked, in order."""
    found: list[Key] = []

    def walked(process: ProxyService, section: Key) -> dict[Key, object]:
        found.append(section)
        return places_of(process, section)

    monkeypatch.setattr(sums, "places_of", walked)
    return found


def test_all_that_is_not_there_is_looked_for_in_one_walk_of_its_section(walks: list[Key]) -> None:
    all_ = Summed()
    gone: dict[Key, Levels] = {("target", "front", f"route{number}", "demo"): {"open": 1} for number in range(50)}
    counted: dict[Key, Added] = {("endpoint", "demo", f"127.0.0.9:{port}"): {"requests": 1} for port in range(50)}
    all_.totals.take(1, Report())
    all_.totals.take(1, Report(counted, gone))
    assert walks == [("cluster", "demo"), ("listener", "front")]
    all_.totals.take(1, Report(counted, gone))
    assert len(walks) == 2, "what was not there is not looked for again"
    all_.totals.reset()
    assert walks[2:] == [("listener", "front")], "for the streams that are open"
    all_.running.cluster.endpoints = [*all_.running.endpoints]
    all_.totals.take(1, Report())
    all_.totals.take(1, Report(counted))
    assert walks[3:] == [("cluster", "demo")], "until there are other endpoints"


def test_each_section_has_the_places_of_a_whole_walk() -> None:
    process = Worker().running.proxy
    whole = places(process)
    found = {section: places_of(process, section) for section in {section_of(key) for key in whole}}
    assert {key: counts for part in found.values() for key, counts in part.items()} == whole
    assert sum(map(len, found.values())) == len(whole)
    assert places_of(process, ("listener", "gone")) == places_of(process, ("cluster", "gone")) == {}


def test_clusters_of_many_endpoints_are_shown_once(walks: list[Key]) -> None:
    all_ = Summed()
    many = [Endpoint(f"127.0.{number // 250}.{number % 250}:1000") for number in range(600)]
    all_.running.cluster.endpoints = many
    gone: dict[Key, Added] = {("listener", "gone"): {"connections": 1}}
    all_.totals.take(1, Report())
    all_.totals.take(1, Report(gone))
    many[0].active = 7
    all_.totals.take(1, Report(gone))
    assert len(walks) == 1
    assert many[0].active == 7, "its levels have not changed"


def test_after_another_configuration_a_cluster_that_is_the_same_shows_what_it_did() -> None:
    one, all_ = Worker(), Summed()
    one.running.say(one.client, call(9))
    all_.take(one)
    all_.running.cluster.breaker.pending = 7  # nothing writes to it where nothing has changed
    all_.totals.reset()
    assert (all_.running.cluster.breaker.requests, all_.running.cluster.breaker.pending) == (1, 7)
    new = Running().cluster
    clusters: Any = all_.running.proxy.clusters
    clusters["demo"] = new
    all_.totals.reset()
    assert new.breaker.requests == 1, "another cluster of that name"


def test_endpoints_that_come_later_show_their_levels() -> None:
    one, all_ = Worker(), Summed()
    one.running.say(one.client, call(9))
    all_.take(one)
    for endpoint in all_.running.endpoints:
        endpoint.active = 0
    all_.running.cluster.endpoints = [*all_.running.endpoints]
    all_.take(one)
    assert sum(endpoint.active for endpoint in all_.running.endpoints) == 1


def test_the_levels_of_each_worker_can_be_looked_at() -> None:
    one, all_ = Worker(), Summed()
    all_.take(one)
    assert all_.totals.of(one.number)["listener", "front"]["connections_active"] == 1
    assert all_.totals.of(-1) == {}


def test_filters_are_read_where_it_is_asked_for_and_go_with_their_worker() -> None:
    class Limit:
        gauges = {"buckets": 3.0}

    one, all_ = Worker(), Summed()
    snapshot: Any = one.running.proxy.snapshot
    object.__setattr__(snapshot, "filters", (FilterUse("front", "local_rate_limit", Limit()),))
    all_.take(one)
    assert all_.totals.filters.values() == {}
    all_.totals.take(one.number, one.report(filters=True))
    assert all_.totals.filters.values() == {("front", "local_rate_limit", "buckets"): 3.0}
    all_.totals.forget(one.number)
    assert all_.totals.filters.values() == {}
