"""
A connection of HTTP/2 whose peer is a server.

Lives here: `Http2Server`: streams that we open for requests, what the server answers, what its GOAWAY means. Does not:
frames (`connection`), fields (`translation`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from metaproxy.codecs.http.http2 import frames, settings, translation
from metaproxy.codecs.http.http2.compression import Block
from metaproxy.codecs.http.http2.connection import SENT_GAIN, Connection
from metaproxy.codecs.http.http2.frames import Code, StreamFault
from metaproxy.codecs.http.http2.options import Options
from metaproxy.codecs.http.http2.reading import reset_chunk
from metaproxy.codecs.http.http2.stream import Stream
from metaproxy.codecs.http.model import Head, Pair, end, head_of, interim, opening, parts, trailer_pairs, whole
from metaproxy.message import Chunk, ErrorKind, Kind, Message

_SPARE = 20000
"""Numbers of streams that are left when a connection asks for no more requests."""


class Http2Server(Connection):
    """Writes requests, and reads what a server sends. Ready when the server's SETTINGS came."""

    __slots__ = ("_by_id", "_drained", "_next")

    def __init__(self, options: Options, max_frame: int) -> None:
        super().__init__(options, max_frame)
        self.capacity = options.streams
        self.ready = False
        self._next = 1
        self._by_id: dict[int, Stream] = {}
        self._drained = False

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        return frames.PREFACE + self._first_bytes({settings.ENABLE_PUSH: 0})

    # What goes

    def send(self, message: Message, id: int) -> bytes:
        kind = message.kind
        stream = self._by_id.get(id)
        if isinstance(message, Chunk):
            if stream is None:
                return self._behind_owed(b"")
            if kind is Kind.STREAM_RESET:
                return self._behind_owed(self._give_up(stream, Code.CANCEL))
            written = self._chunk(stream, message)
        else:
            stream = self._begin(id)
            written = self._request(stream, message)
        self._control.earn(SENT_GAIN)
        if not stream.local_open and not stream.remote_open:
            self._remove(stream)
        return self._behind_owed(written)

    def _begin(self, id: int) -> Stream:
        number = self._next
        self._next += 2
        stream = self._streams[number] = self._by_id[id] = Stream(
            number, id, self._first_room, self._sender.settings.window
        )
        return stream

    def _request(self, stream: Stream, message: Message) -> bytes:
        sender = self._sender
        trailers: list[Pair] | None
        if message.kind is Kind.STREAM_OPEN:
            head, body, trailers, ends = head_of(message), b"", None, False
        else:
            head, body, trailers = parts(message)
            ends = True
        if head.method == b"HEAD":
            stream.bodiless = True
        elif head.method == b"CONNECT" or (head.protocol and sender.settings.connect_protocol):
            stream.tunnel = True
            stream.protocol = head.protocol
            stream.key = head.value(b"sec-websocket-key") or b""
            ends = False  # a tunnel's client has its half open, though its request was whole
        block = self._request_block(head)
        if body or trailers:
            return sender.block(stream, block, False) + sender.body(stream, body, ends, trailers)
        return sender.block(stream, block, ends)

    def _request_block(self, head: Head) -> bytes:
        encoder = self._sender.encoder
        key = (head.frame, head.scheme)
        kept = encoder.kept(key) if not head.never else None
        if kept is not None:
            return kept
        fields = translation.request_fields(head, self._sender.settings.connect_protocol)
        return encoder.encode(fields, head.never, key)

    def _chunk(self, stream: Stream, chunk: Chunk) -> bytes:
        if chunk.kind is Kind.STREAM_DATA:
            return self._sender.body(stream, chunk.frame, False)
        return self._sender.body(stream, chunk.frame, True, trailer_pairs(chunk.trailers) if chunk.trailers else None)

    def _sent_all(self, stream: Stream) -> None:
        if not stream.remote_open:
            self._remove(stream)

    def _stream_of(self, id: int) -> Stream | None:
        return self._by_id.get(id)

    def _remove(self, stream: Stream) -> None:
        super()._remove(stream)
        del self._by_id[stream.id]

    def _code(self, kind: ErrorKind | None) -> Code:
        return Code.CANCEL

    # What comes

    def _apply(self, payload: bytes) -> list[Stream]:
        grown = super()._apply(payload)
        self.capacity = max(1, min(self._sender.settings.max_streams, self._options.streams))
        self.ready = True
        return grown

    def _fields(self, number: int, block: Block, ends: bool, messages: list[Message]) -> None:
        stream = self._streams.get(number)
        if stream is None:
            self._stray(number, "HEADERS")
            return
        if not stream.remote_open:
            raise StreamFault(Code.STREAM_CLOSED, f"HEADERS on stream {number}, whose half is closed")
        if stream.answered:
            self._trailers(stream, block, ends, messages)
            return
        if block.oversized:
            raise StreamFault(Code.ENHANCE_YOUR_CALM, f"a head of more than {self._rules.max_head} bytes")
        head = block.parsed
        if not isinstance(head, Head):
            head = block.parsed = translation.answer(block.fields)
            head.never = block.never
        if head.status < 200:
            self._interim(stream, head, ends, messages)
        else:
            self._answered(stream, head, ends, messages)
        if self._next > frames.LAST_STREAM - _SPARE:
            self._drain(messages)

    def _interim(self, stream: Stream, head: Head, ends: bool, messages: list[Message]) -> None:
        if ends:
            raise translation.malformed(f"a stream that ends with the interim answer {head.status}")
        self._control.use()
        messages.append(interim(head, stream.id, self._rules.more))

    def _answered(self, stream: Stream, head: Head, ends: bool, messages: list[Message]) -> None:
        stream.answered = True
        if stream.tunnel:
            stream.tunnel = 200 <= head.status < 300 and not ends
            if stream.tunnel and stream.protocol:
                head = translation.upgraded(head, stream.protocol, stream.key)
        # Behind HEAD a length says what GET would give; a tunnel has none.
        stream.missing = 0 if stream.bodiless or head.status in (204, 304) else -1 if stream.tunnel else head.length
        stream.head = stream.answer = head
        if ends:
            self._ended(stream, None, messages)
        else:
            self._touched.append(stream)

    def _opening(self, stream: Stream, head: Head) -> Message:
        message = opening(head, stream.id, self._rules.more, self._rules.failed(head, None))
        if stream.tunnel:
            message.duplex = True
        return message

    def _whole(self, stream: Stream, head: Head, body: bytes, trailers: list[Pair] | None) -> Message:
        return whole(head, body, stream.id, self._rules.more, trailers, self._rules.failed(head, trailers))

    def _close(self, stream: Stream, body: bytes, trailers: list[Pair] | None, size: int) -> Chunk:
        chunk = end(stream.id, body, trailers, self._rules.failed(stream.answer, trailers))
        chunk.size = size
        if stream.tunnel:
            chunk.final = False
        return chunk

    def _over(self, stream: Stream) -> None:
        if not stream.local_open:
            self._remove(stream)
        elif not stream.tunnel:
            self._say(self._give_up(stream, Code.CANCEL))

    def _too_long(self, stream: Stream, messages: list[Message]) -> None:
        raise AssertionError("answers have no bound")

    def _idle(self, number: int) -> bool:
        return number >= self._next or not number & 1

    def _knows(self, stream: Stream) -> bool:
        return True

    # The end of the connection

    def _leaves(self, last: int, messages: list[Message]) -> None:
        self._drain(messages)
        for number, stream in list(self._streams.items()):
            if number > last:
                self._given_up.add(number)
                self._remove(stream)
                messages.append(reset_chunk(stream.id, Code.REFUSED_STREAM, "GOAWAY"))

    def _drain(self, messages: list[Message]) -> None:
        if not self._drained:
            self._drained = True
            messages.append(Message(Kind.DRAIN, b""))
