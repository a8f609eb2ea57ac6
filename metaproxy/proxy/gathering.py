"""
Streams, for who can only take whole messages: the pieces of a split request, mirrors, health checks, some filters.

Lives here: `Gatherer` and `WholeAnswers`, for a Requester that takes whole answers only; `Collected`, the chunks that a
filter waits for. Does not: how much may be gathered (who uses it says).
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from metaproxy.message import Chunk, ErrorKind, Kind, Message
from metaproxy.proxy.attempt import AttemptOwner
from metaproxy.proxy.roles import Try


class Collected:
    """
    The chunks of one half, up to its end. most: bytes of payload. deferred: fires with them, with None where there are
    more bytes.
    """

    __slots__ = ("_chunks", "_most", "_size", "deferred")

    def __init__(self, most: int) -> None:
        self.deferred: Deferred[list[Chunk] | None] = Deferred()
        self._chunks: list[Chunk] = []
        self._most = most
        self._size = 0

    def add(self, chunk: Chunk) -> bool:
        """Whether more is wanted. If not, call `finish`."""
        self._size += len(chunk.frame)
        self._chunks.append(chunk)
        return self._size <= self._most and chunk.kind is not Kind.STREAM_CLOSE

    def finish(self) -> None:
        self.deferred.callback(self._chunks if self._size <= self._most else None)


class Gatherer:
    """Makes one whole answer of a head and its chunks. most: bytes; beyond them `text` says so."""

    __slots__ = ("_head", "_most", "_pieces", "_size", "failed")

    def __init__(self, head: Message, most: int) -> None:
        self._head = head
        self._most = most
        self._pieces = [head.frame]
        self._size = len(head.frame)
        self.failed = bool(getattr(head, "failed", False))

    def add(self, chunk: Chunk) -> str:
        """What is wrong with it, '' for nothing."""
        self._size += len(chunk.frame) + len(chunk.trailers)
        self._pieces.append(chunk.frame)
        if chunk.trailers:
            self._pieces.append(chunk.trailers)
        self.failed = self.failed or chunk.failed
        return "" if self._size <= self._most else f"an answer of more than {self._most} bytes came in pieces"

    def whole(self) -> Message:
        answer = self._head.with_frame(b"".join(self._pieces))
        answer.kind = Kind.ERROR if self.failed else Kind.RESPONSE
        return answer


class WholeAnswers(AttemptOwner):
    """The part of a Requester that has to do with streams: answers are gathered, up to the cluster's `max_frame`."""

    __slots__ = ("_gathered",)
    _gathered: dict[Try, Gatherer]

    def answered(self, attempt: Try, response: Message) -> None:
        raise NotImplementedError

    def failed(self, attempt: Try, kind: ErrorKind, text: str) -> None:
        raise NotImplementedError

    def opened(self, attempt: Try, head: Message) -> None:
        if getattr(self, "_gathered", None) is None:
            self._gathered = {}
        self._gathered[attempt] = Gatherer(head, attempt.cluster.connections.max_frame)

    def chunk(self, attempt: Try, chunk: Chunk) -> None:
        gatherer = self._gathered[attempt]
        wrong = gatherer.add(chunk)
        if wrong:
            del self._gathered[attempt]
            attempt.cancel()
            self.failed(attempt, ErrorKind.BAD_RESPONSE, f"{attempt.endpoint.address}: {wrong}")
        elif chunk.kind is Kind.STREAM_CLOSE:
            del self._gathered[attempt]
            self.answered(attempt, gatherer.whole())
        else:
            attempt.credit(chunk.size)

    def redirected(self, attempt: Try) -> None:
        """Of several servers none is the exchange's."""

    def interim(self, attempt: Try, message: Message) -> None:
        """It answers nothing."""

    def sending(self, attempt: Try) -> None:
        """A request whose rest is not there any more: it is given up."""
        attempt.cancel()
        self.failed(attempt, ErrorKind.UNSUPPORTED, "a request that comes in pieces can't be sent here")

    def takes_more(self, attempt: Try) -> None:
        """It has nothing more to send."""
