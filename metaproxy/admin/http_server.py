"""
One HTTP port, or a socket in a folder: of the admin API, of the control plane's, and of xDS over REST.

Lives here: `HttpServer`. Does not: what it answers (`resource`), the bound of a request's body (`site`).
"""

from __future__ import annotations

from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.web.resource import Resource

from metaproxy.admin.port import Port
from metaproxy.admin.roles import IReactor
from metaproxy.admin.site import AdminSite, BoundedRequest
from metaproxy.config.tls import AdminContexts
from metaproxy.support import addresses as address
from metaproxy.support.inherited import InheritedSockets

log = Logger()

IDLE = 60.0
"""Seconds that a connection may be silent."""


class HttpServer(Service):
    """
    what: its name in the log; listen: `host:port`, `[v6]:port` or `unix:/path`; inherited: sockets that are there
    already. bound: where it listens, '' while it does not.
    """

    def __init__(
        self,
        what: str,
        root: Resource,
        listen: str,
        reactor: IReactor,
        tls: AdminContexts | None = None,
        inherited: InheritedSockets | None = None,
    ) -> None:
        self.name = what
        self._where = address.parse(listen)
        self._reactor = reactor
        self._tls = tls
        self._inherited = inherited or InheritedSockets()
        self.port: Port | None = None
        self.site = AdminSite(root, requestFactory=BoundedRequest, timeout=IDLE, reactor=reactor)

    @property
    def bound(self) -> str:
        return self.port.bound if self.port is not None else ""

    def startService(self) -> None:
        """Raises twisted.internet.error.CannotListenError for an address that can't be had."""
        self.port = Port(self._where, self._factory(), self._reactor, self._inherited)
        log.info("{what} at {bound}", what=self.name, bound=self.bound)
        super().startService()

    def _factory(self) -> IProtocolFactory:
        if self._tls is None:
            factory: IProtocolFactory = self.site
            return factory
        from twisted.protocols.tls import TLSMemoryBIOFactory  # pyOpenSSL is an extra

        # AdminContexts has none of Twisted's interfaces, so that it is asked at each connection.
        return TLSMemoryBIOFactory(cast(Any, self._tls), False, self.site)

    def hand_over(self, taken: bool) -> None:
        """
        Accept no more, as another process does from now on; connections that are there end with their next answer.
        taken: that process has this socket.
        """
        self.site.leaving = True
        if self.port is not None:
            self.port.keeps_file = self.port.keeps_file or taken
            self.port.close()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        port, self.port = self.port, None
        if port is not None:
            port.close()
        return succeed(None)
