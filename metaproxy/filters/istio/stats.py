"""
`istio_stats`: Istio's standard metrics, by the workloads on both sides.

Lives here: labels, counting, the metrics. Does not: reading what a peer tells (`peer_metadata`).

Names, labels and buckets are those of Istio's proxies, so that their dashboards work. Every exchange counts, whatever
its end. How many label sets there are is bounded, as peers choose some of the values.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Annotated, NamedTuple

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString
from zope.interface import implementer

from metaproxy.filters.istio.metadata_exchange import Direction
from metaproxy.filters.istio.peer_metadata import KEY, UNKNOWN, Node, Peer, Peers, peer_of
from metaproxy.interfaces import IExchange, IOnComplete
from metaproxy.message import FrameError
from metaproxy.units import Option

BOUNDS = (
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0, 60000.0, 300000.0,
    600000.0, 1800000.0, 3600000.0,
)  # fmt: skip
"""Envoy's: milliseconds and bytes alike."""
_LE = (*map(floatToGoString, BOUNDS), "+Inf")

SIDE = ("workload", "workload_namespace", "cluster", "app", "version", "canonical_service", "canonical_revision")
LABELS = (
    "reporter", *(f"source_{name}" for name in SIDE), *(f"destination_{name}" for name in SIDE),
    "destination_service_namespace", "destination_service", "destination_service_name", "request_protocol",
    "response_code",
)  # fmt: skip

OVERFLOW = Peer(*["overflow"] * len(Peer._fields))
"""In whose name peers are counted beyond `max_series`."""


class Which(NamedTuple):
    """What tells one series from another."""

    peer: Peer
    service: str
    protocol: str
    code: str


class _Histogram:
    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * len(_LE)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.buckets[bisect_left(BOUNDS, value)] += 1
        self.total += value


class _Series:
    """What is counted of one set of labels."""

    __slots__ = ("duration", "received", "requests", "sent")

    def __init__(self) -> None:
        self.requests = 0
        self.duration, self.received, self.sent = _Histogram(), _Histogram(), _Histogram()


HISTOGRAMS: Mapping[str, tuple[str, str]] = {
    "duration": ("istio_request_duration_milliseconds", "Time from the request to the end of its exchange."),
    "received": ("istio_request_bytes", "Bytes of requests."),
    "sent": ("istio_response_bytes", "Bytes of answers."),
}


@implementer(IOnComplete)
class IstioStats:
    """Counts exchanges as Istio's proxies do."""

    def __init__(
        self,
        node: Node,
        direction: Annotated[
            Direction,
            Option(
                "`inbound`: the peer is the client, which describes itself in the request; else it is the server, "
                "which does so in its answer."
            ),
        ] = "unspecified",
        destination_service: Annotated[
            str,
            Option(
                "The service's name, on inbound listeners; outbound it is what follows the last `\\|` of the cluster's "
                "name.",
                default="`unknown`",
            ),
        ] = "",
        max_series: Annotated[
            int,
            Option("Sets of labels; peers beyond it are counted together, every label of theirs `overflow`.", least=1),
        ] = 500,
    ) -> None:
        self._inbound = direction == "inbound"
        self._own = peer_of(node.metadata)
        self._service = destination_service or UNKNOWN
        self._peers = Peers()
        self._most = max_series
        self._series: dict[Which, _Series] = {}
        self.gauges = {"series": 0.0}

    def inherit(self, previous: object) -> None:
        """Goes on counting, where the labels are the same."""
        if isinstance(previous, IstioStats) and (previous._inbound, previous._own) == (self._inbound, self._own):
            self._series, self.gauges = previous._series, previous.gauges

    def on_complete(self, exchange: IExchange) -> None:
        if exchange.outcome == "event":  # Istio counts requests
            return
        text = None
        try:
            if self._inbound:
                text = exchange.get(KEY)
            elif exchange.response is not None:
                text = exchange.response.get(KEY)
        except FrameError:
            pass  # who can't be understood is unknown
        service = self._service if self._inbound else exchange.cluster.rpartition("|")[2]
        code = "0" if exchange.outcome in ("ok", "oneway") else "1"
        which = Which(self._peers.get(text), service if service != "-" else UNKNOWN, exchange.protocol, code)
        series = self._series.get(which) or self._new(which)
        series.requests += 1
        series.duration.add(max(exchange.ended - exchange.started, 0.0) * 1e3)
        series.received.add(exchange.request_bytes)
        series.sent.add(exchange.response_bytes)

    def _new(self, which: Which) -> _Series:
        if len(self._series) >= self._most:
            which = which._replace(peer=OVERFLOW)
        found = self._series.setdefault(which, _Series())
        self.gauges["series"] = len(self._series)
        return found

    def _labels(self, which: Which) -> list[str]:
        source, destination = (which.peer, self._own) if self._inbound else (self._own, which.peer)
        reporter = "destination" if self._inbound else "source"
        service = [destination.namespace, which.service, which.service]
        return [reporter, *source, *destination, *service, which.protocol, which.code]

    def collect(self) -> Iterator[Metric]:
        """See docs/reference/filters.md."""
        rows = [(self._labels(which), series) for which, series in self._series.items()]
        requests = CounterMetricFamily("istio_requests", "Requests by workloads.", labels=LABELS)
        for labels, series in rows:
            requests.add_metric(labels, series.requests)
        yield requests
        for attribute, (name, about) in HISTOGRAMS.items():
            family = HistogramMetricFamily(name, about, labels=LABELS)
            for labels, series in rows:
                histogram: _Histogram = getattr(series, attribute)
                counts = accumulate(histogram.buckets)
                family.add_metric(labels, list(zip(_LE, counts, strict=True)), histogram.total)
            yield family
