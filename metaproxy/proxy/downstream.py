"""
One client's connection: reads, bounds, orders, closes. What a message goes through is exchange.py's.

Lives here: `Downstream`. Does not: filters, routes, upstream connections.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from metaproxy.interfaces import ICodec
from metaproxy.message import Correlation, ErrorKind, Hold, Kind, Message, Side
from metaproxy.proxy.exchange import Exchange

if TYPE_CHECKING:
    from metaproxy.proxy.listener import Listener
    from metaproxy.proxy.pool import Pool
    from metaproxy.proxy.upstream import Upstream

_REQUEST = Kind.REQUEST
_ONEWAY = Kind.ONEWAY
_ON_ITS_OWN = (Hold.OPEN, Hold.CLOSE)
"""Once a client has a connection of its own, these go over it behind what is under way there."""
_ENDS = (Hold.EXCHANGE, Hold.CLOSE)
"""What follows these takes another connection, and so must wait for their answer."""
_ENDING = "ending"
"""The reason for the pause of a connection that takes nothing more, see end_behind."""
LINGER = 1.0
"""Seconds an idle connection stays open after its client was told that the proxy drains, where a protocol can tell."""


def _is_ordered(codec: ICodec) -> bool:
    return bool(codec.ordered or codec.correlation is Correlation.FIFO)


class _Answer:
    """What the codec answered by itself: a place in the order of answers, and no exchange."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data: bytes | None = data


class Downstream(Protocol):
    """
    number: counts the listener's connections. facts: what routes and filters may know of the peer. inflight: exchanges
    under way. pin: the upstream connection that has its state, if any: all its requests go there. own: those that are
    its own because a cluster's `mode` is pinned; see pool.own_place. sticky: the shared connection of each pool that
    its requests take, so that they can't overtake each other.
    """

    def __init__(self, listener: Listener, number: int) -> None:
        snapshot = listener.snapshot
        self.listener = listener
        self.network = listener.network
        self.number = number
        self.facts: dict[str, str] = {}
        self.inflight = 0
        self.pin: Upstream | None = None
        self.own: dict[tuple[str, str, Hashable], Upstream] = {}
        self.sticky: dict[Pool, Upstream] = {}
        self.session = snapshot.codec.session(Side.CLIENT, snapshot.max_frame)
        self.codec = snapshot.codec
        self.last_active = self.network.turn.now
        self._turn = self.network.turn
        self._overload = self.network.overload
        self._counts = listener.counts
        self._limit = snapshot.max_inflight
        self._ordered = _is_ordered(snapshot.codec)
        self._queue: deque[Exchange | _Answer] = deque()
        self._exchanges: dict[Exchange, None] = {}
        self._held: deque[Message] = deque()
        self._barrier: Exchange | None = None
        self._blocked = False
        self._out: list[bytes] = []
        self._pauses: set[object] = set()
        self._choked: list[Upstream] = []
        self._stall: IDelayedCall | None = None
        self._stall_mark = 0
        self._leaving = False
        self._gone = False
        self._closed = False

    # -- a connection begins

    def connectionMade(self) -> None:
        peer = str(self.transport.getPeer())  # type: ignore[union-attr]
        host = str(self.transport.getHost())  # type: ignore[union-attr]
        for side, where in (("source", peer), ("destination", host)):
            name, _, port = where.rpartition(":")
            self.facts[f"{side}.address"] = name.strip("[]") if port.isdecimal() else where
            self.facts[f"{side}.port"] = port if port.isdecimal() else ""
        self.facts.update(getattr(self.transport, "facts", ()))
        if self.listener.snapshot.codec.server_first:
            # Opens the client's own upstream connection and sends nothing: the server's greeting comes as an event.
            self._begin(Message(_ONEWAY, b"", hold=Hold.OPEN))
        if self.listener.draining:
            self.drain()

    # -- reading

    def dataReceived(self, data: bytes) -> None:
        self._counts.bytes_received += len(data)
        self.last_active = self._turn.now
        if self.codec is not self.listener.snapshot.codec:
            self._renew_session()
        session = self.session
        for message in session.receive(data):
            if message.answer is None and not message.hold and not self._blocked and message.kind <= _ONEWAY:
                self._begin(message)
            else:
                self._unusual(message)
        if session.error is not None:
            self._refuse(str(session.error))
        elif session.closing:
            self._leave()
        elif self._backlog() >= self._limit:
            self.pause("inflight")
        elif self._leaving and not self.inflight:
            self._close_if_idle()

    def _backlog(self) -> int:
        """What the client asked and did not get yet: under way, waiting for its place in the order, or for its turn."""
        return max(self.inflight, len(self._queue)) + len(self._held)

    def _begin(self, message: Message) -> Exchange:
        listener = self.listener
        exchange = Exchange(self, message, listener.snapshot, self._turn.now)
        self.inflight += 1
        if self.inflight >= self._limit:
            self._blocked = True
        counts = self._counts
        counts.requests += 1
        counts.active_exchanges += 1
        if message.kind is _ONEWAY:
            counts.oneway += 1
        elif self._ordered:
            self._queue.append(exchange)
        self._exchanges[exchange] = None
        if self._overload.shedding:
            exchange.failed(None, ErrorKind.OVERLOAD, self._overload.shed())
        else:
            exchange.begin()
        return exchange

    def _unusual(self, message: Message) -> None:
        kind = message.kind
        if kind == Kind.HEARTBEAT:
            self._counts.heartbeats += 1
            if message.answer:
                self.write(message.answer)
        elif kind > _ONEWAY:
            # A client that answers: nobody asked it anything.
            self._counts.unmatched_responses += 1
        else:
            self._held.append(message)
            self._release()

    def _release(self) -> None:
        """Starts what had to wait for its turn: what binds or frees the connection, and what follows."""
        held = self._held
        if _ENDING in self._pauses:
            held.clear()
            return
        while held and self._barrier is None and self.inflight < self._limit and not self._gone:
            message = held[0]
            hold = message.hold
            if hold and self.inflight and (self.pin is None or hold not in _ON_ITS_OWN):
                break
            held.popleft()
            if message.answer is not None:
                self._counts.local_answers += 1
                self._answer(message.answer)
                continue
            if hold == Hold.CLOSE and self.pin is None:
                message.hold = hold = Hold.NONE
            exchange = self._begin(message)
            if hold in _ENDS and not exchange.outcome:
                self._barrier = exchange
        self._blocked = bool(held) or self._barrier is not None or self.inflight >= self._limit

    def _answer(self, data: bytes) -> None:
        if self._ordered and self._queue:
            self._queue.append(_Answer(data))
        elif data:
            self.write(data)

    def _refuse(self, text: str) -> None:
        """The peer's bytes are not the protocol: nothing more is read, what came before is answered, and it ends."""
        if "broken" not in self._pauses:
            self._counts.decode_errors += 1
            self.listener.bad_frame(str(self.facts.get("source.address")), text)
            self.pause("broken")
            self._leave()

    def _renew_session(self) -> None:
        """The codec was replaced: take the new one as soon as nothing of the old one's is under way."""
        snapshot = self.listener.snapshot
        if self.inflight or self._held or self._pins() or self.session.buffered:
            return
        self.codec = snapshot.codec
        self._ordered = _is_ordered(snapshot.codec)
        if not snapshot.codec.stateful:
            self.session = snapshot.codec.session(Side.CLIENT, snapshot.max_frame)

    def under_way(self) -> Iterator[Exchange]:
        """Its exchanges that are not complete, the last one first."""
        return reversed(self._exchanges)

    # -- an exchange has ended

    def finished(self, exchange: Exchange) -> None:
        """Called once by each exchange, when it is complete."""
        self.inflight -= 1
        self._counts.active_exchanges -= 1
        del self._exchanges[exchange]
        if self._gone:
            return
        if exchange.message.kind is not _ONEWAY:
            if self._ordered:
                queue = self._queue
                if exchange.data is None:
                    exchange.data = b""
                while queue and (data := queue[0].data) is not None:
                    queue.popleft()
                    if data:
                        self.write(data)
            elif exchange.data:
                self.write(exchange.data)
        elif exchange.data:  # a refused request that gets no answer of its own, but may get an error
            self._answer(exchange.data)
        if exchange.message.hold:
            if exchange.message.hold == Hold.OPEN and self.pin is None:
                self._state_refused(exchange)
                return
            if exchange is self._barrier:
                self._barrier = None
            if exchange.message.hold == Hold.CLOSE:
                self.unpin()
        if self._blocked:
            if exchange is self._barrier:
                self._barrier = None
            self._release()
        if self._pauses and "inflight" in self._pauses and self._backlog() <= self._limit // 2:
            self.resume("inflight")
        if self._leaving and not self.inflight:
            self._close_if_idle()

    def _state_refused(self, exchange: Exchange) -> None:
        """The state that client and codec believe in from now on is nowhere: the client gets the error and no more."""
        self._held.clear()
        self._barrier, self._blocked = exchange, True
        self.pause("refused")
        self._leave()

    # -- what filters do to the connection of their exchange

    def wait_for(self, exchange: Exchange) -> None:
        """
        A filter takes its time. Where answers come in the order of requests, requests are executed in it, too: what
        the client sent next goes to no server before this one.
        """
        if self.codec.correlation is Correlation.FIFO and self._barrier is None:
            self._barrier = exchange
            self._blocked = True

    def waited_for(self, exchange: Exchange) -> None:
        """It is on its way."""
        if self._barrier is exchange and exchange.message.hold not in _ENDS:
            self._barrier = None
            self._release()

    def end_behind(self, exchange: Exchange) -> None:
        """Nothing is sent behind what answers `exchange`, which is about to complete; then the connection closes."""
        self.pause(_ENDING)
        self._blocked = self._leaving = True
        self._held.clear()
        if exchange.message.kind is _ONEWAY:  # has no place among the answers
            return
        later = list(self._exchanges)
        if self._ordered:
            queue = list(self._queue)
            place = queue.index(exchange)
            self._queue = deque(queue[: place + 1])
            later = [one for one in queue[place:] if isinstance(one, Exchange)]
        for other in later:
            if other is not exchange:
                other.abandon("downstream_gone")

    def reset(self) -> None:
        """Ends the connection as a crash would: the client sees a reset."""
        if not self._gone:
            self._closed = True
            # What wraps another transport, as TLS does, may only know how to abort.
            transport = self.transport
            getattr(transport, "resetConnection", transport.abortConnection)()  # type: ignore[union-attr]

    # -- writing

    def write(self, data: bytes) -> None:
        if not self._out:
            self._turn.add(self)
        self._out.append(data)

    def flush(self) -> None:
        out, self._out = self._out, []
        if self._gone or not out:
            return
        self.last_active = self._turn.now
        if len(out) == 1:
            self._counts.bytes_sent += len(out[0])
            self.transport.write(out[0])  # type: ignore[union-attr]
        else:
            self._counts.bytes_sent += sum(map(len, out))
            self.transport.writeSequence(out)  # type: ignore[union-attr]

    def event(self, message: Message) -> None:
        """A server's push on this client's own connection."""
        self.write(self.session.send(message, message.id))

    # -- pauses: by reason, so that two who hold a connection must both let go

    def pause(self, reason: object) -> None:
        if not self._pauses:
            self.transport.pauseProducing()  # type: ignore[union-attr]
        self._pauses.add(reason)

    def resume(self, reason: object) -> None:
        self._pauses.discard(reason)
        if not self._pauses and not self._gone:
            self.transport.resumeProducing()  # type: ignore[union-attr]

    def pauseProducing(self) -> None:
        """Our transport: the client reads too slowly. Neither it nor who answers it is read until it caught up."""
        self.pause("slow")
        for exchange in self._exchanges:
            attempt = exchange.attempt
            for connection in attempt.connections() if attempt is not None else ():
                self._choke(connection)
        for connection in self._pins():
            self._choke(connection)
        if self._stall is None and self.listener.snapshot.stall_timeout > 0:
            self._stall_mark = self._progress()
            self._stall = self.network.clock.callLater(self.listener.snapshot.stall_timeout, self._stalled)

    def _choke(self, connection: Upstream) -> None:
        if self not in connection.paused_by:
            connection.pause(self)
            self._choked.append(connection)

    def resumeProducing(self) -> None:
        choked, self._choked = self._choked, []
        for connection in choked:
            connection.resume(self)
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self.resume("slow")

    def stopProducing(self) -> None:
        """The transport ends; connectionLost follows."""

    def _progress(self) -> int:
        return int(getattr(self.transport, "buffered", 0))

    def _stalled(self) -> None:
        """Still slow after stall_timeout: whoever took something meanwhile may go on."""
        self._stall = None
        mark = self._progress()
        if mark < self._stall_mark:
            self._stall_mark = mark
            self._stall = self.network.clock.callLater(self.listener.snapshot.stall_timeout, self._stalled)
            return
        self._counts.stalled += 1
        self._closed = True
        self.transport.abortConnection()  # type: ignore[union-attr]

    # -- a connection of its own

    def pinned(self, connection: Upstream) -> None:
        self.pin = connection

    def _pins(self) -> list[Upstream]:
        return [*self.own.values(), *([self.pin] if self.pin is not None else [])]

    def unpin(self) -> None:
        """The state is gone that needed it; the connection goes back, if nothing of ours is left on it."""
        connection, self.pin = self.pin, None
        if connection is None:
            return
        if connection.idle_and_clean():
            connection.pool.give_back(connection)
        else:
            connection.lease = None
            connection.drop()

    def pin_lost(self, connection: Upstream) -> None:
        """The server closed it: what the client believes of its state is no longer true."""
        if connection in self._pins():
            self.pin = None
            self.own = {place: own for place, own in self.own.items() if own is not connection}
            if not self._gone:
                self.flush()
                self.transport.loseConnection()  # type: ignore[union-attr]
                self._end(local=True)

    # -- leaving

    def drain(self, linger: bool = True) -> None:
        """Takes no new connection's worth of work: tells the client where its protocol can, closes when idle."""
        if self._leaving or self._gone or self.transport is None:  # None: its PROXY header is still to come
            return
        goodbye = self.session.drain()
        if goodbye:
            self.write(goodbye)
        if goodbye and linger:
            self.network.clock.callLater(LINGER, self._leave)
        else:
            self._leave()

    def _leave(self) -> None:
        self._leaving = True
        if not self.inflight:
            self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self.inflight and not self._held and not self._gone:
            if not self._pauses and not self.session.closing and getattr(self.transport, "unread", False):
                return  # asked before it could know: that is read and answered first
            self.flush()
            self.transport.loseConnection()  # type: ignore[union-attr]

    def idle_for(self, now: float) -> float:
        """Seconds since anything happened; 0 while an exchange is under way or a subscription is open (B12)."""
        return 0.0 if self.inflight or self._held or self.pin is not None else now - self.last_active

    def close(self) -> None:
        """At once, whatever is under way."""
        if not self._gone and self.transport is not None:
            self._closed = True
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def readConnectionLost(self) -> None:
        """The client sends no more; what it asked is answered first (B10)."""
        for exchange in list(self._exchanges):
            if exchange.message.hold == Hold.EXCHANGE:
                exchange.abandon("downstream_gone")  # it would take an element off a list for nobody
        if self.pin is not None and not self.inflight:
            self.transport.abortConnection()  # type: ignore[union-attr]
            return
        self._leave()

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self._end(local=self._closed)

    def _end(self, local: bool) -> None:
        """Nothing can be told to the client any more: every exchange of its ends. Once. local: the proxy closed."""
        if self._gone:
            return
        self._gone = True
        self._held.clear()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if local:
            self._counts.destroyed_local_active += len(self._exchanges)
        else:
            self._counts.destroyed_remote_active += len(self._exchanges)
        for exchange in list(self._exchanges):
            exchange.abandon("downstream_gone")
        self._queue.clear()
        for connection in self._choked:
            connection.resume(self)
        self._choked = []
        pins = self._pins()
        self.pin, self.own = None, {}
        for pin in pins:
            pin.lease = None
            pin.let_go()
        self.sticky.clear()
        self.listener.left(self)
