"""
The requests of one client: which begin now, and which wait for their turn.

Lives here: `ClientRequests`, between `client_connection.ClientConnection` and `downstream.Downstream`. Does not: what
is read, and what an exchange that has ended leaves to do (`downstream`); the order of answers (`response_order`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import takewhile

from twisted.python.failure import Failure

from metaproxy.message import Correlation, ErrorKind, Hold, Kind, Message, Reply, Written
from metaproxy.proxy.client_connection import NONE_WAITING, ClientConnection
from metaproxy.proxy.companion import CompanionExchange
from metaproxy.proxy.exchange import Exchange
from metaproxy.proxy.roles import OpenExchange, StreamExchange, UpstreamConnection
from metaproxy.proxy.shed_share import PARKED

_ONEWAY = Kind.ONEWAY
_CONNECT = Kind.CONNECT
_STREAM_OPEN = Kind.STREAM_OPEN
_ON_ITS_OWN = (Hold.OPEN, Hold.CLOSE)
"""Once a client has a connection of its own, these go over it behind what is under way there."""
_ENDS = (Hold.EXCHANGE, Hold.BLOCKING, Hold.CLOSE, Hold.COMPANION)
"""What follows these takes another connection, and so must wait for their answer."""
ENDING = "ending"
"""The reason for the pause of a connection that takes nothing more, see end_behind."""


class ClientRequests(ClientConnection):
    """What a client asks, in the order in which it may begin."""

    __slots__ = ()

    def _begin(self, message: Message, kind: type[Exchange] = Exchange) -> Exchange:
        exchange = Exchange.__new__(Exchange) if kind is Exchange else kind.__new__(kind)
        exchange.prepare(self, message, self.listener.snapshot, self.turn.now)
        self.inflight += 1
        if self.inflight >= self._limit:
            self._blocked = True
        counts = self._counts
        counts.requests += 1
        counts.active_exchanges += 1
        if message.kind is _ONEWAY:
            counts.oneway += 1
        elif self._ordered and message.kind is not _CONNECT and (order := self._order) is not None:
            order.places.append(exchange)
        self._exchanges[exchange] = counts.requests
        if self._streams is not None and message.kind is _STREAM_OPEN:
            self._streams.begin(exchange)
        try:
            if self._overload.shedding:
                refused = self._overload.shed_requests
                exchange.begin(self._overload)
                if self._overload.shed_requests != refused:
                    self._throttle(exchange)
            else:
                exchange.begin()
        except BaseException:
            exchange.broke(Failure())
        return exchange

    def _throttle(self, exchange: Exchange) -> None:
        """
        A request was refused, as the process is overloaded: the client is not read for a while. A client that asks
        again at once would cost as much as one that is served. What may be of a higher priority is not held up. With
        more under way it is the rarer: a pause is for all that the client could ask, and one request was refused.
        """
        ranked = self.listener.snapshot.routes.ranked
        if self._gone or PARKED in self._pauses or ((ranked or self.session.flow == "stream") and self.inflight):
            return
        overload = self._overload
        if (not self.inflight or overload.draw() * (self.inflight + 1) < 1.0) and overload.requests[
            exchange.matched_route.priority
        ].park(self, ranked):
            self.pause(PARKED)

    def _begin_alone(self, message: Message) -> None:
        """A request that nothing is before, and that what follows waits for: what `_release` does, in fewer steps."""
        if self._held or self._releasing or self._pauses or self._gone or self._withheld:
            self.wait(message)
            self._release()
            return
        exchange = self._begin(message)
        if not exchange.outcome:
            self._barrier, self._blocked = exchange, True

    def _release(self) -> None:
        """Starts what had to wait for its turn: what binds or frees the connection, and what follows."""
        held = self._held
        if ENDING in self._pauses:
            self._drop_waiting()
            return
        if self._releasing:  # what was just started has ended: the loop below goes on
            return
        if not isinstance(held, deque):
            self._weigh_next()
            return
        self._releasing = True
        try:
            while held and self._barrier is None and self._may_start() and not (self._gone or self._withheld):
                message = held[0]
                hold = message.hold
                if hold and self.inflight and (self.session_pin is None or hold not in _ON_ITS_OWN):
                    break
                held.popleft()
                if message.answer is not None:
                    self._counts.local_answers += 1
                    self._answer(message.answer)
                    continue
                if hold == Hold.CLOSE and self.session_pin is None:
                    message.hold = hold = Hold.NONE
                exchange = self._begin(message, CompanionExchange if hold == Hold.COMPANION else Exchange)
                # Where order is all there is, what follows a head must not come between its chunks.
                pieces = message.kind is _STREAM_OPEN and self.codec.correlation is Correlation.FIFO
                if (pieces or hold in _ENDS) and not exchange.outcome:
                    self._barrier = exchange
        finally:
            self._releasing = False
        if not held and self._held is held:
            self._held = NONE_WAITING
        self._weigh_next()

    def _weigh_next(self) -> None:
        """Whether what comes next may begin at once."""
        self._set_limit()
        self._blocked = bool(self._held or self._barrier is not None or not self._may_start() or self._withheld)

    def _answer(self, data: Written) -> None:
        """What answers no exchange, or one that has no place among the answers."""
        order = self._order
        if order is not None and order.places:
            order.answer(data)
        elif data:
            self.write(data)

    def _drop_blocking(self) -> None:
        """The client sends no more: a blocking command that has not begun is not run, nor what stands behind it."""
        kept = list(takewhile(lambda message: message.hold != Hold.BLOCKING, self._held))
        self._drop_waiting()
        for message in kept:
            self.wait(message)

    # -- what is under way

    def connection_now(self) -> UpstreamConnection | None:
        """The server connection on which something of its is under way, or that has its state."""
        return self.session_pin or next(iter(self._connections()), None)

    def end_waiting(self) -> None:
        """Ends its first request, which waits for a server connection, as another client asks for that."""
        for exchange in self._exchanges:
            if exchange.message.kind is not _CONNECT:
                name = getattr(exchange.snapshot.codec, "cancelled", "")
                text = "the request was cancelled while it waited for a connection"
                exchange.answer_locally(Reply(ErrorKind.OVERLOAD, text, name=name))
                return

    def under_way(self) -> Iterator[OpenExchange]:
        """Its exchanges that are not complete, the last one first."""
        return reversed(self._exchanges)

    def open_streams(self) -> Sequence[OpenExchange]:
        """Those of its exchanges under way that are streams."""
        if self._streams is None or not self._streams.active:
            return ()
        return [exchange for exchange in self._exchanges if exchange.stream is not None]

    def passed_over(self, exchange: OpenExchange) -> bool:
        """Whether the server, which takes this client's requests in their order, has answered a later one."""
        endpoint, number = self._last_answered
        return endpoint is not None and endpoint is exchange.endpoint and self._exchanges[exchange] < number

    def under_way_as(self, id: int) -> OpenExchange | None:
        return next((exchange for exchange in self._exchanges if exchange.message.id == id), None)

    def give_up_waiting(self, id: int) -> None:
        kept = [message for message in self._held if message.id != id]
        self._drop_waiting()
        for message in kept:
            self.wait(message)

    # -- what filters do to the connection of their exchange

    def wait_for(self, exchange: OpenExchange) -> None:
        """
        A filter takes its time. Where answers come in the order of requests, or do so on each channel, requests are
        executed in it, too: what the client sent next goes to no server before this one.
        """
        if self._order is not None and self._barrier is None:
            self._barrier = exchange
            self._blocked = True

    def waited_for(self, exchange: OpenExchange) -> None:
        """It is on its way."""
        message, order = exchange.message, self._order
        pieces = message.kind is _STREAM_OPEN and order is not None and not order.channels
        if self._barrier is exchange and message.hold not in _ENDS and not pieces:
            self._barrier = None
            self._release()

    def answer_waits(self, exchange: OpenExchange) -> None:
        """A filter takes its time with an answer: on a connection with channels nothing later overtakes it."""
        if self._order is not None:
            self._order.answer_waits(exchange)

    def end_behind(self, exchange: OpenExchange) -> None:
        """Nothing is sent behind what answers `exchange`, which is about to complete; then the connection closes."""
        self.pause(ENDING)
        self._blocked = self._leaving = True
        self._drop_waiting()
        if exchange.message.kind in (_ONEWAY, _CONNECT):  # have no place among the answers
            return
        behind = [other for other in self._exchanges if other is not exchange]
        if self._order is not None:
            behind = self._order.cut_behind(exchange, behind)
        for other in behind:
            other.abandon("downstream_gone")

    # -- what comes of them, see Downstream

    def finished(self, exchange: OpenExchange) -> None:
        """Called once by each exchange, when it is complete."""
        raise NotImplementedError

    def open_stream(self, exchange: StreamExchange) -> None:
        """The answer of this one is a stream."""
        raise NotImplementedError
