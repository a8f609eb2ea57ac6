"""
The control planes of `xds:` as a source of the application.

Lives here: `Xds`, which begins when a configuration names a control plane, and what the source of xDS is given of the
application. Does not: control planes (`metaproxy.xds`, which needs the extra `xds` and is imported only then).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import is_
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime

from metaproxy.admin.roles import Json
from metaproxy.app.application import Application
from metaproxy.app.parts import Part
from metaproxy.app.service import ProxyService
from metaproxy.config import model
from metaproxy.config.slices import Slices, in_reactor
from metaproxy.config.values import Context
from metaproxy.discovery.eds import Update
from metaproxy.filters.service_cluster import Clusters
from metaproxy.telemetry.roles import XdsCounts

if TYPE_CHECKING:
    from metaproxy.xds.source import XdsSource

XDS = "xds"
"""What the source is called."""


class Xds(Service):
    """source: None as long as no configuration names a control plane."""

    name = "xds"

    def __init__(
        self, application: Application, proxy: ProxyService, clusters: Clusters, reactor: IReactorTime
    ) -> None:
        self.source: XdsSource | None = None
        self._application = application
        self._proxy = proxy
        self._clusters = clusters
        self._reactor = reactor
        application.changed.append(lambda: in_reactor(self._configure))
        proxy.conditions.append(self._is_ready)

    def startService(self) -> None:
        super().startService()
        self._configure()
        if self.source is not None:
            self.source.start()

    def stopService(self) -> None:
        super().stopService()
        if self.source is not None:
            self.source.stop()

    def watch_endpoints(
        self, server: str, name: str, update: Update, failed: Callable[[str], None]
    ) -> Callable[[], None]:
        """See `discovery.eds.EndpointSource`."""
        return self._made().watch_endpoints(server, name, update, failed)

    @property
    def counts(self) -> Mapping[str, XdsCounts]:
        """See `admin.roles.ControlPlanes`."""
        return {name: one.counts for name, one in self.source.servers.items()} if self.source is not None else {}

    def status(self) -> Json | None:
        """See `admin.roles.ControlPlanes`."""
        if self.source is None or not self.source.servers:
            return None
        from metaproxy.xds.status import status

        return status(self.source)

    def dump(self) -> Json:
        """See `admin.roles.ControlPlanes`."""
        if self.source is None:
            return {"configs": []}
        from metaproxy.xds.dump import config_dump

        return config_dump(self.source.servers.values())

    def _configure(self) -> None:
        if self._application.base.xds:
            self._made()
        if self.source is not None:
            self.source.configure()

    def _made(self) -> XdsSource:
        if self.source is None:
            from metaproxy.xds.source import XdsSource

            self.source = XdsSource(_Target(self._application), self._clusters, self._reactor)
            if self.running:
                self.source.start()
        return self.source

    def _is_ready(self) -> bool:
        return self.source is None or self.source.ready


class _Target:
    """See `xds.source.Configuration`."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._others: tuple[object, frozenset[str]] = None, frozenset()

    @property
    def slices(self) -> Slices:
        return self._application.slices

    @property
    def base(self) -> model.Config:
        return self._application.base

    @property
    def folder(self) -> Path:
        return self._application.folder

    def reading(self, source: str) -> Context:
        return self._application.reading(source)

    def put(self, listeners: Sequence[model.Listener], clusters: Sequence[model.Cluster]) -> list[str]:
        return self._application.contribute(XDS, Part(listeners, clusters))

    def others(self) -> Collection[str]:
        found = self._application.clusters_but(XDS)
        known = self._others[0]
        if not (isinstance(known, list) and len(known) == len(found) and all(map(is_, known, found))):
            self._others = found, frozenset(one.name for each in found for one in each)
        return self._others[1]
