"""
One client's stream, of one type or all of them: in which order it gets what. No sockets.

Lives here: `Stream`. Does not: what is in a response (`subscription`), bytes of the network (`grpc_server`), which
snapshot a node gets (`server`).

Make before break: clusters go first, then their endpoints; listeners and routes, which name clusters, wait until the
client has answered for both, though not for ever. What is gone is removed last, once the client has accepted
listeners and routes that do not name it, and some time after, for exchanges that are under way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.control import wire
from metaproxy.control.nodes import Node, read_node
from metaproxy.control.resource_types import BY_URL, CLUSTERS, ENDPOINTS, LISTENERS, ROUTES, TYPES, ResourceType
from metaproxy.control.snapshot import EMPTY, Changes, Snapshot
from metaproxy.control.subscription import NEVER, Batch, Had, Subscription

HELD = 2.0
"""
Seconds that listeners and routes wait for clusters and endpoints. A client that does not ask for endpoints has them.
"""
LINGER = 2.0
"""Seconds that what is gone is kept at a client after the last listener or route that named it."""
MAX_UNKNOWN = 16
"""Types we have not that are noted of a client."""

_USERS = (LISTENERS, ROUTES)


class Refused(Exception):
    """A request that ends its stream: it can't be understood, or there is no answer to it."""


class Stream:
    """
    only: the type of a stream of one type; None for all. send: takes the bytes of a response. server: its
    name, in responses; linger: see LINGER.
    """

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[bytes], None],
        delta: bool = False,
        only: ResourceType | None = None,
        peer: str = "",
        server: str = "",
        linger: float = LINGER,
    ) -> None:
        self.delta = delta
        self.only = only
        self.peer = peer
        self.node: Node | None = None
        self.target = EMPTY
        self.unknown: set[str] = set()
        self.subscriptions: dict[str, Subscription] = {}
        self.since = clock.seconds()
        self._clock = clock
        self._send = send
        self._write: wire.Write = wire.delta if delta else wire.state_of_the_world
        self._server = server
        self._linger = linger
        self._nonces = 0
        self.had: Had | None = None
        """Clusters of the node on the stream before this one."""
        self._awaited: set[str] = set()
        """
        Endpoints that clusters need which were sent, and that the client has not answered for. Those that are gone
        meanwhile are kept until clusters are sent again: should they come back, the client is still to ask for them.
        """
        self._held_since: float | None = None
        self._timer: IDelayedCall | None = None
        self._closed = False

    # -- from the client

    def identify(self, request: wire.AnyRequest) -> Node | None:
        """Return the node when this request is the first to name it. Raises Refused."""
        if self.node is not None:
            return None
        try:
            self.node = read_node(request.node, self.peer)
        except ValueError as error:
            raise Refused(f"missing node information: {error}") from None
        return self.node

    def receive(self, request: wire.AnyRequest, names: Collection[str] | None = None) -> None:
        """Take a request, whose node is known; names: see `wire.read`. Raises Refused."""
        kind = self._kind(request)
        if kind is None:
            return
        subscription = self.subscriptions.get(kind.url)
        if subscription is None:
            subscription = self.subscriptions[kind.url] = Subscription(kind, self.delta)
        answered = subscription.outstanding
        had = self.had if kind is CLUSTERS else None
        repeats = subscription.take(wire.read(request, names), self.target.of(kind.url), self._clock.seconds(), had)
        if repeats and kind is ENDPOINTS and self.only is not None:
            # A cluster was changed on another stream and needs its endpoints: a client asks for them in the same words.
            subscription.again(subscription.names)
        if answered is not None and subscription.outstanding is None:
            self._was_answered(kind, answered, subscription)
        self.flush()

    def _kind(self, request: wire.AnyRequest) -> ResourceType | None:
        url = request.type_url
        if self.only is not None:
            if url and url != self.only.url:
                raise Refused(f"type_url {url[:200]!r} on a stream for {self.only.url}")
            return self.only
        kind = BY_URL.get(url)
        if kind is None:
            if not url:
                raise Refused("type_url is missing: an aggregated stream has many types")
            if len(self.unknown) < MAX_UNKNOWN:
                self.unknown.add(url[:200])
        return kind

    def _was_answered(self, kind: ResourceType, batch: Batch, subscription: Subscription) -> None:
        if kind is ENDPOINTS:
            self._awaited.difference_update(batch.changed)
        elif kind is CLUSTERS and subscription.refused:
            self._awaited.difference_update(*(self._needs(name) for name in subscription.refused))

    # -- from the server

    def aim(self, target: Snapshot, changes: Changes | None = None) -> None:
        """Let the client have this. changes: how it differs from the target before, when that is known."""
        before, self.target = self.target, target
        for url, subscription in self.subscriptions.items():
            if changes is None:
                subscription.changed(before.of(url).keys() | target.of(url).keys())
            elif url in changes:
                subscription.changed(changes[url])

    def flush(self) -> None:
        """Send what may be sent now."""
        if self._closed:
            return
        now = self._clock.seconds()
        for kind in TYPES:
            subscription = self.subscriptions.get(kind.url)
            if subscription is None or (kind in _USERS and self._must_wait(subscription, now)):
                continue
            self._nonces += 1
            batch = subscription.next(self.target.of(kind.url), now, str(self._nonces))
            if batch is not None:
                if kind is CLUSTERS:
                    self._clusters_sent(batch)
                self._send(self._write(kind, batch, self._server))
        self._let_go(now)

    def _clusters_sent(self, batch: Batch) -> None:
        """A client warms a cluster that changed, and waits for endpoints even when they are the same as before."""
        needed = [name for one in batch.changed for name in self._needs(one)]
        self._awaited = {*filter(self._has_endpoints, self._awaited), *needed}
        endpoints = self.subscriptions.get(ENDPOINTS.url)
        if endpoints is not None:
            endpoints.again(needed)

    def _needs(self, cluster: str) -> list[str]:
        """Return the name of the endpoints that a cluster asks for, if we have them."""
        found = self.target.of(CLUSTERS.url).get(cluster)
        name = endpoints_of(found.message) if found is not None else None
        return [name] if name is not None and self._has_endpoints(name) else []

    def _has_endpoints(self, name: str) -> bool:
        return name in self.target.of(ENDPOINTS.url)

    def _must_wait(self, subscription: Subscription, now: float) -> bool:
        clusters = self.subscriptions.get(CLUSTERS.url)
        endpoints = self.subscriptions.get(ENDPOINTS.url)
        unsettled = any(one is not None and not one.settled for one in (clusters, endpoints))
        busy = unsettled or any(map(self._has_endpoints, self._awaited))
        if not busy:
            self._held_since = None
            return False
        if not subscription.due:
            return False
        if self._held_since is None:
            self._held_since = now
        if now - self._held_since < HELD:
            return True
        self._awaited.clear()  # its client does not ask for them
        return False

    @property
    def settled(self) -> bool:
        """Whether the client has answered for all that it asked for; what is leaving aside."""
        return all(one.settled for one in self.subscriptions.values())

    @property
    def refused(self) -> bool:
        """Whether the client has refused something that is still meant for it."""
        return any(one.refused.keys() - one.leaving.keys() for one in self.subscriptions.values())

    def _let_go(self, now: float) -> None:
        """Begin the time at whose end removals are sent, once nothing at the client uses what is gone."""
        if self.settled and not self._users_refuse():
            for one in self.subscriptions.values():
                one.calm(now + self._linger)
        due = min((one.next_removal for one in self.subscriptions.values()), default=NEVER)
        if self._held_since is not None:
            due = min(due, self._held_since + HELD)
        self._wake(due, now)

    def _users_refuse(self) -> bool:
        users = (self.subscriptions.get(kind.url) for kind in _USERS)
        return any(one.refused.keys() - one.leaving.keys() for one in users if one is not None)

    def _wake(self, due: float, now: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        free = any(one.outstanding is None and one.next_removal <= now for one in self.subscriptions.values())
        if free or now < due < NEVER:
            self._timer = self._clock.callLater(max(due - now, 0.0), self.flush)
        else:  # nothing, or a removal that waits for an answer, which flushes
            self._timer = None

    def clusters(self) -> Had | None:
        """Return the clusters that the client has; None where that is not known, or where it will say so itself."""
        found = self.subscriptions.get(CLUSTERS.url)
        return found.had() if found is not None and not self.delta else None

    def close(self) -> None:
        self._closed = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def endpoints_of(message: object) -> str | None:
    """Return the name of the endpoints that a cluster gets over xDS; None for another kind of cluster."""
    if not isinstance(message, Cluster) or message.type != Cluster.EDS:
        return None
    name: str = message.eds_cluster_config.service_name or message.name
    return name
