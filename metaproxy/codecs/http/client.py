"""
A client's connection of HTTP/1.1: requests in, answers out.

Lives here: `ClientSession`. A connection that turns out to speak HTTP/2 is handed to a session of that. Does not: what
a head may hold (`requests`), how bodies are cut (`bodies`, `chunked`).
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from metaproxy.codecs.http import requests
from metaproxy.codecs.http.bodies import LARGEST_CHUNK, Body, HeadBuffer, cut, with_lines
from metaproxy.codecs.http.chunked import chunk, last_chunk
from metaproxy.codecs.http.forwarding import Forwarding
from metaproxy.codecs.http.heads import HeadError
from metaproxy.codecs.http.http2 import Http2Client
from metaproxy.codecs.http.model import END, Head, HttpMessage, end, head_of, opening, parts, whole
from metaproxy.codecs.http.rules import Rules
from metaproxy.codecs.http.switching import Switching
from metaproxy.message import Chunk, FrameError, Kind, Message

_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
_RESPONSE, _ERROR, _REQUEST = Kind.RESPONSE, Kind.ERROR, Kind.REQUEST

# What is remembered of a request until it is answered, beside the flags of `requests`.
_HEAD = 0x100
_WAITS = 0x200  # an Upgrade or CONNECT
_UNREAD = 0x400  # its body has not come to its end

_MOST_EARLY = 16384
"""Bytes that a client may send behind an Upgrade before that is answered."""

_NONE, _PLAIN, _CHUNKED = range(3)
"""How the chunks of the answer under way are written: not at all, as they are, in chunked form."""


class ClientSession(Switching):
    """rules: see Rules. http2: makes the session of a client that speaks HTTP/2, None where it may not."""

    __slots__ = (
        "_asked", "_begun", "_body", "_buffer", "_deaf", "_draining", "_early", "_form", "_forwarding", "_id",
        "_left", "_max_frame", "_max_head", "_told", "_tunnel", "_waits",
    )  # fmt: skip

    def __init__(self, rules: Rules, max_frame: int, http2: Callable[[], Http2Client] | None = None) -> None:
        super().__init__(rules, http2)
        self.capacity = 1
        self._max_head = min(rules.max_head, max_frame)
        self._max_frame = max_frame
        self._forwarding: Forwarding | None = None
        self._buffer = HeadBuffer(self._max_head, rules.head_timeout, rules.clock)
        self._id = 0
        # The request that is being read.
        self._body: Body | None = None
        self._deaf = False
        self._waits = 0  # for the answer to this Upgrade or CONNECT
        self._tunnel = 0
        self._early = b""
        # What was asked and is not answered: flags by id.
        self._asked: dict[int, int] = {}
        self._begun = 0  # the answer of which a head was sent
        self._form = _PLAIN
        self._left = 0  # bytes of a sized answer that are to be sent
        self._draining = False
        self._told = False  # the last answer said that the connection closes

    # -- requests

    def receive(self, data: bytes) -> list[Message]:
        second = self._second
        if second is not None:
            messages = second.receive(data)
            self._mirror(second)
            return messages
        messages = []
        if self.error is not None or self._deaf:
            return messages
        try:
            self._read(data, messages)
        except HeadError as error:
            self._refuse(error, messages)
        return messages

    def _read(self, data: bytes, messages: list[Message]) -> None:
        if self._early and not self._waits:
            data, self._early = self._early + data, b""
        elif self._buffer.size:
            joined = self._buffer.join(data)
            if joined is None:
                self.buffered = self._buffer.size
                return
            data = joined
        at, size = 0, len(data)
        while at < size and not self._deaf:
            if self._tunnel:
                cut(data[at:] if at else data, self._tunnel, messages)
                break
            if self._waits:
                self._hold(data[at:])
                break
            if self._body is not None:
                at = self._continue(self._body, data, at, messages)
                continue
            while data.startswith(b"\r\n", at):
                at += 2
            stop = data.find(END, at, at + self._max_head) + 4
            if stop < 4:
                if at < size:
                    self._buffer.keep(data, at)
                break
            if not self._id and data.startswith(_PREFACE, at) and self._http2 is not None:
                second = self._change()
                self._greeting = second.open(None, {})
                messages += second.receive(data[at:])
                self._mirror(second)
                return
            at = self._begin(data[at:stop] if at or stop < size else data, data, stop, messages)
        self.buffered = self._buffer.size + len(self._early) + (self._body.held if self._body is not None else 0)

    def _begin(self, block: bytes, data: bytes, at: int, messages: list[Message]) -> int:
        """A request whose head is `block`, and its body as far as `data` has it from `at` on. Gives where it ends."""
        forwarding = self._forwarding
        if forwarding is None:
            forwarding = self._forwarding = Forwarding(self.facts, self._rules.via, self._rules.trusted_hops)
        head, flags = requests.read(block, self._rules, forwarding)
        if flags & requests.H2C and not self._id and self._upgrade(block, head, messages):
            messages += self.receive(data[at:])
            return len(data)
        self._id = id = self._id + 1
        if not flags and head.length <= 0 and head.path and not head.protocol:
            self._asked[id] = _HEAD if head.method == b"HEAD" else 0
            frame = head.frame
            messages.append(HttpMessage(_REQUEST, frame, id, head, self._rules.more, len(frame)))
            return at
        if not flags and 0 < head.length <= len(data) - at and not head.protocol:
            start = len(head.frame)
            stop = at + head.length
            if start + head.length <= self._max_frame:  # most requests with a body: whole, in one read
                self._asked[id] = _HEAD if head.method == b"HEAD" else 0
                messages.append(HttpMessage(_REQUEST, head.frame + data[at:stop], id, head, self._rules.more, start))
                return stop
        return self._begin_unusual(head, flags, id, data, at, messages)

    def _begin_unusual(self, head: Head, flags: int, id: int, data: bytes, at: int, messages: list[Message]) -> int:
        """A request with a body, of a client that wants something of the connection."""
        if head.method == b"HEAD":
            flags |= _HEAD
        elif head.protocol or head.method == b"CONNECT":
            flags |= _WAITS
        more = self._rules.more
        if head.length <= 0 and not flags & requests.CHUNKED:
            self._asked[id] = flags
            messages.append(whole(head, b"", id, more))
            if flags & _WAITS:
                self._waits = id
            self._ended(flags)
            return at
        body = Body(head.length, bool(flags & requests.CHUNKED), self._max_head, self._rules.max_body)
        payload, at = body.take(data, at)
        if body.done:
            message = whole(head, payload, id, more, body.trailers)
            if len(message.frame) <= self._max_frame:
                self._asked[id] = flags
                messages.append(message)
                self._ended(flags)
                return at
        self._asked[id] = flags | _UNREAD
        self._body = body
        messages.append(opening(head, id, more))
        self._pass(body, payload, messages)
        return at

    def _continue(self, body: Body, data: bytes, at: int, messages: list[Message]) -> int:
        payload, at = body.take(data, at)
        self._pass(body, payload, messages)
        return at

    def _pass(self, body: Body, payload: bytes, messages: list[Message]) -> None:
        id = self._id
        if not body.done:
            if payload:
                cut(payload, id, messages)
            return
        if len(payload) > LARGEST_CHUNK:
            cut(payload, id, messages)
            payload = b""
        messages.append(end(id, payload, body.trailers))
        self._body = None
        flags = self._asked.get(id)
        if flags is None:  # it was answered before its end
            self._ended(requests.CLOSE if self._told else 0)
        else:
            self._asked[id] = flags & ~_UNREAD
            self._ended(flags)

    def _ended(self, flags: int) -> None:
        """A request was read to its end."""
        if flags & requests.CLOSE and not self._waits:
            self._deaf = self.closing = True

    def _hold(self, data: bytes) -> None:
        self._early += data
        if len(self._early) > _MOST_EARLY:
            raise HeadError(f"more than {_MOST_EARLY} bytes behind an Upgrade before its answer")

    def _refuse(self, error: HeadError, messages: list[Message]) -> None:
        self.error = error
        self.buffered = 0
        if self._body is not None:  # what was passed on of it will not come to its end
            messages.append(Chunk(Kind.STREAM_RESET, str(error).encode("utf-8", "replace"), self._id))
            self._body = None

    def owed(self) -> bytes:
        """Last words: why nothing more is read; of a client that sends no whole head in time, 408."""
        if self._second is not None:
            greeting, self._greeting = self._greeting, b""
            data = greeting + self._second.owed()
            self._mirror(self._second)
            return data
        if self._begun:
            return b""
        if isinstance(self.error, HeadError):
            return _last_words(self.error.status, str(self.error))
        if self.error is None and self._buffer.size:
            return _last_words(408, "the request did not come in time")
        return b""

    def beat(self, now: float) -> None:
        super().beat(now)
        if self._begun:  # behind a part of an answer there is no place for another one
            return
        try:
            self._buffer.check_time()
        except HeadError as error:
            self._refuse(error, [])

    def eof(self) -> list[Message]:
        if self._second is not None:
            messages = self._second.eof()
            self._mirror(self._second)
            return messages
        if self._tunnel:
            early, self._early = self._early, b""
            return [Chunk(Kind.STREAM_CLOSE, early, self._tunnel, final=False)]
        if self._body is not None:
            self._body = None
            return [Chunk(Kind.STREAM_RESET, b"the client's connection ended within a request", self._id)]
        return []

    # -- answers

    def send(self, message: Message, id: int) -> bytes:
        if self._second is not None:
            data = self._greeting + self._second.send(message, id)
            self._greeting = b""
            self._mirror(self._second)
            return data
        kind = message.kind
        if kind is _RESPONSE or kind is _ERROR:
            flags = self._asked.pop(id, 0)
            if not flags and not self._draining and isinstance(message, HttpMessage):
                head = message.head
                if head is not None and head.length >= 0 and not message.trailers:
                    return message.frame
            return self._whole(message, flags, id)
        if kind is Kind.STREAM_DATA:
            return self._data(message.frame)
        if kind is Kind.STREAM_OPEN:
            return self._open_answer(message, id)
        if kind is Kind.STREAM_CLOSE:
            return self._close_answer(message, id)
        if kind is Kind.INTERIM:
            return b"" if self._asked.get(id, 0) & requests.OLD else message.frame
        return b""

    def _whole(self, message: Message, flags: int, id: int) -> bytes:
        head, body, trailers = parts(message)
        self._answered(id)
        self._told = self._closes(flags)
        added = b"connection: close\r\n" if self._told else b""
        if flags & _HEAD or head.status in (204, 304):
            return with_lines(head.frame, added)
        if trailers and not flags & requests.OLD:
            return with_lines(whole(head, body, id, trailers=trailers).frame, added)
        if head.length < 0:
            added += b"content-length: %d\r\n" % len(body)
        return with_lines(head.frame, added) + body

    def _closes(self, flags: int) -> bool:
        return self._draining or bool(flags & (requests.CLOSE | _UNREAD))

    def _open_answer(self, message: Message, id: int) -> bytes:
        head = head_of(message)
        flags = self._asked.get(id, 0)
        if getattr(message, "duplex", False) and self._waits == id:
            self._tunnel = self._begun = id
            self._waits = 0
            self._form, self._left = _PLAIN, -1
            return head.frame
        self._answered(id)
        self._begun = id
        self._told = self._draining or bool(flags & requests.CLOSE)
        added = b"connection: close\r\n" if self._told else b""
        self._form, self._left = _PLAIN, head.length
        if flags & _HEAD or head.status in (204, 304):
            self._form, self._left = _NONE, -1
        elif head.length < 0 and not flags & requests.OLD:
            self._form = _CHUNKED
            added += b"transfer-encoding: chunked\r\n"
        return with_lines(head.frame, added)

    def _data(self, payload: bytes) -> bytes:
        if self._form == _PLAIN:
            if self._left >= 0:
                self._left -= len(payload)
                if self._left < 0:
                    raise FrameError("an answer with more bytes than its content-length says")
            return payload
        return chunk(payload) if self._form == _CHUNKED else b""

    def _close_answer(self, message: Message, id: int) -> bytes:
        if self._form == _CHUNKED:
            data = last_chunk(message.frame, message.trailers if isinstance(message, Chunk) else b"")
        else:
            data = self._data(message.frame)
            if self._left > 0:
                raise FrameError(f"an answer that lacks {self._left} bytes of its content-length")
        if not self._tunnel:
            self._asked.pop(id, None)
        self._begun = 0
        return data

    def _answered(self, id: int) -> None:
        """The answer is known: after an Upgrade that was declined it goes on with requests, if none has come yet."""
        self._begun = 0
        if self._waits == id:
            self._waits = 0
            if self._early:
                self._draining = self._deaf = self.closing = True

    def drain(self) -> bytes:
        """HTTP/1.1 has no word for it but in an answer."""
        if self._second is not None:
            data = self._second.drain()
            self._mirror(self._second)
            return data
        self._draining = True
        return b""


def _last_words(status: int, text: str) -> bytes:
    body = text.encode("ascii", "replace") + b"\n"
    return b"HTTP/1.1 %d %b\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b" % (
        status, HTTPStatus(status).phrase.encode(), len(body), body,
    )  # fmt: skip
