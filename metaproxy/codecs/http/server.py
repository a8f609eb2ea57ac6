"""
A connection of HTTP/1.1 to a server: requests out, answers in, one at a time.

Lives here: `ServerSession`. Does not: what a head may hold (`answers`), how bodies are cut (`bodies`, `chunked`).
"""

from __future__ import annotations

from collections import deque

from metaproxy.codecs.framing import Session
from metaproxy.codecs.http import answers
from metaproxy.codecs.http.bodies import LARGEST_CHUNK, UNSIZED, Body, HeadBuffer, cut, with_lines
from metaproxy.codecs.http.chunked import chunk, last_chunk
from metaproxy.codecs.http.heads import HeadError
from metaproxy.codecs.http.model import END, Head, HttpMessage, end, head_of, interim, opening, whole
from metaproxy.codecs.http.rules import Rules
from metaproxy.message import Chunk, FrameError, Kind, Message

_REQUEST = Kind.REQUEST
_MUST_TELL = frozenset((b"POST", b"PUT", b"PATCH"))
"""Methods whose requests tell that they have no body (RFC 9110, section 8.6)."""
_MOST_INTERIM = 64
"""Answers with 1xx to one request."""


class ServerSession(Session):
    """rules: see Rules."""

    def __init__(self, rules: Rules, max_frame: int) -> None:
        self.capacity = 1
        self._rules = rules
        self._max_head = min(rules.max_head, max_frame)
        self._max_frame = max_frame
        self._buffer = HeadBuffer(self._max_head, 0, rules.clock)
        # The request whose answer comes next: its id, 0 for none; and those that were sent behind it.
        self._id = 0
        self._method = b""
        self._protocol = b""
        self._behind: deque[tuple[int, bytes, bytes]] = deque()
        self._chunked = False
        self._left = UNSIZED
        # The answer under way.
        self._body: Body | None = None
        self._head: Head | None = None
        self._flags = 0
        self._interims = 0
        self._tunnel = False
        self._last = False

    # -- requests

    def send(self, message: Message, id: int) -> bytes:
        kind = message.kind
        if kind is _REQUEST:
            head = head_of(message)
            self._start(head, id)
            frame = message.frame
            if head.length < 0 and head.method in _MUST_TELL and len(frame) == len(head.frame):
                return with_lines(frame, b"content-length: 0\r\n")
            return with_lines(frame, b"connection: te\r\n") if (b"te", b"trailers") in head.pairs else frame
        if kind is Kind.STREAM_DATA:
            return self._data(message.frame)
        if kind is Kind.STREAM_OPEN:
            head = head_of(message)
            self._start(head, id)
            self._left = head.length
            added = b"connection: te\r\n" if (b"te", b"trailers") in head.pairs else b""
            if head.length < 0:
                self._chunked = True
                added += b"transfer-encoding: chunked\r\n"
            return with_lines(head.frame, added)
        if kind is Kind.STREAM_CLOSE:
            return self._close(message)
        return b""

    def _start(self, head: Head, id: int) -> None:
        if self._id:
            self._behind.append((id, head.method, head.protocol))
        else:
            self._id = id
            self._method = head.method
            self._protocol = head.protocol
        self._chunked = False
        self._left = UNSIZED

    def _data(self, payload: bytes) -> bytes:
        if self._chunked:
            return chunk(payload)
        if self._left >= 0:
            self._left -= len(payload)
            if self._left < 0:
                raise FrameError("a request with more bytes than its content-length says")
        return payload

    def _close(self, message: Message) -> bytes:
        if self._chunked:
            return last_chunk(message.frame, message.trailers if isinstance(message, Chunk) else b"")
        data = self._data(message.frame)
        if self._left > 0:
            raise FrameError(f"a request that lacks {self._left} bytes of its content-length")
        return data

    # -- answers

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        if self.error is not None or self._last:
            return messages
        try:
            self._read(data, messages)
        except HeadError as error:
            self.error = error
            self.buffered = 0
        return messages

    def _read(self, data: bytes, messages: list[Message]) -> None:
        if self._buffer.size:
            joined = self._buffer.join(data)
            if joined is None:
                self.buffered = self._buffer.size
                return
            data = joined
        at, size = 0, len(data)
        while at < size and not self._last:
            if self._tunnel:
                cut(data[at:] if at else data, self._id, messages)
                break
            if self._body is not None:
                at = self._continue(self._body, data, at, messages)
                continue
            if not self._id:
                raise HeadError("an answer to no request")
            stop = data.find(END, at, at + self._max_head) + 4
            if stop < 4:
                self._buffer.keep(data, at)
                break
            at = self._begin(data[at:stop] if at or stop < size else data, data, stop, messages)
        self.buffered = self._buffer.size + (self._body.held if self._body is not None else 0)

    def _begin(self, block: bytes, data: bytes, at: int, messages: list[Message]) -> int:
        """An answer whose head is `block`, and its body as far as `data` has it from `at` on. Gives where it ends."""
        head, flags = answers.read(block, self._rules.max_fields)
        rules = self._rules
        id, status, length = self._id, head.status, head.length
        if status < 200:
            self._interim(head, messages)
            return at
        if self._method == b"CONNECT" and status < 300:
            self._open_tunnel(head, messages)
            return at
        if flags & answers.CLOSE:
            messages.append(Message(Kind.DRAIN, b""))
        failed = rules.failed(head, None)
        if not flags and 0 <= length <= len(data) - at and self._method != b"HEAD" and status != 304:
            # Most answers: whole, in one read.
            stop = at + length
            start = len(head.frame)
            kind = Kind.ERROR if failed else Kind.RESPONSE
            if start + length <= self._max_frame:
                frame = head.frame + data[at:stop] if length else head.frame
                messages.append(HttpMessage(kind, frame, id, head, rules.more, start))
                self._answered(0)
                return stop
        if self._method == b"HEAD" or status in (204, 304) or length == 0:
            messages.append(whole(head, b"", id, rules.more, failed=failed))
            self._answered(flags)
            return at
        return self._begin_body(head, flags, data, at, messages)

    def _begin_body(self, head: Head, flags: int, data: bytes, at: int, messages: list[Message]) -> int:
        rules = self._rules
        id = self._id
        if head.length < 0 and not flags & answers.CHUNKED:  # to the end of the connection
            if not flags & answers.CLOSE:
                messages.append(Message(Kind.DRAIN, b""))
            flags |= answers.CLOSE
        body = Body(head.length, bool(flags & answers.CHUNKED), self._max_head)
        payload, at = body.take(data, at)
        if body.done:
            message = whole(head, payload, id, rules.more, body.trailers, rules.failed(head, body.trailers))
            if len(message.frame) <= self._max_frame:
                messages.append(message)
                self._answered(flags)
                return at
        messages.append(opening(head, id, rules.more, rules.failed(head, None)))
        self._body = body
        self._head, self._flags = head, flags
        self._pass(body, payload, messages)
        return at

    def _continue(self, body: Body, data: bytes, at: int, messages: list[Message]) -> int:
        payload, at = body.take(data, at)
        self._pass(body, payload, messages)
        return at

    def _pass(self, body: Body, payload: bytes, messages: list[Message]) -> None:
        if not body.done:
            if payload:
                cut(payload, self._id, messages)
            return
        if len(payload) > LARGEST_CHUNK:
            cut(payload, self._id, messages)
            payload = b""
        messages.append(end(self._id, payload, body.trailers, self._failed(body)))
        self._body = None
        self._answered(self._flags)

    def _answered(self, flags: int) -> None:
        self._interims = 0
        if self._behind:
            self._id, self._method, self._protocol = self._behind.popleft()
        else:
            self._id = 0
        if flags & answers.CLOSE:
            self._last = True

    def _interim(self, head: Head, messages: list[Message]) -> None:
        if head.status == 101:
            if not self._protocol or head.protocol.lower() != self._protocol:
                raise HeadError("101 without an Upgrade that was asked for")
            self._open_tunnel(head, messages)
            return
        self._interims += 1
        if self._interims > _MOST_INTERIM:
            raise HeadError(f"more than {_MOST_INTERIM} answers with 1xx to one request")
        messages.append(interim(head, self._id, self._rules.more))

    def _open_tunnel(self, head: Head, messages: list[Message]) -> None:
        # No request follows, not even once both halves have ended and the connection is not lost yet.
        messages.append(Message(Kind.DRAIN, b""))
        message = opening(head, self._id, self._rules.more)
        message.duplex = True
        messages.append(message)
        self._tunnel = True
        self._chunked = False
        self._left = UNSIZED

    def eof(self) -> list[Message]:
        if self._tunnel:
            return [Chunk(Kind.STREAM_CLOSE, b"", self._id, final=False)]
        body = self._body
        if body is None or not body.unsized:
            return []
        self._body = None
        last = end(self._id, failed=self._failed(body))
        self._answered(answers.CLOSE)
        return [last]

    def _failed(self, body: Body) -> bool:
        assert self._head is not None
        return self._rules.failed(self._head, body.trailers)
