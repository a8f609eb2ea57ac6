"""
One item of `xds:`: how it is asked, and what it said.

Lives here: `XdsServer`, which makes the sessions, polls or watches that the item stands for. Does not: what becomes of
resources (`source`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from envoy.config.core.v3 import base_pb2
from google.protobuf.json_format import ParseDict
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime, IReactorUNIX

from metaproxy import __version__
from metaproxy.clients.http import HttpCalls
from metaproxy.clients.relay import Relay
from metaproxy.config import model
from metaproxy.config.masking import as_data
from metaproxy.filters.service_cluster import Clusters, HttpToCluster
from metaproxy.xds.counts import ServerCounts
from metaproxy.xds.files import FileWatch, Work
from metaproxy.xds.handler import ServerState, Sink
from metaproxy.xds.reach import address_of, connector_of
from metaproxy.xds.resource_types import AGGREGATED, TYPES, ResourceType
from metaproxy.xds.rest import RestPoller
from metaproxy.xds.session import Session
from metaproxy.xds.subscription import Incremental, StateOfTheWorld


class Asking(Protocol):
    """A session, a poll, or a watch."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def want(self, kind: ResourceType, names: Collection[str]) -> None: ...


class XdsServer:
    """
    spec: the item; node: who this proxy is; folder: where relative paths start; clusters: those that an item may name;
    work: runs what takes long. late: whether time is up for its first listeners and clusters.
    """

    def __init__(
        self,
        spec: model.Xds,
        node: model.Node,
        sink: Sink,
        reactor: IReactorTime,
        clusters: Clusters,
        folder: Path,
        work: Work,
    ) -> None:
        self.spec = spec
        self.label = spec.label
        self.kinds = tuple(one for one in TYPES if one.name in spec.resources)
        self.counts = ServerCounts()
        self.state = ServerState(self.label, self.kinds, sink, self.counts)
        for kind in self.kinds:
            self.counts.of(kind)
        self.node = node
        self.late = False
        self._message = node_of(node)
        self._reactor = reactor
        self._clusters = clusters
        self._folder = folder
        self._work = work
        self._asking: dict[str, Asking] = {}
        self._relay: Relay | None = None
        self._http: HttpCalls | HttpToCluster | None = None
        self._problem = ""

    def inherit(self, before: XdsServer) -> None:
        """Have what a server of the same name had, until this one says otherwise."""
        self.state.stores |= {name: one for name, one in before.state.stores.items() if name in self.state.stores}

    def is_late(self) -> None:
        """Note that time is up for the first listeners and clusters."""
        self.late = True
        for kind in self.kinds:
            if kind.wildcard and not self.counts.of(kind).answered:
                self.counts.of(kind).timeouts += 1

    def timed_out(self, kind: str, name: str) -> None:
        """Note that time is up for a resource."""
        if kind in self.state.stores:
            self.counts.of(self.state.stores[kind].kind).timeouts += 1
            self.state.stores[kind].timed_out(name)

    def start(self) -> None:
        if self.spec.transport == "file":
            self._watch()
        elif self.spec.transport == "rest":
            self._poll()
        else:
            self._stream()
        for one in dict.fromkeys(self._asking.values()):
            one.start()

    def stop(self) -> None:
        for one in dict.fromkeys(self._asking.values()):
            one.stop()
        if self._relay is not None:
            self._relay.close()
        if self._http is not None:
            self._http.close()

    def want(self, kind: ResourceType, names: Collection[str]) -> None:
        """Ask for these names of a kind from now on."""
        if kind.name in self.state.stores:
            self.state.want(kind, names)
            self._asking[kind.name].want(kind, names)

    # -- transports

    def _watch(self) -> None:
        path = self._folder / (self.spec.server or "")
        watch = FileWatch(self.label, path, self.kinds, self.state, self.counts, self._reactor, self._work)
        self._asking = {kind.name: watch for kind in self.kinds}

    def _poll(self) -> None:
        url = self.spec.server or f"http://{self.spec.cluster}"
        connector = connector_of(self.spec, self._clusters, self._reactor, self._failed)
        if self.spec.cluster is not None:
            self._http = HttpToCluster(self._clusters, self.spec.cluster, self._reactor)
        elif connector is not None:
            self._http = HttpCalls(self._reactor, lambda _: connector())
            url = f"http://{url.partition('://')[2]}"  # TLS is the connector's
        else:
            self._http = HttpCalls(self._reactor)
        self._asking = {
            kind.name: RestPoller(
                self.label, kind, url, self._http, self._message, self.state, self.counts, self._reactor,
                self.spec.refresh, self._token,
            )
            for kind in self.kinds
        }  # fmt: skip

    def _stream(self) -> None:
        from metaproxy.xds.grpc_stream import GrpcServer

        connector = connector_of(self.spec, self._clusters, self._reactor, self._failed)
        target, authority = address_of(self.spec), ""
        if connector is not None:
            self._relay = Relay(IReactorUNIX(self._reactor), connector)
            target, authority = self._relay.target, target or self.spec.cluster or ""
        reactor = IReactorFromThreads(self._reactor)
        server = GrpcServer(target, reactor, self._token, authority, self._take_problem)
        is_delta = self.spec.transport == "delta"
        make = Incremental if is_delta else StateOfTheWorld
        aggregated = f"{AGGREGATED}{'Delta' if is_delta else 'Stream'}AggregatedResources"
        groups = [self.kinds] if self.spec.ads else [(kind,) for kind in self.kinds]
        for group in groups:
            path = aggregated if self.spec.ads else group[0].path(is_delta)
            session = Session(
                self.label, [make(kind) for kind in group], server.opener(path, is_delta), self._message, self.state,
                self.counts, self._reactor,
            )  # fmt: skip
            self._asking |= {kind.name: session for kind in group}

    def _token(self) -> str:
        return self.spec.token or ""

    def _failed(self, text: str) -> None:
        self._problem = text

    def _take_problem(self) -> str:
        problem, self._problem = self._problem, ""
        return problem


def node_of(node: model.Node) -> base_pb2.Node:
    """Return who this proxy is, as the protocol has it."""
    made = base_pb2.Node(
        id=node.id,
        cluster=node.cluster,
        user_agent_name="metaproxy",
        user_agent_version=__version__,
        client_features=["xds.config.resource-in-sotw"],
    )
    if node.zone:
        made.locality.zone = node.zone
    metadata = as_data(node.metadata)
    if isinstance(metadata, Mapping) and metadata:
        ParseDict(dict(metadata), made.metadata)
    return made
