"""
How the connections to a control plane are made: straight, with TLS of its own, or as a cluster's.

Lives here: `connector_of`, which gives what connects. Does not: streams (`grpc_stream`) and polls (`rest`) over it.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.codecs.framing import Codec
from metaproxy.config import model
from metaproxy.config.tls import client_tls
from metaproxy.filters.service_cluster import Clusters, Picked, no_endpoint
from metaproxy.proxy.service_clusters import ServiceEndpoint

CONNECT_TIMEOUT = 5.0
"""Seconds until a connection must be there."""

Connector = Callable[[], IStreamClientEndpoint]


def connector_of(
    spec: model.Xds, clusters: Clusters, reactor: IReactorTime, problem: Callable[[str], None]
) -> Connector | None:
    """
    Return what connects to a server, None where its address and nothing else says how. problem: is called with why a
    connection could not be made. Files of TLS are read with each connection, so that new ones count.
    """
    if spec.cluster is not None:
        name = spec.cluster
        return lambda: _PickedEndpoint(lambda: clusters.pick(name), no_endpoint(name), problem)
    if spec.tls is None:
        return None
    return lambda: _PickedEndpoint(lambda: _with_tls(spec, reactor), "", problem)


def _with_tls(spec: model.Xds, reactor: IReactorTime) -> Picked:
    """Raises CertificateError."""
    assert spec.tls is not None
    offered = ("h2",) if spec.transport in ("grpc", "delta") else ()
    tls = client_tls(spec.tls, CONNECT_TIMEOUT, offered)
    settings = ConnectionSettings(connect_timeout=CONNECT_TIMEOUT, tls=tls)
    endpoint = Endpoint(address_of(spec))
    cluster = Cluster(f"xds {spec.label}", Codec(), [endpoint], RoundRobin, connections=settings)
    return ServiceEndpoint(reactor, cluster, endpoint)


def address_of(spec: model.Xds) -> str:
    """Return the address of a server, `host:port` or `unix:/path`, which may be written as a URL."""
    server = spec.server or ""
    if "://" not in server:
        return server
    parts = urlsplit(server)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


@implementer(IStreamClientEndpoint)
class _PickedEndpoint:
    """Picks an endpoint for each connection."""

    def __init__(self, pick: Callable[[], Picked | None], none: str, problem: Callable[[str], None]) -> None:
        self._pick = pick
        self._none = none
        self._problem = problem

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        try:
            picked = self._pick()
        except (OSError, ValueError) as error:
            return self._failed(Failure(error))
        if picked is None:
            return self._failed(Failure(ConnectError(string=self._none)))
        made: Deferred[IProtocol] = picked.connector().connect(protocolFactory)

        def connected(protocol: IProtocol) -> IProtocol:
            picked.end(True)
            return protocol

        def failed(failure: Failure) -> Deferred[IProtocol]:
            picked.end(False)
            return self._failed(failure)

        return made.addCallbacks(connected, failed)

    def _failed(self, failure: Failure) -> Deferred[IProtocol]:
        self._problem(" ".join(failure.getErrorMessage().split())[:300])
        return fail(failure)
