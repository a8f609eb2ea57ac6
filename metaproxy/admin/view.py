"""
What the endpoints of the admin API look at, and how they show what many of them show.

Lives here: `View`; counts, latencies and outcomes as JSON has them. Does not: endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from metaproxy.admin.resource import as_time
from metaproxy.counts import Histogram
from metaproxy.telemetry.log_levels import LogLevels
from metaproxy.telemetry.metrics import Metrics

PERCENTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


@dataclass(frozen=True, slots=True)
class View:
    """
    proxy: service.ProxyService; configuration: config.reload.Configuration; reactor: IReactorCore and -Time; logs:
    telemetry's LogFiles.
    """

    proxy: Any
    configuration: Any
    reactor: Any
    metrics: Metrics
    levels: LogLevels = field(default_factory=LogLevels)
    logs: Any = None


def latency(histogram: Histogram) -> dict[str, float | None]:
    """Percentiles in milliseconds, None as long as there is none."""
    found = {name: histogram.percentile(share) for name, share in PERCENTILES}
    return {name: value if value is None else round(value * 1000, 3) for name, value in found.items()}


def refused(one: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The configuration that was refused last, while none was applied after it: when, what, and its errors."""
    return None if one is None else {**one, "time": as_time(one["time"])}


def counts(one: object, but: Iterable[str] = ()) -> dict[str, int]:
    """The plain counters of one of metaproxy.counts' classes."""
    slots: tuple[str, ...] = type(one).__slots__  # type: ignore[attr-defined]
    return {name: getattr(one, name) for name in slots if name not in but and name not in ("latency", "outcomes")}


def target(one: Any) -> dict[str, Any]:
    """What a route sent to one of its targets."""
    found = one.counts
    return {
        "cluster": None if one.cluster is None else one.name,
        "exchanges": found.latency.count,
        "outcomes": dict(found.outcomes),
        "latency_ms": latency(found.latency),
        **counts(found),
    }
