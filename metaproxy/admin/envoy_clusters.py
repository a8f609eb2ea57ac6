"""
Clusters in Envoy's form, as `/clusters` of its admin API has them: lines, or envoy.admin.v3.Clusters as JSON.

Lives here: `as_lines`, `status`. Does not: our own form (`traffic`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from metaproxy.admin.resource import Json
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.support import addresses as address


def as_lines(clusters: Iterable[Cluster]) -> Iterator[bytes]:
    """A line for each figure, `cluster::address::name::value`; a piece for each cluster."""
    for cluster in clusters:
        yield "".join(f"{line}\n" for line in _lines(cluster)).encode()


def _lines(cluster: Cluster) -> Iterator[str]:
    name, limits = cluster.name, _limits(cluster)
    yield f"{name}::observability_name::{name}"
    yield from (f"{name}::default_priority::{key}::{value}" for key, value in limits.items())
    for endpoint in cluster.endpoints:
        where = endpoint.address
        yield from (f"{name}::{where}::{key}::{value}" for key, value in _figures(endpoint).items())
        yield f"{name}::{where}::hostname::"
        yield f"{name}::{where}::health_flags::{_flags(endpoint)}"
        yield f"{name}::{where}::weight::{endpoint.configured_weight}"
        yield f"{name}::{where}::region::"
        yield f"{name}::{where}::zone::{endpoint.zone}"
        yield f"{name}::{where}::priority::{endpoint.priority}"


def status(cluster: Cluster) -> Json:
    """Return envoy.admin.v3.ClusterStatus, one of `cluster_statuses` of Clusters."""
    limits = [{"priority": "DEFAULT", **_limits(cluster)}]
    return {
        "name": cluster.name,
        "observability_name": cluster.name,
        "circuit_breakers": {"thresholds": limits},
        "host_statuses": [_host(endpoint) for endpoint in cluster.endpoints],
    }


def _host(endpoint: Endpoint) -> Json:
    stats = [
        {"name": name, "value": str(value), **({"type": "GAUGE"} if name.endswith("_active") else {})}
        for name, value in _figures(endpoint).items()
    ]
    return {
        "address": _address(endpoint.address),
        "stats": stats,
        "health_status": _health(endpoint),
        "weight": endpoint.configured_weight,
        "locality": {"zone": endpoint.zone} if endpoint.zone else {},
        **({"priority": endpoint.priority} if endpoint.priority else {}),
    }


def _limits(cluster: Cluster) -> Mapping[str, int]:
    breaker = cluster.breaker
    return {
        "max_connections": breaker.max_connections,
        "max_pending_requests": breaker.max_pending,
        "max_requests": breaker.max_requests,
        "max_retries": breaker.max_retries,
    }


def _figures(endpoint: Endpoint) -> Mapping[str, int]:
    counts = endpoint.counts
    return {
        "cx_active": len(list(endpoint.pool.connections)) if endpoint.pool is not None else 0,
        "cx_connect_fail": counts.connect_errors + counts.connect_timeouts,
        "cx_total": counts.connections,
        "rq_active": endpoint.active,
        "rq_error": counts.requests - counts.successes - endpoint.active,
        "rq_success": counts.successes,
        "rq_timeout": counts.timeouts,
        "rq_total": counts.requests,
    }


def _flags(endpoint: Endpoint) -> str:
    words = {
        "/failed_active_hc": not endpoint.healthy,
        "/failed_outlier_check": endpoint.ejected,
        "/eds_status_draining": endpoint.drained or endpoint.logged_off,
    }
    return "".join(word for word, holds in words.items() if holds) or "healthy"


def _health(endpoint: Endpoint) -> Json:
    flags: Json = {"eds_health_status": "DRAINING" if endpoint.drained or endpoint.logged_off else "HEALTHY"}
    if not endpoint.healthy:
        flags["failed_active_health_check"] = True
    if endpoint.ejected:
        flags["failed_outlier_check"] = True
    return flags


def _address(text: str) -> Json:
    where = address.parse(text)
    if text.startswith("unix:"):
        return {"pipe": {"path": where.host}}
    return {"socket_address": {"address": where.host, "port_value": where.port}}
