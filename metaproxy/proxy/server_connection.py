"""
One connection to an endpoint as such: it opens, logs in, writes, is paused, ends.

Lives here: `ServerConnection`, below `upstream.Upstream`. Does not: requests and answers (`upstream`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import partial
from types import MappingProxyType

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.message import ErrorKind, Message, Side, Written
from metaproxy.proxy.culprit import culprit
from metaproxy.proxy.roles import Client, ConnectionOwner, Try
from metaproxy.proxy.sessions import new_session
from metaproxy.proxy.socket_protocol import SocketProtocol
from metaproxy.proxy.tls import begin_tls
from metaproxy.support import addresses as address
from metaproxy.wire import Wire

log = Logger(__name__)

GOODBYE = 30.0
"""Seconds that a server has to take what was written to a connection that is let go."""


_NO_PUSHES: Mapping[int, Try | None] = MappingProxyType({})


class ServerConnection(SocketProtocol):
    """
    profile: the state it was opened in. holder: the client that has it alone, pinned or reserved; lease: the attempt
    that has it alone, pooled, and the newest one where its client's requests stay together; None and None: shared, or
    idle in its pool. usable: whether it takes new requests. reserved: shared before, until its client sent a one-way
    request whose answer, if the server gives one against the rules, could be taken for another's. choked: its
    server does not take what was written. companions: requests about what is under way on it, on other connections.
    """

    __slots__ = (
        "_attentive", "_counts", "_facts", "_full", "_limited", "_login", "_out", "_pends", "_pushing", "_ready",
        "_retiring", "_send", "_session", "_spoilt", "_starting", "_stuck", "_turn", "_waiting", "alive", "choked",
        "companions", "endpoint", "holder", "idle_since", "lease", "opened", "paused_by", "pool", "profile",
        "requests", "reserved", "transport", "usable",
    )  # fmt: skip

    def __init__(self, pool: ConnectionOwner, profile: Hashable) -> None:
        self.transport: Wire = None  # type: ignore[assignment]  # before it is there, and while TLS begins
        self.pool = pool
        self.profile = profile
        self.endpoint = pool.endpoint
        self.holder: Client | None = None
        self.lease: Try | None = None
        self.usable = True
        self.alive = True
        self.requests = 0
        self.opened = self.idle_since = pool.network.turn.now
        self.paused_by: set[object] = set()
        self.reserved = False
        self._spoilt = False
        self.choked = False
        self._turn = pool.network.turn
        self._facts: dict[str, str] = {}
        self._session = new_session(pool.codec, Side.SERVER, pool.settings.max_frame, self._facts)
        if pool.cluster.kept is not None:
            self._session.keep = partial(pool.cluster.kept.keep, pool.endpoint)  # type: ignore[method-assign]
        self._send = self._session.send  # bound: who sends does not look it up
        self._ready = self._starting = False
        self._retiring = False
        self._attentive = True  # `_after_read` is wanted: not ready yet, retiring, or full
        self._limited = False  # the session has a capacity
        self._waiting: dict[Try, None] = {}
        self._pends = 0
        self._out: list[Written] = []
        self._counts = pool.endpoint.counts
        self._login: IDelayedCall | None = None
        self._full = False
        self._stuck: dict[Try, None] = {}
        self._pushing: Mapping[int, Try | None] = _NO_PUSHES
        self.companions = 0

    # -- a new connection

    def makeConnection(self, transport: Wire) -> None:
        """See wire.WireProtocol."""
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        if not self.alive:  # dropped while it was on its way
            self.transport.abortConnection()
            return
        if "tls.start" in self._facts and self._session.start_tls:  # the handshake that it began is done
            del self._facts["tls.start"]
        else:
            self._begin()
        self._facts.update(getattr(self.transport, "facts", ()))
        try:
            hello = self._session.open(self.profile, self.pool.cluster.credentials)
        except BaseException:
            self._codec_failed(Failure())
            return
        if hello:
            self._write(hello)
        if self._session.error is not None:  # such as a protocol that TLS did not agree on
            self._after_read()
        elif self._session.ready:
            self._become_ready()
        elif self._login is None:
            self._wait_for_login()

    def _begin(self) -> None:
        """It is there."""
        settings = self.pool.settings
        self._facts["endpoint.address"] = self.endpoint.address
        for key in ("role", "shard"):
            if key in self.endpoint.learnt:
                self._facts[f"endpoint.{key}"] = self.endpoint.learnt[key]
        self._counts.connections += 1
        if settings.keepalive is not None:
            self.transport.keep_alive(*settings.keepalive)
        tls = settings.tls_for(self.endpoint)
        if tls is not None and tls.start:
            self._facts["tls.start"] = tls.start

    def dataReceived(self, data: bytes) -> None:
        """The server sends these."""
        raise NotImplementedError

    def readConnectionLost(self) -> None:
        """The server sends no more."""
        raise NotImplementedError

    def _start_tls(self) -> None:
        """The protocol begins TLS here."""
        tls, transport = self.pool.settings.tls_for(self.endpoint), self.transport
        if tls is None or not tls.start:
            raise ValueError("the session begins TLS on a connection that has none")
        self._ready, self._attentive = False, True  # what follows waits until it is done
        self.flush()
        self.transport = None  # type: ignore[assignment]  # as before a connection is there
        host = address.parse(self.endpoint.address).host
        clock = self.pool.network.clock
        begin_tls(tls, self, transport, clock, self.connectionFailed, host, self._session.tls_rest)

    def connectionFailed(self, text: str, timed_out: bool) -> None:
        """Called by the network in place of makeConnection."""
        if timed_out:
            self._counts.connect_timeouts += 1
        else:
            self._counts.connect_errors += 1
        self._over(ErrorKind.CONNECT, f"connect to {self.endpoint.address} failed: {text}")

    def beat(self, now: float) -> None:
        """Heartbeats by time; a server that answers none loses its connection."""
        if self.alive and self.transport is not None:
            self._session.unread = bool(self.paused_by)
            try:
                self._session.beat(now)
            except BaseException:
                self._codec_failed(Failure())
                return
            self._after_read()

    def _wait_for_login(self) -> None:
        """A server that accepts connections and says nothing must not keep requests waiting for ever."""
        self._login = self.pool.network.clock.callLater(self.pool.settings.connect_timeout, self._no_login)

    def _no_login(self) -> None:
        self._login = None
        self._counts.connect_timeouts += 1
        text = f"{self.endpoint.address}: connected, and not ready within {self.pool.settings.connect_timeout:g} s"
        self._over(ErrorKind.CONNECT, text)
        if self.transport is not None:
            self.transport.abortConnection()

    def _stop_login(self) -> None:
        if self._login is not None:
            self._login.cancel()
            self._login = None

    def change(self, profile: Hashable) -> bool:
        """
        Bring it into another state, or into its own again, while nothing is under way; it is not ready until its server
        has followed. False: that can't be done.
        """
        try:
            data = self._session.change(profile)
        except BaseException:
            self._codec_failed(Failure())
            return False
        if data is None:
            return False
        self.profile = profile
        if data:
            self._write(data)
        if not self._session.ready:
            self._ready, self._attentive = False, True
            self._stop_login()  # of a change that it has not followed yet
            self._wait_for_login()
        return True

    @property
    def ready(self) -> bool:
        """Whether requests go to the server at once: it is there, and in its state."""
        return self._ready

    def companion(self, message: Message) -> bytes | Message:
        """What is to be said of what is under way here: see ISession.companion. May raise FrameError."""
        return self._session.companion(message)

    def _become_ready(self) -> None:
        self._ready = True
        self._stop_login()
        self._limited = self._session.capacity > 0
        self._attentive = self._retiring
        self.pool.cluster.breaker.pending -= self._pends
        self._pends = 0
        self._start_waiting()

    # -- writing

    def _write(self, data: Written) -> None:
        if not self._out:
            self._turn.add(self)
        self._out.append(data)

    def flush(self) -> None:
        out, self._out = self._out, []
        if not self.alive or not out:
            return
        if len(out) == 1:
            self._counts.bytes_sent += len(out[0])
            self.transport.write(out[0])
        else:
            self._counts.bytes_sent += sum(map(len, out))
            self.transport.writeSequence(out)

    def pauseProducing(self) -> None:
        """
        The server reads slowly: what is for it waits here, and nothing else does. A client that goes on sending meets
        its own bounds, max_inflight and max_buffered.
        """
        self.choked = True

    def resumeProducing(self) -> None:
        self.choked = False
        if self._waiting and self._ready:
            self._start_waiting()
        if self._stuck:
            self._offer_room()

    def stopProducing(self) -> None:
        """The transport ends; connectionLost follows."""

    # -- a client that reads slowly

    def pause(self, client: Client) -> None:
        """
        Read no more until `client` took what there is for it. A connection that others share goes on: their answers
        come behind the client's, which are bounded by what it may have under way.
        """
        if self.alive and self._ready and self._taken() and (not self.reserved or self.alone(client)):
            self._pause(client)

    def _taken(self) -> bool:
        """Whether one client or attempt has it alone."""
        return self.holder is not None or self.lease is not None

    def pause_if_alone(self, client: Client) -> None:
        """As `pause`, on a shared connection too, once nothing but `client`'s is under way; no other is sent to it."""
        if self.alive and self._ready and client not in self.paused_by:
            self.usable = False
            if self.alone(client):
                self._pause(client)

    def _pause(self, reason: object) -> None:
        if reason not in self.paused_by:
            if not self.paused_by:
                self.transport.pauseProducing()
            self.paused_by.add(reason)
            self.usable = False

    def recover(self) -> None:
        """A client that read slowly caught up."""
        if self.alive and not self.paused_by:
            self.usable = not (self._retiring or self.reserved or self._spoilt or self._full)

    def resume(self, reason: object) -> None:
        if reason not in self.paused_by:  # it was not there yet, or has ended since
            return
        self.paused_by.remove(reason)
        if self.alive and not self.paused_by:
            self.recover()
            self.transport.resumeProducing()

    # -- a codec that fails

    def _codec_failed(self, failure: Failure) -> None:
        """The codec itself failed: everything on this connection ends, and says so."""
        self._end_by_codec(culprit(failure, f"codec {self.pool.codec.name}"), failure)

    def unflushable(self, failure: Failure) -> None:
        """See SocketProtocol: the codec's `send` gave something else than bytes."""
        self._end_by_codec(f"codec {self.pool.codec.name}: send", failure)

    def _end_by_codec(self, who: str, failure: Failure) -> None:
        self._counts.decode_errors += 1
        self.pool.codec_failed(who, failure)
        self._over(ErrorKind.INTERNAL, f"{who} failed")
        if self.transport is not None:
            self.transport.abortConnection()

    # -- the end

    def retire(self) -> None:
        """Take nothing new; close when the last answer is there, and no client has state on it."""
        self._retiring = self._attentive = True
        self.usable = False
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if not self.busy() and (self.holder is None or self.reserved):
            self.let_go()

    def let_go(self) -> None:
        """Close, but not before what was written has left: it may be a request that wants no answer."""
        if not self.alive:
            return
        if self.owing() or self.transport is None:
            self.drop()
            return
        self.flush()
        self._over(ErrorKind.RESET, f"{self.endpoint.address}: connection closed by the proxy", ours=True)
        self._close_behind_output()

    def _close_behind_output(self) -> None:
        """Close when what was written has left, or GOODBYE seconds later."""
        transport = self.transport
        transport.loseConnection()
        if transport.buffered:
            self.pool.network.clock.callLater(GOODBYE, transport.abortConnection)

    def end(self, kind: ErrorKind, text: str) -> None:
        """Close now, and say why to the client that has it alone."""
        if self.alive:
            self._over(kind, text, ours=True)
            self.transport.abortConnection()

    def drop(self) -> None:
        """Close now. What still waits for an answer fails, as the connection ended."""
        if self.alive:
            transport = self.transport
            self._over(ErrorKind.RESET, f"{self.endpoint.address}: connection closed by the proxy", ours=True)
            if transport is not None:
                transport.abortConnection()

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self._over(ErrorKind.RESET, f"{self.endpoint.address}: connection lost: {reason.getErrorMessage()}")

    # -- what requests and answers are, see Upstream

    def pending(self) -> list[Try]:
        """Attempts that were sent and are not answered."""
        raise NotImplementedError

    def busy(self) -> bool:
        """Whether anything is sent and unanswered, or waits to be sent. Costs the same however much is under way."""
        raise NotImplementedError

    def alone(self, client: Client) -> bool:
        """Whether all that is under way or waits here is `client`'s."""
        raise NotImplementedError

    def owing(self) -> bool:
        """Whether the server may still answer something: also to what was given up."""
        raise NotImplementedError

    def _start_waiting(self) -> None:
        """Send what waited for the connection."""
        raise NotImplementedError

    def _offer_room(self) -> None:
        """What waited for the server's socket, or its windows, may go on."""
        raise NotImplementedError

    def _after_read(self) -> None:
        """What seldom follows a read."""
        raise NotImplementedError

    def _over(self, kind: ErrorKind, text: str, ours: bool = False) -> None:
        """Everything ends that depended on this connection. Once. ours: by the proxy's own decision."""
        raise NotImplementedError
