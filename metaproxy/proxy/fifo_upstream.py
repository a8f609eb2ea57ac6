"""
An upstream connection whose answers come in the order of the requests.

Lives here: `FifoUpstream`. Does not: what all connections do (`upstream`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from twisted.python.failure import Failure

from metaproxy.message import ErrorKind, FrameError, Kind, Message
from metaproxy.proxy.roles import ConnectionOwner, Try
from metaproxy.proxy.upstream import Upstream

_ONEWAY = Kind.ONEWAY
_RESPONSE = Kind.RESPONSE
_ERROR = Kind.ERROR
_STREAM_OPEN = Kind.STREAM_OPEN


class FifoUpstream(Upstream):
    """
    Answers come in the order of the requests; a place in the queue outlives an attempt that was given up: those are
    counted, so that no question needs a look at all places.
    """

    __slots__ = ("_given_up", "_pending")

    def __init__(self, pool: ConnectionOwner, profile: Hashable) -> None:
        super().__init__(pool, profile)
        self._pending: deque[Try] = deque()
        self._given_up = 0

    def _wait(self, attempt: Try) -> None:
        super()._wait(attempt)
        if attempt.message.kind is _ONEWAY and not self._taken() and not self._session.fenced:
            self.pool.reserve(self, attempt.owner.client)  # now, so that no other client's request waits behind it

    def _start(self, attempt: Try) -> None:
        message = attempt.message
        try:
            data = self._session.send(message, 0)
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
        self._pending.append(attempt)
        if message.kind is _STREAM_OPEN:
            self._sent_head(attempt)

    def dataReceived(self, data: bytes) -> None:
        session = self._session
        pending = self._pending
        self._counts.bytes_received += len(data)
        try:
            for message in session.receive(data):
                kind = message.kind
                if kind is _RESPONSE or kind is _ERROR:
                    if not pending:
                        self._answers_nothing()
                        return
                    attempt = pending.popleft()
                    if attempt.done:
                        self._given_up -= 1
                        self._counts.late += 1
                    else:
                        try:
                            attempt.owner.answered(attempt, message)
                        except BaseException:
                            attempt.owner.broke(Failure())
                else:
                    self._other(message)
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
        self._pending = deque()
        self._given_up = 0
