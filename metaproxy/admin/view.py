"""
What the endpoints of the admin API look at, and how they show what many of them show.

Lives here: `View`; counts, latencies and outcomes as JSON has them. Does not: endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from metaproxy.admin.resource import Json, as_time
from metaproxy.admin.roles import Configuration, IReactor, Refusal
from metaproxy.app.service import ProxyService
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.routes import ReplyTarget, Route, Target
from metaproxy.config.slices import checkpoint
from metaproxy.counts import (
    WELL,
    ClusterCounts,
    EndpointCounts,
    Histogram,
    ListenerCounts,
    MirrorCounts,
    StreamCounts,
    TargetCounts,
)
from metaproxy.telemetry.access_log.files import LogFiles
from metaproxy.telemetry.inspect.statements import Statements
from metaproxy.telemetry.log_levels import LogLevels
from metaproxy.telemetry.metrics.collector import Metrics
from metaproxy.telemetry.metrics.windows import KEPT, Added, Windows, sources
from metaproxy.telemetry.roles import WorkerProcess

PERCENTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
SECONDS = 10.0
"""How far it is looked back when nothing else is asked for."""

Counters = ClusterCounts | EndpointCounts | ListenerCounts | MirrorCounts | TargetCounts
Counts = EndpointCounts | TargetCounts


@dataclass(frozen=True, slots=True)
class View:
    """
    What endpoints are made with. configuration: the application; logs: the files of access logs and recordings;
    statements: those of the
    listeners that count them always; workers: those of a supervisor, none where there is one process; windows: what was
    counted lately.
    """

    proxy: ProxyService
    configuration: Configuration
    reactor: IReactor
    metrics: Metrics
    levels: LogLevels = field(default_factory=LogLevels)
    logs: LogFiles | None = None
    statements: Statements = field(default_factory=Statements)
    workers: Sequence[WorkerProcess] = ()
    windows: Windows = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows", Windows(lambda: sources(self.proxy), self.reactor, checkpoint))

    def targets(self) -> Iterator[tuple[Route, Target | ReplyTarget]]:
        """Each route of each listener with each of its targets, those that share one set of counts once."""
        seen: set[int] = set()
        for listener in list(self.proxy.listeners.values()):  # who looks may do so in slices
            for route in (*listener.snapshot.routes.routes, listener.snapshot.no_route):
                for target in route.all_targets():
                    if id(target.counts) not in seen:
                        seen.add(id(target.counts))
                        yield route, target

    def lately(self, counts: Counts, seconds: float) -> Json:
        """The latencies of an endpoint's or a target's counts, and the p99 that is usual for it."""
        read = self.windows.read
        usual = self.windows.usual(counts)
        value = None if usual is None else usual.value
        return {
            "latency_ms": latency(read(counts, seconds)),
            "latency_60s_ms": latency(read(counts, KEPT)),
            "latency_total_ms": latency(counts.latency),
            "usual_p99_ms": None if value is None else round(1000 * value, 3),
        }


def latency(histogram: Histogram | Added) -> dict[str, float | None]:
    """Percentiles in milliseconds, None as long as there is none."""
    if isinstance(histogram, Added):
        if not histogram.buckets:
            return {name: None for name, _ in PERCENTILES}
        histogram = histogram.histogram()
    found = {name: histogram.percentile(share) for name, share in PERCENTILES}
    return {name: value if value is None else round(value * 1000, 3) for name, value in found.items()}


def refused(one: Refusal | None) -> Json | None:
    """The configuration that was refused last, while none was applied after it: when, what, and its errors."""
    return None if one is None else {**one, "time": as_time(one["time"])}


def counts(one: Counters, but: Iterable[str] = ()) -> dict[str, int]:
    """The plain counters of one of metaproxy.counts' classes."""
    return {
        name: getattr(one, name)
        for name in one.__slots__
        if name not in but and name not in ("latency", "streams") and not name.startswith("_")
    }


def failed(outcomes: Mapping[str, int]) -> int:
    """How many of them are errors."""
    return sum(number for outcome, number in outcomes.items() if outcome not in WELL)


def endpoint_state(endpoint: Endpoint) -> str:
    """Its state: healthy, unhealthy, ejected, logged off, drained, or draining while something is under way on it."""
    if endpoint.drained:
        return "draining" if endpoint.active else "drained"
    if endpoint.ejected:
        return "ejected"
    if endpoint.logged_off:
        return "logged off"
    return "healthy" if endpoint.healthy else "unhealthy"


def shown_ms(seconds: float) -> str:
    """A duration as people read it."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"


def target(view: View, one: Target | ReplyTarget, seconds: float) -> Json:
    """What a route sent to one of its targets."""
    found = one.counts
    return {
        "cluster": None if one.cluster is None else one.name,
        "exchanges": sum(found.outcomes.values()),
        "outcomes": dict(found.outcomes),
        **view.lately(found, seconds),
        **counts(found),
        **{name: found.with_open(name) for name in ("request_bytes", "response_bytes")},
        "streams": None if found.streams is None else _streams(found.streams),
    }


def _streams(found: StreamCounts) -> Json:
    return {
        "open": len(found.open),
        "ended": found.seconds.count,
        "duration_ms": latency(found.seconds),
        "first_byte_ms": latency(found.first_byte),
        **{name: found.with_open(name) for name in ("request_chunks", "response_chunks")},
    }
