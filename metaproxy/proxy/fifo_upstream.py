"""
An upstream connection whose answers come in the order of the requests.

Lives here: `FifoUpstream`. Does not: what all connections do (`upstream`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from metaproxy.message import ErrorKind, FrameError, Kind, Message
from metaproxy.proxy.roles import Client, ConnectionOwner, Try
from metaproxy.proxy.upstream import Upstream
from metaproxy.wire import READ_SIZE

_REQUEST = Kind.REQUEST
_ONEWAY = Kind.ONEWAY
_RESPONSE = Kind.RESPONSE
_ERROR = Kind.ERROR
_STREAM_OPEN = Kind.STREAM_OPEN


PATIENCE = 5.0
"""
Seconds that requests which can't be sent again elsewhere may stand behind a long answer whose client is slow. Then it
is read on, and its client is closed as soon as more waits for it than it may have.
"""


class FifoUpstream(Upstream):
    """
    Answers come in the order of the requests; a place in the queue outlives an attempt that was given up: those are
    counted, so that no question needs a look at all places.
    """

    __slots__ = ("_cleared_for", "_given_up", "_next", "_patience", "_pending", "_put")

    def __init__(self, pool: ConnectionOwner, profile: Hashable) -> None:
        super().__init__(pool, profile)
        self._begin_queue()
        self._given_up = 0
        self._cleared_for: Try | None = None
        self._patience: IDelayedCall | None = None

    def _begin_queue(self) -> None:
        self._pending: deque[Try] = deque()
        self._put, self._next = self._pending.append, self._pending.popleft  # bound: no look-up for each request

    def _wait(self, attempt: Try) -> None:
        super()._wait(attempt)
        if attempt.message.kind is _ONEWAY and not self._taken() and not self._session.fenced:
            self.pool.reserve(self, attempt.owner.client)  # now, so that no other client's request waits behind it

    def _start(self, attempt: Try) -> None:
        message = attempt.message
        try:
            data = self._send(message, 0)
        except FrameError as error:
            self._unsendable(attempt, error)
            return
        except BaseException:
            self._not_sent(attempt)
            raise
        if data:
            out = self._out
            if not out:
                self._turn.add(self)
            out.append(data)
        elif self._session.owes:  # in its place, such as a request for TLS that goes first
            self._after_read()
        self.requests += 1
        self._counts.requests += 1
        if message.kind is _ONEWAY:
            attempt.finish()
            attempt.owner.sent(attempt)
            fenced = self._session.fenced
            if self.lease is attempt:
                self.usable = self.usable and fenced  # else it closes: the next client could get an answer to this
                self.pool.give_back(self)
            elif not self._taken() and not fenced:
                self.pool.reserve(self, attempt.owner.client)
            return
        self._put(attempt)
        if message.kind is _STREAM_OPEN:
            self._sent_head(attempt)

    def dataReceived(self, data: bytes) -> None:
        session = self._session
        pending, take = self._pending, self._next
        self._counts.bytes_received += len(data)
        try:
            messages = session.receive(data)
            for message in messages:
                kind = message.kind
                if kind is _RESPONSE or kind is _ERROR:
                    if not pending:
                        self._answers_nothing()
                        return
                    attempt = take()
                    if attempt.done:
                        self._given_up -= 1
                        self._counts.late += 1
                        if message.hold:
                            self._bind(attempt, message.hold)
                    elif not message.hold or self._bind(attempt, message.hold):
                        try:
                            if kind is not _ERROR or not self._redirected(attempt, message):
                                attempt.owner.answered(attempt, message)
                        except BaseException:
                            attempt.owner.broke(Failure())
                else:
                    self._other(message)
            if len(data) >= READ_SIZE:
                self.transport.weigh(len(data), len(messages))
        except BaseException:
            self._codec_failed(Failure())
            return
        if session.owes or session.error is not None or self._attentive or self.lease is not None:
            self._after_read()

    def _take(self, message: Message) -> None:
        if (message.kind is _RESPONSE or message.kind is _ERROR) and self._pending:
            attempt = self._pending.popleft()
            if attempt.done:
                self._given_up -= 1
            else:
                attempt.owner.answered(attempt, message)
        else:
            self._other(message)

    def _stream(self, message: Message) -> None:
        if self._pending or message.kind is not _STREAM_OPEN:
            super()._stream(message)
        elif self.alive:
            self._answers_nothing()

    def ended(self, attempt: Try) -> None:
        if attempt is self._cleared_for:
            self._forget_patience()
        super().ended(attempt)

    def hold_back(self, attempt: Try, reason: object) -> bool:
        if super().hold_back(attempt, reason):
            return True
        if not self.alive or self._session.flow == "stream":
            return False
        if attempt is self._cleared_for:
            if self._patience is not None:
                self._pause(reason)
            return self._patience is not None
        self._cleared_for = attempt
        self._clear_for(attempt.owner.client)
        if super().hold_back(attempt, reason):
            return True
        self._patience = self.pool.network.clock.callLater(PATIENCE, self._read_on)
        self._pause(reason)
        return True

    def _read_on(self) -> None:
        """What stands behind a long answer has waited long enough: now its client is the one that pays."""
        self._patience = None
        for reason in list(self.paused_by):
            self.resume(reason)
        self.usable = False

    def _clear_for(self, client: Client) -> None:
        """
        Requests of other clients stand behind a long answer to one that takes it slowly. Those that may be carried out
        twice are sent again, on another connection. A client's requests leave together, or stay, for their order.
        """
        places: dict[Client, list[int]] = {}
        for place, attempt in enumerate(self._pending):
            if not attempt.done and attempt.owner.client is not client:
                places.setdefault(attempt.owner.client, []).append(place)
        for other, mine in places.items():
            left = [self._pending[place] for place in mine]
            if all(self._may_leave(attempt) for attempt in left):
                other.shared_by_pool.pop(self.pool, None)
                for place, attempt in zip(mine, left, strict=True):
                    self._pending[place] = attempt.leave()
                    self._given_up += 1
                for attempt in left:
                    self.pool.start(attempt, other)

    def _may_leave(self, attempt: Try) -> bool:
        message = attempt.message
        return message.kind is _REQUEST and not attempt.streaming and bool(self.pool.codec.safe(message))

    def _sent_oneway(self, attempt: Try) -> None:
        self._pending.remove(attempt)
        if self.lease is attempt:
            self.usable = self.usable and self._session.fenced  # as above
        super()._sent_oneway(attempt)

    def _of(self, message: Message) -> Try | None:
        return self._pending[0] if self._pending else None

    def _take_off(self, attempt: Try) -> None:
        if self._pending and self._pending[0] is attempt:
            self._pending.popleft()

    def _pass_over(self, attempt: Try) -> None:
        self._take_off(attempt)
        self._given_up -= 1

    def _answers_nothing(self) -> None:
        """The order is lost: what comes from now on would be handed to the wrong request."""
        self._counts.unmatched += 1
        text = f"{self.endpoint.address}: an answer to nothing that was asked; connection closed"
        self.pool.cluster_log(text)
        self._over(ErrorKind.RESET, text)
        self.transport.abortConnection()

    def _answered_by(self, message: Message) -> Try | None:
        if not self._pending:
            return None
        attempt = self._pending.popleft()
        if attempt.done:
            self._given_up -= 1
        return attempt

    def answering(self, attempt: Try) -> bool:
        return bool(self._session.buffered and self._pending and self._pending[0] is attempt)

    def _mark_begun(self) -> None:
        if self._pending:
            self._pending[0].begun = True

    def pending(self) -> list[Try]:
        return list(self._pending)

    def busy(self) -> bool:
        return bool(self._waiting) or len(self._pending) > self._given_up

    def owing(self) -> bool:
        return bool(self._pending)

    def _forget(self, attempt: Try) -> None:
        """Its place stays, so that the answer that still comes is not taken for the next one's."""
        self._given_up += 1
        if attempt.open or attempt.streaming:
            # The server waits for the rest of the request, or the rest of a long answer is still to come.
            self.retire()
            if attempt.open or not self.busy():
                self.drop()
            return
        if not self._taken() and self._pending and self._pending[0] is attempt:
            # The server is stuck on it: whatever is sent behind it would wait as well.
            self.retire()

    def _clear(self) -> None:
        self._begin_queue()
        self._given_up = 0
        self._forget_patience()

    def _forget_patience(self) -> None:
        self._cleared_for = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
