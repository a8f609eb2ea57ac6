"""
From a checked configuration to the snapshot that exchanges run on.

Lives here: `Builder`, and what stays the same object from one snapshot to the next: codecs, filters with their buckets,
clusters with their connections, counters. Does not: reading or checking; making a snapshot the one in force.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, cast

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.cluster import Cluster, ClusterMonitor, ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.membership import Membership
from metaproxy.cluster.original_destination import OriginalDestinationCluster
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import ReplyTarget, Route, RouteTable, Target
from metaproxy.cluster.slow_start import SlowStart
from metaproxy.codecs.framing import Codec
from metaproxy.config import clusters, model, references
from metaproxy.config.inheritance import Place, succeed
from metaproxy.config.kept import Objects
from metaproxy.config.masking import as_data
from metaproxy.config.plugin_builder import PluginBuilder
from metaproxy.config.schema.reading import Use
from metaproxy.config.slices import checkpoint
from metaproxy.config.tls import client_tls, server_tls
from metaproxy.counts import ClusterCounts, EndpointCounts, MirrorCounts, TargetCounts
from metaproxy.interfaces import ICodec, IDiscovery, IExchange, ILoadBalancer
from metaproxy.message import ErrorKind
from metaproxy.plugins import HOOKS, Registry
from metaproxy.proxy.chains import Chain, ChainTable, networks
from metaproxy.proxy.memory import available
from metaproxy.proxy.mirror import Mirror, MirrorTarget
from metaproxy.proxy.overload import OverloadLimits
from metaproxy.proxy.proxy_protocol import Trusted
from metaproxy.proxy.reserved_keys import ReservedKeyStripper
from metaproxy.proxy.service_clusters import ServiceClusters
from metaproxy.proxy.snapshot import (
    NO_ROUTE,
    FilterUse,
    ListenerSnapshot,
    RewritingTemplate,
    RouteReply,
    Snapshot,
    Template,
)
from metaproxy.proxy.tls import ClientTls
from metaproxy.routing.hash_keys import hash_keys
from metaproxy.routing.matcher import compile_condition
from metaproxy.routing.pattern import compile_rewrite
from metaproxy.routing.sticky import Sticking
from metaproxy.support import addresses as address
from metaproxy.telemetry.access_log.filter import AccessLog, LogFiles

if TYPE_CHECKING:  # OpenTelemetry is an extra
    from metaproxy.telemetry.tracing.filter import Tracing
    from metaproxy.telemetry.tracing.spans import Clock

log = Logger()

Hooks = tuple[tuple[Callable[[IExchange], object], ...], ...]
"""The bound methods of each of HOOKS, in the order of the filters."""


_NO_PROTOCOL = Codec()
"""Of a cluster that only filters ask: what is said there is their business."""


class Builder:
    """
    Keeps, from build to build, whatever a new configuration leaves as it was; the rest is made anew.

    logs: the access logs' files; `injected`: what filters are handed that ask for it, besides the `node:` of the
    configuration.
    """

    def __init__(self, registry: Registry, clock: IReactorTime, logs: LogFiles) -> None:
        self.registry = registry
        self.clock = clock
        self.logs = logs
        self._service_clusters = ServiceClusters(clock)
        self.injected: dict[str, object] = {"clock": clock, "node": model.Node(), "clusters": self._service_clusters}
        self.objects = Objects()
        self._clusters: dict[str, tuple[object, Cluster]] = {}
        self._endpoint_counts: dict[tuple[str, str], EndpointCounts] = {}
        self._cluster_counts: dict[str, ClusterCounts] = {}
        self._counts: dict[tuple[str, str, str], TargetCounts] = {}
        self._places: dict[Place, object] = {}
        self._version = 0

    def build(self, config: model.Config) -> Snapshot:
        """A new snapshot; nothing is in force yet. `commit` it once it is. The configuration must have been checked."""
        return _Build(self, config).snapshot(self._version + 1)

    def commit(self, snapshot: Snapshot) -> None:
        """`snapshot` is in force now: what only older ones used is forgotten."""
        build = snapshot.config_build
        if not isinstance(build, _Build):
            raise TypeError("a snapshot of another builder")
        self._version = snapshot.version
        self._service_clusters.clusters = snapshot.clusters
        succeed(self._places, build.places)
        self._places = build.places
        kept = {id(one) for one in build.objects}
        for gone in {id(one): one for one in self.objects if id(one) not in kept}.values():
            if hasattr(gone, "stop"):
                _stop(gone, gone.stop)
        build.objects.forget()
        self.objects, self._clusters, self._counts = build.objects, build.clusters_made, build.counts
        self._endpoint_counts, self._cluster_counts = build.endpoint_counts, build.cluster_counts
        for cluster, endpoints, tls in build.updates:
            cluster.connections.tls = tls
            if endpoints is not None:  # else its discovery knows
                cluster.update(endpoints)
        self.logs.keep(build.log_paths)


class _Build:
    """One build. What it takes over from the builder or makes is noted, and becomes the builder's by `commit`."""

    def __init__(self, builder: Builder, config: model.Config) -> None:
        self.builder = builder
        self.config = config
        self.objects = Objects(builder.objects)
        self.plugins = PluginBuilder(builder.registry, builder.injected, config.node, self.objects)
        self.clusters_made: dict[str, tuple[object, Cluster]] = {}
        self.counts: dict[tuple[str, str, str], TargetCounts] = {}
        self.endpoint_counts: dict[tuple[str, str], EndpointCounts] = {}
        self.cluster_counts: dict[str, ClusterCounts] = {}
        self.updates: list[tuple[Cluster, list[Endpoint] | None, ClientTls | None]] = []
        self.log_paths: set[str] = set()
        self.filters: list[FilterUse] = []
        self.places: dict[Place, object] = {}
        self.hooks: dict[str, Hooks] = {}
        self.same_hooks: dict[Hooks, Hooks] = {}

    def snapshot(self, version: int) -> Snapshot:
        clusters = self.clusters
        listeners = {one.name: self._listener(one) for one in self.config.listeners}
        filters = list({(one.listener, one.name, id(one.plugin)): one for one in self.filters}.values())
        limits = overload_limits(self.config.overload)
        source, made = self.config.source, time.time()
        return Snapshot(version, source, made, listeners, clusters, filters, limits, self.config, self)

    # -- what is kept from build to build

    def _counts_of(self, listener: str, route: str, cluster: str) -> TargetCounts:
        key = (listener, route, cluster)
        found = self.counts[key] = self.builder._counts.get(key) or TargetCounts()
        return found

    # -- clusters

    @cached_property
    def clusters(self) -> Mapping[str, Cluster]:
        made = {}
        for one in self.config.clusters:
            senders = self._senders.get(one.name)
            protocol = one.protocol or (senders[0].protocol if senders else None)
            if protocol is not None:
                made[one.name] = self._cluster(one, self.plugins.codec(protocol))
            elif one.name in self._asked:  # else nobody sends anything there
                made[one.name] = self._cluster(one, _NO_PROTOCOL)
        return made

    @cached_property
    def _asked(self) -> dict[str, bool]:
        return references.asked(self.config)

    @cached_property
    def _senders(self) -> dict[str, list[model.Listener]]:
        return references.senders(self.config)

    def _cluster(self, spec: model.Cluster, codec: ICodec) -> Cluster:
        checkpoint()
        code = [self.plugins.code(ILoadBalancer, spec.balancer)]
        if spec.discovery is not None and not spec.has_original_destination:
            code.append(self.plugins.code(IDiscovery, spec.discovery))
        max_frame = max((one.max_frame for one in self._senders.get(spec.name, ())), default=16 << 20)
        zone = self.config.node.zone if spec.locality is not None else ""
        identity = (replace(spec, endpoints=()), codec, code, max_frame, zone)
        before = self.builder._clusters.get(spec.name)
        endpoints = [self._endpoint(spec.name, one) for one in spec.endpoints]
        if before is not None and before[0] == identity:
            cluster = before[1]
            found = endpoints if spec.discovery is None else None
            self.updates.append((cluster, found, self._client_tls(spec, codec)))
        else:
            if before is not None:
                if spec.discovery is not None:
                    endpoints = clusters.copies(before[1].endpoints)
                clusters.inherit(endpoints, before[1], spec)
            cluster = self._new_cluster(spec, codec, endpoints, max_frame)
        self.clusters_made[spec.name] = (identity, cluster)
        self.cluster_counts[spec.name] = cluster.counts
        for endpoint in endpoints:
            self.endpoint_counts[spec.name, endpoint.address] = endpoint.counts
        return cluster

    def _new_cluster(
        self,
        spec: model.Cluster,
        codec: ICodec,
        endpoints: list[Endpoint],
        max_frame: int,
    ) -> Cluster:
        connections = spec.connections
        kind = OriginalDestinationCluster if spec.has_original_destination else Cluster
        cluster = kind(
            spec.name,
            codec,
            endpoints,
            self.plugins.balancer(spec.balancer),
            balancer_name="original_destination" if kind is not Cluster else spec.balancer.name,
            breaker=_breaker(spec.breaker),
            connections=ConnectionSettings(
                mode=connections.mode or codec.connections,
                per_endpoint=connections.per_endpoint,
                connect_timeout=spec.connect_timeout,
                idle_timeout=connections.idle_timeout,
                max_age=connections.max_age,
                max_requests=connections.max_requests,
                max_frame=max_frame,
                tls=self._client_tls(spec, codec),
                keepalive=_keepalive(spec.keepalive),
            ),
            request_timeout=spec.request_timeout,
            credentials=spec.credentials,
            settings=clusters.settings(spec, self.config.node.zone),
            monitors=self._attendants(spec),
            slow_start=SlowStart(spec.slow_start, self.builder.clock) if spec.slow_start else None,
        )
        cluster.counts = self.builder._cluster_counts.get(spec.name) or cluster.counts
        return cluster

    def _client_tls(self, spec: model.Cluster, codec: ICodec) -> ClientTls | None:
        """Made anew each time: its files may have changed, and connections that are there keep what they have."""
        tls = spec.tls
        if tls is None:
            return None
        if self._asked.get(spec.name) and not tls.alpn:
            tls = replace(tls, alpn=("h2",))  # gRPC's servers ask for it
        return client_tls(tls, spec.connect_timeout * 5, getattr(codec, "alpn_upstream", ()))

    def _attendants(self, spec: model.Cluster) -> list[ClusterMonitor]:
        """Who looks after the endpoints. They do nothing before the cluster is in force."""
        found = clusters.monitors(spec, self.builder.clock)
        use = spec.discovery
        if use is not None and not spec.has_original_destination:
            found.append(Membership(self.plugins.discovery(use), clusters.endpoints_of))
        return found

    def _endpoint(self, cluster: str, spec: model.Endpoint) -> Endpoint:
        endpoint = clusters.endpoint(spec)
        endpoint.counts = self.builder._endpoint_counts.get((cluster, spec.address)) or endpoint.counts
        return endpoint

    # -- listeners

    def _listener(self, spec: model.Listener) -> ListenerSnapshot:
        checkpoint()
        codec = self.plugins.codec(spec.protocol)
        no_route = Route(
            "-", reply=NO_ROUTE, reply_target=ReplyTarget(None, counts=self._counts_of(spec.name, "-", "-"))
        )
        self._hook(no_route, spec, {})
        routes = [self._route(spec, index, route, codec) for index, route in enumerate(spec.routes)]
        return ListenerSnapshot(
            name=spec.name,
            addresses=tuple(address.parse(where) for where in spec.listen),
            codec=codec,
            routes=_table(spec, routes, codec),
            no_route=no_route,
            max_connections=spec.max_connections,
            max_frame=spec.max_frame,
            max_inflight=spec.max_inflight,
            max_buffered=spec.max_buffered,
            idle_timeout=spec.idle_timeout,
            stall_timeout=spec.stall_timeout,
            stream_idle=spec.stream_idle,
            drain_timeout=spec.drain_timeout,
            original_destination=spec.original_destination,
            keepalive=_keepalive(spec.keepalive),
            proxy_protocol=bool(spec.proxy_protocol),
            proxy_trusted=None if isinstance(spec.proxy_protocol, bool) else Trusted(spec.proxy_protocol.trusted),
            tls=server_tls(spec.tls, self._alpn(codec)) if spec.tls is not None else None,
            filters=tuple(use.name for use in spec.filters),
            candidates=tuple(getattr(codec, "candidates", ())),
            detection_wait=getattr(codec, "wait", 10.0),
            chains=_chains(spec, codec),
        )

    def _alpn(self, codec: ICodec) -> tuple[str, ...]:
        """What a listener agrees to in TLS: what its codec understands, or any that it may hand clients to."""
        names = getattr(codec, "candidates", None)
        if names is None:
            return tuple(getattr(codec, "alpn", ()))
        by_name = {one.name: one for one in self.config.listeners}
        found = (getattr(self.plugins.codec(by_name[name].protocol), "alpn", ()) for name in names)
        return tuple(dict.fromkeys(one for offered in found for one in offered))

    def _route(self, listener: model.Listener, index: int, spec: model.Route, codec: ICodec) -> Route:
        checkpoint()
        name = spec.name or f"routes[{index}]"
        shares = dict(spec.clusters) if spec.clusters else {spec.cluster: 1} if spec.cluster else {}
        targets = [self._target(listener, name, cluster, weight) for cluster, weight in shares.items()]
        route = Route(
            name,
            conditions=[compile_condition(key, condition) for key, condition in spec.match.items()],
            targets=targets,
            percent=spec.percent,
            timeout=spec.timeout,
            hash_keys=hash_keys(spec.hash, codec.hash_aliases),
            subset=spec.subset,
            retry=_retry(spec.retry),
            mirror=self._mirror(listener, name, spec.mirror),
            sticky=Sticking(spec.sticky) if spec.sticky else None,
            request=_request_template(spec),
            response=_template(spec.response),
            reply=_reply(spec.reply) if spec.reply else None,
            reply_target=ReplyTarget(None, counts=self._counts_of(listener.name, name, "-")),
        )
        self._hook(route, listener, spec.filters)
        return route

    def _target(self, listener: model.Listener, route: str, cluster: str, weight: int) -> Target:
        """With the clusters of its `fallback:`, and of theirs, each once."""
        names, waiting = [cluster], [cluster]
        specs = {one.name: one for one in self.config.clusters}
        while waiting:
            further = [name for name in specs[waiting.pop(0)].fallback if name not in names]
            names += further
            waiting += further
        target: Target | None = None
        for name in reversed(names[1:]):
            target = Target(self.clusters[name], weight, self._counts_of(listener.name, route, name), target)
        return Target(self.clusters[cluster], weight, self._counts_of(listener.name, route, cluster), target)

    def _mirror(self, listener: model.Listener, route: str, specs: Sequence[model.Mirror]) -> Mirror | None:
        targets = []
        for one in specs:
            counts = self.objects.mirrors.get((listener.name, route, one.cluster), MirrorCounts)
            targets.append(MirrorTarget(self.clusters[one.cluster], one.percent / 100.0, one.compare, counts))
        return Mirror(targets, random.random) if targets else None

    def _hook(self, route: Route, listener: model.Listener, overrides: Mapping[str, Use | None]) -> None:
        """Gives a route the hooks of its listener's filters, its own options in their place; not of those `off`."""
        found = self.hooks.get(listener.name) if not overrides else None
        if found is None:
            filters = self._filters(route, listener, overrides)
            found = tuple(tuple(getattr(one, hook) for one in filters if hasattr(one, hook)) for hook in HOOKS)
            # The same tuples for all routes with the same filters: a thousand then touch no more memory than one.
            found = self.same_hooks.setdefault(found, found)
            if not overrides:
                self.hooks[listener.name] = found
        for hook, methods in zip(HOOKS, found, strict=True):
            setattr(route, hook, methods)
        if isinstance(route.mirror, Mirror):
            route.on_complete = (*route.on_complete, *route.mirror.hooks)
            route.on_chunk = (*route.on_chunk, *route.mirror.chunk_hooks)

    def _filters(self, route: Route, listener: model.Listener, overrides: Mapping[str, Use | None]) -> list[object]:
        """The filters of a route, in order: tracing first, access logs last."""
        filters: list[object] = []
        if listener.tracing is not None:
            filters.append(self._tracing(listener, listener.tracing))
        names: Counter[str] = Counter()
        for use in listener.filters:
            names[use.name] += 1
            chosen = overrides.get(use.name, use)
            if chosen is not None:
                # Which of its name it is: whatever else comes before it, its bucket stays.
                place = (listener.name, names[use.name], route.name if use.name in overrides else "")
                filters.append(self.plugins.filter(chosen, place))
                self.places[use.name, *place] = filters[-1]
                self.filters.append(FilterUse(listener.name, use.name, filters[-1]))
        for log in listener.access_log:
            self.log_paths.add(str(log.file))
            key = (str(log.file), log.format, log.fields and json.dumps(dict(log.fields)))
            filters.append(self.objects.logs.get(key, partial(self._access_log, log)))
        return filters

    def _access_log(self, spec: model.AccessLog) -> AccessLog:
        return AccessLog(self.builder.logs.open(str(spec.file)), spec.format, spec.fields)

    def _tracing(self, listener: model.Listener, spec: model.ListenerTracing) -> Tracing:
        # Imports OpenTelemetry, an extra.
        from metaproxy.config.build_tracing import spans, tracing

        config, clock = self.config, self.builder.clock
        node, codec = config.node, self.plugins.codec(listener.protocol)
        key = json.dumps(as_data([config.tracing, node.id, node.cluster, node.zone]), sort_keys=True)
        secret = config.tracing and tuple(str(one) for one in config.tracing.headers.values())
        sent = self.objects.spans.get((key, secret), partial(spans, config, cast("Clock", clock)))
        options = json.dumps(as_data(spec), sort_keys=True)
        one = self.objects.tracing.get(
            (listener.name, options, id(sent), id(codec)),
            partial(tracing, spec, node, codec, sent, clock, None),
        )
        self.places["tracing", listener.name, 1, ""] = one
        self.places["spans", "", 1, ""] = sent
        self.filters += [FilterUse(listener.name, "tracing", one), FilterUse(listener.name, "tracing", sent)]
        return one


def _stop(plugin: object, stop: Callable[[], object]) -> None:
    """Nothing asks it any more but exchanges that are under way. What fails in it concerns nobody else."""
    try:
        stop()
    except BaseException:
        log.failure("{plugin}: stop failed", plugin=type(plugin).__name__)


def _table(listener: model.Listener, routes: Sequence[Route], codec: ICodec) -> RouteTable:
    """A listener's routes. Where a protocol has no place for metadata no client can set any."""
    if listener.reserved_keys == "strip" and not codec.mutable:
        return ReservedKeyStripper(routes, random.Random(), codec)
    return RouteTable(routes, random.Random())


def _chains(listener: model.Listener, codec: ICodec) -> ChainTable | None:
    if not listener.chains:
        return None
    return ChainTable([_chain(one) for one in listener.chains], getattr(codec, "wait", 10.0))


def _chain(spec: model.Chain) -> Chain:
    match = spec.match
    names = tuple(name.lower() for name in match.server_names)
    return Chain(
        spec.listener,
        match.port,
        networks(match.destination),
        networks(match.source),
        names,
        match.alpn,
        match.encrypted,
    )


SHARE_OF_MEMORY = 0.75
"""Of the memory that there is, which the process may take when nothing is configured."""


def overload_limits(spec: model.Overload) -> OverloadLimits:
    most = int(available() * SHARE_OF_MEMORY) if spec.max_memory is None else spec.max_memory
    return OverloadLimits(most, spec.max_lag)


def _keepalive(spec: model.KeepAlive | None) -> tuple[float, float, int] | None:
    return (spec.idle, spec.interval, spec.count) if spec is not None else None


def _request_template(spec: model.Route) -> Template | None:
    rewrite = spec.rewrite
    if rewrite is None:
        return _template(spec.request)
    mutations = spec.request or model.Mutations()
    set = {**mutations.set, **({"host": rewrite.host} if rewrite.host is not None else {})}
    path = compile_rewrite(rewrite.path.regex, rewrite.path.to) if rewrite.path is not None else None
    return RewritingTemplate(set, tuple(mutations.remove), path)


def _template(spec: model.Mutations | None) -> Template | None:
    return Template(spec.set, tuple(spec.remove)) if spec is not None else None


def _reply(spec: model.Reply) -> RouteReply:
    kind = ErrorKind(spec.error) if spec.error is not None else None
    return RouteReply(kind, spec.message, spec.name or "", spec.set)


def _breaker(spec: model.Breaker) -> Breaker:
    return Breaker(spec.max_connections, spec.max_pending, spec.max_requests, spec.max_retries, spec.retry_budget)


def _retry(spec: model.Retry | None) -> RetryPolicy | None:
    if spec is None:
        return None
    return RetryPolicy(spec.attempts, spec.on, spec.per_try_timeout, spec.backoff, spec.unsafe, spec.hedge_after)
