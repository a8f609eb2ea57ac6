"""
Which connection a request takes: shared (multiplexed), pooled (one exchange at a time) or pinned to a client.

Lives here: `Pool`, the connections of this process to one endpoint. Does not: the choice of the endpoint, what is sent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice
from typing import cast

from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.connection_settings import BORROWED
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.message import Correlation, ErrorKind, Hold, Kind, Message, Redirect
from metaproxy.proxy.fifo_upstream import FifoUpstream
from metaproxy.proxy.id_upstream import IdUpstream
from metaproxy.proxy.redirect import go_on
from metaproxy.proxy.roles import Client, Network, Try, UpstreamConnection
from metaproxy.proxy.tls import TlsTransport
from metaproxy.support import addresses as address
from metaproxy.support.log_throttle import LogThrottle
from metaproxy.wire import ConnectingProtocol

_NONE, _WAIT, _OPEN = Hold.NONE, Hold.WAIT, Hold.OPEN
_STREAM_OPEN = Kind.STREAM_OPEN

log = Logger(__name__)

MAX_PROFILES = 256
"""Different connection states (database, protocol version) kept per endpoint: clients choose them."""
LOOKS = 16
"""Reserved connections that are looked at for an idle one: a few at a time, as each request may ask."""


class Pool:
    """The upstream connections to one endpoint of one cluster. Its settings are the cluster's."""

    def __init__(self, cluster: Cluster, endpoint: Endpoint, network: Network) -> None:
        self.cluster = cluster
        self.endpoint = endpoint
        self.network = network
        self.codec = cluster.codec
        self.settings = cluster.connections
        self.connections: set[UpstreamConnection] = set()
        self._address = address.parse(endpoint.address)
        self._class = IdUpstream if self.codec.correlation is Correlation.ID else FifoUpstream
        self._shared: dict[Hashable, list[UpstreamConnection]] = {}
        self._idle: dict[Hashable, list[UpstreamConnection]] = {}
        self._reserved: OrderedDict[UpstreamConnection, None] = OrderedDict()
        self._queue: OrderedDict[object, tuple[Try, Client, float]] = OrderedDict()
        self._multiplex = self.settings.mode == "multiplex"
        mode = self.settings.mode
        self._pinned = mode == "pinned"
        self._stays = mode == "session"
        self._statement = mode == "statement"
        self._bounded = mode in BORROWED
        self.lends = mode not in ("pinned", "session")
        self._wears_out = self.settings.max_age > 0 or self.settings.max_requests > 0
        self._sequential = bool(getattr(self.codec, "sequential", False))
        self._keep_order = self.codec.ordered or self._sequential
        self._beats = bool(getattr(self.codec, "beats", False))
        self._shares_streams = getattr(self.codec, "flow", "connection") == "stream"
        self._retired = cluster.retired
        self._log_throttle = LogThrottle(network.clock.seconds)

    # -- a request wants a connection

    def start(self, attempt: Try, client: Client) -> None:
        """Send the attempt, now or when a connection is there; a bound that is reached fails it."""
        message = attempt.message
        hold = message.hold
        if self._pinned or (hold is _OPEN and not self._stays):
            self._pin(attempt, client, hold is _OPEN or self.codec.connections == "pinned")
        elif (
            self._multiplex
            and (hold is _NONE or hold is _WAIT)
            and (message.kind is not _STREAM_OPEN or self._shares_streams)
        ):
            profile = getattr(message, "profile")  # noqa: B009  # see Message.with_frame
            sticky = client.shared_by_pool.get(self)
            if sticky is None or not (sticky.usable or self._must_stay(sticky, client)):
                sticky = self._choose(profile, client)
                if sticky is None:
                    self._overflow(attempt)
                    return
            if sticky.profile != profile:
                if sticky.holder is client:
                    release(sticky)
                sticky = self._choose(profile, client)
                if sticky is None:
                    self._overflow(attempt)
                    return
            sticky.submit(attempt)
        else:
            self._lease(attempt, client)

    def _must_stay(self, connection: UpstreamConnection, client: Client) -> bool:
        """
        A client keeps the connection that is reserved for it, and the one on which its requests are under way, as they
        could overtake each other.
        """
        if connection.reserved:
            return connection.holder is client and connection.alive
        return self._keep_order and connection.alive and client.inflight > 1

    def _choose(self, profile: Hashable, client: Client) -> UpstreamConnection | None:
        """A shared connection for a client's requests in that state; None when a bound is reached."""
        group = self._shared.get(profile, [])
        if not group and len(self._shared) >= MAX_PROFILES:
            return None
        usable = [connection for connection in group if connection.usable]
        chosen = None
        if len(usable) < self.settings.per_endpoint:
            chosen = self._open(profile)
        if chosen is not None:
            self._shared[profile] = [*group, chosen]
        elif usable:
            chosen = usable[client.number % len(usable)]
        elif group:  # all are held up by slow readers or are leaving; waiting beats failing
            chosen = next((one for one in group if one.alive), None)
        if chosen is not None:
            # Those that are gone belong to endpoints of earlier configurations, as often as not.
            client.shared_by_pool = {pool: one for pool, one in client.shared_by_pool.items() if one.alive}
            client.shared_by_pool[self] = chosen
        return chosen

    def reserve(self, connection: UpstreamConnection, client: Client) -> None:
        """
        A one-way request was sent on a shared connection where answers go by order. A server that answers it against
        the rules shifts the answers of those behind it: from now on these are the same client's.
        """
        group = self._shared.get(connection.profile)
        if group and connection in group:
            group.remove(connection)
            if not group:
                del self._shared[connection.profile]
        connection.usable, connection.reserved, connection.holder = False, True, client
        self._reserved[connection] = None
        client.shared_by_pool[self] = connection

    def _pin(self, attempt: Try, client: Client, stateful: bool) -> None:
        """stateful: what the client asks from now on depends on it, wherever it would be routed."""
        profile = attempt.message.profile
        place = pin_key(self.cluster, self.endpoint, profile)
        connection = client.session_pin if stateful else client.pinned_by_cluster.get(place)
        if connection is None:
            connection = self._take(profile)
            if connection is None:
                self._overflow(attempt)
                return
            connection.holder = client
            if stateful:
                client.pinned(connection)
            else:
                client.pinned_by_cluster[place] = connection
        if attempt.message.kind is Kind.CONNECT:
            connection.wait_until_ready(attempt)
        else:
            connection.submit(attempt)

    def _lease(self, attempt: Try, client: Client) -> None:
        if client.leases and self._sequential and self._follow(attempt, client):
            return
        connection = self._take(getattr(attempt.message, "profile"))  # noqa: B009  # see Message.with_frame
        if connection is not None:
            self._give(connection, attempt, client)
            return
        if attempt.message.kind is Kind.CONNECT and self.lends and self._welcome(attempt):
            return
        self._enqueue(attempt, client)

    def _welcome(self, attempt: Try) -> bool:
        """A client that logs in need not wait for a connection that others use: it only asks whether there is one."""
        profile = attempt.message.profile
        return any(one.profile == profile and one.welcomes(attempt) for one in self.connections)

    def _enqueue(self, attempt: Try, client: Client) -> None:
        breaker = self.cluster.breaker
        if breaker.pending >= breaker.max_pending or not self.connections:
            self._overflow(attempt)
            return
        breaker.pending += 1
        self._queue[attempt] = attempt, client, self.network.turn.now

    def start_beside(self, attempt: Try) -> None:
        """
        Send an attempt that is about what is under way here, so that it can't wait for its end: while all connections
        are in use over others, as many again at most, which close behind it.
        """
        connection = self._take(attempt.message.profile, 2 * self.settings.per_endpoint)
        if connection is None:
            self._overflow(attempt)
            return
        connection.lease = attempt
        connection.submit(attempt)

    def cancelled(self, attempt: object) -> None:
        """An attempt without a connection is not wanted any more: its place in the queue is another's."""
        if self._queue.pop(attempt, None) is not None:
            self.cluster.breaker.pending -= 1

    def _follow(self, attempt: Try, client: Client) -> bool:
        """Sends a request behind those of its client that are under way. False when there are none."""
        connection = client.leases.get(self)
        if connection is None or not connection.usable or connection.profile != attempt.message.profile:
            return False
        connection.lease = attempt
        connection.submit(attempt)
        return True

    def _give(self, connection: UpstreamConnection, attempt: Try, client: Client) -> None:
        if self._stays and attempt.message.hold is not _NONE:  # such as a question before its stay begins
            connection.holder = client
            client.pinned(connection)
        else:
            connection.lease = attempt
            if self._sequential:
                client.leases[self] = connection
        if attempt.message.kind is Kind.CONNECT:
            connection.wait_until_ready(attempt)
        else:
            connection.submit(attempt)

    def bind(self, connection: UpstreamConnection, client: Client) -> bool:
        """See roles.ConnectionOwner."""
        if self._statement:
            return False
        self._end_lease(connection)
        connection.holder = client
        client.pinned(connection)
        return True

    def left(self, connection: UpstreamConnection) -> None:
        """
        See roles.ConnectionOwner: one for a client's stay is used again, if nothing of the client is under way, nor
        anything about what was.
        """
        if self._stays and not connection.owing() and not connection.busy() and not connection.companions:
            self.give_back(connection)
        else:
            connection.let_go()

    def _take(self, profile: Hashable, most: int = 0) -> UpstreamConnection | None:
        """
        A connection for one alone: an idle one, or a new one; None when a bound is reached. most: where connections are
        borrowed, another one than `per_endpoint`.
        """
        idle = self._idle_one(profile)
        if idle is not None:
            return idle
        if self._bounded:
            changed = self._changed(profile)
            if changed is not None:
                return changed
            if len(self.connections) >= (most or self.settings.per_endpoint) and not self._close_idle_here():
                return None
        return self._open(profile)

    def _idle_one(self, profile: Hashable) -> UpstreamConnection | None:
        """Takes the newest idle connection of a state. A state that none is left of is forgotten: clients make them."""
        group = self._idle.get(profile, [])
        found = None
        while group and found is None:
            connection = group.pop()
            found = connection if connection.usable else None
        if not group:
            self._idle.pop(profile, None)
        return found

    def _changed(self, profile: Hashable) -> UpstreamConnection | None:
        """An idle connection that was brought into another state."""
        for other in list(islice(self._idle, LOOKS)):
            connection = self._idle_one(other)
            if connection is not None and connection.change(profile):
                return connection
            if connection is not None and connection.alive:
                self._idle.setdefault(other, []).append(connection)
        return None

    def _close_idle_here(self) -> bool:
        for profile, group in self._idle.items():
            connection = group.pop(0)
            if not group:
                del self._idle[profile]
            connection.let_go()
            return True
        return False

    def _open(self, profile: Hashable) -> UpstreamConnection | None:
        breaker = self.cluster.breaker
        if breaker.connections >= breaker.max_connections:
            self._close_an_idle_one()
        if breaker.connections >= breaker.max_connections:
            self.cluster.counts.overflow_connections += 1
            return None
        connection = self._class(self, profile)  # first: a codec may fail to make a session
        breaker.connections += 1
        self.connections.add(connection)
        tls = self.settings.tls_for(self.endpoint)
        protocol: ConnectingProtocol = connection
        if tls is not None and not tls.start:
            protocol = TlsTransport(
                tls, connection, self.network.clock, connection.connectionFailed, self._address.host
            )
        self.network.connect(self._address, protocol, self.settings.connect_timeout, self.settings.source)
        return connection

    def _close_an_idle_one(self) -> None:
        """An idle connection in another state, or to another endpoint, must not keep a request from getting its own."""
        pools = [endpoint.pool for endpoint in self.cluster.endpoints if endpoint.pool is not None]
        candidates = (self, *cast("list[Pool]", pools))
        if any(pool._close_idle_here() for pool in candidates):
            return
        for pool in candidates:
            reserved = pool._reserved
            for _ in range(min(LOOKS, len(reserved))):
                connection = next(iter(reserved))
                if not connection.owing() and not connection.busy():
                    connection.let_go()
                    return
                reserved.move_to_end(connection)

    def _overflow(self, attempt: Try) -> None:
        self.cluster.counts.overflow_requests += 1
        attempt.fail(ErrorKind.OVERLOAD, f"no connection to {self.endpoint.address} is free (breaker)")

    def redirect(self, attempt: Try, redirect: Redirect, answer: Message) -> None:
        """See roles.ConnectionOwner."""
        go_on(attempt, redirect, answer, self._start_at)

    def _start_at(self, attempt: Try, cluster: Cluster, endpoint: Endpoint) -> None:
        pool_of(endpoint, cluster, self.network).start(attempt, attempt.owner.client)

    # -- a connection is free, or gone

    def give_back(self, connection: UpstreamConnection) -> None:
        """Its lease is over: the next in the queue gets it, or it rests."""
        if connection.companions:
            return  # see companion_left
        self._end_lease(connection)
        connection.holder = None
        if not connection.alive:
            return
        settings = self.settings
        if connection.busy():
            connection.drop()
            return
        if not connection.clean() and not connection.change(connection.profile):
            connection.let_go()
            return
        too_many = self._bounded and len(self.connections) > settings.per_endpoint  # see start_beside
        if not connection.usable or self._retired or too_many or (self._wears_out and self._worn_out(connection)):
            connection.let_go()
            return
        while self._queue:
            _, (attempt, client, _) = self._queue.popitem(last=False)
            self.cluster.breaker.pending -= 1
            if attempt.done or (self._sequential and self._follow(attempt, client)):
                continue
            profile = attempt.message.profile
            if profile == connection.profile or connection.change(profile):
                self._give(connection, attempt, client)
            else:
                connection.drop()
                self._lease(attempt, client)
            return
        if settings.mode == "multiplex" and not self._shareable(connection):
            connection.drop()
            return
        connection.idle_since = self.network.turn.now
        self._idle.setdefault(connection.profile, []).append(connection)

    def companion_left(self, connection: UpstreamConnection) -> None:
        """See roles.ConnectionOwner."""
        if not connection.companions and connection.lease is not None and connection.lease.done:
            self.give_back(connection)

    def _end_lease(self, connection: UpstreamConnection) -> None:
        lease, connection.lease = connection.lease, None
        if self._sequential and lease is not None:
            leases = lease.owner.client.leases
            if leases.get(self) is connection:
                del leases[self]

    def _shareable(self, connection: UpstreamConnection) -> bool:
        """A leased connection in a multiplexing pool is kept for the next lease, a few of them."""
        return len(self._idle.get(connection.profile, ())) < 16

    def _worn_out(self, connection: UpstreamConnection) -> bool:
        settings, now = self.settings, self.network.turn.now
        too_old = settings.max_age > 0 and now - connection.opened >= settings.max_age
        return too_old or 0 < settings.max_requests <= connection.requests

    def closed(self, connection: UpstreamConnection) -> None:
        """Called once by each connection when it ends."""
        self.connections.discard(connection)
        self._end_lease(connection)
        self._reserved.pop(connection, None)
        self.cluster.breaker.connections -= 1
        for groups in (self._shared, self._idle):
            group = groups.get(connection.profile)
            if group and connection in group:
                group.remove(connection)
                if not group:
                    del groups[connection.profile]
        if self._queue:
            self.network.soon(self._serve_queue)
        self._leave_endpoint()

    def _serve_queue(self) -> None:
        """The first ones that wait get the connections that may be opened now; those behind them stay in the queue."""
        breaker = self.cluster.breaker
        while self._queue:
            full = self._bounded and len(self.connections) >= self.settings.per_endpoint
            if self.connections and (full or breaker.connections >= breaker.max_connections):
                return
            _, (attempt, client, _) = self._queue.popitem(last=False)
            breaker.pending -= 1
            if not attempt.done:
                self._lease(attempt, client)

    # -- from time to time

    def sweep(self, now: float) -> None:
        """Closes what was idle for too long, lets worn out shared connections go. Called every second or so."""
        limit = self.settings.idle_timeout
        if self._queue:
            self._end_waiting(now)
        if self.lends and self.settings.idle_transaction_timeout > 0:
            self._end_idle_transactions(now)
        if self._beats:
            for connection in list(self.connections):
                connection.beat(now)
        for idle in list(self._idle.values()):
            for connection in list(idle):
                if (limit > 0 and now - connection.idle_since >= limit) or self._worn_out(connection):
                    connection.let_go()
        for group in (*self._shared.values(), list(self._reserved)):
            for connection in list(group):
                if connection.busy():
                    connection.idle_since = now
                if self._worn_out(connection) or (limit > 0 and now - connection.idle_since >= limit):
                    connection.retire()

    def _end_waiting(self, now: float) -> None:
        """Those that have waited for `queue_timeout`, the oldest first."""
        limit = self.settings.queue_timeout
        while limit > 0 and self._queue:
            attempt, _, since = next(iter(self._queue.values()))
            if now - since < limit:
                return
            self._queue.popitem(last=False)
            self.cluster.breaker.pending -= 1
            if not attempt.done:
                self.cluster.counts.overflow_requests += 1
                text = f"no connection to {self.endpoint.address} was free within {limit:g} s (queue_timeout)"
                attempt.fail(ErrorKind.OVERLOAD, text)

    def _end_idle_transactions(self, now: float) -> None:
        limit = self.settings.idle_transaction_timeout
        for connection in list(self.connections):
            holder = connection.holder
            idle = holder is not None and not connection.reserved and not connection.busy()
            if idle and connection.in_transaction() and now - connection.idle_since >= limit:
                connection.end(ErrorKind.TIMEOUT, f"a transaction was idle for {limit:g} s (idle_transaction_timeout)")

    def retire(self) -> None:
        """Its cluster is replaced or the proxy drains: what is under way ends, nothing is kept."""
        self._retired = True
        for connection in list(self.connections):
            connection.retire()
        self._leave_endpoint()

    def _leave_endpoint(self) -> None:
        """
        At its end: the two point to each other, and only the collector, which looks seldom, would find them and their
        cluster. An endpoint that an operator drained comes back.
        """
        endpoint = self.endpoint
        needed = bool(self.connections or self._queue) or (endpoint.drained and not self.cluster.retired)
        if self._retired and not needed and endpoint.pool is self:
            endpoint.pool = None

    def resume(self) -> None:
        """An endpoint that was drained is in service again."""
        self._retired = False

    def close(self) -> None:
        """Ends everything now."""
        for connection in list(self.connections):
            connection.drop()

    def codec_failed(self, who: str, failure: Failure) -> None:
        """Counts and logs that the codec raised, at most once a minute for each method."""
        errors = self.cluster.counts.plugin_errors
        errors[who] = errors.get(who, 0) + 1
        if self._log_throttle.allows(who):
            log.failure("cluster {cluster}: {who} failed", failure=failure, cluster=self.cluster.name, who=who)

    def cluster_log(self, text: str) -> None:
        """A line about an endpoint's fault, at most one a minute."""
        if self._log_throttle.allows():
            log.warn("cluster {cluster}: {text}", cluster=self.cluster.name, text=text)


def release(connection: UpstreamConnection) -> None:
    """Its client needs a reserved connection no more: it closes behind what others had sent on it before."""
    connection.holder = None
    connection.retire()


def pin_key(cluster: Cluster, endpoint: Endpoint | None, profile: Hashable) -> tuple[str, str, Hashable]:
    """
    What a client has a connection of its own for, with `mode: pinned`: a cluster, by name as it may be replaced, and a
    state; each endpoint where keys belong to endpoints.
    """
    return cluster.name, endpoint.address if endpoint is not None and cluster.uses_hash else "", profile


def pool_of(endpoint: Endpoint, cluster: Cluster, network: Network) -> Pool:
    """The endpoint's pool, made on its first use."""
    pool = endpoint.pool
    if pool is None:
        pool = endpoint.pool = Pool(cluster, endpoint, network)
    return pool  # type: ignore[return-value]  # only made here
