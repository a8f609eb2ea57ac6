"""
Snapshot -> services: what runs, and how a new configuration takes the place of the old.

Lives here: `ProxyService` (listeners, sweeps, draining) and its `apply`. Does not: reading configurations
(`application`), the admin interface (`admin`), the command line (`tap`).
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple
from weakref import WeakSet

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.routes import Route
from metaproxy.message import Chunk, Side
from metaproxy.plugins import Registry
from metaproxy.proxy.exchange import Exchange
from metaproxy.proxy.listener import Listener
from metaproxy.proxy.memory import held_by_client
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.overload import Holder
from metaproxy.proxy.pause import Pause
from metaproxy.proxy.pool import Pool
from metaproxy.proxy.roles import Network
from metaproxy.proxy.snapshot import FilterUse, ListenerSnapshot, Since, Snapshot, since
from metaproxy.routing.chosen import RouteAction
from metaproxy.routing.table import change_actions
from metaproxy.support.addresses import Address
from metaproxy.support.log_throttle import LogThrottle
from metaproxy.telemetry.roles import CompletedExchange
from metaproxy.wire import ListeningSocket

log = Logger()

SWEEP_EVERY = 1.0
"""Seconds between looks for idle connections: with ten thousand of them a look takes more than a millisecond."""
SWEEP_AT_ONCE = 0.003
"""Seconds for which such a look goes on before exchanges have their turn."""
SHORT = 10.0
"""Seconds; a time-out that is shorter is looked for ten times as often."""


Watcher = Callable[[CompletedExchange], None]
"""Called with each exchange that completes."""
HeadWatcher = Callable[[CompletedExchange, Side], None]
"""Called with an exchange that is a stream when a head of it went on: the client's to the server, or the server's."""
ChunkWatcher = Callable[[CompletedExchange, Chunk, Side], None]
"""Called with each chunk of a stream, as filters passed it on."""


Find = Callable[[str], Listener | None]
MakeListener = Callable[[ListenerSnapshot, Network, Find, Find], Listener]


class Watch(NamedTuple):
    """What somebody who looks on is called with."""

    on_complete: Watcher
    on_head: HeadWatcher | None
    on_chunk: ChunkWatcher | None


class ProxyService(Service):
    """
    listeners: by name. snapshot: the one in force, None before the first. started: Unix time of the start. pause_begun:
    called with what `pause` is; pause_ended: with the cluster of each pause that is over. make_listener: gives a
    listener of a snapshot, with how others are found.
    `network` is proxy.transport.Network, or what a test puts in its place.
    """

    name = "proxy"

    def __init__(self, network: Network, registry: Registry) -> None:
        self.network = network
        self.make_listener: MakeListener = Listener
        self.registry = registry
        self.listeners: dict[str, Listener] = {}
        self.leaving: set[Listener] = set()
        self.snapshot: Snapshot | None = None
        self.started = time.time()
        self.draining = False
        self.conditions: list[Callable[[], bool]] = []
        self._warm = False
        self._meant: dict[str, str] = {}  # address -> the listener that takes what was meant for it
        self._meant_by: dict[str, tuple[str, ...]] = {}
        self._short_listeners: dict[str, Listener] = {}  # those with short idle time-outs
        self._short_clusters: set[Cluster] = set()
        self._retired: WeakSet[Cluster] = WeakSet()
        self._swept = 0.0
        self._round: Iterator[None] = iter(())  # what is left of the sweep of everything
        self._next_part: IDelayedCall | None = None
        self._pauses: dict[str, tuple[Pause, IDelayedCall]] = {}
        self._keeps_pauses = False
        self.pause_begun: list[Callable[[str, int, float], object]] = []
        self.pause_ended: list[Callable[[str], object]] = []
        self._watches: list[Watch] = []
        self._hooks: list[Watcher] = []
        self._log_throttle = LogThrottle(network.clock.seconds)
        self._sweeper = LoopingCall(self._sweep)
        self._sweeper.clock = network.clock

    # -- life

    def startService(self) -> None:
        super().startService()
        self._sweeper.start(SWEEP_EVERY / 10, now=False)
        self.network.overload.start(self._holders)

    def stopService(self) -> Deferred[None]:
        """Drains: fires when the last exchange is answered, or drain_timeout has passed."""
        super().stopService()
        done = self.drain()
        done.addCallback(lambda _: self._close())
        return done

    def _close(self) -> Deferred[None]:
        if self._sweeper.running:
            self._sweeper.stop()
        if self._next_part is not None:
            self._next_part.cancel()
            self._next_part = None
        self.network.overload.stop()
        for name in list(self._pauses):
            self.resume(name)
        clusters = set(self._retired)
        for cluster in self.clusters.values():
            cluster.stop()
            clusters.add(cluster)
        for pool in pools(clusters):
            pool.close()
        stops = [one.plugin.stop() for one in self._filters() if hasattr(one.plugin, "stop")]
        stopped: Deferred[None] = Deferred()
        DeferredList([one for one in stops if isinstance(one, Deferred)]).addCallback(lambda _: stopped.callback(None))
        return stopped

    def _filters(self) -> list[FilterUse]:
        """Return the filters in force, each object once."""
        filters = self.snapshot.filters if self.snapshot is not None else ()
        return list({id(one.plugin): one for one in filters}.values())

    def drain(self, name: str | None = None, patient: bool = False) -> Deferred[None]:
        """
        Let one listener, or all, finish. Fires when the last client is gone. patient: another process goes on, so that
        what is held waits until its pause ends, and see Listener.drain. LookupError: no listener of that name.
        """
        if name is not None:
            return self.listeners[name].drain()
        self.draining = True
        self._keeps_pauses = self._keeps_pauses or patient
        for held in [] if self._keeps_pauses else list(self._pauses):
            self.resume(held)
        listeners = [*self.listeners.values(), *self.leaving]
        waiting = DeferredList([listener.drain(patient) for listener in listeners])
        done: Deferred[None] = Deferred()
        waiting.addCallback(lambda _: done.callback(None))
        return done

    @property
    def ready(self) -> bool:
        """Listeners bound, a configuration applied, its endpoints looked for once, `conditions` hold, not draining."""
        if self.snapshot is None or self.draining or not self.running:
            return False
        if not all(holds() for holds in self.conditions):
            return False
        # Only at first: a reload that adds a cluster must not have clients turned away from the others.
        self._warm = self._warm or all(cluster.warm for cluster in self.clusters.values())
        return self._warm

    # -- observers

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """The hooks of `watch`, in the order in which they are called."""
        return tuple(watch.on_complete for watch in self._watches)

    @property
    def retired(self) -> tuple[Cluster, ...]:
        """Clusters that no configuration names any longer, with exchanges or connections that are not over."""
        return tuple(self._retired)

    def watch(self, hook: Watcher, on_head: HeadWatcher | None = None, on_chunk: ChunkWatcher | None = None) -> None:
        """
        Call `hook` with every exchange that completes, until `unwatch`, and the others with what streams are made of
        as it passes; it costs nothing before and after.
        """
        watch = Watch(hook, on_head, None if on_chunk is None else _harmless(on_chunk, self._log_throttle))
        self._watches.append(watch)
        self._hooks[:] = self.watchers
        self._watch(self._seen_routes(self.snapshot), [watch])

    def _watch(self, routes: Iterable[Route], watches: list[Watch]) -> None:
        for route in routes:
            if isinstance(route.mirror, Mirror):
                route.mirror.watchers = self._hooks
        if watches:
            change_actions(routes, partial(_watched, watches))

    def unwatch(self, hook: Watcher) -> None:
        """End `watch`. Exchanges that began before the last change of the configuration may still call it."""
        watch = next(one for one in self._watches if one.on_complete == hook)
        self._watches.remove(watch)
        self._hooks[:] = self.watchers
        change_actions(self._seen_routes(self.snapshot), partial(_unwatched, watch))

    def _seen_routes(self, snapshot: Snapshot | None) -> Iterable[Route]:
        """The routes of a configuration, and of those before it that streams still run on: these last for long."""
        routes = dict.fromkeys(_routes(snapshot))
        routes.update(dict.fromkeys(exchange.matched_route for exchange in self.open_streams()))
        return routes

    def open_streams(self) -> Iterator[CompletedExchange]:
        """The exchanges under way that are streams, also those of listeners that leave."""
        for listener in (*self.listeners.values(), *self.leaving):
            for client in listener.clients:
                for exchange in client.open_streams():
                    if isinstance(exchange, Exchange):
                        yield exchange

    # -- holding a cluster's requests

    def pause(self, name: str, most: int, seconds: float) -> Pause:
        """
        Hold what is sent to a cluster, `most` exchanges, for `seconds` at most; what is under way goes on. It lasts
        over new configurations, and takes the place of one that there is. LookupError: no cluster of that name.
        """
        cluster = self.clusters[name]
        before = self._end_pause(name)
        pause = cluster.paused_by = Pause(self.network.clock, most)
        if before is not None:
            pause.follow(before)
        self._pauses[name] = pause, self.network.clock.callLater(seconds, self.resume, name)
        for hear in self.pause_begun:
            hear(name, most, seconds)
        return pause

    def resume(self, name: str) -> tuple[Pause | None, int]:
        """Send what was held. Return the pause that is over, None when there was none, how many went on."""
        pause = self._end_pause(name)
        cluster = self.clusters.get(name)
        if pause is None:
            return None, 0
        released = pause.release(cluster)
        for hear in self.pause_ended:
            hear(name)
        log.info("cluster {name}: {count} held requests go on", name=name, count=released)
        return pause, released

    def pauses(self) -> dict[str, tuple[Pause, float]]:
        """Return the pauses of clusters, each with the seconds that it has left."""
        now = self.network.clock.seconds()
        return {name: (pause, max(0.0, timer.getTime() - now)) for name, (pause, timer) in self._pauses.items()}

    def _end_pause(self, name: str) -> Pause | None:
        pause, timer = self._pauses.pop(name, (None, None))
        if timer is not None and timer.active():
            timer.cancel()
        cluster = self.clusters.get(name)
        if cluster is not None:
            cluster.paused_by = None
        return pause

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """The clusters in force, by name."""
        return self.snapshot.clusters if self.snapshot is not None else {}

    # -- configuration

    def apply(self, snapshot: Snapshot) -> None:
        """
        Make `snapshot` the one in force. Raises OSError when an address can't be had, or the proxy drains; then
        nothing has changed. A listener that drains by itself goes on to do so; only a restart, or another name, opens
        it again. Connections stay where their listener stays; exchanges under way end on the snapshot they began with.
        """
        if self.draining:
            raise OSError(errno.ESHUTDOWN, "the proxy drains and takes no new configuration")
        changes = since(self.snapshot, snapshot)
        self._bind(changes.listeners, changes.gone)
        for name in changes.gone:
            self._let_go(self.listeners.pop(name))
        for name in (*changes.gone, *changes.listeners):
            for where in self._meant_by.pop(name, ()):
                if self._meant.get(where) == name:
                    del self._meant[where]
        for name, one in changes.listeners.items():
            self.listeners[name].snapshot = one
            if one.meant_for:
                self._meant_by[name] = one.meant_for
                self._meant.update(dict.fromkeys(one.meant_for, name))
        self.snapshot = snapshot
        self.network.overload.limit(snapshot.overload)
        self._watch(_routes_of(changes.listeners.values()), self._watches)
        for name, (pause, _) in self._pauses.items():
            if name in snapshot.clusters:
                snapshot.clusters[name].paused_by = pause
        for cluster in changes.left:
            self._retire(cluster)
        self._note_short(changes)
        changes.left.clear()  # the snapshot in force shall keep none of them
        for cluster in changes.come:
            cluster.start(self.network)

    def _note_short(self, changes: Since) -> None:
        for name in (*changes.gone, *changes.listeners):
            self._short_listeners.pop(name, None)
        for name, one in changes.listeners.items():
            if one.idle_timeout < SHORT:
                self._short_listeners[name] = self.listeners[name]
        self._short_clusters.difference_update(changes.left)
        self._short_clusters.update(one for one in changes.come if one.connections.idle_timeout < SHORT)

    def _listener(self, name: str) -> Listener | None:
        return self.listeners.get(name)

    def _meant_for(self, where: str) -> Listener | None:
        """The listener of connections that were meant for an address."""
        host, _, port = where.rpartition(":")
        any_host = f"[::]:{port}" if host.startswith("[") else f"0.0.0.0:{port}"
        name = self._meant.get(where) or self._meant.get(any_host)
        return self.listeners.get(name) if name is not None else None

    def _bind(self, snapshots: Mapping[str, ListenerSnapshot], gone: Iterable[str]) -> None:
        """
        Give each listener of `snapshots`, those that are new or have changed, its sockets, those that are there and new
        ones, and close those that are not needed. Raises OSError with nothing changed. A socket stays open when its
        address moves to another listener: no client that connects is refused. gone: listeners that go.
        """
        listeners = {
            name: self.listeners.get(name) or self.make_listener(new, self.network, self._listener, self._meant_for)
            for name, new in snapshots.items()
        }
        wanted = [
            (listener, where)
            for name, listener in listeners.items()
            if not listener.draining
            for where in snapshots[name].places()
        ]
        touched = {*listeners.values(), *(self.listeners[name] for name in gone)}
        spare = {(old, where): one for old in touched for where, one in old.sockets.items()}
        sockets = {place: spare.pop(place) for place in wanted if place in spare}
        moved = _moved([place for place in wanted if place not in sockets], spare)
        sockets |= moved
        sockets |= _opened([place for place in wanted if place not in sockets], spare)
        for (listener, _), one in moved.items():
            listener.take(one)
        for listener in touched:
            listener.sockets = {}
        for (listener, where), one in sockets.items():
            listener.sockets[where] = one
        for one in spare.values():
            one.close()
        for name, listener in listeners.items():
            self.listeners.setdefault(name, listener)

    def _let_go(self, listener: Listener) -> None:
        self.leaving.add(listener)
        listener.drain().addCallback(lambda _: self.leaving.discard(listener))

    def _retire(self, cluster: Cluster) -> None:
        cluster.retired = True
        cluster.stop()
        self._retired.add(cluster)
        for pool in pools([cluster]):
            pool.retire()

    # -- from time to time

    def _sweep(self) -> None:
        now = self.network.turn.refresh()
        if now - self._swept >= SWEEP_EVERY and self._next_part is None:
            self._swept = now
            self._round = self._sweep_all(now)
            self._sweep_some()
            return
        for listener in (*self._short_listeners.values(), *self.leaving):
            if listener.snapshot.idle_timeout < SHORT:
                listener.sweep(now)
        for pool in pools(self._short_clusters):
            pool.sweep(now)

    def _sweep_some(self) -> None:
        """Goes on with the sweep of everything, for as long as no exchange minds."""
        self._next_part = None
        clock = self.network.clock
        until = clock.seconds() + SWEEP_AT_ONCE
        for _ in self._round:
            if clock.seconds() >= until:
                self._next_part = clock.callLater(0, self._sweep_some)
                return

    def _sweep_all(self, now: float) -> Iterator[None]:
        """Sweeps everything; between two steps exchanges may go on, and the configuration may become another one."""
        for listener in (*self.listeners.values(), *self.leaving):
            yield from listener.sweeping(now)
        for cluster in list(self.clusters.values()):
            for pool in pools([cluster]):
                pool.sweep(now)
            cluster.sweep(now)
            yield
        # An exchange that waited in a filter meanwhile may have opened a connection to a cluster of before.
        retired = list(self._retired)
        for pool in pools(retired):
            pool.retire()
        if retired:
            for listener in (*self.listeners.values(), *self.leaving):
                listener.forget_closed()
                yield

    def _holders(self) -> Iterator[Holder]:
        """Yield the connections with what they hold: an upstream one costs all who share it, so it goes last."""
        for listener in (*self.listeners.values(), *self.leaving):
            for client in listener.clients:
                yield Holder(held_by_client(client), client.close)
        for pool in pools({*self.clusters.values(), *self._retired}):
            for connection in pool.connections:
                yield Holder(connection.held(), connection.drop, last=True)


def _routes(snapshot: Snapshot | None) -> list[Route]:
    return _routes_of(snapshot.listeners.values()) if snapshot is not None else []


def _routes_of(listeners: Iterable[ListenerSnapshot]) -> list[Route]:
    return [route for one in listeners for route in (*one.routes.routes, one.no_route)]


def _watched(watches: Iterable[Watch], action: RouteAction) -> RouteAction:
    """With them behind the filters' hooks. Two listeners may have a route in common."""
    complete, head, chunk = action.on_complete, action.on_head, action.on_chunk
    for watch in watches:
        if watch.on_complete not in complete:
            complete = (*complete, watch.on_complete)
        if watch.on_head is not None and watch.on_head not in head:
            head = (*head, watch.on_head)
        if watch.on_chunk is not None and watch.on_chunk not in chunk:
            chunk = (*chunk, watch.on_chunk)
    if complete is action.on_complete and head is action.on_head and chunk is action.on_chunk:
        return action
    return action.changed(on_complete=complete, on_head=head, on_chunk=chunk)


def _unwatched(watch: Watch, action: RouteAction) -> RouteAction:
    """Without its hooks."""
    return action.changed(
        on_complete=tuple(one for one in action.on_complete if one != watch.on_complete),
        on_head=tuple(one for one in action.on_head if one != watch.on_head),
        on_chunk=tuple(one for one in action.on_chunk if one is not watch.on_chunk),
    )


def _harmless(hook: ChunkWatcher, throttle: LogThrottle) -> ChunkWatcher:
    """Catch what it raises: a hook of the path that raises ends its stream, which no onlooker may."""

    def look(exchange: CompletedExchange, chunk: Chunk, side: Side) -> None:
        try:
            hook(exchange, chunk, side)
        except Exception:
            if throttle.allows():
                log.failure("{hook} failed; it looked at a chunk", hook=hook)

    return look


Place = tuple[Listener, Address]
"""Where a listener listens, or is to."""


def _moved(wanted: list[Place], spare: dict[Place, ListeningSocket]) -> dict[Place, ListeningSocket]:
    """Take those sockets out of `spare` whose addresses other listeners need, and return them."""
    moved: dict[Place, ListeningSocket] = {}
    for listener, where in wanted:
        if where.port or where.family == socket.AF_UNIX:  # of free ports each listener has its own
            before = next((place for place in spare if place[1] == where), None)
            if before is not None:
                moved[listener, where] = spare.pop(before)
    return moved


def _opened(wanted: list[Place], spare: dict[Place, ListeningSocket]) -> dict[Place, ListeningSocket]:
    """
    Open new sockets. Raises OSError with nothing changed. One of `spare` that is in the way is closed: 0.0.0.0:80
    and 127.0.0.1:80 can't be had at a time.
    """
    opened: dict[Place, ListeningSocket] = {}
    closed: list[Place] = []
    try:
        for listener, where in wanted:
            try:
                opened[listener, where] = listener.open(where)
            except OSError as error:
                in_the_way = [place for place in spare if where.port and place[1].port == where.port]
                if error.errno != errno.EADDRINUSE or not in_the_way:
                    raise
                for place in in_the_way:
                    spare.pop(place).close()
                closed += in_the_way
                opened[listener, where] = listener.open(where)
    except OSError:
        for one in opened.values():
            one.close()
        for listener, where in closed:
            listener.sockets[where] = listener.open(where)
        raise
    return opened


def pools(clusters: Iterable[Cluster]) -> list[Pool]:
    """Return the pools that these clusters' endpoints have so far, those on their way out included."""
    return [
        endpoint.pool
        for cluster in clusters
        for endpoint in (*cluster.endpoints, *cluster.leaving)
        if isinstance(endpoint.pool, Pool)
    ]
