"""
From a listener of a checked configuration to what its exchanges run on.

Lives here: `ListenerBuilder`, and `ListenerRecord`, what is kept of a listener until it changes. Does not: clusters
(`build_cluster`), which listeners are to be built (`build`).
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from metaproxy.cluster.cluster import REPLICA
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import ReplyTarget, Route, RouteTable, Target
from metaproxy.config import model
from metaproxy.config.build_shared import Shared, keepalive
from metaproxy.config.inheritance import Place
from metaproxy.config.kept import Uses
from metaproxy.config.masking import as_data
from metaproxy.config.schema.reading import Use
from metaproxy.config.slices import checkpoint
from metaproxy.config.tls import server_tls
from metaproxy.counts import MirrorCounts, TargetCounts
from metaproxy.interfaces import ICodec, IExchange
from metaproxy.message import ErrorKind
from metaproxy.plugins import HOOKS
from metaproxy.proxy.answer_cache import AnswerCache
from metaproxy.proxy.chains import Chain, ChainTable, networks
from metaproxy.proxy.doors import Doors, NameDoors, PortDoors
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.mirror_target import MirrorTarget
from metaproxy.proxy.own_writes import note_write
from metaproxy.proxy.proxy_protocol import Trusted
from metaproxy.proxy.reserved_keys import ALWAYS, NEVER, ReservedKeyStripper
from metaproxy.proxy.rewording import Rewording
from metaproxy.proxy.snapshot import NO_ROUTE, FilterUse, ListenerSnapshot, RewritingTemplate, RouteReply, Template
from metaproxy.routing.hash_keys import hash_keys
from metaproxy.routing.matcher import compile_condition
from metaproxy.routing.pattern import compile_rewrite
from metaproxy.routing.sticky import Sticking
from metaproxy.routing.table import PRIORITIES, SharedActions
from metaproxy.support import addresses as address
from metaproxy.telemetry.access_log.filter import AccessLog

if TYPE_CHECKING:  # OpenTelemetry is an extra
    from metaproxy.telemetry.tracing.filter import Tracing
    from metaproxy.telemetry.tracing.spans import Clock

Hooks = tuple[tuple[Callable[[IExchange], object], ...], ...]
"""The bound methods of each of HOOKS, in the order of the filters."""


@dataclass(slots=True, eq=False)
class ListenerRecord:
    """
    What is kept of a listener while it stays as it is.

    reached: the clusters that its routes lead to; uses: its plugins and the like; filters: for listings; places: where
    its filters stand, for those that take their places; log_paths: its access logs' files; counts: of route and
    cluster; hooks: of its filters, where a route says nothing else; stamps: of the files of its certificates; alpn:
    what it offers in TLS where it does not say.
    """

    spec: model.Listener
    snapshot: ListenerSnapshot
    reached: frozenset[str]
    uses: Uses = ()
    filters: list[FilterUse] = field(default_factory=list)
    places: dict[Place, object] = field(default_factory=dict)
    log_paths: set[str] = field(default_factory=set)
    counts: dict[tuple[str, str], TargetCounts] = field(default_factory=dict)
    hooks: Hooks = ()
    stamps: Mapping[Path, object] | None = None
    alpn: tuple[str, ...] = ()


class ListenerBuilder:
    """
    Builds one listener. before: its record of the configuration before, if it had one; alpn: what it offers in TLS.
    """

    def __init__(
        self,
        shared: Shared,
        spec: model.Listener,
        before: ListenerRecord | None,
        alpn: Callable[[ICodec], tuple[str, ...]],
    ) -> None:
        self._shared = shared
        self._spec = spec
        self._before = before
        self._alpn = alpn
        self._filter_uses: list[FilterUse] = []
        self._places: dict[Place, object] = {}
        self._log_paths: set[str] = set()
        self._counts: dict[tuple[str, str], TargetCounts] = {}
        self._hooks: Hooks | None = None
        self._same_hooks: dict[Hooks, Hooks] = {}
        self._actions = SharedActions()

    def record(self, reached: frozenset[str]) -> ListenerRecord:
        """What the listener is now."""
        checkpoint()
        spec, shared = self._spec, self._shared
        codec = shared.plugins.codec(spec.protocol)
        no_route = Route("-", reply=NO_ROUTE, reply_target=ReplyTarget(None, counts=self._counts_of("-", "-")))
        self._hook(no_route, {})
        known = self._routes_before(codec)
        routes = [self._route(index, route, codec, known) for index, route in enumerate(spec.routes)]
        alpn = self._alpn(codec)
        snapshot = ListenerSnapshot(
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
            keepalive=keepalive(spec.keepalive),
            proxy_protocol=bool(spec.proxy_protocol),
            proxy_trusted=None if isinstance(spec.proxy_protocol, bool) else Trusted(spec.proxy_protocol.trusted),
            tls=server_tls(spec.tls, alpn) if spec.tls is not None else None,
            filters=tuple(use.name for use in spec.filters),
            candidates=tuple(getattr(codec, "candidates", ())),
            detection_wait=getattr(codec, "wait", 10.0),
            chains=_chains(spec, codec),
            meant_for=tuple(address.show(address.parse(one).sockaddr) for one in spec.meant_for),
            hand_over=spec.hand_over,
            statements=spec.statements,
            doors=_doors(spec),
        )
        return ListenerRecord(
            spec, snapshot, reached, shared.drafts.take(), _once(self._filter_uses), self._places, self._log_paths,
            self._counts, self._hooks or (), shared.stamps_of(spec), alpn,
        )  # fmt: skip

    # -- routes

    def _routes_before(self, codec: ICodec) -> dict[int, Route]:
        """
        Identity of a route's section -> what was built of it, if that can go on: the codec is the same, and so are the
        filters. Routes that have something of their own in the builder's books (filters, mirrors) are built again.
        """
        before = self._before
        if before is None or before.snapshot.codec is not codec or before.hooks != self._hooks or self._shared.fresh:
            return {}
        built = zip(before.spec.routes, before.snapshot.routes.routes, strict=True)
        return {id(spec): route for spec, route in built if not spec.filters and not spec.mirror}

    def _route(self, index: int, spec: model.Route, codec: ICodec, known: Mapping[int, Route]) -> Route:
        checkpoint()
        name = spec.name or f"routes[{index}]"
        before = known.get(id(spec))
        if before is not None and before.name == name and self._leads_there(before):
            return before
        shares = dict(spec.clusters) if spec.clusters else {spec.cluster: 1} if spec.cluster else {}
        targets = [self._target(name, cluster, weight) for cluster, weight in shares.items()]
        route = Route(
            name,
            conditions=[compile_condition(key, condition) for key, condition in spec.match.items()],
            targets=targets,
            percent=spec.percent,
            timeout=spec.timeout,
            hash_keys=hash_keys(spec.hash, codec.hash_aliases),
            subset=spec.subset,
            retry=_retry(spec.retry),
            mirror=self._mirror(name, spec.mirror),
            sticky=Sticking(spec.sticky) if spec.sticky else None,
            priority=PRIORITIES.index(spec.priority),
            request=_request_template(spec),
            response=_template(spec.response),
            reply=_reply(spec.reply) if spec.reply else None,
            reply_target=ReplyTarget(None, counts=self._counts_of(name, "-")),
        )
        self._hook(route, spec.filters, spec.cache)
        if spec.rewrite is not None and (text := spec.rewrite.statement or spec.rewrite.key) is not None:
            reword = Rewording(compile_rewrite(text.regex, text.to)).reword
            route.on_request = (*route.on_request, reword)
        self._actions.share(route)
        return route

    def _leads_there(self, route: Route) -> bool:
        """Whether the clusters of a route that was built before are still those; if so its counts are kept."""
        clusters = self._shared.clusters
        targets = route.all_targets()
        if not all(one.cluster is None or clusters.get(one.name) is one.cluster for one in targets):
            return False
        for one in targets:
            self._counts[route.name, one.name] = one.counts
        return True

    def _counts_of(self, route: str, cluster: str) -> TargetCounts:
        key = (route, cluster)
        before = self._before.counts.get(key) if self._before is not None else None
        found = self._counts[key] = before or TargetCounts()
        return found

    def _target(self, route: str, cluster: str, weight: int) -> Target:
        """With the clusters of its `fallback:`, and of theirs, each once."""
        clusters, fallbacks = self._shared.clusters, self._shared.fallbacks
        names, waiting = [cluster], [cluster]
        while waiting:
            further = [name for name in fallbacks.get(waiting.pop(0), ()) if name not in names]
            names += further
            waiting += further
        target: Target | None = None
        for name in reversed(names[1:]):
            target = Target(clusters[name], weight, self._counts_of(route, name), target)
        return Target(clusters[cluster], weight, self._counts_of(route, cluster), target)

    def _mirror(self, route: str, specs: Sequence[model.Mirror]) -> Mirror | None:
        targets = []
        for one in specs:
            counts = self._shared.drafts.mirrors.get((self._spec.name, route, one.cluster), MirrorCounts)
            cluster = self._shared.clusters[one.cluster]
            targets.append(MirrorTarget(cluster, one.percent / 100.0, one.compare, counts))
        return Mirror(targets, random.random) if targets else None

    # -- filters

    def _hook(self, route: Route, overrides: Mapping[str, Use | None], cache: float = 0.0) -> None:
        """Gives a route the hooks of its listener's filters, its own options in their place; not of those `off`."""
        found = self._hooks if not overrides else None
        if found is None:
            filters = self._filters(route, overrides)
            found = tuple(tuple(getattr(one, hook) for one in filters if hasattr(one, hook)) for hook in HOOKS)
            # The same tuples for all routes with the same filters: a thousand then touch no more memory than one.
            found = self._same_hooks.setdefault(found, found)
            if not overrides:
                self._hooks = found
        for hook, methods in zip(HOOKS, found, strict=True):
            setattr(route, hook, methods)
        if (route.subset or {}).get("role") != REPLICA and any(
            one.cluster is not None and one.cluster.read_your_writes is not None for one in route.all_targets()
        ):
            route.on_complete = (*route.on_complete, note_write)
        if cache > 0:
            kept = AnswerCache(cache, self._shared.clock.seconds)
            route.on_request, route.on_response = (*route.on_request, kept.look), (*route.on_response, kept.keep)
        if isinstance(route.mirror, Mirror):
            route.on_complete = (*route.on_complete, *route.mirror.hooks)
            route.on_chunk = (*route.on_chunk, *route.mirror.chunk_hooks)

    def _filters(self, route: Route, overrides: Mapping[str, Use | None]) -> list[object]:
        """The filters of a route, in order: tracing first, access logs and what counts statements last."""
        listener, shared = self._spec, self._shared
        filters: list[object] = []
        if listener.tracing is not None and shared.config.tracing is not None:
            # A file's listener has it only beside `tracing:`; a control plane asks for spans of all that it drives.
            filters.append(self._tracing(listener.tracing))
        names: Counter[str] = Counter()
        for use in listener.filters:
            names[use.name] += 1
            chosen = overrides.get(use.name, use)
            if chosen is not None:
                # Which of its name it is: whatever else comes before it, its bucket stays.
                place = (listener.name, names[use.name], route.name if use.name in overrides else "")
                filters.append(shared.plugins.filter(chosen, place))
                self._places[use.name, *place] = filters[-1]
                self._filter_uses.append(FilterUse(listener.name, use.name, filters[-1]))
        for log in listener.access_log:
            self._log_paths.add(str(log.file))
            key = (str(log.file), log.format, log.fields and json.dumps(dict(log.fields)))
            filters.append(shared.drafts.logs.get(key, partial(self._access_log, log)))
        if listener.statements:
            filters.append(shared.statements)
        return filters

    def _access_log(self, spec: model.AccessLog) -> AccessLog:
        return AccessLog(self._shared.logs.open(str(spec.file)), spec.format, spec.fields)

    def _tracing(self, spec: model.ListenerTracing) -> Tracing:
        # Imports OpenTelemetry, an extra.
        from metaproxy.config.build_tracing import spans, tracing

        shared, listener = self._shared, self._spec
        config, clock = shared.config, shared.clock
        node, codec = config.node, shared.plugins.codec(listener.protocol)
        key = json.dumps(as_data([config.tracing, node.id, node.cluster, node.zone]), sort_keys=True)
        secret = config.tracing and tuple(str(one) for one in config.tracing.headers.values())
        sent = shared.drafts.spans.get((key, secret), partial(spans, config, cast("Clock", clock)))
        options = json.dumps(as_data(spec), sort_keys=True)
        one = shared.drafts.tracing.get(
            (listener.name, options, id(sent), id(codec)),
            partial(tracing, spec, node, codec, sent, clock, None),
        )
        self._places["tracing", listener.name, 1, ""] = one
        self._places["spans", "", 1, ""] = sent
        self._filter_uses += [FilterUse(listener.name, "tracing", one), FilterUse(listener.name, "tracing", sent)]
        return one


def _once(filters: Sequence[FilterUse]) -> list[FilterUse]:
    return list({(one.name, id(one.plugin)): one for one in filters}.values())


def _table(listener: model.Listener, routes: Sequence[Route], codec: ICodec) -> RouteTable:
    """A listener's routes. Where a protocol has no place for metadata no client can set any."""
    strips = listener.reserved_keys == "strip"
    certificate = listener.forward_client_cert or (NEVER if strips else ALWAYS)
    if (strips or certificate != ALWAYS) and not codec.mutable:
        return ReservedKeyStripper(routes, random.Random(), codec, strips, certificate, checkpoint)
    return RouteTable(routes, random.Random(), checkpoint)


def _chains(listener: model.Listener, codec: ICodec) -> ChainTable | None:
    if not listener.chains and not listener.hand_over:
        return None
    return ChainTable([_chain(one) for one in listener.chains], getattr(codec, "wait", 10.0))


def _doors(spec: model.Listener) -> Doors | None:
    nodes = spec.nodes
    if nodes is None:
        return None
    if nodes.sni is not None:
        return NameDoors(nodes.sni, nodes.port or 0)
    return PortDoors([address.parse(where) for where in spec.listen], nodes.ports or range(0), nodes.advertise or "")


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


def _request_template(spec: model.Route) -> Template | None:
    rewrite = spec.rewrite
    if rewrite is None or (rewrite.path is None and rewrite.host is None):
        return _template(spec.request)
    mutations = spec.request or model.Mutations()
    set = {**mutations.set, **({"host": rewrite.host} if rewrite.host is not None else {})}
    path = compile_rewrite(rewrite.path.regex, rewrite.path.to) if rewrite.path is not None else None
    return RewritingTemplate(set, tuple(mutations.remove), mutations.append, mutations.add, path=path)


def _template(spec: model.Mutations | None) -> Template | None:
    return Template(spec.set, tuple(spec.remove), spec.append, spec.add) if spec is not None else None


def _reply(spec: model.Reply) -> RouteReply:
    kind = ErrorKind(spec.error) if spec.error is not None else None
    return RouteReply(kind, spec.message, spec.name or "", spec.set)


def _retry(spec: model.Retry | None) -> RetryPolicy | None:
    if spec is None:
        return None
    return RetryPolicy(spec.attempts, spec.on, spec.per_try_timeout, spec.backoff, spec.unsafe, spec.hedge_after)
