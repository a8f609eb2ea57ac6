"""
Snapshot -> services: what runs, and how a new configuration takes the place of the old.

Lives here: `ProxyService` (listeners, sweeps, draining) and its `apply`. Does not: reading configurations
(`config.reload`), the admin interface (`admin`), the command line (`tap`).
"""

from __future__ import annotations

import errno
import time
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from metaproxy.cluster.cluster import Cluster
from metaproxy.plugins import Registry
from metaproxy.proxy.listener import Listener
from metaproxy.proxy.pool import Pool
from metaproxy.proxy.snapshot import Snapshot

log = Logger()

SWEEP_EVERY = 1.0
"""Seconds between looks for idle connections; a time-out shorter than 10 s is looked for ten times as often."""


class ProxyService(Service):
    """
    listeners: by name. snapshot: the one in force, None before the first. started: Unix time of the start.
    `network` is proxy.transport.Network, or what a test puts in its place.
    """

    name = "proxy"

    def __init__(self, network: Any, registry: Registry) -> None:
        self.network = network
        self.registry = registry
        self.listeners: dict[str, Listener] = {}
        self.leaving: set[Listener] = set()
        self.snapshot: Snapshot | None = None
        self.started = time.time()
        self.draining = False
        self._retired: set[Cluster] = set()
        self._sweeper = LoopingCall(self._sweep)
        self._sweeper.clock = network.clock

    # -- life

    def startService(self) -> None:
        super().startService()
        self._sweeper.start(SWEEP_EVERY / 10, now=False)

    def stopService(self) -> Deferred[None]:
        """Drains: fires when the last exchange is answered, or drain_timeout has passed."""
        super().stopService()
        done = self.drain()
        done.addCallback(lambda _: self._close())
        return done

    def _close(self) -> None:
        if self._sweeper.running:
            self._sweeper.stop()
        clusters = set(self._retired)
        if self.snapshot is not None:
            clusters.update(self.snapshot.clusters.values())
        for pool in pools(clusters):
            pool.close()

    def drain(self, name: str | None = None) -> Deferred[None]:
        """
        Lets one listener, or all, finish. Fires when the last client is gone. LookupError: no listener of that name.
        """
        if name is not None:
            return self.listeners[name].drain()
        self.draining = True
        listeners = [*self.listeners.values(), *self.leaving]
        waiting = DeferredList([listener.drain() for listener in listeners])
        done: Deferred[None] = Deferred()
        waiting.addCallback(lambda _: done.callback(None))
        return done

    @property
    def ready(self) -> bool:
        """Listeners bound, a configuration applied, not draining."""
        return self.snapshot is not None and not self.draining and bool(self.running)

    # -- configuration

    def apply(self, snapshot: Snapshot) -> None:
        """
        Makes `snapshot` the one in force. Raises OSError when an address can't be had, or the proxy drains; then
        nothing has changed. A listener that drains by itself goes on to do so; only a restart, or another name, opens
        it again. Connections stay where their listener stays; exchanges under way end on the snapshot they began with.
        """
        if self.draining:
            raise OSError(errno.ESHUTDOWN, "the proxy drains and takes no new configuration")
        self._bind(snapshot)
        for name in [name for name in self.listeners if name not in snapshot.listeners]:
            self._let_go(self.listeners.pop(name))
        for name, listener in self.listeners.items():
            listener.snapshot = snapshot.listeners[name]
        before = self.snapshot
        self.snapshot = snapshot
        if before is not None:
            for cluster in set(before.clusters.values()) - set(snapshot.clusters.values()):
                self._retire(cluster)

    def _bind(self, snapshot: Snapshot) -> None:
        """Binds what is new before anything is let go, and takes it back when one address can't be had."""
        moved: list[tuple[Listener, tuple[Any, ...]]] = []
        made: list[Listener] = []
        giving_up = {
            where
            for name, old in self.listeners.items()
            if name not in snapshot.listeners
            for where in old.snapshot.addresses
        }
        try:
            for name, new in snapshot.listeners.items():
                if giving_up & set(new.addresses):
                    self._release(giving_up & set(new.addresses), snapshot)
                listener = self.listeners.get(name)
                if listener is None:
                    listener = Listener(new, self.network)
                    made.append(listener)
                    listener.bind(new.addresses)
                    self.listeners[name] = listener
                elif listener.snapshot.addresses != new.addresses and not listener.draining:
                    moved.append((listener, listener.snapshot.addresses))
                    listener.bind(new.addresses)
        except OSError:
            for listener in made:
                listener.close()
                if self.listeners.get(listener.name) is listener:
                    del self.listeners[listener.name]
            for listener, addresses in moved:
                listener.bind(addresses)
            raise

    def _release(self, addresses: set[Any], snapshot: Snapshot) -> None:
        """A listener that goes away frees an address that another one is to have in the same configuration."""
        for name, listener in self.listeners.items():
            if name not in snapshot.listeners and addresses & set(listener.snapshot.addresses):
                listener.bind(where for where in listener.snapshot.addresses if where not in addresses)

    def _let_go(self, listener: Listener) -> None:
        self.leaving.add(listener)
        listener.drain().addCallback(lambda _: self.leaving.discard(listener))

    def _retire(self, cluster: Cluster) -> None:
        cluster.retired = True
        self._retired.add(cluster)
        for pool in pools([cluster]):
            pool.retire()

    # -- from time to time

    def _sweep(self) -> None:
        now = self.network.turn.refresh()
        for listener in (*self.listeners.values(), *self.leaving):
            listener.sweep(now)
        clusters = self.snapshot.clusters.values() if self.snapshot is not None else ()
        for pool in pools(clusters):
            pool.sweep(now)
        for cluster in list(self._retired):
            left = [pool for pool in pools([cluster]) if pool.connections]
            for pool in left:
                pool.retire()
            if not left and not cluster.breaker.requests:
                self._retired.discard(cluster)


def pools(clusters: Any) -> list[Pool]:
    """The pools that these clusters' endpoints have so far."""
    return [endpoint.pool for cluster in clusters for endpoint in cluster.endpoints if endpoint.pool is not None]
