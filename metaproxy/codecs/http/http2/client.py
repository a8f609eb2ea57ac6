"""
A connection of HTTP/2 whose peer is a client.

Lives here: `Http2Client`: streams that a client opens, what answers them, how a connection is ended with grace. Does
not: frames (`connection`), fields (`translation`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from metaproxy.codecs.http.forwarding import Forwarding
from metaproxy.codecs.http.heads import HeadError
from metaproxy.codecs.http.http2 import frames, settings, translation
from metaproxy.codecs.http.http2.compression import Block, Field
from metaproxy.codecs.http.http2.connection import SENT_GAIN, Connection
from metaproxy.codecs.http.http2.frames import Code, ConnectionFault, StreamFault
from metaproxy.codecs.http.http2.options import Options
from metaproxy.codecs.http.http2.reading import reset_chunk
from metaproxy.codecs.http.http2.stream import Stream
from metaproxy.codecs.http.model import Head, Pair, answer_head, head_of, parts, trailer_pairs, whole
from metaproxy.message import Chunk, ErrorKind, Kind, Message

_AGE = b"metapxy."
"""The PING behind the first GOAWAY: its answer says that the client has read that."""

_READ = b"metapxy!"
"""The PING behind answers that came early: its answer says that the client has read those."""

_LINGER = 1 << 30
"""Bytes of a request, its answer being whole already, that a client may still send for nothing."""

_MOST_GAPS = 16

_CODES = {
    None: Code.NO_ERROR,
    ErrorKind.TIMEOUT: Code.CANCEL,
    ErrorKind.OVERLOAD: Code.ENHANCE_YOUR_CALM,
    ErrorKind.LIMITED: Code.ENHANCE_YOUR_CALM,
    ErrorKind.DENIED: Code.CANCEL,
    ErrorKind.BAD_REQUEST: Code.PROTOCOL_ERROR,
    ErrorKind.DRAINING: Code.CANCEL,
}
"""Why a stream that was begun ends; INTERNAL_ERROR for others. REFUSED_STREAM would say that nothing was done."""

_NAMES = {code.name: code for code in Code}

_BAD_GATEWAY = answer_head(502, [])


class Http2Client(Connection):
    """Reads what a client sends, and writes the answers. The number of a stream is the id of its exchange."""

    __slots__ = ("_aged_at", "_announced", "_asked_of", "_born", "_early", "_forwarding", "_gaps")

    def __init__(self, options: Options, max_frame: int) -> None:
        super().__init__(options, max_frame)
        self.capacity = options.streams
        self._prefix = frames.PREFACE
        self._announced = frames.LAST_STREAM
        self._gaps: list[range] = []
        self._born = -1.0
        self._aged_at = -1.0
        self._forwarding: Forwarding | None = None
        # Streams with their whole answer before their request: those that the client was asked about, and later ones.
        self._asked_of: list[int] = []
        self._early: list[int] = []

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        wanted = {settings.MAX_CONCURRENT_STREAMS: self._options.streams}
        if self._rules.upgrades:
            wanted[settings.ENABLE_CONNECT_PROTOCOL] = 1
        return self._first_bytes(wanted)

    def adopt(self, http2_settings: str, head: Head) -> None:
        """
        Take over a connection of HTTP/1.1 after an Upgrade to h2c: stream 1 is the request that asked for it, with this
        head; its half is closed. http2_settings: the value of that header. Raises ConnectionFault when it is wrong.
        """
        self._apply(settings.from_header(http2_settings))
        self._last = 1
        stream = Stream(1, 1, 0, self._sender.settings.window)
        stream.remote_open = False
        stream.answered = True
        stream.bodiless = head.method == b"HEAD"
        self._streams[1] = stream
        # Data wait for its preface: curl 7.88 fails when more than its buffer comes behind the 101.
        self._sender.window = 0

    # What comes

    def _settings(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        adopted = not self._agreed and self._last == 1
        super()._settings(number, flags, payload, messages)
        if adopted:
            self._sender.window = frames.FIRST_WINDOW
            self._advance_all()

    def _fields(self, number: int, block: Block, ends: bool, messages: list[Message]) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            if not stream.remote_open:
                raise StreamFault(Code.STREAM_CLOSED, f"HEADERS on stream {number}, whose half is closed")
            self._trailers(stream, block, ends, messages)
            return
        if number <= self._last or not number & 1:
            if any(number in gap for gap in self._gaps):
                raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {number} after stream {self._last}")
            self._stray(number, "HEADERS")
            return
        if number != self._last + 2 and number > 1:
            self._gaps = [*self._gaps[1 - _MOST_GAPS :], range(self._last + 2 if self._last else 1, number, 2)]
        self._last = number
        if self._begins(number):
            try:
                self._begin(number, self._head_of(block), ends, messages)
            except HeadError as error:
                self._decline(number, error.status, ends)

    def _begins(self, number: int) -> bool:
        """Whether a new stream is one that we look at. Raises StreamFault."""
        if number > self._announced:
            # The client has not read our GOAWAY yet; once it has, it knows that this one was not looked at.
            self._given_up.add(number)
            return False
        if len(self._streams) >= self._options.streams:
            raise StreamFault(Code.REFUSED_STREAM, f"more than {self._options.streams} streams at a time")
        return True

    def _head_of(self, block: Block) -> Head:
        """The head of a request. Raises StreamFault, or HeadError for one that is right and is refused."""
        head = block.parsed
        if isinstance(head, Head):
            return head
        if block.oversized:
            raise HeadError(f"a head of more than {self._rules.max_head} bytes", 431)
        head = self._forwarded(translation.request(block.fields, self._rules))
        head.never = block.never
        if not head.protocol:  # whose key is another one each time
            block.parsed = head
        return head

    def _decline(self, number: int, status: int, ends: bool) -> None:
        """Answer a request that goes no further."""
        self._control.use(_PRICE_OF_ANSWER)
        stream = Stream(number, number, 0, 0)
        self._say(self._sender.headers(stream, _bare(status), True))
        if not ends:
            self._given_up.add(number)
            self._say(self._reset_once_read(number))

    def _begin(self, number: int, head: Head, ends: bool, messages: list[Message]) -> None:
        tunnel = bool(head.protocol) or head.method == b"CONNECT"
        if tunnel and (ends or head.length > 0):
            raise translation.malformed("a tunnel that ends as it begins, or with a content-length")
        stream = self._streams[number] = Stream(number, number, self._first_room, self._sender.settings.window)
        if tunnel:
            self._ask_for_tunnel(stream, head, messages)
            return
        stream.answered = True
        stream.head = head
        stream.missing = head.length
        if self._rules.max_body:
            stream.most = self._rules.max_body
        if head.method == b"HEAD":
            stream.bodiless = True
        if ends:
            self._ended(stream, None, messages)
        else:
            self._touched.append(stream)

    def _ask_for_tunnel(self, stream: Stream, head: Head, messages: list[Message]) -> None:
        """
        A request that is whole, as an Upgrade of HTTP/1.1 is: what its client sends before the answer is refused. Sent
        on to a server of HTTP/1.1 that declines, it would be the next request, which no route and no filter saw.
        """
        stream.tunnel = True
        stream.protocol = head.protocol
        messages.append(whole(head, b"", stream.id, self._rules.more))

    def _forwarded(self, head: Head) -> Head:
        """The head with what this proxy adds to requests."""
        if self._options.forwarding is None:
            return head
        if self._forwarding is None:
            self._forwarding = self._options.forwarding(self.facts)
        return self._forwarding.applied(head)

    def _whole(self, stream: Stream, head: Head, body: bytes, trailers: list[Pair] | None) -> Message:
        return whole(head, body, stream.id, self._rules.more, trailers)

    def _too_long(self, stream: Stream, messages: list[Message]) -> None:
        self._resets.use()
        if not stream.begun:
            self._say(self._sender.headers(stream, _bare(413), True))
        if self._knows(stream):
            messages.append(reset_chunk(stream.id, Code.CANCEL, f"a body of more than {self._rules.max_body} bytes"))
        if stream.begun:
            self._say(self._give_up(stream, Code.CANCEL))
        else:
            self._drop_rest(stream)
            self._say(self._reset_once_read(stream.number))

    def _lost(self, messages: list[Message]) -> None:
        # No answer will reach this client; while one is waited for, what is owed would wait behind it.
        for stream in list(self._streams.values()):
            self._remove(stream)
            messages.append(reset_chunk(stream.id, Code.CANCEL, "the connection ended"))

    def eof(self) -> list[Message]:
        """A client that sends no more gives no more room either: its streams would wait for good, and hold servers'."""
        messages: list[Message] = []
        for stream in list(self._streams.values()):
            if stream.queued or stream.remote_open:
                self._reset_by_peer(stream, messages, Code.CANCEL, "the client's connection ended")
        return messages

    def _over(self, stream: Stream) -> None:
        if not stream.local_open:
            self._remove(stream)

    def _idle(self, number: int) -> bool:
        return number > self._last or not number & 1

    def _knows(self, stream: Stream) -> bool:
        return stream.head is None

    def _count_reset(self) -> None:
        self._resets.use()

    # What goes

    def send(self, message: Message, id: int) -> bytes:
        stream = self._streams.get(id)
        if stream is None:
            return self._behind_owed(b"")
        kind = message.kind
        stream.begun = True
        if kind is Kind.RESPONSE or kind is Kind.ERROR:
            written = self._answer(stream, message)
        elif isinstance(message, Chunk):
            if kind is Kind.STREAM_RESET:
                return self._behind_owed(self._give_up(stream, _code_of(message)))
            written = self._chunk(stream, message)
        else:
            written = self._head(stream, message)
        self._control.earn(SENT_GAIN)
        if not stream.local_open and not stream.gone:
            written += self._end_of_answer(stream)
        return self._behind_owed(written)

    def _answer(self, stream: Stream, message: Message) -> bytes:
        """The frames of a whole answer."""
        head, body, trailers = parts(message)
        if stream.tunnel:
            stream.tunnel = False
            if stream.protocol and 200 <= head.status < 300:
                # To this client it would say that the tunnel is open, which a server of HTTP/1 says by 101.
                head, body, trailers = _BAD_GATEWAY, b"", None
        stream.answer = head
        block = self._answer_block(head)
        if stream.bodiless:
            body, trailers = b"", None
        if not body and not trailers:
            return self._sender.block(stream, block, True)
        return self._sender.block(stream, block, False) + self._sender.body(stream, body, True, trailers)

    def _answer_block(self, head: Head) -> bytes:
        encoder = self._sender.encoder
        key = head.frame
        kept = encoder.kept(key) if not head.never else None
        return kept or encoder.encode(translation.answer_fields(head), head.never, key)

    def _head(self, stream: Stream, message: Message) -> bytes:
        """The frame of a head whose chunks follow, or of an interim answer."""
        head = stream.answer = head_of(message)
        if stream.tunnel and message.kind is Kind.STREAM_OPEN:
            if stream.protocol and head.status != 101 and head.status < 300:
                stream.tunnel = False
                return self._sender.block(stream, self._answer_block(_BAD_GATEWAY), True)
            stream.tunnel = stream.answered = head.status == 101 or 200 <= head.status < 300
        return self._sender.block(stream, self._answer_block(head), False)

    def _chunk(self, stream: Stream, chunk: Chunk) -> bytes:
        if stream.bodiless:
            return self._sender.body(stream, b"", chunk.kind is Kind.STREAM_CLOSE)
        if chunk.kind is Kind.STREAM_DATA:
            return self._sender.body(stream, chunk.frame, False)
        return self._sender.body(stream, chunk.frame, True, trailer_pairs(chunk.trailers) if chunk.trailers else None)

    def _end_of_answer(self, stream: Stream) -> bytes:
        """What follows the end of our half: the rest of a request is not wanted, but for a tunnel."""
        self._resets.earn(1)
        if not stream.remote_open:
            self._remove(stream)
            return b""
        if stream.tunnel:
            return b""
        left = stream.missing
        if stream.answer is not None and stream.answer.status >= 400:
            left = 0
        elif not 0 < left <= _LINGER:
            return self._give_up(stream, Code.NO_ERROR)
        self._drop_rest(stream)
        self._let_come(stream, left)
        return self._reset_once_read(stream.number)

    def _let_come(self, stream: Stream, left: int) -> None:
        """Make room for so many bytes that will be dropped. It goes in front of the answer, so that it is read."""
        if left > stream.room:
            self._say(frames.window_update(stream.number, left - stream.room))
        if left > self._room:
            self._say(frames.window_update(0, left - self._room))
            self._room = left

    def _drop_rest(self, stream: Stream) -> None:
        """Forget a stream whose answer is whole; what the client still sends of it is dropped."""
        self._given_up.add(stream.number)
        self._remove(stream)

    def _reset_once_read(self, number: int) -> bytes:
        """
        End the client's half of a stream that has its answer: with RST_STREAM, once the client has read that answer.

        A reset in the same read makes clients drop what they have of the answer: curl before 8.0 fails with 92. And
        curl goes on with its request until it is sent, unless the status is an error; it reads no more meanwhile, so
        that a reset does not stop it, and room for the rest lets it end.
        """
        if len(self._early) >= self._options.streams:
            return frames.rst_stream(number, Code.NO_ERROR)
        self._early.append(number)
        return b"" if self._asked_of else self._ask()

    def _ask(self) -> bytes:
        self._asked_of, self._early = self._early, self._asked_of
        return frames.ping(_READ)

    def _reset_read(self) -> None:
        """The client has read the answers that it was asked about."""
        for number in self._asked_of:
            self._say(frames.rst_stream(number, Code.NO_ERROR))
        self._asked_of.clear()
        if self._early:
            self._say(self._ask())

    def _sent_all(self, stream: Stream) -> None:
        written = self._end_of_answer(stream)
        if written:
            self._say(written)

    def _stream_of(self, id: int) -> Stream | None:
        return self._streams.get(id)

    def _code(self, kind: ErrorKind | None) -> Code:
        return _CODES.get(kind, Code.INTERNAL_ERROR)

    # The end of the connection

    def drain(self) -> bytes:
        if self._announced != frames.LAST_STREAM:
            return self._behind_owed(b"")
        self._announced = self._last
        return self._behind_owed(frames.goaway(self._last, Code.NO_ERROR))

    def beat(self, now: float) -> None:
        """As its base; and after `max_age` ask the client to open another connection."""
        super().beat(now)
        if self._born < 0:
            self._born = now
        elif self._aged_at < 0:
            if self._options.max_age and now - self._born >= self._options.max_age:
                # What the client sent before it reads this is still answered: the real last id follows its answer.
                self._aged_at = now
                self._say(frames.goaway(frames.LAST_STREAM, Code.NO_ERROR, "max_age") + frames.ping(_AGE))
        elif now - self._aged_at >= self._options.ping_timeout:
            self._leave()

    def _pinged(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        super()._pinged(number, flags, payload, messages)
        if flags & frames.ACK:
            if payload == _READ:
                self._reset_read()
            elif payload == _AGE and self._aged_at >= 0:
                self._leave()

    def _leave(self) -> None:
        if not self.closing:
            self.closing = True
            said = self.drain()
            if said:
                self._say(said)


_PRICE_OF_ANSWER = 10
"""Control frames that an answer of ours costs which no exchange is counted for."""


def _bare(status: int) -> list[Field]:
    """An answer of nothing but its status."""
    return [(b":status", b"%d" % status), (b"content-length", b"0")]


def _code_of(chunk: Chunk) -> int:
    """The code that a server of HTTP/2 gave for its reset; one of ours for other protocols' resets."""
    return _NAMES.get(chunk.metadata.get("reset", ""), Code.INTERNAL_ERROR) if chunk.metadata else Code.INTERNAL_ERROR
