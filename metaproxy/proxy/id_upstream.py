"""
An upstream connection whose answers carry the id under which their request was sent.

Lives here: `IdUpstream`. Does not: what all connections do (`upstream`).
"""

from __future__ import annotations

from collections.abc import Hashable

from twisted.python.failure import Failure

from metaproxy.message import ErrorKind, FrameError, Kind, Message
from metaproxy.proxy.roles import ConnectionOwner, Try
from metaproxy.proxy.upstream import Upstream
from metaproxy.wire import READ_SIZE

_ONEWAY = Kind.ONEWAY
_RESPONSE = Kind.RESPONSE
_ERROR = Kind.ERROR
_STREAM_OPEN = Kind.STREAM_OPEN


class IdUpstream(Upstream):
    """Answers carry the id under which the request was sent: ours, counted up for each connection."""

    __slots__ = ("_max_id", "_next_id", "_pending")

    def __init__(self, pool: ConnectionOwner, profile: Hashable) -> None:
        super().__init__(pool, profile)
        self._pending: dict[int, Try] = {}
        self._next_id = 1
        self._max_id: int = pool.codec.max_id

    def _start(self, attempt: Try) -> None:
        id = self._next_id
        pending = self._pending
        if id in pending:  # only after a wrap, with a request that is still unanswered
            if len(pending) >= self._max_id:
                self._no_id(attempt)
                return
            while id in pending:
                id = id + 1 if id < self._max_id else 1
        if id < self._max_id:
            self._next_id = id + 1
        else:
            # A late answer to a request that was given up must not be taken for one under the same id.
            self._next_id = 1
            self._retiring = self._attentive = True
            self.usable = False
        message = attempt.message
        try:
            data = self._send(message, id)
        except FrameError as error:
            self._unsendable(attempt, error)
            return
        except BaseException:
            self._not_sent(attempt)
            raise
        out = self._out
        if not out:
            self._turn.add(self)
        out.append(data)
        self.requests += 1
        self._counts.requests += 1
        attempt.id = id
        kind = message.kind
        if kind is _ONEWAY:
            attempt.finish()
            attempt.owner.sent(attempt)
            if self.lease is attempt:
                self.pool.give_back(self)
            return
        pending[id] = attempt
        if self._limited and len(pending) >= self._session.capacity:
            self._full = self._attentive = True
            self.usable = False
        if kind is _STREAM_OPEN:
            self._sent_head(attempt)

    def _no_id(self, attempt: Try) -> None:
        self.pool.cluster.counts.overflow_requests += 1
        text = f"all {self._max_id} ids of a connection to {self.endpoint.address} are under way"
        attempt.fail(ErrorKind.OVERLOAD, text)

    def dataReceived(self, data: bytes) -> None:
        session = self._session
        pending = self._pending
        self._counts.bytes_received += len(data)
        attempt = None
        try:
            messages = session.receive(data)
            for message in messages:
                kind = message.kind
                if kind is _RESPONSE or kind is _ERROR:
                    attempt = pending.pop(message.id, None)
                    if attempt is not None:
                        if message.hold and not self._bind(attempt, message.hold):
                            continue
                        try:
                            if kind is not _ERROR or not self._redirected(attempt, message):
                                attempt.owner.answered(attempt, message)
                        except BaseException:
                            attempt.owner.broke(Failure())
                    elif 0 < message.id < self._next_id:
                        self._counts.late += 1
                    else:
                        self._counts.unmatched += 1
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
        if message.kind is _RESPONSE or message.kind is _ERROR:
            attempt = self._pending.pop(message.id, None)
            if attempt is not None:
                attempt.owner.answered(attempt, message)
        else:
            self._other(message)

    def _of(self, message: Message) -> Try | None:
        return self._pending.get(message.id)

    def _take_off(self, attempt: Try) -> None:
        if self._pending.get(attempt.id) is attempt:
            del self._pending[attempt.id]

    def pending(self) -> list[Try]:
        return list(self._pending.values())

    def answering(self, attempt: Try) -> bool:
        return bool(self._session.buffered) and self._pending.get(attempt.id) is attempt

    def _mark_begun(self) -> None:
        for attempt in self._pending.values():
            attempt.begun = True

    def busy(self) -> bool:
        return bool(self._pending or self._waiting)

    def owing(self) -> bool:
        return bool(self._pending)

    def _answered_by(self, message: Message) -> Try | None:
        return self._pending.pop(message.id, None)

    def _forget(self, attempt: Try) -> None:
        if self._pending.pop(attempt.id, None) is None or not self.alive:
            return
        said = self._give_up(attempt, ErrorKind.TIMEOUT, "the client does not wait for it any more")
        if not said and (attempt.streaming or attempt.message.kind is _STREAM_OPEN):
            self.usable = False  # the rest of the request, or of the answer, is still to come here
            if not self.busy():
                self.drop()
        if self._full and self.alive:
            self._look_for_room()

    def _clear(self) -> None:
        self._pending = {}
