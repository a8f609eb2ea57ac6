"""
From a checked configuration to the snapshot that exchanges run on.

Lives here: `Builder`, which keeps what it built of each listener and cluster, and builds again what has changed. Does
not: one listener or cluster (`build_listener`, `build_cluster`); reading or checking; making a snapshot the one in
force.

A section that is the same object as before, and so all that it refers to, costs a look-up: a change of a configuration
costs what it touches.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from operator import attrgetter
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metaproxy.cluster.cluster import Cluster
from metaproxy.config import model
from metaproxy.config.build_cluster import ClusterRecord, ClusterUpdate, build_cluster
from metaproxy.config.build_listener import ListenerBuilder, ListenerRecord
from metaproxy.config.build_records import Book, FilterUses, Records
from metaproxy.config.build_shared import Shared
from metaproxy.config.delta import Changes
from metaproxy.config.inheritance import Place, succeed
from metaproxy.config.kept import Drafts, Objects
from metaproxy.config.plugin_builder import PluginBuilder
from metaproxy.config.reach import Reach
from metaproxy.config.slices import checkpoint, in_reactor
from metaproxy.interfaces import ICodec
from metaproxy.plugins import Registry
from metaproxy.proxy.memory import available
from metaproxy.proxy.overload import OverloadLimits
from metaproxy.proxy.service_clusters import ServiceClusters
from metaproxy.proxy.snapshot import ListenerSnapshot, Since, Snapshot
from metaproxy.telemetry.access_log.filter import LogFiles
from metaproxy.telemetry.inspect.statements import Statements

log = Logger()

UPDATES_AT_ONCE = 50
"""Clusters that take over what changed before other work may go on."""

Listeners = Book[model.Listener, ListenerRecord, ListenerSnapshot]
Clusters = Book[model.Cluster, ClusterRecord, Cluster]


class Builder:
    """
    Keeps, from build to build, whatever a new configuration leaves as it was; the rest is made again.

    logs: the access logs' files; `injected`: what filters are handed that ask for it, besides the `node:` of the
    configuration; statements: those of listeners that count them always.
    """

    def __init__(self, registry: Registry, clock: IReactorTime, logs: LogFiles) -> None:
        self.registry = registry
        self.clock = clock
        self.logs = logs
        self.statements = Statements(clock.seconds())
        self.service_clusters = ServiceClusters(clock)
        self.injected: dict[str, object] = {
            "clock": clock,
            "node": model.Node(),
            "clusters": self.service_clusters,
            "xds": None,
        }
        self.objects = Objects()
        self.reach = Reach()
        self.common: object = None
        self.listeners: Listeners = Book(attrgetter("snapshot"))
        self.clusters: Clusters = Book(attrgetter("cluster"))
        self._spans: dict[Place, object] = {}  # what sends spans, which is no listener's own
        self._log_paths: Counter[str] = Counter()
        self._version = 0

    def build(
        self, config: model.Config, stamps: Mapping[Path, object] | None = None, changes: Changes | None = None
    ) -> Snapshot:
        """
        A new snapshot; nothing is in force yet. `commit` it once it is, or `discard` it. The configuration must have
        been checked. stamps: of the files of certificates; without them these are read again each time. changes: since
        the configuration in force, where these are known.
        """
        build = _Build(self, config, stamps, changes)
        try:
            return build.snapshot(self._version + 1)
        except BaseException:
            self._stop_all(build.drafts.unused())
            raise

    def commit(self, snapshot: Snapshot) -> None:
        """
        `snapshot` is in force now: what only older ones used is forgotten. Counts go over at once; the rest may be done
        in slices, as clusters keep their endpoints of before until it is their turn.
        """
        build = _build_of(snapshot)
        self._version = snapshot.version
        self.service_clusters.clusters = snapshot.clusters
        listeners, clusters = build.listeners, build.clusters
        self._inherit(listeners)
        checkpoint()
        unused = build.drafts.commit(
            [*(one.uses for one in listeners.made.values()), *(one.uses for one in clusters.made.values())],
            [*(one.uses for one in listeners.replaced()), *(one.uses for one in clusters.replaced())],
        )
        build.reach.commit()
        in_reactor(partial(self._stop_all, unused))
        for start in range(0, len(build.updates), UPDATES_AT_ONCE):
            checkpoint()
            in_reactor(partial(_apply, build.updates[start : start + UPDATES_AT_ONCE]))
        self._keep_logs(listeners)
        self._spans = {place: one for place, one in self._spans.items() if one in self.objects.spans.made.values()}
        self.common = build.common
        listeners.commit()
        clusters.commit()

    def discard(self, snapshot: Snapshot) -> None:
        """`snapshot` does not come into force: what was made for it alone is stopped."""
        self._stop_all(_build_of(snapshot).drafts.unused())
        self.logs.keep(self._log_paths)

    def _inherit(self, listeners: Records[model.Listener, ListenerRecord, ListenerSnapshot]) -> None:
        """Counts of filters go over to those that take their places."""
        before: dict[Place, object] = dict(self._spans)
        now: dict[Place, object] = dict(self._spans)
        for record in listeners.replaced():
            before.update(record.places)
        for record in listeners.made.values():
            now.update(record.places)
        succeed(before, now)
        self._spans.update({place: one for place, one in now.items() if not place[1]})

    def _keep_logs(self, listeners: Records[model.Listener, ListenerRecord, ListenerSnapshot]) -> None:
        for record in listeners.made.values():
            self._log_paths.update(record.log_paths)
        for record in listeners.replaced():
            self._log_paths.subtract(record.log_paths)
        self._log_paths = +self._log_paths
        self.logs.keep(self._log_paths)

    def _stop_all(self, plugins: list[object]) -> None:
        for one in plugins:
            if hasattr(one, "stop"):
                _stop(one, one.stop)


def _apply(updates: Sequence[ClusterUpdate]) -> None:
    for update in updates:
        update.apply()


def _build_of(snapshot: Snapshot) -> _Build:
    build = snapshot.config_build
    if not isinstance(build, _Build):
        raise TypeError("a snapshot of another builder")
    return build


class _Build:
    """One build. What it takes over from the builder or makes is noted, and becomes the builder's by `commit`."""

    def __init__(
        self,
        builder: Builder,
        config: model.Config,
        stamps: Mapping[Path, object] | None,
        changes: Changes | None,
    ) -> None:
        self.builder = builder
        self.config = config
        self.common = (builder.registry.generation, config.node, config.tracing)
        self.drafts = Drafts(builder.objects)
        listeners, clusters = changes if changes is not None else (None, None)
        self.listeners = Records(builder.listeners, config.listeners, listeners)
        self.clusters = Records(builder.clusters, config.clusters, clusters)
        self.reach = builder.reach.draft(config, self.listeners.changes, self.clusters.changes)
        checkpoint()
        self.plugins = PluginBuilder(builder.registry, builder.injected, config.node, self.drafts)
        self.shared = Shared(
            config, self.plugins, self.drafts, builder.clock, builder.logs, builder.statements,
            self.common != builder.common, self.reach.fallbacks, stamps, dict(builder.clusters.built),
        )  # fmt: skip
        self.updates: list[ClusterUpdate] = []
        self._moved: set[str] = set()  # names of which there is another cluster than before, or none

    def snapshot(self, version: int) -> Snapshot:
        self._build_clusters()
        self._build_listeners()
        limits = overload_limits(self.config.overload)
        source, made = self.config.source, time.time()
        listeners, clusters = self.listeners, self.clusters
        return Snapshot(
            version, source, made, listeners.built, clusters.built, FilterUses(listeners.all), limits, self.config,
            self, self._since(version - 1),
        )  # fmt: skip

    def _since(self, version: int) -> Since:
        """What has changed since the snapshot in force."""
        now, before = self.clusters.built, self.clusters.book.built
        changed = {name: record.snapshot for name, record in self.listeners.made.items()}
        come = [now[name] for name in self._moved if name in now]
        gone = [before[name] for name in self._moved if name in before]
        return Since(version, changed, self.listeners.changes.gone, come, gone)

    def _build_clusters(self) -> None:
        clusters, built = self.clusters, self.shared.clusters
        touched = self._other_needs() | self._other_files(clusters.with_files())
        for spec in clusters.to_build(self.shared.fresh, touched):
            before = clusters.before(spec.name)
            record, update = build_cluster(self.shared, spec, before, self.reach.need(spec.name))
            clusters.made[spec.name] = record
            if update is not None:
                self.updates.append(update)
            built.pop(spec.name, None)
            if record.cluster is not None:
                built[spec.name] = record.cluster
            if before is None or before.cluster is not record.cluster:
                self._moved.add(spec.name)
        for name in clusters.changes.gone:
            built.pop(name, None)
            self._moved.add(name)

    def _other_needs(self) -> set[str]:
        """Clusters to which something else is sent than before."""
        before, reach = self.clusters.book.records, self.reach
        return {name for name in reach.affected if name in before and before[name].need != reach.need(name)}

    def _other_files(self, records: Iterable[ListenerRecord] | Iterable[ClusterRecord]) -> set[str]:
        """Listeners or clusters whose certificates are not those that they were built with."""
        has = self.shared.has_files_of
        return {record.spec.name for record in records if not has(record.spec, record.stamps)}

    def _build_listeners(self) -> None:
        listeners, reach = self.listeners, self.reach
        touched = self._other_files(listeners.with_files()) | self._other_protocols()
        for name in self._moved:
            touched |= reach.senders(name)
        for spec in listeners.to_build(self.shared.fresh, touched):
            builder = ListenerBuilder(self.shared, spec, listeners.before(spec.name), self._alpn)
            listeners.made[spec.name] = builder.record(reach.of(spec.name).clusters)

    def _other_protocols(self) -> set[str]:
        """Listeners that offer something else in TLS than before, as those that they hand clients to have changed."""
        found = {
            record.spec.name
            for record in self.listeners.with_files()
            if record.snapshot.candidates and self._alpn(record.snapshot.codec) != record.alpn
        }
        self.drafts.take()  # the codecs that were looked at belong to their own listeners
        return found

    def _alpn(self, codec: ICodec) -> tuple[str, ...]:
        """What a listener agrees to in TLS: what its codec understands, or any that it may hand clients to."""
        names = getattr(codec, "candidates", None)
        if names is None:
            return tuple(getattr(codec, "alpn", ()))
        specs = (self._specs[name] for name in names if name in self._specs)
        found = (getattr(self.plugins.codec(one.protocol), "alpn", ()) for one in specs)
        return tuple(dict.fromkeys(one for offered in found for one in offered))

    @cached_property
    def _specs(self) -> dict[str, model.Listener]:
        return {one.name: one for one in self.config.listeners}


def _stop(plugin: object, stop: Callable[[], object]) -> None:
    """Nothing asks it any more but exchanges that are under way. What fails in it concerns nothing else."""
    try:
        stop()
    except BaseException:
        log.failure("{plugin}: stop failed", plugin=type(plugin).__name__)


SHARE_OF_MEMORY = 0.75
"""Of the memory that there is, which the process may take when nothing is configured."""


def overload_limits(spec: model.Overload) -> OverloadLimits:
    most = int(available() * SHARE_OF_MEMORY) if spec.max_memory is None else spec.max_memory
    return OverloadLimits(most, spec.max_lag)
