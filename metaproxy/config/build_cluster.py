"""
From a cluster of a checked configuration to the one that requests go to.

Lives here: `build_cluster`, and `ClusterRecord`, what is kept of a cluster until it changes. Does not: what looks after
its endpoints (`clusters`), which clusters are to be built (`build`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.cluster import Cluster, ClusterMonitor
from metaproxy.cluster.connection_settings import BORROWED, POOLED, ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.membership import Membership
from metaproxy.cluster.original_destination import OriginalDestinationCluster
from metaproxy.cluster.slow_start import SlowStart
from metaproxy.codecs.framing import Codec
from metaproxy.config import clusters, model
from metaproxy.config.build_shared import Shared, keepalive
from metaproxy.config.found_endpoints import FoundEndpoints
from metaproxy.config.kept import Uses
from metaproxy.config.reach import Need
from metaproxy.config.slices import checkpoint
from metaproxy.config.tls import client_tls
from metaproxy.interfaces import ICodec, IDiscovery, ILoadBalancer
from metaproxy.proxy.tls import ClientTls
from metaproxy.support.worker_share import whole_part

_NO_PROTOCOL = Codec()
"""Of a cluster that only filters ask: what is said there is their business."""


@dataclass(slots=True, eq=False)
class ClusterRecord:
    """
    What is kept of a cluster while it stays as it is. need: what was sent to it; cluster: None where nothing is;
    identity: what it is made of but for its endpoints; stamps: of the files of its certificates.
    """

    spec: model.Cluster
    need: Need
    cluster: Cluster | None = None
    identity: object = None
    uses: Uses = ()
    stamps: Mapping[Path, object] | None = None


@dataclass(slots=True, eq=False)
class ClusterUpdate:
    """What a cluster that goes on takes over once its new section is in force. endpoints: None if a discovery knows."""

    cluster: Cluster
    endpoints: list[Endpoint] | None
    tls: ClientTls | None

    def apply(self) -> None:
        self.cluster.connections.tls = self.tls
        if self.endpoints is not None:
            self.cluster.update(self.endpoints)


def build_cluster(
    shared: Shared, spec: model.Cluster, before: ClusterRecord | None, need: Need
) -> tuple[ClusterRecord, ClusterUpdate | None]:
    """
    Return the record of a cluster, which is the one before where nothing but endpoints changes, and what that one then
    takes over.
    """
    checkpoint()
    protocol = spec.protocol or need.protocol
    if protocol is not None:
        codec = shared.plugins.codec(protocol)
        mirror: ICodec | None = getattr(codec, "mirror", None) if need.copies else None
        return _built(shared, spec, before, need, mirror or codec)
    if need.asked is not None:
        return _built(shared, spec, before, need, _NO_PROTOCOL)
    return ClusterRecord(spec, need, uses=shared.drafts.take()), None  # nothing is sent there


def _built(
    shared: Shared, spec: model.Cluster, record: ClusterRecord | None, need: Need, codec: ICodec
) -> tuple[ClusterRecord, ClusterUpdate | None]:
    code = [shared.plugins.code(ILoadBalancer, spec.balancer)]
    if spec.discovery is not None and not spec.has_original_destination:
        code.append(shared.plugins.code(IDiscovery, spec.discovery))
    zone = shared.config.node.zone if spec.locality is not None else ""
    laid_out = clusters.lays_out(spec, codec)
    found = laid_out or spec.discovery is not None  # its endpoints are not those that are written
    identity = (spec if laid_out else replace(spec, endpoints=()), codec, code, need.max_frame, zone)
    before = record.cluster if record is not None else None
    tls = _client_tls(spec, codec, need)
    endpoints = [clusters.endpoint(one) for one in spec.endpoints]
    if before is not None:
        counts = {one.address: one.counts for one in before.endpoints}
        for endpoint in endpoints:
            endpoint.counts = counts.get(endpoint.address) or endpoint.counts
    update: ClusterUpdate | None = None
    if before is not None and record is not None and record.identity == identity:
        cluster = before
        update = ClusterUpdate(cluster, None if found else endpoints, tls)
    else:
        if before is not None:
            if found:
                endpoints = clusters.copies(before.endpoints)
            clusters.inherit(endpoints, before, spec)
        cluster = _new_cluster(shared, spec, codec, endpoints, need.max_frame, tls)
        if before is not None:
            cluster.counts = before.counts
    return ClusterRecord(spec, need, cluster, identity, shared.drafts.take(), shared.stamps_of(spec)), update


def _new_cluster(
    shared: Shared,
    spec: model.Cluster,
    codec: ICodec,
    endpoints: Sequence[Endpoint],
    max_frame: int,
    tls: ClientTls | None,
) -> Cluster:
    connections = spec.connections
    mode = connections.mode or codec.connections
    kind = OriginalDestinationCluster if spec.has_original_destination else Cluster
    return kind(
        spec.name,
        codec,
        endpoints,
        shared.plugins.balancer(spec.balancer),
        balancer_name="original_destination" if kind is not Cluster else spec.balancer.name,
        breaker=_breaker(spec.breaker),
        connections=ConnectionSettings(
            mode=mode,
            per_endpoint=whole_part(connections.per_endpoint or (POOLED if mode in BORROWED else 1)),
            connect_timeout=spec.connect_timeout,
            idle_timeout=connections.idle_timeout,
            max_age=connections.max_age,
            max_requests=connections.max_requests,
            max_frame=max_frame,
            tls=tls,
            keepalive=keepalive(spec.keepalive),
            source=connections.source,
            queue_timeout=connections.queue_timeout,
            idle_transaction_timeout=connections.idle_transaction_timeout,
        ),
        request_timeout=spec.request_timeout,
        credentials=spec.credentials,
        settings=clusters.settings(spec, shared.config.node.zone),
        monitors=_monitors(shared, spec, codec),
        read_your_writes=spec.read_your_writes,
        slow_start=SlowStart(spec.slow_start, shared.clock) if spec.slow_start else None,
    )


def _client_tls(spec: model.Cluster, codec: ICodec, need: Need) -> ClientTls | None:
    """Made each time: its files may have changed, and connections that are there keep what they have."""
    tls = spec.tls
    if tls is None:
        return None
    if need.asked and not tls.alpn:
        tls = replace(tls, alpn=("h2",))  # gRPC's servers ask for it
    return client_tls(tls, spec.connect_timeout * 5, getattr(codec, "alpn_upstream", ()))


def _monitors(shared: Shared, spec: model.Cluster, codec: ICodec) -> list[ClusterMonitor]:
    """Who looks after the endpoints. They do nothing before the cluster is in force."""
    found = clusters.monitors(spec, codec, shared.clock)
    use = spec.discovery
    if use is not None and not spec.has_original_destination:
        found.append(Membership(shared.plugins.discovery(use), FoundEndpoints()))
    return found


def _breaker(spec: model.Breaker) -> Breaker:
    return Breaker(spec.max_connections, spec.max_pending, spec.max_requests, spec.max_retries, spec.retry_budget)
