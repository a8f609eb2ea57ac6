"""An xDS source on a clock that stands still, fed by files of a folder; and the configuration that it is part of."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.check import check
from metaproxy.config.slices import Slices
from metaproxy.config.values import Context
from metaproxy.plugins import Registry
from metaproxy.proxy.service_clusters import ServiceClusters
from metaproxy.xds.source import XdsSource

REGISTRY = Registry([Path(__file__).parents[1] / "unit" / "config" / "dropins"])
TYPE = "type.googleapis.com/"
ADS = {"ads": {}, "resource_api_version": "V3"}


def eds_cluster(name: str, seconds: int = 1, **more: object) -> dict[str, object]:
    return {
        "@type": f"{TYPE}envoy.config.cluster.v3.Cluster", "name": name, "type": "EDS",
        "connect_timeout": f"{seconds}s", "eds_cluster_config": {"eds_config": ADS}, **more,
    }  # fmt: skip


def static_cluster(name: str, port: int = 1) -> dict[str, object]:
    return {
        "@type": f"{TYPE}envoy.config.cluster.v3.Cluster", "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [_endpoint(port)]}]},
    }  # fmt: skip


def endpoints(name: str, *ports: int) -> dict[str, object]:
    return {
        "@type": f"{TYPE}envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name": name,
        "endpoints": [{"lb_endpoints": [_endpoint(port) for port in ports]}],
    }  # fmt: skip


def _endpoint(port: int) -> dict[str, object]:
    return {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}


def route(cluster: str) -> dict[str, object]:
    return {"name": "default", "match": {"prefix": "/"}, "route": {"cluster": cluster}}


def route_configuration(name: str, *clusters: str) -> dict[str, object]:
    return {
        "@type": f"{TYPE}envoy.config.route.v3.RouteConfiguration", "name": name,
        "virtual_hosts": [{"name": "dummy", "domains": ["*"], "routes": [route(one) for one in clusters]}],
    }  # fmt: skip


def listener(
    name: str, rds: str = "", cluster: str = "", port: int = 20880, source: Mapping[str, object] = ADS, **more: object
) -> dict[str, object]:
    """Return a listener of MetaProtocolProxy, with routes of RDS or one route of its own."""
    routes: dict[str, object] = {"rds": {"route_config_name": rds, "config_source": source}}
    if not rds:
        routes = {"route_config": {"name": "own", "routes": [{"name": "default", "route": {"cluster": cluster}}]}}
    proxy = {
        "stat_prefix": name, "application_protocol": "dubbo", "codec": {"name": "aeraki.meta_protocol.codec.dubbo"},
        "meta_protocol_filters": [{"name": "aeraki.meta_protocol.filters.router"}], **routes, **more,
    }  # fmt: skip
    kind = f"{TYPE}aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy"
    return {
        "@type": f"{TYPE}envoy.config.listener.v3.Listener", "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "m", "typed_config": {"@type": kind, **proxy}}]}],
    }  # fmt: skip


class FakeConfiguration:
    """
    What a source puts its sections into. puts: the names each time; refuse: gives the lines of what is wrong; base: the
    file.
    """

    def __init__(self, clock: Clock, base: model.Config, folder: Path) -> None:
        self.slices = Slices(clock, first=60.0)  # all at once: a busy machine must not divide it otherwise
        self.base = base
        self.folder = folder
        self.listeners: dict[str, model.Listener] = {}
        self.clusters: dict[str, model.Cluster] = {}
        self.puts: list[tuple[list[str], list[str]]] = []
        self.tried = 0
        self.refuse: Callable[[Sequence[model.Listener], Sequence[model.Cluster]], list[str]] = lambda _l, _c: []
        self._clock = clock
        self._others: tuple[object, set[str]] = None, set()

    def reading(self, source: str) -> Context:
        injected = {
            "clock": self._clock, "node": model.Node(), "clusters": ServiceClusters(self._clock), "xds": None,
        }  # fmt: skip
        return Context(source, REGISTRY, injected, self.folder)

    def put(self, listeners: Sequence[model.Listener], clusters: Sequence[model.Cluster]) -> list[str]:
        self.tried += 1
        lines = self.refuse(listeners, clusters)
        if not lines:
            self.listeners = {one.name: one for one in listeners}
            self.clusters = {one.name: one for one in clusters}
            self.puts.append((sorted(self.listeners), sorted(self.clusters)))
        return lines

    def others(self) -> Collection[str]:
        if self._others[0] is not self.base:
            self._others = self.base, {one.name for one in self.base.clusters}
        return self._others[1]


class XdsFolder:
    """The source, with the folder `resources` that it watches, and what it put in force."""

    def __init__(self, folder: Path, text: str = "", options: str = "", start: bool = True) -> None:
        self.folder = folder / "resources"
        self.folder.mkdir()
        self.clock = Clock()
        xds = f"xds: [{{name: files, server: {self.folder}, transport: file{options}}}]\n"
        self.configuration = FakeConfiguration(self.clock, self.read(text + xds), folder)
        self.source = XdsSource(self.configuration, ServiceClusters(self.clock), self.clock)
        self._number = 0
        if start:
            self.source.start()

    def read(self, text: str) -> model.Config:
        """Return what a file means."""
        config, problems = check(text, "x.yaml", REGISTRY, {}, self.folder)
        assert config is not None, problems
        return config

    def write(self, name: str, *resources: Mapping[str, object]) -> None:
        """Write a file of resources, and have it read."""
        self._number += 1
        path = self.folder / f"{name}.json"
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(resources))
        os.utime(beside, ns=(self._number, self._number))
        beside.rename(path)
        self.look()

    def look(self, times: int = 6) -> None:
        """Let a second pass, and every turn that follows from it."""
        self.clock.advance(1)
        for _ in range(times):
            self.clock.advance(0)

    def later(self, seconds: int) -> None:
        for _ in range(seconds):
            self.look()

    @property
    def listeners(self) -> dict[str, model.Listener]:
        return self.configuration.listeners

    @property
    def clusters(self) -> dict[str, model.Cluster]:
        return self.configuration.clusters

    def targets(self, name: str) -> list[Any]:
        """Return where the routes of a listener lead."""
        return [one.cluster for one in self.listeners[name].routes]
