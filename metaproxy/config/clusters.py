"""
What looks after a cluster's endpoints, from what was written: plan, checks, outlier detection, discovery.

Lives here: settings, monitors and endpoints of one cluster. Does not: the cluster itself (`build_cluster`), what a
discovery found (`found_endpoints`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from math import inf

from twisted.internet.interfaces import IReactorTime

from metaproxy.cluster.cluster import Cluster, ClusterMonitor
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.health import HealthChecks
from metaproxy.cluster.health import Settings as HealthSettings
from metaproxy.cluster.outlier import OutlierDetector
from metaproxy.cluster.outlier import Settings as OutlierSettings
from metaproxy.cluster.plan import Settings
from metaproxy.config import model
from metaproxy.interfaces import ICodec
from metaproxy.proxy.layout import LayoutMonitor
from metaproxy.proxy.probes import Codec as CodecProbe
from metaproxy.proxy.probes import Http, Make, Probes, Script, Tcp
from metaproxy.proxy.topology import Topology
from metaproxy.routing.pattern import compile_bytes
from metaproxy.units import Percent


def lays_out(spec: model.Cluster, codec: ICodec) -> bool:
    """Whether the servers tell which there are, so that its endpoints are only those that are asked first."""
    return spec.topology is not None and spec.topology.kind in getattr(codec, "layouts", ())


def monitors(spec: model.Cluster, codec: ICodec, clock: IReactorTime) -> list[ClusterMonitor]:
    found: list[ClusterMonitor] = []
    if spec.health_check is not None:
        found.append(_health_checks(spec.health_check, clock))
    if spec.outlier is not None:
        found.append(OutlierDetector(_outlier(spec.outlier), clock))
    topology, most = spec.topology, spec.breaker.max_pending
    if topology is not None and lays_out(spec, codec):
        seeds = [one.address for one in spec.endpoints]
        interval, login = spec.topology_interval, spec.topology_credentials
        found.append(LayoutMonitor(topology.kind, topology.name, interval, most, seeds, clock, login))
    elif topology is not None:
        found.append(Topology(topology.kind, spec.topology_interval, spec.max_replica_lag, most, clock))
    return found


def endpoint(spec: model.Endpoint) -> Endpoint:
    return Endpoint(spec.address, spec.weight, spec.metadata, spec.priority, spec.zone)


def copies(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Those that a discovery found for a cluster, for the one that replaces it: used until it finds others."""
    made = []
    for one in endpoints:
        copy = Endpoint(one.address, one.configured_weight, one.metadata, one.priority, one.zone)
        copy.counts = one.counts
        made.append(copy)
    return made


def inherit(endpoints: Sequence[Endpoint], cluster: Cluster, spec: model.Cluster) -> None:
    """What is known of an endpoint outlasts the cluster that it was in, unless nothing would revise it any more."""
    before = {endpoint.address: endpoint for endpoint in cluster.endpoints}
    for endpoint in endpoints:
        if endpoint.address in before:
            endpoint.inherit(before[endpoint.address])
        if spec.outlier is None and endpoint.ejected_until < inf:
            endpoint.ejected_until = 0.0
        if spec.health_check is None:
            endpoint.checked, endpoint.healthy = False, True


def _health_checks(spec: model.HealthCheck, clock: IReactorTime) -> HealthChecks:
    settings = HealthSettings(spec.interval, spec.timeout, spec.healthy, spec.unhealthy, spec.jitter)
    return HealthChecks(settings, Probes([_probe(one) for one in spec.kind]), clock)


def _probe(kind: str | model.Check) -> Make:
    if isinstance(kind, str) and kind != "http":
        return {"tcp": Tcp, "codec": CodecProbe}[kind]
    if not isinstance(kind, str) and kind.script is not None:
        return partial(Script, kind.script.send, compile_bytes(kind.script.expect))
    http = model.Http() if isinstance(kind, str) or kind.http is None else kind.http
    return partial(Http, http.path, http.host, http.port, http.status)


def _outlier(spec: model.Outlier) -> OutlierSettings:
    given = {one.name: getattr(spec, one.name) for one in fields(spec) if one.name != "latency"}
    return OutlierSettings(**given, latency=spec.latency.p99 if spec.latency is not None else 0.0)


def settings(spec: model.Cluster, zone: str) -> Settings:
    panic = spec.panic_threshold
    if panic is None:
        panic = Percent(0.0 if spec.fallback else 50.0)
    return Settings(panic) if spec.locality is None else Settings(panic, zone, spec.locality.min_healthy)
