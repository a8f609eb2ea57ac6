"""
One HTTP port, or a socket in a folder: of the admin API, of the control plane's, and of xDS over REST.

Lives here: `HttpServer`. Does not: what it answers (`resource`), the bound of a request's body (`site`).
"""

from __future__ import annotations

import socket

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint, TCP6ServerEndpoint, UNIXServerEndpoint
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from metaproxy.admin.roles import IReactor
from metaproxy.admin.site import AdminSite, BoundedRequest
from metaproxy.config.tls import AdminContexts
from metaproxy.support import addresses as address

log = Logger()

IDLE = 60.0
"""Seconds that a connection may be silent."""


class HttpServer(Service):
    """
    what: its name in the log; listen: `host:port`, `[v6]:port` or `unix:/path`. bound: where it listens, '' while it
    does not.
    """

    def __init__(
        self, what: str, root: Resource, listen: str, reactor: IReactor, tls: AdminContexts | None = None
    ) -> None:
        self.name = what
        self.bound = ""
        self._where = address.parse(listen)
        self._reactor = reactor
        self._tls = tls
        self._port: IListeningPort | None = None
        self.site = AdminSite(root, requestFactory=BoundedRequest, timeout=IDLE, reactor=reactor)

    def startService(self) -> None:
        """Raises twisted.internet.error.CannotListenError for an address that can't be had."""
        failed: list[Failure] = []
        self._endpoint().listen(self.site).addCallbacks(self._listening, failed.append)
        if failed:
            failed[0].raiseException()
        super().startService()

    def _endpoint(self) -> IStreamServerEndpoint:
        where = self._where
        if where.family == socket.AF_UNIX:
            # Only the same user; a stale socket is removed when the process that left it is gone (its lock says so).
            return UNIXServerEndpoint(self._reactor, where.host, mode=0o600, wantPID=1)
        if self._tls is not None:
            return SSL4ServerEndpoint(self._reactor, where.port, self._tls, interface=where.host)
        kind = TCP6ServerEndpoint if where.family == socket.AF_INET6 else TCP4ServerEndpoint
        return kind(self._reactor, where.port, interface=where.host)

    def _listening(self, port: IListeningPort) -> None:
        self._port = port
        host = port.getHost()
        if isinstance(host, IPv4Address | IPv6Address):
            self.bound = address.show((host.host, host.port))
        else:
            self.bound = f"unix:{self._where.host}"
        log.info("{what} at {bound}", what=self.name, bound=self.bound)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        port, self._port = self._port, None
        self.bound = ""
        closed = port.stopListening() if port is not None else None
        return closed or succeed(None)
