"""
The admin API's server: one HTTP port, or a socket in a folder.

Lives here: `AdminService`, the list of endpoints. Does not: endpoints; the bound of a request's body (`site`).
"""

from __future__ import annotations

import socket

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint, TCP6ServerEndpoint, UNIXServerEndpoint
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.admin.configuration import Check, Config, ConfigDump, Plugins, Reload
from metaproxy.admin.control import Drain, Quit
from metaproxy.admin.endpoints import DrainEndpoint, EjectEndpoint, RestoreEndpoint
from metaproxy.admin.explain import Explain
from metaproxy.admin.flows import FlowsNow
from metaproxy.admin.guard import Guard
from metaproxy.admin.health import Healthz, Ready, ServerInfo
from metaproxy.admin.index import Index
from metaproxy.admin.log_levels import Logging, LoggingLevel
from metaproxy.admin.mesh import Crds
from metaproxy.admin.metrics import MetricsText, Stats
from metaproxy.admin.page import Page, Static
from metaproxy.admin.pause import Pause, Resume
from metaproxy.admin.problems import Problems
from metaproxy.admin.record import Record
from metaproxy.admin.resource import Endpoint, Root
from metaproxy.admin.roles import Configuration, IReactor
from metaproxy.admin.runtime import Runtime, RuntimeValue
from metaproxy.admin.site import AdminSite, BoundedRequest
from metaproxy.admin.tap import Tap
from metaproxy.admin.traffic import Clusters, Listeners, Routes
from metaproxy.admin.view import View
from metaproxy.admin.xds import Xds
from metaproxy.app.service import ProxyService
from metaproxy.config.model import Tokens
from metaproxy.config.tls import AdminContexts
from metaproxy.support import addresses as address
from metaproxy.telemetry.access_log.files import LogFiles
from metaproxy.telemetry.metrics.collector import Metrics

log = Logger()

IDLE = 60.0
"""Seconds that a connection may be silent."""


def endpoints(view: View) -> list[Endpoint]:
    """All of them, in the order in which the index has them."""
    made: list[Endpoint] = [
        Healthz(), Ready(view), ServerInfo(view), MetricsText(view), Stats(view), ConfigDump(view), Clusters(view),
        Listeners(view), Routes(view), Problems(view), Plugins(view), Check(view), Config(view), Reload(view),
        Drain(view), Quit(view), Runtime(view), RuntimeValue(view), Pause(view), Resume(view),
        FlowsNow(view), DrainEndpoint(view), EjectEndpoint(view), RestoreEndpoint(view),
        Tap(view), Explain(view), Crds(view), Xds(view), Logging(view), LoggingLevel(view), Record(view),
    ]  # fmt: skip
    made = [Page(), *made, Static()]
    return [Index(made), *made]


class AdminService(Service):
    """
    configuration: the application; listen: `host:port`, `[v6]:port` or
    `unix:/path`; tokens: see guard.Guard; logs: telemetry's LogFiles, for its counters. bound: the address that it
    listens on, '' while it doesn't.

    Starting it raises twisted.internet.error.CannotListenError when the address can't be had. While the proxy drains
    it stays, so that one can see what is still under way.
    """

    name = "admin"

    def __init__(
        self,
        proxy: ProxyService,
        configuration: Configuration,
        listen: str,
        tokens: Tokens | None,
        reactor: IReactor,
        logs: LogFiles | None = None,
        tls: AdminContexts | None = None,
    ) -> None:
        self.bound = ""
        self._tls = tls
        self._proxy = proxy
        self._reactor = reactor
        self._where = address.parse(listen)
        self._port: IListeningPort | None = None
        view = View(proxy, configuration, reactor, Metrics(proxy, configuration, logs), logs=logs)
        names = () if self._where.literal else (self._where.host,)
        self._levels = view.levels
        self.windows = view.windows
        self.root = Root(endpoints(view), Guard(tokens, names), reactor)
        self.site = AdminSite(self.root, requestFactory=BoundedRequest, timeout=IDLE, reactor=reactor)

    def startService(self) -> None:
        failed: list[Failure] = []
        self._endpoint().listen(self.site).addCallbacks(self._listening, failed.append)
        if failed:
            failed[0].raiseException()
        self._levels.start()
        self.windows.start()
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
        log.info("admin API at {bound}", bound=self.bound)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._levels.stop()
        self.windows.stop()
        done: Deferred[None] = Deferred()
        # Services are stopped one after the other in one turn: only after it one knows whether the proxy drains.
        self._reactor.callLater(0, self._stop, done)
        return done

    def _stop(self, done: Deferred[None]) -> None:
        if self._proxy.draining:
            self._proxy.drain().addBoth(lambda _: self._close(done))
        else:
            self._close(done)

    def _close(self, done: Deferred[None]) -> None:
        port, self._port = self._port, None
        self.bound = ""
        closed = maybeDeferred(port.stopListening) if port is not None else maybeDeferred(lambda: None)
        closed.addErrback(lambda failure: log.failure("admin: closing {where}", failure, where=self._where))
        closed.addCallback(lambda _: done.callback(None))
