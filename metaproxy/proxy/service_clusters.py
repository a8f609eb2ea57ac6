"""
Clusters as services that the proxy itself asks: an authorization service, a rate limit service.

Lives here: `ServiceClusters`, which picks endpoints, counts calls and connects with the cluster's TLS. Does not: what
is asked (`filters`); clients' exchanges, which go through pools.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.roles import UpstreamTls
from metaproxy.message import Kind, Message
from metaproxy.proxy.tls import TlsTransport
from metaproxy.support import addresses as address


class ServiceClusters:
    """clusters: those in force, by name; set when a configuration comes into force."""

    def __init__(self, reactor: IReactorTime) -> None:
        self.clusters: Mapping[str, Cluster] = {}
        self._reactor = reactor

    def pick(self, name: str) -> ServiceEndpoint | None:
        """See filters.service_cluster.Clusters."""
        cluster = self.clusters.get(name)
        if cluster is None:
            return None
        breaker = cluster.breaker
        if breaker.requests >= breaker.max_requests:
            cluster.counts.overflow_requests += 1
            return None
        endpoint = cluster.pick(Message(Kind.REQUEST, b"", 0, {}), (), None)
        if endpoint is None:
            cluster.counts.no_endpoint += 1
            return None
        return ServiceEndpoint(self._reactor, cluster, endpoint)


class ServiceEndpoint:
    """One call, which is under way from now on. See filters.service_cluster.Picked."""

    def __init__(self, reactor: IReactorTime, cluster: Cluster, endpoint: Endpoint) -> None:
        self.address = endpoint.address
        self._reactor = reactor
        self._cluster = cluster
        self._endpoint = endpoint
        cluster.breaker.requests += 1
        endpoint.active += 1
        endpoint.counts.requests += 1

    @property
    def secured(self) -> bool:
        return self._cluster.connections.tls_for(self._endpoint) is not None

    def connector(self) -> _Connector:
        settings, endpoint = self._cluster.connections, self._endpoint
        tls = settings.tls_for(endpoint)
        return _Connector(self._reactor, self._cluster, endpoint, tls, settings.connect_timeout)

    def end(self, well: bool) -> None:
        self._cluster.breaker.requests -= 1
        self._endpoint.active -= 1
        if well:
            self._endpoint.counts.successes += 1
        else:
            self._endpoint.lost(reset=False)


@implementer(IStreamClientEndpoint)
class _Connector:
    """Connects to an endpoint of a cluster, over its TLS where it has one."""

    def __init__(
        self, reactor: IReactorTime, cluster: Cluster, endpoint: Endpoint, tls: UpstreamTls | None, timeout: float
    ) -> None:
        self._reactor = reactor
        self._cluster = cluster
        self._endpoint = endpoint
        self._tls = tls
        self._timeout = timeout
        self._where = address.parse(endpoint.address)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        counts = self._endpoint.counts
        counts.connections += 1
        made: Deferred[IProtocol] = Deferred()

        def failed(text: str, timed_out: bool = False) -> None:
            if timed_out:
                counts.connect_timeouts += 1
            else:
                counts.connect_errors += 1
            self._cluster.tell(f"{self._endpoint.address}: {text}")
            if not made.called:
                made.errback(Failure(ConnectError(string=f"{self._endpoint.address}: {text}")))

        def build() -> _Behind | TlsTransport | None:
            protocol = protocolFactory.buildProtocol(HostnameAddress(self._where.host.encode(), self._where.port))
            if protocol is None:
                return None
            behind = _Behind(protocol, made.callback)
            if self._tls is None:
                return behind
            return TlsTransport(self._tls, behind, self._reactor, failed, self._where.host)

        self._plain().connect(_Once(build)).addErrback(lambda failure: failed(failure.getErrorMessage()))
        return made

    def _plain(self) -> IStreamClientEndpoint:
        where, timeout = self._where, self._timeout
        if where.family == socket.AF_UNIX:
            return UNIXClientEndpoint(self._reactor, where.host, timeout=timeout)
        if not where.literal:
            return HostnameEndpoint(self._reactor, where.host, where.port, timeout=timeout)
        kind = TCP6ClientEndpoint if where.family == socket.AF_INET6 else TCP4ClientEndpoint
        return kind(self._reactor, where.host, where.port, timeout=timeout)


class _Once(Factory[Protocol]):
    """Gives a connection what `build` makes for it."""

    noisy = False

    def __init__(self, build: Callable[[], _Behind | TlsTransport | None]) -> None:
        self._build = build

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """TlsTransport is an IProtocol in all but its declaration: it needs no connectionMade."""
        return self._build()


class _Behind(Protocol):
    """The protocol of who asks, behind TLS or none; it gets the connection once it can be used."""

    transport: ITransport

    def __init__(self, inner: IProtocol, connected: Callable[[IProtocol], None]) -> None:
        self._inner = inner
        self._connected = connected

    def connectionMade(self) -> None:
        self._inner.makeConnection(self.transport)
        self._connected(self._inner)

    def dataReceived(self, data: bytes) -> None:
        self._inner.dataReceived(data)

    def readConnectionLost(self) -> None:
        """The peer's end of TLS; no client here goes on with half a connection."""
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        """No-op, as a call's request is written in one piece."""

    def resumeProducing(self) -> None:
        """No-op, see pauseProducing."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._inner.connectionLost(reason)
