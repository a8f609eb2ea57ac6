"""
A worker: the process that has connections, and runs the configuration that its supervisor gives it.

Lives here: `Worker`, which answers the supervisor. Does not: the start of its process (`app.worker_process`); sockets
that listen, sources of configurations, discovery, health checks and the admin API's port, which the supervisor has.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorSocket
from twisted.logger import Logger

from metaproxy.admin.pause import resumed
from metaproxy.admin.roles import IReactor, Json
from metaproxy.admin.site import AdminSite, BoundedRequest
from metaproxy.app.service import ProxyService
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.config import model
from metaproxy.config.build import Builder
from metaproxy.config.delta import Named, changes
from metaproxy.config.slices import Slices
from metaproxy.config.tls import CertificateError
from metaproxy.plugins import Registry
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.snapshot import Snapshot
from metaproxy.support import compiled
from metaproxy.telemetry.access_log.filter import LogFiles
from metaproxy.workers.admin import WorkerConfiguration, admin_root
from metaproxy.workers.channel import Channel
from metaproxy.workers.handed import HandedNetwork
from metaproxy.workers.messages import (
    AdminConnection,
    Commit,
    Count,
    Discard,
    Drain,
    EndpointsAre,
    EndpointState,
    HandedConnection,
    Left,
    LogLevelsAre,
    PauseCluster,
    Prepare,
    Ready,
    ReopenLogs,
    ResumeCluster,
    Stop,
    Took,
)
from metaproxy.workers.sums import Reader, Report

log = Logger()

_S = TypeVar("_S", bound=Named)
_R = TypeVar("_R")

IDLE = 60.0
"""Seconds that a connection to its admin API may be silent."""


class Worker:
    """reactor: of the process. stopped: called when it is to end."""

    def __init__(self, line: socket.socket, reactor: IReactor, stopped: Callable[[], None]) -> None:
        self._reactor = reactor
        self._on_stop = stopped
        self._ends = False
        self._left: Counter[str] = Counter()
        self.network = HandedNetwork(reactor, FlushQueue(reactor), self._connection_left)
        self.registry = Registry()
        self.logs = LogFiles(reactor)
        self.builder = Builder(self.registry, reactor, self.logs)
        self.proxy = ProxyService(self.network, self.registry)
        self.config = model.Config()
        self._next: tuple[model.Config, Snapshot, Registry] | None = None
        self._began = False
        self._late: list[EndpointsAre] | None = None  # what came while a configuration was put in force
        self._reader = Reader(self.proxy)
        self._counting = Slices(reactor)
        self._configuration = WorkerConfiguration(reactor)
        root, self._view = admin_root(self, self._configuration, reactor)
        self._site = AdminSite(root, requestFactory=BoundedRequest, timeout=IDLE, reactor=reactor)
        self._answers: dict[type, Callable[[object, int], object]] = {
            HandedConnection: self._take,
            Prepare: self._prepare,
            Commit: self._commit,
            Discard: self._discard,
            Count: self._count,
            EndpointsAre: self._endpoints,
            Drain: self._drain,
            AdminConnection: self._admin,
            PauseCluster: self._pause,
            ResumeCluster: self._resume,
            LogLevelsAre: self._log_levels,
            ReopenLogs: lambda message, descriptor: self.logs.reopen(),
            Stop: self._stop,
        }
        self.line = Channel(line, reactor, self._received, self._alone)

    def start(self) -> None:
        """The reactor runs."""
        self.logs.startService()
        self.proxy.startService()
        self._view.levels.start()
        self._view.windows.start()
        self.line.tell(Ready(os.getpid(), compiled.running()))

    def _received(self, message: object, descriptor: int) -> object:
        return self._answers[type(message)](message, descriptor)

    # -- connections

    def _take(self, message: object, descriptor: int) -> None:
        assert isinstance(message, HandedConnection)
        self.line.tell(Took())  # first: the supervisor would hand it to another one, should this one end
        if descriptor < 0:
            self.network.descriptors.no_descriptor(message.host)
            self._connection_left(message.listener)
            return
        sock = socket.socket(fileno=descriptor)
        listener = self.proxy.listeners.get(message.listener)
        if listener is None or (listener.draining and not listener.patient):  # it was taken away meanwhile
            sock.close()
            self._connection_left(message.listener)
            return
        self.network.take(sock, message.listener, message.host, message.peer, listener.accepted)

    def _connection_left(self, listener: str) -> None:
        if not self._left:
            self._reactor.callLater(0, self._tell_left)
        self._left[listener] += 1

    def _tell_left(self) -> None:
        left, self._left = self._left, Counter()
        self.line.tell(Left(dict(left)))

    def _drain(self, message: object, descriptor: int) -> Deferred[None] | None:
        assert isinstance(message, Drain)
        if message.listener is None:
            return self.proxy.drain(patient=message.patient)
        leaving = [one.drain(message.patient) for one in self.proxy.leaving if one.name == message.listener]
        if message.listener in self.proxy.listeners:
            return self.proxy.listeners[message.listener].drain(message.patient)
        return leaving[-1] if leaving else None

    # -- configuration

    def _prepare(self, message: object, descriptor: int) -> Deferred[list[str]]:
        """In slices, so that a large configuration delays no exchange. Fires with the lines of what is wrong."""
        assert isinstance(message, Prepare)
        return self._configuration.slices.run(partial(self._build, message))

    def _build(self, message: Prepare) -> list[str]:
        """Build what the supervisor has checked. Return the lines of what is wrong."""
        self._forget_next()
        before = self.registry.copy()
        self.registry.refresh(message.folders)
        listeners = _sections(message.listeners, self.config.listeners, message.changed_listeners)
        clusters = _sections(message.clusters, self.config.clusters, message.changed_clusters)
        config = replace(message.config, listeners=listeners, clusters=clusters)
        changed = changes(self.config, config) if self._began else None
        try:
            snapshot = self.builder.build(config, message.stamps, changed)
        except BaseException as error:
            self.registry.take(before)
            if isinstance(error, (OSError, CertificateError)):
                return [str(getattr(error, "strerror", None) or error)]
            log.failure("a configuration could not be built")
            return [f"{type(error).__name__}: {error}"]
        self._next = config, snapshot, before
        return []

    def _commit(self, message: object, descriptor: int) -> Deferred[None] | None:
        """In force at once; what follows it in slices, as a supervisor does it. Fires when that is done."""
        if self._next is None:
            return None
        (config, snapshot, _), self._next = self._next, None
        self.proxy.apply(snapshot)
        self.config = self._configuration.config = config
        self._configuration.applied = time.time()
        self._began = True
        self._late = []
        return self._configuration.slices.run(partial(self.builder.commit, snapshot)).addBoth(self._committed)

    def _committed(self, result: _R) -> _R:
        late, self._late = self._late or [], None
        for message in late:
            self._endpoints_are(message)
        return result

    def _discard(self, message: object, descriptor: int) -> None:
        self._forget_next()

    def _forget_next(self) -> None:
        if self._next is not None:
            _, snapshot, before = self._next
            self._next = None
            self.builder.discard(snapshot)
            self.registry.take(before)

    def _endpoints(self, message: object, descriptor: int) -> None:
        assert isinstance(message, EndpointsAre)
        if self._late is None:
            self._endpoints_are(message)
        else:  # the endpoints of the configuration that was put in force may not be there yet
            self._late.append(message)

    def _endpoints_are(self, message: EndpointsAre) -> None:
        cluster = self.proxy.clusters.get(message.cluster)
        if cluster is None:
            return
        if message.found:
            cluster.update([_endpoint(one) for one in message.endpoints])
        known = {one.address: one for one in cluster.endpoints}
        for state in message.endpoints:
            if state.address in known:
                _set(cluster, known[state.address], state)
        cluster.refresh()

    # -- counts

    def _count(self, message: object, descriptor: int) -> Deferred[Report]:
        """In slices, and beside the work on a configuration."""
        return self._counting.run(partial(self._reader.report, cast(Count, message).filters))

    # -- what was decided since the start

    def _pause(self, message: object, descriptor: int) -> int:
        assert isinstance(message, PauseCluster)
        if message.cluster not in self.proxy.clusters:
            return 0
        self.proxy.pause(message.cluster, message.most, message.seconds)
        return self.proxy.clusters[message.cluster].breaker.requests

    def _resume(self, message: object, descriptor: int) -> Json:
        assert isinstance(message, ResumeCluster)
        return resumed(self.proxy, message.cluster)

    def _log_levels(self, message: object, descriptor: int) -> None:
        assert isinstance(message, LogLevelsAre)
        self._view.levels.set_all(message.levels)

    # -- the process

    def _admin(self, message: object, descriptor: int) -> None:
        if descriptor < 0:  # the other end sees its connection closed
            return
        try:
            IReactorSocket(self._reactor).adoptStreamConnection(descriptor, socket.AF_UNIX, self._site)  # type: ignore[arg-type]
        finally:
            os.close(descriptor)  # the reactor has one of its own

    def _stop(self, message: object, descriptor: int) -> None:
        for listener in (*self.proxy.listeners.values(), *self.proxy.leaving):
            listener.close()
        self._stopped()

    def _stopped(self) -> None:
        if not self._ends:
            self._ends = True
            self._on_stop()

    def _alone(self) -> None:
        """The supervisor is gone: its clients finish, and nothing new comes."""
        log.error("the supervisor is gone; what is under way ends")
        self.proxy.drain().addBoth(lambda _: self._stopped())


def _sections(names: Sequence[str], before: Iterable[_S], changed: Iterable[_S]) -> tuple[_S, ...]:
    known: dict[str, _S] = {one.name: one for one in [*before, *changed]}
    return tuple(known[name] for name in names)


def _endpoint(state: EndpointState) -> Endpoint:
    return Endpoint(state.address, state.weight, state.metadata, state.priority, state.zone)


def _set(cluster: Cluster, endpoint: Endpoint, state: EndpointState) -> None:
    """What the supervisor decided about an endpoint; what the worker's own outlier detection ejected stays so."""
    recovered = state.healthy and not endpoint.healthy
    endpoint.checked, endpoint.healthy = state.checked, state.healthy
    if state.drained and not endpoint.drained:
        cluster.drain(endpoint)
    elif state.ejected and endpoint.ejected_until != inf:
        cluster.eject(endpoint)
    elif (endpoint.drained and not state.drained) or (endpoint.ejected_until == inf and not state.ejected):
        cluster.restore(endpoint)
    if recovered:
        cluster.recovered(endpoint)
