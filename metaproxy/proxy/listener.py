"""
One listener: its sockets, its clients, the snapshot that new exchanges run on.

Lives here: `Listener`: accepting and its bounds, idle clients, draining, log lines that are bounded in number.
Does not: what a client's messages go through.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from metaproxy.counts import ListenerCounts
from metaproxy.proxy.chain_choice import ChainChoice
from metaproxy.proxy.culprit import culprit
from metaproxy.proxy.current import SnapshotOwner
from metaproxy.proxy.detection import Detection
from metaproxy.proxy.doors import note_port
from metaproxy.proxy.downstream import Downstream
from metaproxy.proxy.proxy_protocol import ProxyProtocol
from metaproxy.proxy.roles import Leaving, Network
from metaproxy.proxy.snapshot import ListenerSnapshot
from metaproxy.proxy.tls import TlsTransport
from metaproxy.proxy.undecided import Undecided
from metaproxy.support.addresses import Address, show
from metaproxy.support.log_throttle import LogThrottle
from metaproxy.wire import ListeningSocket, NewConnection, Wire, WireProtocol

log = Logger()

SWEPT_AT_ONCE = 200
"""Clients that are looked at before exchanges may go on."""


class Listener(SnapshotOwner):
    """
    `snapshot` is replaced by one assignment; an exchange under way goes on with the one it began with. memory: what the
    sessions of its clients have together, see ISession.
    """

    snapshot: ListenerSnapshot

    def __init__(
        self,
        snapshot: ListenerSnapshot,
        network: Network,
        find: Callable[[str], Listener | None] | None = None,
        find_meant: Callable[[str], Listener | None] | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.network = network
        self._find = find
        self._find_meant = find_meant
        self.counts = ListenerCounts()
        self.memory: dict[Hashable, object] = {}
        self.clients: dict[Leaving, None] = {}
        self.draining = self.patient = False
        self.sockets: dict[Address, ListeningSocket] = {}
        self._number = 0
        self._log_throttle = LogThrottle(network.clock.seconds)
        self._drained: list[Deferred[None]] = []
        self._give_up: IDelayedCall | None = None

    @property
    def name(self) -> str:
        return self.snapshot.name

    def bound(self) -> list[str]:
        """The addresses that it listens on, as the system gives them (a port 0 has become a number); without doors."""
        own = self.snapshot.addresses
        return [socket.bound for where, socket in self.sockets.items() if where in own]

    def open(self, where: Address) -> ListeningSocket:
        """A listening socket whose clients come here; not in `sockets` yet. Raises OSError with name and place."""
        try:
            return self.network.listen(where, self.accepted)
        except OSError as error:
            text = f"listener {self.name}: {show(where.sockaddr)}: {error.strerror or error}"
            raise OSError(error.errno, text) from error

    def take(self, socket: ListeningSocket) -> None:
        """The clients of a listening socket of another listener come here from now on; not in `sockets` yet."""
        socket.hand_to(self.accepted)

    def _stop_listening(self) -> None:
        sockets, self.sockets = self.sockets, {}
        for socket in sockets.values():
            socket.close()

    def accepted(self, connection: NewConnection) -> WireProtocol | None:
        """The protocol of a new connection: the client, behind a PROXY header and TLS; None: it is refused."""
        counts = self.counts
        counts.connections += 1
        if len(self.clients) >= self.snapshot.max_connections:
            counts.connections_refused += 1
            return None
        overload = self.network.overload
        if overload.refusing and overload.refuses():
            counts.connections_refused += 1
            return None
        trusted = self.snapshot.proxy_trusted
        if trusted is not None and not trusted(connection.peer):
            counts.connections_refused += 1
            self._not_trusted(connection.peer)
            return None
        settings = self.snapshot
        client = self._new_client(settings)
        if settings.doors is not None and isinstance(client, Downstream):
            note_port(settings.doors, connection.host, client.facts)
        counts.connections_active += 1
        self.clients[client] = None
        if settings.keepalive is not None:
            connection.keep_alive(*settings.keepalive)
        if settings.original_destination:
            connection.find_original_destination()
        behind = self._secured(client)
        return ProxyProtocol(self, client, behind) if self.snapshot.proxy_protocol else behind

    def _new_client(self, settings: ListenerSnapshot) -> Downstream | Undecided:
        if settings.chains is not None and self._find is not None:
            return ChainChoice(self, settings.chains, self._find, self._find_meant if settings.hand_over else None)
        if settings.candidates:
            return self._detection(settings)
        self._number += 1
        return Downstream(self, self._number)

    def _secured(self, client: Downstream | Undecided) -> WireProtocol:
        if self.snapshot.tls is None or self.snapshot.tls.start:
            return client
        return TlsTransport(self.snapshot.tls, client, self.network.clock, partial(self._not_secured, client))

    def _detection(self, settings: ListenerSnapshot) -> Detection:
        found = [self._find(name) for name in settings.candidates] if self._find is not None else []
        return Detection(self, [one for one in found if one is not None], settings.detection_wait)

    def take_over(self, connection: Wire, own_tls: bool = False) -> WireProtocol | None:
        """See roles.Candidate."""
        counts = self.counts
        counts.connections += 1
        if (self.draining and not self.patient) or len(self.clients) >= self.snapshot.max_connections:
            counts.connections_refused += 1
            return None
        client = self._new_client(self.snapshot)
        counts.connections_active += 1
        self.clients[client] = None
        return self._secured(client) if own_tls else client

    def _not_trusted(self, peer: str) -> None:
        host = peer.rpartition(":")[0]
        if self._log_throttle.allows((host, "PROXY")):
            text = "listener {name}: {peer} is none of proxy_protocol.trusted; connection refused"
            log.warn(text, name=self.name, peer=peer)

    def _not_secured(self, client: Leaving, text: str, timed_out: bool) -> None:
        """A client whose TLS handshake failed."""
        self.tls_failed(text)
        self.left(client)

    def tls_failed(self, text: str) -> None:
        """Counts and logs it: a port scan must not fill the log."""
        self.counts.tls_errors += 1
        if self._log_throttle.allows("tls"):
            log.warn("listener {name}: {text}", name=self.name, text=text)

    def left(self, client: Leaving) -> None:
        """Called once by each client when its connection is over."""
        if self.clients.pop(client, 0) is None:
            self.counts.connections_active -= 1
        if self.draining and not self.clients:
            self._finish_drain()

    # -- from time to time

    def sweep(self, now: float) -> None:
        """Closes clients that were idle for too long, has sessions send heartbeats. Called every second or so."""
        for _ in self.sweeping(now):
            pass

    def sweeping(self, now: float) -> Iterator[None]:
        """As `sweep`, in steps between which exchanges may go on."""
        limit = self.snapshot.idle_timeout
        beats = getattr(self.snapshot.codec, "beats", False)
        if limit <= 0 and not beats:
            return
        for number, client in enumerate(list(self.clients), 1):
            if number % SWEPT_AT_ONCE == 0:
                yield
            if beats and client in self.clients:
                client.beat(now)
            if client in self.clients and 0 < limit <= client.idle_for(now):
                self.counts.idle_timeouts += 1
                client.expire()

    def forget_closed(self) -> None:
        """Have idle clients keep nothing of clusters that are replaced."""
        for client in self.clients:
            client.forget_closed()

    # -- draining

    def drain(self, patient: bool = False) -> Deferred[None]:
        """
        Accepts no more, lets what is under way finish, closes idle connections, gives up after drain_timeout. Fires
        when the last client is gone. Calling it again waits for the same end. patient: an idle connection is closed
        behind its next answer, as what its client asks at this moment would be lost; for when nothing waits for the
        end.
        """
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        if not self.draining:
            self.draining, self.patient = True, patient
            self._stop_listening()
            self._give_up = self.network.clock.callLater(self.snapshot.drain_timeout, self._out_of_patience)
            for client in list(self.clients):
                try:
                    client.drain()
                except BaseException:  # its codec's goodbye
                    self.plugin_failed(culprit(Failure(), f"codec {self.snapshot.codec.name}"), Failure())
                    client.close()
        if not self.clients:
            self._finish_drain()
        return done

    def _out_of_patience(self) -> None:
        self._give_up = None
        level = LogLevel.info if self.patient and not self.counts.active_exchanges else LogLevel.warn
        log.emit(
            level,
            "listener {name}: {clients} connections closed after drain_timeout, {exchanges} exchanges under way",
            name=self.name,
            clients=len(self.clients),
            exchanges=self.counts.active_exchanges,
        )
        for client in list(self.clients):
            client.cut_short()
        self.close()

    def close(self) -> None:
        """Ends everything now."""
        self.draining = True
        self._stop_listening()
        for client in list(self.clients):
            client.close()
        if not self.clients:
            self._finish_drain()

    def _finish_drain(self) -> None:
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None
        waiting, self._drained = self._drained, []
        for done in waiting:
            done.callback(None)

    # -- faults, logged a bounded number of times

    def bad_frame(self, peer: str, text: str) -> None:
        if self._log_throttle.allows((peer, "frame")):
            log.warn("listener {name}: {peer} sent no {codec}: {text}; connection closed",
                     name=self.name, peer=peer, codec=self.snapshot.codec.name, text=text)  # fmt: skip

    def filter_failed(self, hook: Callable[..., object], failure: Failure) -> None:
        self.counts.filter_errors += 1
        self.plugin_failed(
            f"{type(getattr(hook, '__self__', hook)).__name__}.{getattr(hook, '__name__', 'hook')}", failure
        )

    def plugin_failed(self, who: str, failure: Failure) -> None:
        """who: the class and method of a filter, codec or balancer that raised; counted, and logged now and then."""
        errors = self.counts.plugin_errors
        errors[who] = errors.get(who, 0) + 1
        if self._log_throttle.allows(who):
            log.failure("listener {name}: {who} failed", failure=failure, name=self.name, who=who)
