"""
The admin API as a service, which stays as long as the proxy drains.

Lives here: `AdminService`, the list of endpoints. Does not: endpoints; the port (`http_server`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from metaproxy.admin.configuration import Check, Config, ConfigDump, Plugins, Reload
from metaproxy.admin.control import Drain, Quit
from metaproxy.admin.endpoints import DrainEndpoint, EjectEndpoint, RestoreEndpoint
from metaproxy.admin.explain import Explain
from metaproxy.admin.flows import FlowsNow
from metaproxy.admin.guard import Guard
from metaproxy.admin.health import Healthz, Ready, ServerInfo
from metaproxy.admin.http_server import HttpServer
from metaproxy.admin.index import Index
from metaproxy.admin.log_levels import Logging, LoggingLevel
from metaproxy.admin.mesh import Crds
from metaproxy.admin.metrics import MetricsText, Stats
from metaproxy.admin.page import Page, Static
from metaproxy.admin.pause import Pause, Resume
from metaproxy.admin.port import Port
from metaproxy.admin.problems import Problems
from metaproxy.admin.record import Record
from metaproxy.admin.resource import Endpoint, Root
from metaproxy.admin.roles import Configuration, IReactor
from metaproxy.admin.runtime import Runtime, RuntimeValue
from metaproxy.admin.statements import StatementCounts, StatementsNow, StatementsReset
from metaproxy.admin.tap import Tap
from metaproxy.admin.traffic import Clusters, Listeners, Routes
from metaproxy.admin.upgrade import Upgrade
from metaproxy.admin.view import View
from metaproxy.admin.xds import Xds
from metaproxy.app.service import ProxyService
from metaproxy.config.model import Tokens
from metaproxy.config.tls import AdminContexts
from metaproxy.support import addresses as address
from metaproxy.support.inherited import InheritedSockets
from metaproxy.telemetry.access_log.files import LogFiles
from metaproxy.telemetry.inspect.statements import Statements
from metaproxy.telemetry.metrics.collector import Metrics
from metaproxy.telemetry.roles import FilterMetrics, WorkerProcess

log = Logger()


def endpoints(view: View) -> list[Endpoint]:
    """All of them, in the order in which the index has them."""
    statements = StatementCounts(view)
    made: list[Endpoint] = [
        Healthz(), Ready(view), ServerInfo(view), MetricsText(view), Stats(view), ConfigDump(view), Clusters(view),
        Listeners(view), Routes(view), Problems(view), Plugins(view), Check(view), Config(view), Reload(view),
        Drain(view), Quit(view), Upgrade(view), Runtime(view), RuntimeValue(view), Pause(view), Resume(view),
        FlowsNow(view), StatementsNow(statements), StatementsReset(statements),
        DrainEndpoint(view), EjectEndpoint(view), RestoreEndpoint(view),
        Tap(view), Explain(view), Crds(view), Xds(view), Logging(view), LoggingLevel(view), Record(view),
    ]  # fmt: skip
    made = [Page(), *made, Static()]
    return [Index(made), *made]


class Workers(Protocol):
    """The worker processes, where there are some. members: one each; filters: what theirs measure."""

    @property
    def members(self) -> Sequence[WorkerProcess]: ...
    @property
    def filters(self) -> FilterMetrics: ...

    def endpoints(self, own: Sequence[Endpoint]) -> list[Endpoint]:
        """Return the endpoints: own ones, and those that workers answer in their places."""

    def refresh(self, filters: bool) -> Deferred[None]:
        """Fires when what workers counted up to now is added up; filters: and what their filters measure."""


class AdminService(Service):
    """
    configuration: the application; workers: where there are some; listen: `host:port`, `[v6]:port` or
    `unix:/path`; tokens: see guard.Guard; logs: telemetry's LogFiles, for its counters; statements: see
    View; inherited: sockets that are there already. bound: the address that it
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
        statements: Statements | None = None,
        inherited: InheritedSockets | None = None,
        workers: Workers | None = None,
    ) -> None:
        self._proxy = proxy
        self._reactor = reactor
        self._listen = listen
        where = address.parse(listen)
        counted = Statements(reactor.seconds()) if statements is None else statements
        members = workers.members if workers is not None else ()
        metrics = Metrics(proxy, configuration, logs, members, workers.filters if workers is not None else None)
        view = View(proxy, configuration, reactor, metrics, logs=logs, statements=counted, workers=members)
        names = () if where.literal else (where.host,)
        self.levels = view.levels
        self.windows = view.windows
        made = endpoints(view)
        guard = Guard(tokens, names)
        if workers is None:
            self.root = Root(made, guard, reactor)
        else:
            made = workers.endpoints(made[1:])
            self.root = Root([Index(made), *made], guard, reactor, workers.refresh)
        self._server = HttpServer("admin API", self.root, listen, reactor, tls, inherited)
        self.site = self._server.site

    @property
    def bound(self) -> str:
        return self._server.bound

    @property
    def port(self) -> Port | None:
        """Where it listens, None while it does not."""
        return self._server.port

    def hand_over(self, taken: bool) -> None:
        """Accept no more, as another process does. taken: on the same socket."""
        self._server.hand_over(taken)

    def startService(self) -> None:
        self._server.startService()
        self.levels.start()
        self.windows.start()
        super().startService()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self.levels.stop()
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
        closed = maybeDeferred(self._server.stopService)
        closed.addErrback(lambda failure: log.failure("admin: closing {where}", failure, where=self._listen))
        closed.addCallback(lambda _: done.callback(None))
