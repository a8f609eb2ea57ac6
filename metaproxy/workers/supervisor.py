"""
The workers of a supervisor: which of them gets a connection, and what all of them are asked.

Lives here: `Workers`. Does not: one worker (`member`), its end (`worker`), what they counted (`sums`).

The supervisor owns the listening sockets, the configuration and its sources, discoveries, health checks and the admin
API. Workers own connections. A configuration is prepared by all of them before it is in force in any.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from typing import cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.app.service import ProxyService
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.config import model
from metaproxy.config.slices import Slices
from metaproxy.support.backoff import Backoff
from metaproxy.workers.channel import AskFailed, Gone
from metaproxy.workers.counting import Counting
from metaproxy.workers.decisions import Decisions
from metaproxy.workers.member import GONE, READY, STARTING, Member, Spawn
from metaproxy.workers.messages import (
    Commit,
    Discard,
    Drain,
    EndpointsAre,
    EndpointState,
    HandedConnection,
    Prepare,
    ReopenLogs,
    Stop,
)
from metaproxy.workers.packed import Packed
from metaproxy.workers.shares import cluster_share, listener_share, overload_share
from metaproxy.workers.sums import Totals
from metaproxy.workers.watch import Watch

log = Logger()

MOST_HELD = 1024
"""Connections that wait for the first worker that is ready."""
HELD_FOR = 0.05
"""Seconds between two tries to hand them."""
ALL_START = 5.0
"""Seconds that the workers that are ready wait for those that start, before they take connections."""
FIRST, LAST = 0.1, 10.0
"""Seconds until a worker that ended is started again; see Backoff."""
STEADY = 30.0
"""Seconds after which a worker that ended is no longer one that fails again and again."""
COUNT_EVERY = 1.0
"""Seconds between two looks at what workers counted."""
TOLD_AT_ONCE = 50
"""Clusters whose endpoints a worker that starts is told in one turn: some 3 ms, where each has ten."""
PATIENCE = 10.0
"""Seconds that workers have to end, once all is drained."""


class Workers(Service):
    """
    count: how many; proxy: the supervisor's own, which has the listeners; cpus: those that they are kept on, a worker
    each, none for any. members: one each; decisions: what holds in all of them besides the configuration.
    """

    name = "workers"

    def __init__(
        self, count: int, proxy: ProxyService, reactor: IReactorTime, spawn: Spawn, cpus: Sequence[int] = ()
    ) -> None:
        self._proxy = proxy
        self._reactor = reactor
        self.members = [
            Member(number, reactor, spawn, self._ready, self._gone, cpus[number % len(cpus)] if cpus else None)
            for number in range(count)
        ]
        self._backoff = [Backoff(FIRST, LAST) for _ in range(count)]
        self.decisions = Decisions(self.members, proxy)
        self.totals = Totals(proxy)
        self._watch = Watch(self.members, reactor)
        self._counting = Counting(self.members, self.totals, self._watch, reactor)
        self._packing = Slices(reactor)
        self._held: deque[tuple[str, int, str, str]] = deque()
        self._again_at: IDelayedCall | None = None
        self._begun = 0.0
        self._current: Prepare | None = None
        self._version = 0
        self._next: Prepare | None = None
        self._prepared: list[Member] = []
        self._changed: set[str] = set()
        self._ending = False
        self._look = LoopingCall(self._look_at_all)
        self._look.clock = reactor
        proxy.conditions.append(lambda: any(one.state == READY for one in self.members))

    # -- life

    def _look_at_all(self) -> Deferred[None]:
        self._watch.look()
        return self.refresh()

    def startService(self) -> None:
        super().startService()
        self._begun = self._reactor.seconds()
        for member in self.members:
            self._start(member)
        self._look.start(COUNT_EVERY, now=False)

    def stopService(self) -> Deferred[None]:
        """Ends the workers once the proxy is drained: their clients have left, or `drain_timeout` has passed."""
        super().stopService()
        done: Deferred[None] = Deferred()
        self._proxy.drain().addBoth(lambda _: self.refresh()).addBoth(lambda _: self._end(done))
        return done

    def _end(self, done: Deferred[None]) -> None:
        self._ending = True
        if self._look.running:
            self._look.stop()
        for member in self.members:
            if member.channel is not None:
                member.channel.tell(Stop())
        while self._held:
            os.close(self._held.popleft()[1])
        self._wait_for_ends(done, self._reactor.seconds() + PATIENCE)

    def _wait_for_ends(self, done: Deferred[None], until: float) -> None:
        left = [one for one in self.members if one.state != GONE]
        if not left or self._reactor.seconds() > until:
            for member in left:  # it hangs, and would live on without a supervisor
                member.kill()
            done.callback(None)
        else:
            self._reactor.callLater(0.02, self._wait_for_ends, done, until)

    def _start(self, member: Member) -> None:
        if self._ending or member.state != GONE:
            return
        try:
            member.start()
        except OSError as error:
            log.error("worker {number}: not started: {error}", number=member.number, error=error)
            self._again(member)

    def _again(self, member: Member) -> None:
        if not self._ending:
            self._reactor.callLater(self._backoff[member.number].next(), self._start, member)

    def _ready(self, member: Member) -> None:
        """Its process has started: it takes connections once it has the configuration in force."""
        self._bring_up(member)

    def _bring_up(self, member: Member) -> None:
        wanted, version = self._current, self._version
        if wanted is None or member.channel is None:
            return
        pid = member.pid

        def answered(lines: object) -> None:
            if member.pid == pid:  # else it has ended, and the one in its place is brought up by itself
                self._brought_up(member, wanted, version, cast(list[str], lines))

        asked = self._ask(member, wanted).addErrback(lambda failure: self._not_prepared(member, failure))
        asked.addCallback(answered)

    def _brought_up(self, member: Member, wanted: Prepare, version: int, lines: list[str]) -> None:
        if lines:
            log.error("worker {number}: {lines}", number=member.number, lines="\n".join(lines))
            if member.channel is not None:
                member.channel.tell(Stop())
            return
        if member.channel is None or not member.channel.is_open:
            return
        self._committed(member, wanted, version)
        self._tell_all(member, member.pid, list(self._proxy.clusters))

    def _tell_all(self, member: Member, pid: int, names: Sequence[str]) -> None:
        """Of the endpoints of all clusters, some with each turn of the reactor; it takes connections behind that."""
        if member.pid != pid or member.channel is None:
            return
        if member.version != self._version:  # another one came into force meanwhile
            self._bring_up(member)
            return
        for name in names[:TOLD_AT_ONCE]:
            self._tell_endpoints(member, self._proxy.clusters.get(name))
        if len(names) > TOLD_AT_ONCE:
            self._reactor.callLater(0, self._tell_all, member, pid, names[TOLD_AT_ONCE:])
            return
        member.state = READY
        self.decisions.tell(member)
        self._watch.answered(member)
        log.info("worker {number} is ready, process {pid}", number=member.number, pid=member.pid)
        self._hand_held()

    def _not_prepared(self, member: Member, failure: Failure) -> list[str]:
        """A worker that is gone has no objection: it comes back with what is in force then."""
        if failure.check(Gone):
            return []
        failure.trap(AskFailed)
        return [f"worker {member.number}: {failure.getErrorMessage()}"]

    def _gone(self, member: Member) -> None:
        self.totals.forget(member.number)
        self._watch.answered(member)
        if member in self._prepared:
            self._prepared.remove(member)
        for message, descriptor in member.take_back():
            if not self._ending:
                self.hand(message.listener, descriptor, message.host, message.peer)
            os.close(descriptor)
        if self._ending:
            return
        self._hand_held()
        if time.time() - member.started >= STEADY:
            self._backoff[member.number].reset()
        log.error(
            "worker {number}, process {pid}, ended: {why}; {lost} connections went with it since the start; it is "
            "started again", number=member.number, pid=member.pid, why=member.why, lost=member.lost,
        )  # fmt: skip
        self._again(member)

    # -- connections

    def hand(self, listener: str, descriptor: int, host: str, peer: str) -> bool:
        """
        Give a connection to the worker that has the fewest of its listener. Return whether one took it. descriptor: the
        caller's, which closes it.
        """
        try:
            waits = bool(self._held) or not self._hand(listener, descriptor, host, peer)
            return self._hold(listener, descriptor, host, peer) if waits else True
        except OSError as error:  # this process may open no more files
            log.error("{where}: a connection is refused: {error}", where=host, error=error)
            return False

    def _hand(self, listener: str, descriptor: int, host: str, peer: str) -> bool:
        """Return whether a worker has it: one that has just died is found out by this, and another one gets it."""
        able = [one for one in self.members if one.takes]
        while able:
            member = min(able, key=lambda one: (one.connections[listener], one.total, one.given))
            if member.hand(HandedConnection(listener, host, peer), descriptor):
                return True
            able.remove(member)
        return False

    def _hold(self, listener: str, descriptor: int, host: str, peer: str) -> bool:
        if len(self._held) >= MOST_HELD:
            return False
        self._held.append((listener, os.dup(descriptor), host, peer))
        self._look_again()
        return True

    def _hand_held(self) -> None:
        """Hand what waits, when a worker is ready, and from time to time while all of them have too much to take."""
        while self._held and not self._begins() and self._hand(*self._held[0]):
            os.close(self._held.popleft()[1])
        self._look_again()

    def _begins(self) -> bool:
        """At the start of all, the first that is ready would get all that wait."""
        late = self._reactor.seconds() >= self._begun + ALL_START
        return not late and any(one.state == STARTING and not one.restarts for one in self.members)

    def _look_again(self) -> None:
        if self._held and (self._again_at is None or not self._again_at.active()):
            self._again_at = self._reactor.callLater(HELD_FOR, self._hand_held)

    def drain(self, listener: str, patient: bool = False) -> Deferred[None]:
        """Have the clients of a listener finish. Fires when the last one is gone. patient: see Listener.drain."""
        asked = [one.channel.ask(Drain(listener, patient)) for one in self.members if one.channel is not None]
        done: Deferred[None] = Deferred()
        DeferredList(asked, consumeErrors=True).addCallback(lambda _: done.callback(None))
        return done

    # -- configuration

    def prepare(
        self, config: model.Config, folders: Sequence[Path], stamps: Mapping[Path, object]
    ) -> Deferred[list[str]]:
        """Have all build a configuration. Fires with the lines of what is wrong; `commit` or `discard` follows."""
        listeners, clusters = [one.name for one in config.listeners], [one.name for one in config.clusters]
        bare = replace(
            config, listeners=(), clusters=(), xds=(), crds=None, overload=overload_share(config, len(self.members))
        )
        self._next = Prepare(bare, config.listeners, config.clusters, listeners, clusters, [*folders], dict(stamps))
        self._prepared = [one for one in self.members if one.answers]
        asked = [self._prepare(one, self._next) for one in self._prepared]
        done: Deferred[list[str]] = Deferred()
        DeferredList(asked).addCallback(lambda found: done.callback(_lines(line for _, line in found)))
        return done

    def _prepare(self, member: Member, wanted: Prepare) -> Deferred[object]:
        return self._ask(member, wanted).addErrback(lambda failure: self._not_prepared(member, failure))

    def _ask(self, member: Member, wanted: Prepare) -> Deferred[object]:
        pid = member.pid

        def ask(message: Prepare) -> Deferred[object]:
            if member.channel is None or member.pid != pid:
                raise Gone
            return member.channel.ask(message)

        return self._packing.run(partial(self._for, member, wanted)).addCallback(ask)

    def _for(self, member: Member, wanted: Prepare) -> Prepare:
        """What a worker must be given, as it has some of it; packed, in slices."""
        clusters = [one for one in wanted.changed_clusters if member.clusters.get(one.name) is not one]
        listeners = [one for one in wanted.changed_listeners if member.listeners.get(one.name) is not one]
        count = len(self.members)
        return replace(
            wanted,
            changed_listeners=Packed(listener_share(one, count) for one in listeners),
            changed_clusters=Packed(self._without_monitors(cluster_share(one, count)) for one in clusters),
        )

    def _without_monitors(self, spec: model.Cluster) -> model.Cluster:
        """A cluster whose endpoints are found and checked here: a worker is given what came of it."""
        if spec.discovery is None or spec.has_original_destination:
            return replace(spec, health_check=None)
        cluster = self._proxy.clusters.get(spec.name)
        found = cluster.endpoints if cluster is not None else ()
        return replace(spec, health_check=None, discovery=None, endpoints=tuple(_section(one) for one in found))

    def commit(self) -> None:
        """What was prepared is in force."""
        wanted, self._next = self._next, None
        if wanted is None:
            return
        self._current = wanted
        self._version += 1
        for member in self._prepared:
            had = set(member.clusters)
            self._committed(member, wanted, self._version)
            self.decisions.tell_pauses(member, but=had)
        self._prepared = []
        for member in self.members:
            if member.state == READY and member.version != self._version:
                # It came up after the others had prepared; it takes no connection before it has what is in force.
                member.state = STARTING
                self._bring_up(member)
        self.totals.reset()
        for cluster in self._proxy.clusters.values():
            if cluster.observer is None:
                cluster.observer = self._cluster_changed
                self._cluster_changed(cluster)

    def discard(self) -> None:
        """What was prepared does not come into force."""
        self._next = None
        for member in self._prepared:
            if member.channel is not None:
                member.channel.tell(Discard())
        self._prepared = []

    def _committed(self, member: Member, wanted: Prepare, version: int) -> None:
        if member.channel is None:
            return
        member.channel.tell(Commit())
        member.version = version
        member.listeners = {one.name: one for one in wanted.changed_listeners}
        member.clusters = {one.name: one for one in wanted.changed_clusters}

    # -- endpoints

    def _cluster_changed(self, cluster: Cluster) -> None:
        if not self._changed:
            self._reactor.callLater(0, self._tell_changed)
        self._changed.add(cluster.name)

    def _tell_changed(self) -> None:
        changed, self._changed = self._changed, set()
        for name in sorted(changed):
            cluster = self._proxy.clusters.get(name)
            for member in self.members if cluster is not None else ():
                if member.version:  # also one that is about to be ready: it may have been told of this one before
                    self._tell_endpoints(member, cluster)

    def _tell_endpoints(self, member: Member, cluster: Cluster | None) -> None:
        if member.channel is None or cluster is None or cluster.asks_layout:
            return
        spec = member.clusters.get(cluster.name)
        found = spec is not None and spec.discovery is not None and not spec.has_original_destination
        member.channel.tell(EndpointsAre(cluster.name, found, [_state(one) for one in cluster.endpoints]))

    # -- what is asked of all

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._reactor.callLater(seconds, call)

    def reopen_logs(self) -> None:
        """The files of access logs were moved away."""
        for member in self.members:
            if member.channel is not None:
                member.channel.tell(ReopenLogs())

    def refresh(self, filters: bool = False) -> Deferred[None]:
        """As Counting.refresh; fires also when one of them is gone meanwhile."""
        return self._counting.refresh(filters)


def _lines(found: Iterable[object]) -> list[str]:
    """The lines of all workers, each once: they have the same configuration."""
    return list(dict.fromkeys(line for lines in found if isinstance(lines, list) for line in lines))


def _section(endpoint: Endpoint) -> model.Endpoint:
    return model.Endpoint(
        address=endpoint.address, weight=endpoint.configured_weight, metadata=dict(endpoint.configured_metadata),
        priority=endpoint.priority, zone=endpoint.zone,
    )  # fmt: skip


def _state(endpoint: Endpoint) -> EndpointState:
    return EndpointState(
        endpoint.address, endpoint.configured_weight, dict(endpoint.configured_metadata), endpoint.priority,
        endpoint.zone, endpoint.checked, endpoint.healthy, endpoint.drained, endpoint.ejected_until == inf,
    )  # fmt: skip
