from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from harness import Quill, call
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from reel import Reel, frame
from running_proxy import Running
from some_workers import NoFilters, SomeWorker

import twisted
from metaproxy import __version__
from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.counts import ClusterCounts, EndpointCounts, ListenerCounts, StreamCounts, TargetCounts
from metaproxy.proxy.snapshot import FilterUse, Snapshot
from metaproxy.telemetry.access_log.files import LogCounts
from metaproxy.telemetry.metrics import families as names
from metaproxy.telemetry.metrics.collector import AT_ONCE, PIECE, Metrics, exposition, series
from metaproxy.telemetry.metrics.families import Family
from metaproxy.telemetry.roles import Refusal, Reloads, XdsCounts
from metaproxy.xds.counts import ServerCounts

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class FakeConfiguration:
    applied = 1700000001.0
    refused: Refusal | None = {"time": 1700000002.0, "source": "demo.yaml", "errors": ["demo.yaml:1:1: no"]}
    reloads: Reloads = {"applied": 3, "refused": 1}

    def __init__(self) -> None:
        self.xds_counts: dict[str, XdsCounts] = {"istiod": ServerCounts()}


class FakeLogs:
    def __init__(self) -> None:
        self.counts = LogCounts()
        self.counts.lines, self.counts.dropped, self.counts.errors = 7, 5, 2


def text(metrics: Metrics, accept: str = "") -> str:
    return b"".join(exposition(metrics.pieces(), accept)[1]).decode()


def test_exchanges_are_counted_by_listener_route_cluster_and_outcome() -> None:
    running = Running()
    client = running.client()
    for service in ("echo", "echo", "gone", "nobody"):
        running.exchange(client, service)
    flat = dict(Metrics(running.proxy).flat())
    exchanges = {name: value for name, value in flat.items() if name.startswith("metaproxy_exchanges_total")}
    front = 'listener="front",outcome="{}",protocol="quill",route="{}"'
    assert exchanges == {
        f'metaproxy_exchanges_total{{cluster="demo",{front.format("ok", "main")}}}': 2,
        f'metaproxy_exchanges_total{{cluster="-",{front.format("denied", "gone")}}}': 1,
        f'metaproxy_exchanges_total{{cluster="-",{front.format("not_found", "-")}}}': 1,
    }


def test_latencies_are_histograms_in_seconds() -> None:
    running = Running()
    client = running.client()
    running.exchange(client, lasts=0.003)
    running.exchange(client, lasts=0.2)
    (family,) = [one for one in read_text(text(Metrics(running.proxy))) if one.name == names.TARGET[0].name]
    found = {
        (one.name.rpartition("_")[2], one.labels.get("le")): one.value
        for one in family.samples
        if one.labels["route"] == "main"
    }
    assert found["bucket", "0.0025"] == 0
    assert found["bucket", "0.005"] == 1
    assert found["bucket", "+Inf"] == found["count", None] == 2
    assert found["sum", None] == pytest.approx(0.203)


def test_gauges_show_what_is_under_way() -> None:
    running = Running()
    client = running.client()
    running.say(client, call(1) + call(2))
    flat = dict(Metrics(running.proxy).flat())
    assert flat['metaproxy_listener_connections_active{listener="front",protocol="quill"}'] == 1
    assert flat['metaproxy_listener_exchanges_active{listener="front",protocol="quill"}'] == 2
    assert flat['metaproxy_cluster_requests_active{cluster="demo"}'] == 2
    assert flat['metaproxy_cluster_requests_limit{cluster="demo"}'] == 3
    assert flat['metaproxy_cluster_connections_active{cluster="demo"}'] == len(running.network.upstreams)
    on_endpoints = [value for name, value in flat.items() if name.startswith("metaproxy_endpoint_requests_active{")]
    assert len(on_endpoints) == sum(on_endpoints) == 2


def test_roles_are_gauges_with_the_role_as_a_label() -> None:
    running = Running()
    first, second = running.endpoints
    first.learn({"role": "primary"})
    second.learn({"role": "replica"})
    second.lag = 0.25
    flat = dict(Metrics(running.proxy).flat())
    shown = {name: value for name, value in flat.items() if "role{" in name or "lag_seconds{" in name}
    assert shown == {
        'metaproxy_endpoint_role{cluster="demo",endpoint="127.0.0.1:1000",role="primary"}': 1,
        'metaproxy_endpoint_role{cluster="demo",endpoint="127.0.0.1:1001",role="replica"}': 1,
        'metaproxy_endpoint_replica_lag_seconds{cluster="demo",endpoint="127.0.0.1:1001"}': 0.25,
    }


OTHER = ("latency", "ejections", "plugin_errors")
"""What is not a number."""


@pytest.mark.parametrize(
    ("counts", "families", "place"),
    [
        (ListenerCounts, names.LISTENER, lambda one: one.proxy.listeners["front"]),
        (ClusterCounts, names.CLUSTER, lambda one: one.cluster),
        (EndpointCounts, names.ENDPOINT, lambda one: one.endpoints[0]),
    ],
)
def test_whatever_is_counted_is_shown(
    counts: type[ClusterCounts] | type[EndpointCounts] | type[ListenerCounts],
    families: tuple[Family, ...],
    place: Callable[..., Any],
) -> None:
    running = Running()
    here = place(running).counts
    numbers = {name: 1000003 + index for index, name in enumerate(counts.__slots__) if name not in OTHER}
    for name, number in numbers.items():
        setattr(here, name, number)
    flat = dict(Metrics(running.proxy).flat())
    shown = {value for name, value in flat.items() if name.partition("{")[0] in {one.name for one in families}}
    assert set(numbers.values()) <= shown


def test_all_that_a_target_counts_is_shown() -> None:
    counts = TargetCounts()
    others = ("outcomes", "latency", "streams")
    numbers = {name: 1000003 + index for index, name in enumerate(TargetCounts.names) if name not in others}
    for name, number in numbers.items():
        setattr(counts, name, number)
    counts.count("ok")
    counts.count("reset", 2)
    read: list[object] = [one.read(counts) for one in (names.EXCHANGES, *names.TARGET)]
    assert [name for name, number in numbers.items() if number not in read] == []
    assert {"ok": 1, "reset": 2} in read
    assert any(one is counts.latency for one in read)


def test_the_configuration_the_logs_and_the_build_are_told() -> None:
    running = Running()
    flat = dict(Metrics(running.proxy, FakeConfiguration(), FakeLogs()).flat())
    assert flat["metaproxy_config_version"] == 1
    assert flat["metaproxy_config_last_reload_success"] == 0
    assert flat['metaproxy_config_reloads_total{result="applied"}'] == 3
    assert flat['metaproxy_config_reloads_total{result="refused"}'] == 1
    assert flat["metaproxy_config_applied_timestamp_seconds"] == 1700000001
    assert flat["metaproxy_config_refused_timestamp_seconds"] == 1700000002
    assert flat["metaproxy_access_log_lines_total"] == 7
    assert flat["metaproxy_access_log_dropped_lines_total"] == 5
    assert flat["metaproxy_access_log_errors_total"] == 2
    assert [value for name, value in flat.items() if name.startswith("metaproxy_build_info{")] == [1]


def test_without_a_configuration_in_force_there_are_still_metrics() -> None:
    running = Running()
    running.proxy.snapshot = None
    running.proxy.listeners = {}
    flat = dict(Metrics(running.proxy).flat())
    assert flat["metaproxy_config_version"] == 0
    assert flat["metaproxy_ready"] == 0


def test_what_a_client_sends_makes_no_series() -> None:
    running = Running()
    client = running.client()
    running.exchange(client, "nobody")
    before = dict(Metrics(running.proxy).flat()).keys()
    for number in range(20):
        running.exchange(client, f"nobody{number}")
    assert dict(Metrics(running.proxy).flat()).keys() == before


def test_a_route_that_nobody_took_has_no_series() -> None:
    running = Running(routes=5)
    running.exchange(running.client())
    assert "extra" not in text(Metrics(running.proxy))


def test_an_address_that_stands_twice_in_a_cluster_is_one_series() -> None:
    running = Running()
    endpoints = [Endpoint("127.0.0.1:7"), Endpoint("127.0.0.1:7"), Endpoint("127.0.0.1:7")]
    endpoints[0].counts.requests, endpoints[1].counts.requests = 2, 3
    endpoints[2].counts = endpoints[1].counts
    twice = Cluster("twice", Quill(), endpoints, RoundRobin)
    running.proxy.snapshot = Snapshot(2, "", 0.0, {}, {"twice": twice})
    flat = dict(Metrics(running.proxy).flat())
    assert flat['metaproxy_endpoint_requests_total{cluster="twice",endpoint="127.0.0.1:7"}'] == 5
    assert flat['metaproxy_endpoint_weight{cluster="twice",endpoint="127.0.0.1:7"}'] == 3


def many_series() -> Metrics:
    """So many that several families come in pieces."""
    running = Running(routes=PIECE + 1)
    for route in running.proxy.listeners["front"].snapshot.routes.routes:
        target = route.targets[0] if route.targets else route.reply_target
        target.counts.count("ok")
        target.counts.latency.add(0.01)
    return Metrics(running.proxy, FakeConfiguration(), FakeLogs(), [SomeWorker(0)], NoFilters())


@pytest.mark.parametrize(("accept", "generate"), [("", generate_latest), (OPENMETRICS, generate_openmetrics)])
def test_the_pieces_are_together_what_the_library_writes_at_once(accept: str, generate: Callable[..., Any]) -> None:
    metrics = many_series()
    registry = CollectorRegistry()
    registry.register(metrics)
    pieces = list(exposition(metrics.pieces(), accept)[1])
    assert len(pieces) > len(names.FAMILIES)
    uptime = re.compile(r"metaproxy_uptime_seconds \S+")
    assert uptime.sub("", b"".join(pieces).decode()) == uptime.sub("", generate(registry).decode())


def test_a_piece_is_small() -> None:
    assert max(len(piece.samples) for piece in many_series().pieces()) <= PIECE


def test_the_text_can_be_read_as_openmetrics() -> None:
    families = {one.name: one for one in read_openmetrics(text(many_series(), OPENMETRICS))}
    assert families["metaproxy_exchanges"].type == "counter"
    assert families["metaproxy_exchange_duration_seconds"].type == "histogram"
    assert len(families) == len(names.FAMILIES)


def test_workers_are_shown_by_their_numbers_and_not_at_all_where_there_is_one_process() -> None:
    running = Running()
    assert "metaproxy_worker" not in text(Metrics(running.proxy))
    known = SomeWorker(0, restarts=2, lost=7, total=3, given=90, cpu_seconds=1.5, memory_bytes=4096)
    flat = dict(Metrics(running.proxy, workers=[known, SomeWorker(1, answers=False, restarts=-1)]).flat())
    assert {name: value for name, value in flat.items() if name.startswith("metaproxy_worker")} == {
        'metaproxy_worker_up{worker="0"}': 1,
        'metaproxy_worker_up{worker="1"}': 0,
        'metaproxy_worker_restarts_total{worker="0"}': 2,
        'metaproxy_worker_restarts_total{worker="1"}': 0,
        'metaproxy_worker_lost_connections_total{worker="0"}': 7,
        'metaproxy_worker_lost_connections_total{worker="1"}': 0,
        'metaproxy_worker_connections{worker="0"}': 3,
        'metaproxy_worker_connections{worker="1"}': 0,
        'metaproxy_worker_handed_connections_total{worker="0"}': 90,
        'metaproxy_worker_handed_connections_total{worker="1"}': 0,
        'metaproxy_worker_cpu_seconds_total{worker="0"}': 1.5,
        'metaproxy_worker_cpu_seconds_total{worker="1"}': 0,
        'metaproxy_worker_memory_bytes{worker="0"}': 4096,
        'metaproxy_worker_memory_bytes{worker="1"}': 0,
    }


def test_the_content_type_follows_what_is_accepted() -> None:
    metrics = Metrics(Running().proxy)
    assert exposition(metrics.pieces(), OPENMETRICS)[0].startswith("application/openmetrics-text")
    assert exposition(metrics.pieces(), "*/*")[0].startswith("text/plain; version=0.0.4")


def test_labels_are_quoted() -> None:
    assert series("m", ("b", "a"), ('x"\\\n', "y")) == 'm{a="y",b="x\\"\\\\\\n"}'


def test_failures_of_plugins_are_shown_by_method_where_they_happened() -> None:
    running = Running()
    next(iter(running.proxy.listeners.values())).counts.plugin_errors["Quill.reply"] = 2
    running.cluster.counts.plugin_errors["Quill.send"] = 3
    flat = dict(Metrics(running.proxy).flat())
    found = {name: value for name, value in flat.items() if name.startswith("metaproxy_plugin_failures_total")}
    assert sorted(found.values()) == [2, 3]
    assert all('method="Quill.' in name for name in found)


def test_all_that_streams_count_is_shown() -> None:
    counts = StreamCounts()
    counts.request_chunks, counts.response_chunks = 3, 5
    shown = [one.read(counts) for one in names.STREAM]
    assert shown == [0, counts.seconds, counts.first_byte, 3, 5]


def test_streams_have_series_of_their_own_and_their_bytes_are_counted_while_they_are_open() -> None:
    running = Running(codec=Reel())
    labels = '{cluster="demo",listener="front",protocol="reel",route="main"}'
    assert not [name for name, _ in Metrics(running.proxy).flat() if name.startswith("metaproxy_stream")]
    client = running.client()
    running.say(client, frame("O", 7, b"ask") + frame("D", 7, b"more"), 1.0)
    (server,) = running.network.upstreams
    running.say(server, frame("O", 1) + frame("D", 1, b"x"), 2.0)
    flat = dict(Metrics(running.proxy).flat())
    assert flat[f"metaproxy_streams_active{labels}"] == 1
    assert flat[f"metaproxy_exchange_request_bytes_total{labels}"] == len(frame("O", 7, b"ask")) + 4
    assert flat[f"metaproxy_stream_request_chunks_total{labels}"] == 1
    assert flat[f"metaproxy_stream_first_byte_seconds_sum{labels}"] == 2.0
    running.say(client, frame("C", 7))
    running.say(server, frame("C", 1), 3.0)
    flat = dict(Metrics(running.proxy).flat())
    assert flat[f"metaproxy_streams_active{labels}"] == 0
    assert flat[f"metaproxy_stream_seconds_sum{labels}"] == 5.0
    assert flat[f"metaproxy_exchange_duration_seconds_count{labels}"] == 0
    assert flat[f"metaproxy_exchange_request_bytes_total{labels}"] == len(frame("O", 7, b"ask")) + 4


def test_the_durations_of_streams_have_buckets_up_to_a_day() -> None:
    running = Running(codec=Reel())
    client = running.client()
    running.say(client, frame("O", 7))
    (server,) = running.network.upstreams
    for minute in range(120):
        running.say(server, frame("D" if minute else "O", 1), 60.0)
    running.say(server, frame("C", 1))
    (family,) = [one for one in read_text(text(Metrics(running.proxy))) if one.name == "metaproxy_stream_seconds"]
    found = {one.labels["le"]: one.value for one in family.samples if one.name.endswith("_bucket")}
    assert (found["3600.0"], found["14400.0"], found["86400.0"], found["+Inf"]) == (0, 1, 1, 1)


def test_sql_that_was_not_understood_is_counted_by_dialect_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaproxy.telemetry.metrics.collector.UNPARSED", {("postgres", "tables"): 3})
    flat = dict(Metrics(Running().proxy).flat())
    assert flat['metaproxy_sql_unparsed_total{dialect="postgres",key="tables"}'] == 3


def test_other_work_may_go_on_while_many_series_are_read_and_sorted() -> None:
    running = Running()
    turns: list[None] = []
    routes = running.proxy.listeners["front"].snapshot.routes.routes
    counts = routes[0].targets[0].counts
    for number in range(3 * AT_ONCE):
        counts.count(f"outcome {number}")
    flat = dict(Metrics(running.proxy).flat(lambda: turns.append(None)))
    assert list(flat) == sorted(flat)
    assert len(turns) > len(names.FAMILIES)


def test_other_work_may_go_on_while_routes_without_series_are_grouped() -> None:
    turns: list[None] = []
    few = dict(Metrics(Running().proxy).flat(lambda: turns.append(None)))
    alone = len(turns)
    many = dict(Metrics(Running(routes=4 * AT_ONCE).proxy).flat(lambda: turns.append(None)))
    assert many.keys() == few.keys()
    assert len(turns) >= 2 * alone + 4


class Elsewhere(NoFilters):
    """What filters of workers measure."""

    def values(self) -> Mapping[tuple[str, str, str], float]:
        return {("front", "limit", "open"): 7.0}

    def values_by_worker(self) -> Mapping[tuple[str, str, str, str], float]:
        return {("1", "front", "limit", "ratio"): 0.5}

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("calls", "Calls.", value=3)


class Own:
    """The same filter of the supervisor, which no exchange comes to."""

    counters = {"passed": 4}
    gauges = {"open": 100.0, "ratio": 1.0}

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("calls", "Calls.", value=0)


def test_what_filters_of_workers_measure_stands_in_the_place_of_the_supervisors_own() -> None:
    running = Running()
    snapshot: Any = running.proxy.snapshot
    object.__setattr__(snapshot, "filters", (FilterUse("front", "limit", Own()),))
    flat = dict(Metrics(running.proxy, elsewhere=Elsewhere()).flat())
    shown = {name: value for name, value in flat.items() if "_filter_" in name and "errors" not in name}
    assert shown == {
        'metaproxy_filter_events_total{event="passed",filter="limit",listener="front"}': 4,
        'metaproxy_filter_value{filter="limit",listener="front",name="open"}': 7,
        'metaproxy_worker_filter_value{filter="limit",listener="front",name="ratio",worker="1"}': 0.5,
    }
    assert flat["calls_total"] == 3
    alone = dict(Metrics(running.proxy).flat())
    assert alone['metaproxy_filter_value{filter="limit",listener="front",name="open"}'] == 100
    assert not [name for name in alone if name.startswith("metaproxy_worker")]


class Odd(NoFilters):
    """A filter that measures what ours have measured, no number, and of a peer's text."""

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("metaproxy_build_info", "ours", labels=["python", "twisted", "version"])
        build.add_metric([sys.version.split()[0], twisted.__version__, __version__], 7.0)
        yield build
        odd = GaugeMetricFamily("odd", "no numbers", labels=["text"])
        odd.add_metric(["none"], math.nan)
        odd.add_metric(["all"], math.inf)
        yield odd


def test_a_series_that_is_there_twice_is_shown_once_and_no_number_fails_the_others() -> None:
    running = Running()
    rows = list(Metrics(running.proxy, elsewhere=Odd()).flat())
    assert len(dict(rows)) == len(rows)
    flat = dict(rows)
    assert [value for name, value in rows if name.startswith("metaproxy_build_info")] == [7]
    assert math.isnan(flat['odd{text="none"}']) and flat['odd{text="all"}'] == math.inf
