"""
A request about what another client has under way: PostgreSQL's CancelRequest, MySQL's KILL QUERY.

Lives here: `CompanionExchange`, which takes it to the server connection that this client has now; `speakers`, where
clients are found by their sessions. Does not: the keys by which clients name each other (`codecs.cancel_keys`), what a
server is sent (`ISession.companion`).

What waits for a server connection ends here, as no server has heard of it.

The server's connection is lent to no client until the server has heard of it: what the next one asks must not be ended
in the place of what has ended meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol as Interface

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from metaproxy.message import ErrorKind, FrameError, Message, Reply
from metaproxy.proxy.attempt import Attempt
from metaproxy.proxy.exchange import Exchange
from metaproxy.proxy.pool import pool_of
from metaproxy.proxy.roles import UpstreamConnection
from metaproxy.proxy.tls import TlsTransport
from metaproxy.support import addresses as address
from metaproxy.wire import ConnectingProtocol, Wire

PATIENCE = 5.0
"""Seconds that a server has to hear of it."""


class Speaker(Interface):
    """The connection of a client that others may ask about."""

    def connection_now(self) -> UpstreamConnection | None:
        """The server connection that it has now."""

    def end_waiting(self) -> None:
        """Ends its request that waits for a server connection, if there is one."""


speakers: dict[object, Speaker] = {}
"""By the sessions of clients whose codec has `cancels`."""


class CompanionExchange(Exchange):
    """Its message names a session; what follows goes to the endpoint of that client's connection."""

    __slots__ = ("_about",)

    _about: UpstreamConnection

    def forward(self) -> None:
        route = self.matched_route
        if route.reply is not None:
            super().forward()
            return
        speaker = speakers.get(self.message.companion)
        connection = speaker.connection_now() if speaker is not None else None
        if connection is None or not connection.ready:
            if speaker is not None:
                speaker.end_waiting()
            self.local(Reply(ErrorKind.NO_ENDPOINT, "nothing of that client is under way"))
            return
        try:
            self.target = route.pick() if route.split_by_hash is None else route.stick(self.message.get, {})
            self._follow(connection)
            said = connection.companion(self.message)
        except FrameError as error:
            self.local(Reply(ErrorKind.BAD_REQUEST, str(error)))
            return
        self.endpoint = connection.endpoint
        connection.companions += 1
        self.watch()
        if isinstance(said, Message):
            self._ask(connection, said)
        else:
            self._say(connection, said)

    def _ask(self, connection: UpstreamConnection, message: Message) -> None:
        """A request of its own, on another connection to the endpoint."""
        pool = connection.pool
        self._about = connection
        self.attempt = Attempt(self, message, pool.cluster, connection.endpoint)
        pool_of(connection.endpoint, pool.cluster, self.client.network).start_beside(self.attempt)

    def _say(self, connection: UpstreamConnection, data: bytes) -> None:
        """Bytes on a connection of their own."""
        pool = connection.pool
        network, settings, where = pool.network, pool.settings, address.parse(connection.endpoint.address)
        saying = _Saying(data, network.clock, partial(self._heard, connection))
        protocol: ConnectingProtocol = saying
        tls = settings.tls_for(connection.endpoint)
        if tls is not None and not tls.start:
            protocol = TlsTransport(tls, saying, network.clock, saying.connectionFailed, where.host)
        network.connect(where, protocol, settings.connect_timeout, settings.source)

    def _heard(self, connection: UpstreamConnection, text: str) -> None:
        """text: what went wrong; '' when the server has heard of it. Who asked may be gone."""
        _lend_again(connection)
        if text:
            self.local(Reply(ErrorKind.CONNECT, text))
        else:
            self.complete("oneway")

    def complete(self, outcome: str) -> None:
        super().complete(outcome)
        connection = getattr(self, "_about", None)  # a slot that only a request fills
        if connection is not None:
            del self._about
            _lend_again(connection)


def _lend_again(connection: UpstreamConnection) -> None:
    connection.companions -= 1
    connection.pool.companion_left(connection)


class _Saying(Protocol):
    """A connection on which bytes are said, and whose end means that the server has heard them."""

    transport: Wire | None  # type: ignore[assignment]

    def __init__(self, data: bytes, clock: IReactorTime, heard: Callable[[str], None]) -> None:
        self._data = data
        self._heard: Callable[[str], None] | None = heard
        self._timer: IDelayedCall | None = clock.callLater(PATIENCE, self._too_late)

    def connectionMade(self) -> None:
        if self.transport is not None:
            self.transport.write(self._data)

    def connectionFailed(self, text: str, timed_out: bool) -> None:
        """Called by the network in place of makeConnection."""
        self._over(text)

    def dataReceived(self, data: bytes) -> None:
        """A server answers nothing."""

    def readConnectionLost(self) -> None:
        self._over("")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over("")

    def pauseProducing(self) -> None:
        """A few bytes: they are written once."""

    def resumeProducing(self) -> None:
        """See pauseProducing."""

    def _too_late(self) -> None:
        self._timer = None
        self._over(f"the server has not heard of it within {PATIENCE:g} s")

    def _over(self, text: str) -> None:
        if self._heard is None:
            return
        heard, self._heard = self._heard, None
        if self._timer is not None:
            self._timer.cancel()
        if self.transport is not None:
            self.transport.abortConnection()
        heard(text)
