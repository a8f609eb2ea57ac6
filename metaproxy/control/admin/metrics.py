"""
The control plane's own counters for Prometheus.

Lives here: /metrics, the families. Does not: counting (`fleet`, `plane`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, chain

from prometheus_client import GCCollector, PlatformCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import CollectorRegistry
from prometheus_client.utils import floatToGoString
from twisted.internet.interfaces import IReactorTime

from metaproxy.admin.resource import AdminRequest, AdminResponse
from metaproxy.control.admin.of_fleet import OfFleet
from metaproxy.control.fleet import BOUNDS, Fleet
from metaproxy.control.plane import Plane
from metaproxy.control.server import Control
from metaproxy.telemetry.metrics.collector import exposition
from metaproxy.telemetry.metrics.process import process_metrics

_PREFIX = "metaproxy_control"


class MetricsText(OfFleet):
    path = "/metrics"
    about = "Prometheus text; OpenMetrics when Accept asks for it."

    def __init__(self, control: Control, fleet: Fleet, plane: Plane, clock: IReactorTime) -> None:
        super().__init__(control, fleet, plane, clock)
        nowhere = CollectorRegistry()
        self._python = [kind(registry=nowhere) for kind in (PlatformCollector, GCCollector)]

    def get(self, ask: AdminRequest) -> AdminResponse:
        metrics = chain(self._own(), process_metrics(), *(one.collect() for one in self._python))
        content_type, pieces = exposition(metrics, ask.header("accept"))
        return AdminResponse(pieces, content_type)

    def _own(self) -> Iterator[Metric]:
        plane, fleet = self.plane, self.fleet
        yield _gauge("streams", "Streams of proxies.", len(self.control.streams))
        nodes = GaugeMetricFamily(f"{_PREFIX}_nodes", "Nodes by their state.", labels=["state"])
        for state, number in self.shown().totals().items():
            nodes.add_metric([state.replace(" ", "_")], float(str(number)))
        yield nodes
        yield _gauge("source_up", "0 while the source can't be read.", not plane.lost)
        yield _gauge("source_refused", "1 while what the source says is refused.", bool(plane.refused))
        yield _gauge("applied_timestamp_seconds", "When the state in force was put in force.", plane.applied)
        yield _counter("changes", "States that were put in force.", plane.changes)
        yield _counter("source_refusals", "States of the source that were refused.", plane.refusals)
        yield _counter("refusals", "Resources that nodes refused.", fleet.refusals)
        took = HistogramMetricFamily(f"{_PREFIX}_convergence_seconds", "Time until a change is in force at a node.")
        ends = [*map(floatToGoString, BOUNDS), "+Inf"]
        counts = accumulate(fleet.converged)
        took.add_metric([], list(zip(ends, counts, strict=True)), fleet.converged_seconds)
        yield took


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", about, value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"{_PREFIX}_{name}", about, value)
