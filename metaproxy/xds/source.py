"""
The xDS servers of a configuration as one source of listeners and clusters.

Lives here: `XdsSource`: which servers there are, and what they are asked for. Does not: the protocol (`session` and its
neighbours), what resources become (`built`), putting it in force (`enforcement`).

Endpoints go straight to the clusters that watch them: they are no change of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from metaproxy.config import model
from metaproxy.config.values import Context, read_section
from metaproxy.discovery.eds import Update as TakeEndpoints
from metaproxy.envoy.tables import ADS
from metaproxy.filters.service_cluster import Clusters
from metaproxy.support.log_throttle import LogThrottle
from metaproxy.xds.built import BuiltResources
from metaproxy.xds.enforcement import Enforcement, Target
from metaproxy.xds.interest import Interest
from metaproxy.xds.resource_types import BY_NAME
from metaproxy.xds.server import XdsServer
from metaproxy.xds.store import Change, Verdict
from metaproxy.xds.translate import Need, Translator
from metaproxy.xds.warming import Compose, Warming

log = Logger()

FEW = 20
"""Endpoints of so many clusters are looked at at once, without slices."""
MAX_LINES = 20
"""Lines of the log about resources in a minute."""


class Configuration(Target, Protocol):
    """What the source is part of."""

    @property
    def base(self) -> model.Config:
        """The configuration in force without any source's part."""

    @property
    def folder(self) -> Path:
        """Where relative paths start."""

    def reading(self, source: str) -> Context:
        """Return what sections are read with."""


class _Watch:
    """A cluster that wants to hear of endpoints."""

    def __init__(self, server: str, name: str, update: TakeEndpoints, failed: Callable[[str], None]) -> None:
        self.server = server
        self.name = name
        self.update = update
        self.failed = failed


class XdsSource:
    """servers: by name."""

    def __init__(self, configuration: Configuration, clusters: Clusters, reactor: IReactorTime) -> None:
        self.servers: dict[str, XdsServer] = {}
        self._configuration = configuration
        self._clusters = clusters
        self._reactor = reactor
        self._base: model.Config | None = None
        self._settings: tuple[tuple[model.Xds, ...], model.Node] = ((), model.Node())
        self._described: dict[str, model.Xds] = {}  # servers that resources describe
        self._absent: dict[str, model.Xds] = {}  # others, which are clusters that there are not
        self._watches: dict[Need, list[_Watch]] = {}
        self._late: dict[str, IDelayedCall] = {}
        self._interest = Interest(reactor, self._timeout, self._expired)
        self.built = BuiltResources(self._translator, self._value, self._tell, self._interest)
        self.enforcement = Enforcement(
            configuration, self.built.offers, self.built.compose, self._new_warming, self._ask, reactor
        )
        self._throttle = LogThrottle(reactor.seconds, most=MAX_LINES)
        self._reading: Context | None = None
        self._warm = False
        self._running = False

    # -- life

    def start(self) -> None:
        self._running = True
        self.configure()

    def stop(self) -> None:
        self._running = False
        for server in self.servers.values():
            server.stop()
        for timer in self._late.values():
            if timer.active():
                timer.cancel()
        self._interest.stop()
        self.enforcement.stop()

    @property
    def ready(self) -> bool:
        """Whether every server's resources came, or did not in time, and are in force; it stays so."""
        if not self._warm and self._running:
            every = (self._came_first(one, kind) for one in self.servers.values() for kind in ("clusters", "listeners"))
            self._warm = all(every) and self.enforcement.idle and not self.built.waiting(self._is_given_up)
        return self._warm

    def configure(self) -> None:
        """Take the servers and listeners of the configuration in force."""
        if not self._running:
            return
        config = self._configuration.base
        if config is self._base:
            return
        self._base = config
        settings = (config.xds, config.node)
        if settings != self._settings:
            self._settings = settings
            self._restart()
        waiting = {one.name: one for one in config.listeners if isinstance(one.routes, model.Rds)}
        static = {
            name: self._translator("").form_of(one, self._resolve("", one.routes.server))
            for name, one in waiting.items()
            if isinstance(one.routes, model.Rds)
        }
        self.built.set_static(static)
        self._settle_soon()
        self._look_at_secrets()

    def _look_at_secrets(self) -> None:
        """Have what refers to secrets of the configuration made again when sections are read with others."""
        before, self._reading = self._reading, self._configuration.reading("xds")
        if before is None or before is self._reading:
            return
        done = self._configuration.slices.run(partial(self.built.read_again, self._value))
        done.addCallbacks(lambda _: self._settle_soon(), lambda failure: log.failure("xds: not read again", failure))

    def _restart(self) -> None:
        """Have the servers that the configuration names. What one with another setting had stays until it says more."""
        specs, node = self._settings
        wanted = {one.label: one for one in (*specs, *self._described.values())}
        old = {}
        for name, server in list(self.servers.items()):
            if server.spec != wanted.get(name) or server.node != node:
                server.stop()
                old[name] = self.servers.pop(name)
                if name not in wanted:
                    self.built.drop_server(name)
        for name, spec in wanted.items():
            if name not in self.servers:
                self._add_server(spec, old.get(name))
        self._watch_again()

    def _add_server(self, spec: model.Xds, before: XdsServer | None = None) -> None:
        work, folder = self._configuration.slices.run, self._configuration.folder
        server = XdsServer(spec, self._settings[1], self, self._reactor, self._clusters, folder, work)
        if before is not None:
            server.inherit(before)
        self.servers[server.label] = server
        server.start()
        for kind in server.kinds:
            server.want(kind, self._interest.names(server.label, kind.name))
        if spec.initial_fetch_timeout:
            self._late[server.label] = self._reactor.callLater(spec.initial_fetch_timeout, self._is_late, server)

    # -- handler's Sink

    def look(self, server: str, change: Change) -> Deferred[Verdict]:
        """See `handler.Sink`."""
        if change.kind.name == "endpoints" and len(change.resources) <= FEW:
            return succeed(self.built.look(server, change))
        return self._configuration.slices.run(partial(self.built.look, server, change))

    def use(self, server: str, change: Change) -> None:
        """See `handler.Sink`."""
        for need, built in self.built.use(server, change):
            self._interest.came(need)
            for name, plain in built.servers.items():
                self._describe(name, plain)
            for watch in list(self._watches.get(need, ())):
                watch.update(built.endpoints)
        if change.kind.name != "endpoints" or self.enforcement.waiting or not self.ready:
            self._settle_soon()

    def answered(self, server: str) -> None:
        """See `handler.Sink`."""
        if not self.ready:
            self._settle_soon()

    # -- discovery's EndpointSource

    def watch_endpoints(
        self, server: str, name: str, update: TakeEndpoints, failed: Callable[[str], None]
    ) -> Callable[[], None]:
        """See `discovery.eds.EndpointSource`."""
        watch = _Watch(server, name, update, failed)
        need = self._need(watch)
        self._watches.setdefault(need, []).append(watch)
        self._interest.add(need)
        built = self.built.get(need)
        if built is not None:
            update(built.endpoints)
        elif need in self._interest.expired:
            failed(self._late_text(need))
        self._settle_soon()
        return partial(self._unwatch, watch)

    def _unwatch(self, watch: _Watch) -> None:
        need = self._need(watch)
        self._watches[need].remove(watch)
        if not self._watches[need]:
            del self._watches[need]
        self._interest.remove(need)
        self._settle_soon()

    def _need(self, watch: _Watch) -> Need:
        return Need(self._resolve("", watch.server), "endpoints", watch.name)

    def _watch_again(self) -> None:
        """Other servers are there: which one a cluster means may have changed."""
        before, self._watches = self._watches, {}
        for watch in [watch for group in before.values() for watch in group]:
            self._watches.setdefault(self._need(watch), []).append(watch)
            self._interest.add(self._need(watch))
        for need, group in before.items():
            for _ in group:
                self._interest.remove(need)

    # -- which server

    def _resolve(self, own: str, name: str) -> str:
        """Return the server that a resource of `own` means; '' or 'ads' for the aggregated one."""
        if name in ("", ADS):
            if own and (own not in self.servers or self.servers[own].spec.aggregated):
                return own
            named = [label for label, one in self.servers.items() if one.spec.aggregated]
            return (named or list(self.servers) or [name])[0]
        by_cluster = (label for label, one in self.servers.items() if one.spec.cluster == name)
        return name if name in self.servers else next(by_cluster, name)

    def _describe(self, name: str, plain: Mapping[str, object]) -> None:
        """Add a server that a resource names and that is no item of `xds:`: a cluster, or a file."""
        if name in self.servers or name in self._absent or self._resolve("", name) != name:
            return
        spec, problems = read_section(model.Xds, plain, self._configuration.reading("xds"), f"xds[{name!r}]")
        if spec is None:
            self._tell("; ".join(f"{one.path}: {one.text}" for one in problems))
            return
        self._absent[name] = spec

    def _add_described(self) -> None:
        """Ask servers that resources describe, as soon as there are the clusters that they are."""
        if not self._absent:
            return
        known = {one.name for one in self._configuration.base.clusters}
        for name, spec in list(self._absent.items()):
            if name in self.servers:
                del self._absent[name]
            elif spec.cluster is None or spec.cluster in known or spec.cluster in self.built.offers.clusters:
                del self._absent[name]
                self._described[name] = spec
                self._add_server(spec)
                self._watch_again()

    def _translator(self, server: str) -> Translator:
        known = self.servers.get(server)
        lenient = known is None or known.spec.lenient
        reading = partial(self._configuration.reading, f"xds {server}".strip())
        base = self._configuration.base
        tracing = base.tracing
        tracer: dict[str, object] | None = (
            None if tracing is None else {"exporter": tracing.exporter, "url": tracing.url}
        )
        resolve = partial(self._resolve, server)
        return Translator(reading, lenient, resolve, self.built.parts, base.runtime, tracer)

    def _value(self, need: Need) -> bytes | None:
        """Return the bytes of a resource that is in use."""
        server = self.servers.get(need.server)
        return server.state.stores[need.kind].get(need.name) if server is not None else None

    # -- what is waited for

    def _timeout(self, server: str) -> float:
        known = self.servers.get(server)
        return known.spec.initial_fetch_timeout if known is not None else model.Xds().initial_fetch_timeout

    def _expired(self, need: Need) -> None:
        server = self.servers.get(need.server)
        if server is not None:
            server.timed_out(need.kind, need.name)
        text = self._late_text(need)
        self._tell(text)
        for watch in list(self._watches.get(need, ())):
            watch.failed(text)
        self._settle_soon()

    def _late_text(self, need: Need) -> str:
        return f"xds {need.server}: no {need.kind} {need.name!r} in {self._timeout(need.server):g} s"

    def _is_late(self, server: XdsServer) -> None:
        server.is_late()
        self._settle_soon()

    def _came_first(self, server: XdsServer, kind: str) -> bool:
        """Whether all clusters, or listeners, of a server came, or are too late."""
        if kind not in server.state.stores or server.late:
            return True
        return server.counts.of(BY_NAME[kind]).answered

    def _ask(self) -> None:
        """Ask for what is needed now."""
        self._add_described()
        come, gone = self._interest.settle()
        for need in come:
            if need in self.built:
                self._interest.came(need)
        self.built.drop(gone)
        for name, kind in dict.fromkeys((need.server, need.kind) for need in (*come, *gone)):
            server = self.servers.get(name)
            if server is not None:
                server.want(BY_NAME[kind], self._interest.names(name, kind))

    # -- what is offered

    def _settle_soon(self) -> None:
        if self._running:
            self.enforcement.settle_soon()

    def _new_warming(self, compose: Compose, linger: Callable[[str], bool]) -> Warming:
        return Warming(self.built.__contains__, self._is_given_up, compose, linger, self._is_early)

    def _is_given_up(self, need: Need) -> bool:
        """Whether a resource did not come in time, or can't: its server is a cluster that there is not."""
        return need in self._interest.expired or (need.server in self._absent and need.server not in self.servers)

    def _is_early(self, server: str) -> bool:
        """Whether not all clusters of a server came yet."""
        known = self.servers.get(server)
        return known is not None and not self._came_first(known, "clusters")

    def _tell(self, text: str) -> None:
        if self._throttle.allows("resources"):
            log.warn("{text}", text=text)
