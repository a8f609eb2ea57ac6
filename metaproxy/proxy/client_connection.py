"""
One client's connection as such: what is written to it, how much may wait for it, who is paused, what it has alone.

Lives here: `ClientConnection`, below `downstream.Downstream`. Does not: what is read, exchanges (`downstream`,
`client_requests`), the order of answers (`response_order`); the arithmetic of bytes and windows (`client_budget`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from typing import Never

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from metaproxy.interfaces import ISession
from metaproxy.message import ErrorKind, FinalFrame, Message, Side, Written
from metaproxy.proxy.client_budget import ClientBudget
from metaproxy.proxy.client_streams import ClientStreams
from metaproxy.proxy.connection import Connection
from metaproxy.proxy.doors import ClientDoors
from metaproxy.proxy.pool_client import AskingClient
from metaproxy.proxy.push import Pushes
from metaproxy.proxy.response_order import ResponseOrder, is_ordered, order_of
from metaproxy.proxy.roles import ClientOwner, ExchangeStream, OpenExchange, Try, UpstreamConnection
from metaproxy.proxy.sessions import new_session
from metaproxy.wire import Wire

SLOW, BEHIND = "slow", "behind"
"""Reasons for starting nothing more: the client reads slowly; too many answers wait for one before them."""
NO_ANSWER: tuple[object, int] = (None, 0)
"""In place of the endpoint that answered last: while nothing is under way, which needs no endpoint to be kept."""


NONE_WAITING: tuple[()] = ()
NOTHING: frozenset[Never] = frozenset()
"""
What most clients have of messages that wait, and of reasons for a pause. Each empty deque or set of their own would be
a tenth of what an idle connection takes.
"""


class ClientConnection(AskingClient):
    """
    transport: what is written to; None before it is there, and while TLS begins in front of it. _plain: the same where
    it is a socket: compiled, it is called without a look-up.
    """

    __slots__ = (
        "_barrier", "_blocked", "_budget", "_choked", "_closed", "_counts", "_exchanges", "_gone", "_held",
        "_last_answered", "_last_words", "_leaving", "_limit", "_look_again", "_order", "_ordered", "_out",
        "_overload", "_pauses", "_plain", "_pushes", "_releasing", "_securing", "_sequential", "_slow", "_stall",
        "_stall_mark", "_streams", "_unread_end", "_window", "_withheld", "codec", "last_active", "transport",
    )  # fmt: skip

    def __init__(self, listener: ClientOwner, number: int) -> None:
        snapshot = listener.snapshot
        super().__init__(listener, number)
        self.transport: Wire = None  # type: ignore[assignment]
        self._plain: Connection | None = None
        self.session = self._new_session()
        self.codec = snapshot.codec
        self.last_active = self.turn.now
        self._overload = self.network.overload
        self._counts = listener.counts
        self._budget = ClientBudget(snapshot.max_inflight, snapshot.max_buffered)
        self._sequential = bool(getattr(snapshot.codec, "sequential", False))
        # Where requests may turn out to have no answer, waiting for the first answers could last until a time-out.
        self._window = snapshot.max_inflight if self._sequential else self._budget.window
        self._limit = self._window
        self._streams: ClientStreams | None = None
        self._pushes: Pushes | None = None
        self._slow = False
        self._last_answered = NO_ANSWER
        self._look_again = 0
        self._withheld: frozenset[str] = NOTHING
        self._last_words = b""
        self._ordered = is_ordered(snapshot.codec)
        self._order: ResponseOrder | None = order_of(snapshot.codec, self, self._budget)
        self._exchanges: dict[OpenExchange, int] = {}
        self._held: deque[Message] | tuple[()] = NONE_WAITING
        self._barrier: OpenExchange | None = None
        self._blocked = self._releasing = False
        self._out: list[Written] = []
        self._pauses: frozenset[object] | set[object] = NOTHING
        self._choked: frozenset[UpstreamConnection] = NOTHING
        self._stall: IDelayedCall | None = None
        self._unread_end: IDelayedCall | None = None
        self._stall_mark = 0
        self._leaving = self._securing = False
        self._gone = False
        self._closed = False

    def makeConnection(self, transport: Wire) -> None:
        """See wire.WireProtocol."""
        self.transport = transport
        self._plain = transport if isinstance(transport, Connection) else None
        self.connectionMade()

    def _new_session(self) -> ISession:
        snapshot = self.listener.snapshot
        session = new_session(snapshot.codec, Side.CLIENT, snapshot.max_frame, self.facts)
        if snapshot.doors is not None:
            session.doors = ClientDoors(snapshot.doors, self.facts)
        if getattr(snapshot.codec, "remembers", False):
            session.memory = self.listener.memory
        return session

    # -- writing

    def write(self, data: Written) -> None:
        if not self._out:
            self.turn.add(self)
        self._out.append(data)

    def flush(self) -> None:
        out, self._out = self._out, []
        if self._gone or not out:
            return
        self.last_active = self.turn.now
        number = len(out)
        if number == 1:
            size = len(out[0])
            plain = self._plain
            if plain is not None:
                plain.write(out[0])
            else:
                self.transport.write(out[0])
        else:
            size = sum(map(len, out))
            self.transport.writeSequence(out)
        self._counts.bytes_sent += size
        budget = self._budget
        if size > budget.roomy * number or self._window < budget.most:
            self._adapt(size // number)
        if self._slow:
            self._look_at_output()

    def _look_at_output(self) -> None:
        """
        What comes for a client that reads slowly, on connections that others share, is kept; beyond `max_buffered`
        those are left to it alone as soon as nothing else is under way on them, and read no more.
        """
        waiting = self._progress()
        if self._budget.overfull(waiting):
            self._overfull()
        elif waiting > self._budget.size:
            connections = self._connections()
            for connection in connections:
                connection.pause_if_alone(self)
            self._choked |= connections
            if SLOW not in self._withheld:  # windows bound what one answer has waiting, not how many have
                self._withhold(SLOW)

    def _connections(self) -> set[UpstreamConnection]:
        """The upstream connections on which its exchanges are under way."""
        attempts = [exchange.attempt for exchange in self._exchanges if exchange.attempt is not None]
        return {connection for attempt in attempts for connection in attempt.connections()}

    # -- pauses: by reason, so that two who hold a connection must both let go

    @property
    def paused_by(self) -> Set[object]:
        return self._pauses

    @property
    def withheld_by(self) -> Set[str]:
        return self._withheld

    @property
    def waiting(self) -> int:
        """Messages that wait for their turn."""
        return len(self._held)

    def wait(self, message: Message) -> None:
        """Keep a message until it is its turn."""
        held = self._held
        if not isinstance(held, deque):
            self._held = held = deque()
        held.append(message)

    def _drop_waiting(self) -> None:
        held = self._held
        if isinstance(held, deque):
            held.clear()

    def pause(self, reason: object) -> None:
        pauses = self._pauses
        if not isinstance(pauses, set):
            self.transport.pauseProducing()
            self._pauses = pauses = set()
        pauses.add(reason)

    def resume(self, reason: object) -> None:
        pauses = self._pauses
        if isinstance(pauses, set):
            pauses.discard(reason)
            if not pauses:
                self._pauses = NOTHING
        if not self._pauses and not self._gone:
            self.transport.resumeProducing()

    def pauseProducing(self) -> None:
        """
        Our transport: the client reads too slowly. Neither it nor a connection that it has alone is read until it
        caught up; nothing more of it is sent anywhere.
        """
        self._slow = True
        if self.session.flow != "stream":  # else the client's own windows bound what it may send
            self._withhold(SLOW)
        connections = {*self._connections(), *self._pins()}
        for connection in connections:
            connection.pause(self)
        self._choked |= connections
        if self._stall is None and self.listener.snapshot.stall_timeout > 0:
            self._stall_mark = self._progress()
            self._stall = self.network.clock.callLater(self.listener.snapshot.stall_timeout, self._stalled)

    def resumeProducing(self) -> None:
        self._let_read_on()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self._slow = False
        self._withheld = self._withheld - {SLOW} or NOTHING
        self.resume(SLOW)
        if self._streams is not None and not self._gone:
            self._streams.offer_room()
        if self._blocked and not self._gone:
            self._release()
        if self._leaving and not self.inflight:
            self._close_if_idle()

    def _let_read_on(self) -> None:
        """The connections that were held up for this client go on."""
        choked, self._choked = self._choked, NOTHING
        for connection in choked:
            connection.resume(self)
            connection.recover()

    def stopProducing(self) -> None:
        """The transport ends; connectionLost follows."""

    def _progress(self) -> int:
        return int(getattr(self.transport, "buffered", 0))

    def _stalled(self) -> None:
        """Still slow after stall_timeout: a client that took something meanwhile may go on."""
        self._stall = None
        mark = self._progress()
        if mark < self._stall_mark:
            self._stall_mark = mark
            self._stall = self.network.clock.callLater(self.listener.snapshot.stall_timeout, self._stalled)
            return
        self._counts.stalled += 1
        self._closed = True
        self.transport.abortConnection()

    # -- how much may wait, and be under way

    def _weigh(self) -> None:
        """
        Reads no more while the requests that are under way or wait hold more bytes than `max_buffered`. They are added
        up once as many bytes were read, and again when half of them have ended: so a byte costs the same in any case.
        """
        under_way = sum(len(exchange.message.frame) for exchange in self._exchanges)
        self._budget.intake = under_way + sum(len(message.frame) for message in self._held)
        if self._streams is not None:
            self._budget.intake += self._streams.waiting_bytes()
        if self._budget.intake > self._budget.size:
            self._look_again = self._backlog() // 2
            self.pause("buffered")
        elif "buffered" in self._pauses:
            self.resume("buffered")

    def _backlog(self) -> int:
        """What the client asked and did not get yet: under way, waiting for its place in the order, or for its turn."""
        places = len(self._order.places) if self._order is not None else 0
        backlog = max(self.inflight, places) + len(self._held)
        return backlog if self._streams is None else backlog - self._streams.active

    def _set_limit(self) -> None:
        """How many exchanges may be under way, before a second look (`_may_start`): as many as the session carries."""
        capacity = self.session.capacity
        self._limit = min(self._window, capacity) if capacity else self._window

    def _may_start(self) -> bool:
        """Whether one exchange more may begin: streams are bounded by their windows, and so count for capacity only."""
        capacity = self.session.capacity
        streams = self._streams.active if self._streams is not None else 0
        return self.inflight - streams < self._window and (not capacity or self.inflight < capacity)

    def keep(self, size: int) -> None:
        """An answer that waits for the one before it: bytes that count as what the client may have waiting."""
        budget = self._budget
        budget.behind += size
        if size > budget.roomy:
            self._adapt(size)
        if budget.overfull(budget.behind):
            self._overfull()
        elif budget.behind > budget.size and BEHIND not in self._withheld:
            self._withhold(BEHIND)

    def _withhold(self, reason: str) -> None:
        """Reads nothing more from the client, and starts nothing more of what was read."""
        self._withheld |= {reason}
        self._blocked = True
        self.pause(reason)

    def _overfull(self) -> None:
        self._counts.overfull += 1
        self.close()

    def _read_on(self) -> None:
        """Some of what was under way has ended: enough to read the client again?"""
        if "inflight" in self._pauses and self._backlog() <= self._window // 2:
            self.resume("inflight")
        if "buffered" in self._pauses and self._backlog() <= self._look_again:
            self._weigh()

    def _adapt(self, size: int) -> None:
        """Answers are of this size, in bytes: more or fewer exchanges may be under way."""
        self._window = self._budget.seen(size)
        self._set_limit()
        if self._blocked:
            self._release()
        if self._pauses:
            self._read_on()

    # -- streams (StreamClient)

    def credit(self, id: int, size: int) -> None:
        session = self.session
        if session.flow == "stream" and not self._gone:
            session.credit(id, size)
            if session.owes:  # also what a window has let go in the read that brought this
                self._speak()

    def has_room(self, stream: ExchangeStream) -> bool:
        if not self._slow and not self.session.unsent_bytes(stream.id):
            return True
        if self._streams is not None:
            self._streams.wait_for_room(stream)
        return False

    def keep_waiting(self, stream: ExchangeStream, size: int) -> None:
        if self._ordered:
            self._budget.behind += size
            if self._budget.overfull(self._budget.behind):
                self._overfull()
            elif self._budget.behind > self._budget.size and BEHIND not in self._withheld:
                self._withhold(BEHIND)
            elif size < 0:
                self.catch_up()

    def catch_up(self) -> None:
        """Fewer answers wait for the one before them: enough to read the client again?"""
        if BEHIND in self._withheld and self._budget.behind <= self._budget.size // 2:
            self._withheld = self._withheld - {BEHIND} or NOTHING
            self.resume(BEHIND)

    def give_up(self, exchange: OpenExchange, kind: ErrorKind | None, text: str) -> None:
        if self._gone:
            return
        data = self.session.reset(exchange.message.id, kind, text)
        if data:
            self.write(data)
        if data is None or type(data) is FinalFrame:
            self.flush()
            self._end_at_once(bool(data))

    def _end_at_once(self, spoke: bool) -> None:
        """spoke: there is a last word for the client, which gets it if it reads."""
        if not spoke or self._progress():
            self.close()
            return
        self._closed = True
        self.transport.loseConnection()
        self._end(local=True)

    def half_close(self) -> None:
        self.flush()
        self.transport.loseWriteConnection()

    def _speak(self) -> None:
        """What the session says by itself; what it has read may have opened windows."""
        if self.session.error is None:
            self.write(self.session.owed())
        if self._streams is not None and not self._slow:
            self._streams.offer_room()

    # -- a connection of its own

    def pinned(self, connection: UpstreamConnection) -> None:
        self.session_pin = connection

    def _pins(self) -> list[UpstreamConnection]:
        return [*self.pinned_by_cluster.values(), *([self.session_pin] if self.session_pin is not None else [])]

    def unpin(self) -> None:
        """The state is gone that needed it; the connection goes back, if nothing of ours is left on it."""
        connection, self.session_pin = self.session_pin, None
        if connection is None:
            return
        if connection.idle_and_clean():
            connection.pool.give_back(connection)
        else:
            connection.holder = None
            connection.drop()

    def released(self, connection: UpstreamConnection) -> None:
        if self.session_pin is connection:
            self.session_pin = None

    def pin_lost(self, connection: UpstreamConnection, kind: ErrorKind, text: str) -> None:
        """The server closed it: what the client believes of its state is no longer true."""
        if connection in self._pins():
            self.session_pin = None
            self.pinned_by_cluster = {
                place: own for place, own in self.pinned_by_cluster.items() if own is not connection
            }
            if not self._gone:
                last_words = self.session.farewell(kind, text)
                if last_words:
                    self.write(last_words)
                self.flush()
                self.transport.loseConnection()
                self._end(local=True)

    # -- its end

    def close(self) -> None:
        """At once, whatever is under way."""
        if not self._gone and self.transport is not None:
            self._closed = True
            self.transport.abortConnection()

    def reset(self) -> None:
        """Ends the connection as a crash would: the client sees a reset."""
        if not self._gone:
            self._closed = True
            # What wraps another transport, as TLS does, may only know how to abort.
            transport = self.transport
            getattr(transport, "resetConnection", transport.abortConnection)()

    # -- what requests and answers are, see Downstream

    def unflushable(self, failure: Failure) -> None:
        """See SocketProtocol."""
        raise NotImplementedError

    def event(self, message: Message, connection: UpstreamConnection) -> None:
        """A server's push on this client's own connection."""
        raise NotImplementedError

    def event_open(self, message: Message, connection: UpstreamConnection) -> Try | None:
        """The head of one whose chunks follow; what these are handed to."""
        raise NotImplementedError

    def connectionMade(self) -> None:
        """There is a transport, or one that TLS began in."""
        raise NotImplementedError

    def _release(self) -> None:
        """Start what had to wait for its turn."""
        raise NotImplementedError

    def _close_if_idle(self) -> None:
        raise NotImplementedError

    def _end(self, local: bool) -> None:
        """End all exchanges of a client that can get no answer any more. Once. local: the proxy closed."""
        raise NotImplementedError
