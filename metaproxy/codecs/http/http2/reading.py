"""
What the peer of a connection of HTTP/2 sends on its streams, as messages.

Lives here: `Reader`: data and headers, the windows that we grant, streams that end well or badly. Does not: what a
block of headers opens (`client`, `server`), the connection's own frames (`connection`).
"""

from __future__ import annotations

from metaproxy.codecs.http.http2 import frames, translation
from metaproxy.codecs.http.http2.compression import Block, Decoder
from metaproxy.codecs.http.http2.cutting import Cutter
from metaproxy.codecs.http.http2.floods import Allowance
from metaproxy.codecs.http.http2.frames import (
    END_HEADERS,
    END_STREAM,
    PADDED,
    PRIORITIZED,
    Code,
    ConnectionFault,
    StreamFault,
)
from metaproxy.codecs.http.http2.given_up import GivenUp
from metaproxy.codecs.http.http2.options import Options
from metaproxy.codecs.http.http2.sending import Sender
from metaproxy.codecs.http.http2.stream import Piece, Stream
from metaproxy.codecs.http.model import Head, Pair, end, opening
from metaproxy.message import Chunk, Kind, Message

MAX_CHUNK = 65536
MOST_CONTINUATIONS = 128

_RESETS_MOST, _RESETS_RATE = 500, 50.0

_DEPENDS_ON_ITSELF = 0x100
"""A flag of our own beside those of a frame of HEADERS."""


class Reader(Cutter):
    """streams: those of which a half is open, by number. resets: how many of them may be reset before their end."""

    __slots__ = (
        "_block_flags",
        "_continuations",
        "_decoder",
        "_first_room",
        "_full_room",
        "_given_up",
        "_heard",
        "_last",
        "_max",
        "_options",
        "_out",
        "_resets",
        "_room",
        "_rules",
        "_sender",
        "_streams",
        "_touched",
    )

    def __init__(self, options: Options, max_frame: int) -> None:
        super().__init__(options.clock)
        self._options = options
        self._rules = options.rules
        self._max = max_frame
        self._out: list[bytes] = []
        self._streams: dict[int, Stream] = {}
        self._touched: list[Stream] = []
        self._sender = Sender()
        self._decoder = Decoder(options.rules.max_head)
        self._resets = Allowance("streams that were reset", _RESETS_MOST, _RESETS_RATE, options.clock)
        self._given_up = GivenUp(max(256, 2 * options.streams))
        self._last = 0
        # The peer may use the window that it knows from the standard until it saw ours.
        self._first_room = max(options.window, frames.FIRST_WINDOW)
        self._full_room = max(frames.FIRST_WINDOW, min(frames.LARGEST_WINDOW, options.streams * self._first_room))
        self._room = self._full_room
        self._block_flags = self._continuations = 0
        self._heard = False  # whether the peer sent something since the last beat

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        if self.error is not None:
            return messages
        self._heard = True
        try:
            self._read(data, messages)
        except ConnectionFault as fault:
            self._fail(fault)
        if self._touched:
            self._pass_on(messages)
        if self.error is not None:
            self._lost(messages)
        return messages

    def _fail(self, fault: ConnectionFault) -> None:
        self.error = fault
        self._held.clear()
        self.buffered = 0
        self._say(frames.goaway(self._last, fault.code, str(fault)))

    def _lost(self, messages: list[Message]) -> None:
        """The connection ends by a fault of its peer: what becomes of the exchanges under way."""

    # Data

    def _data_stream(self, number: int, size: int, left: int, flags: int, messages: list[Message]) -> Stream | None:
        """Whose data comes; None: it is not wanted. Counts it against the windows."""
        # Opened again at once, even where it is not read: the windows of the streams are what holds a peer back.
        self._room -= size
        if self._room < self._full_room >> 1:
            self._say(frames.window_update(0, self._full_room - self._room))
            self._room = self._full_room
        if not left and not flags & END_STREAM:
            self._control.use()
        stream = self._streams.get(number)
        try:
            if stream is None or not stream.remote_open:
                self._stray(number, "DATA")
                return None
            stream.room -= size
            if stream.room < 0:
                raise StreamFault(Code.FLOW_CONTROL_ERROR, "more data than the stream's window")
            if not stream.answered:
                raise translation.malformed("data before the answer")
            if stream.missing >= 0:
                stream.missing -= left
                if stream.missing < 0:
                    raise translation.malformed("more data than content-length")
            elif stream.most >= 0:
                stream.most -= left
                if stream.most < 0:
                    self._too_long(stream, messages)
                    return None
        except StreamFault as fault:
            self._refuse(number, fault, messages)
            return None
        if size != left:
            self._touch(stream)
            stream.padding += size - left
        return stream

    def _too_long(self, stream: Stream, messages: list[Message]) -> None:
        """A body went over its bound: end its stream."""
        raise NotImplementedError

    def _touch(self, stream: Stream) -> None:
        if not stream.pieces and not stream.padding and stream.head is None:
            self._touched.append(stream)

    def _take(self, stream: Stream, piece: Piece) -> None:
        if not stream.pieces and not stream.padding and stream.head is None:
            self._touched.append(stream)
        stream.pieces.append(piece)

    def _end_of_data(self, stream: Stream, messages: list[Message]) -> None:
        try:
            self._ended(stream, None, messages)
        except StreamFault as fault:
            self._refuse(stream.number, fault, messages)

    def _ended(self, stream: Stream, trailers: list[Pair] | None, messages: list[Message]) -> None:
        """The peer's half is over."""
        if stream.missing > 0:
            raise translation.malformed(f"{stream.missing} bytes less than content-length")
        stream.remote_open = False
        body = stream.take_pieces()
        head, size = stream.head, len(body) + stream.padding
        stream.padding = 0
        if head is not None:
            stream.head = None
            if len(body) + len(head.frame) <= self._max:
                messages.append(self._whole(stream, head, body, trailers))
                self._over(stream)
                return
            messages.append(self._opening(stream, head))
        while len(body) > MAX_CHUNK:
            messages.append(Chunk(Kind.STREAM_DATA, body[:MAX_CHUNK], stream.id))
            body = body[MAX_CHUNK:]
            size -= MAX_CHUNK
        messages.append(self._close(stream, body, trailers, size))
        self._over(stream)

    def _pass_on(self, messages: list[Message]) -> None:
        """What this read brought of streams that go on."""
        for stream in self._touched:
            if stream.gone:
                continue
            if stream.head is not None:
                messages.append(self._opening(stream, stream.head))
                stream.head = None
            payload, padding = stream.take_pieces(), stream.padding
            stream.padding = 0
            if payload:
                for at in range(0, len(payload), MAX_CHUNK):
                    part = payload[at : at + MAX_CHUNK]
                    messages.append(Chunk(Kind.STREAM_DATA, part, stream.id, size=len(part) + padding))
                    padding = 0
            elif padding:
                self._grant(stream, padding)
        self._touched.clear()

    def _opening(self, stream: Stream, head: Head) -> Message:
        return opening(head, stream.id, self._rules.more)

    def _close(self, stream: Stream, body: bytes, trailers: list[Pair] | None, size: int) -> Chunk:
        chunk = end(stream.id, body, trailers)
        chunk.size = size
        if stream.tunnel:
            chunk.final = False
        return chunk

    def _whole(self, stream: Stream, head: Head, body: bytes, trailers: list[Pair] | None) -> Message:
        raise NotImplementedError

    def _over(self, stream: Stream) -> None:
        """The peer's half ended: what becomes of the stream."""
        raise NotImplementedError

    # Headers

    def _headers(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        frames.expect_stream("HEADERS", number, True)
        if flags & PADDED:
            payload = frames.unpadded(payload)
        itself = False
        if flags & PRIORITIZED:
            if len(payload) < 5:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS without the priority that it announces")
            itself = int.from_bytes(payload[:4], "big") & frames.LAST_STREAM == number
            payload = payload[5:]
        if itself:
            flags |= _DEPENDS_ON_ITSELF
        if flags & END_HEADERS:
            self._block_is_whole(number, flags, payload, messages)
            return
        self._block, self._block_number, self._block_flags = bytearray(payload), number, flags
        self._continuations = 0

    def _continued(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        if self._block is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION of nothing")
        self._block += payload
        self._continuations += 1
        if len(self._block) > 2 * self._rules.max_head or self._continuations > MOST_CONTINUATIONS:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a block of headers without end")
        if flags & END_HEADERS:
            block, self._block = bytes(self._block), None
            self._block_is_whole(number, self._block_flags, block, messages)

    def _block_is_whole(self, number: int, flags: int, data: bytes, messages: list[Message]) -> None:
        # Also if the stream is not wanted: the compression's table depends on each block.
        block = self._decoder.decode(data)
        if flags & _DEPENDS_ON_ITSELF:
            self._fields(number, block, False, messages)
            raise StreamFault(Code.PROTOCOL_ERROR, "a stream that depends on itself")
        self._fields(number, block, bool(flags & END_STREAM), messages)

    def _fields(self, number: int, block: Block, ends: bool, messages: list[Message]) -> None:
        raise NotImplementedError

    def _trailers(self, stream: Stream, block: Block, ends: bool, messages: list[Message]) -> None:
        if stream.tunnel:
            raise translation.malformed("HEADERS in a tunnel")
        if not ends:
            raise translation.malformed("fields behind a body that do not end the stream")
        if block.oversized:
            raise StreamFault(Code.ENHANCE_YOUR_CALM, f"trailers of more than {self._rules.max_head} bytes")
        trailers = block.parsed
        if not isinstance(trailers, list):
            trailers = block.parsed = translation.trailers(block.fields)
        self._ended(stream, trailers, messages)

    # Streams that end badly

    def _stray(self, number: int, what: str) -> None:
        """A frame for a stream whose peer's half is not open: returns if that is no fault, because we gave it up."""
        frames.expect_stream(what, number, True)
        if number in self._given_up:
            return
        if number in self._streams:
            raise StreamFault(Code.STREAM_CLOSED, f"{what} on stream {number}, whose half is closed")
        if self._idle(number):
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"{what} on stream {number}, which is idle")
        raise ConnectionFault(Code.STREAM_CLOSED, f"{what} on stream {number}, which is closed")

    def _idle(self, number: int) -> bool:
        """Whether nothing was ever sent on a stream."""
        raise NotImplementedError

    def _refuse(self, number: int, fault: StreamFault, messages: list[Message]) -> None:
        """End a stream whose peer broke a rule; what was passed on of it ends with a reset."""
        self._resets.use()
        stream = self._streams.get(number)
        if stream is not None:
            self._reset_by_peer(stream, messages, fault.code, str(fault))
        elif self._idle(number):
            raise ConnectionFault(fault.code, str(fault))
        self._given_up.add(number)
        self._say(frames.rst_stream(number, fault.code))

    def _reset_by_peer(self, stream: Stream, messages: list[Message], code: int, text: str = "") -> None:
        """Remove a stream, and tell the other side if it knows of it."""
        known = self._knows(stream)
        if known and stream.head is None and stream.pieces:
            messages.append(Chunk(Kind.STREAM_DATA, stream.take_pieces(), stream.id))
        self._remove(stream)
        if known:
            messages.append(reset_chunk(stream.id, code, text))

    def _knows(self, stream: Stream) -> bool:
        """Whether the proxy knows of the exchange."""
        raise NotImplementedError

    def _remove(self, stream: Stream) -> None:
        stream.gone = True
        self._sender.forget(stream)
        del self._streams[stream.number]

    def _give_up(self, stream: Stream, code: int) -> bytes:
        """The bytes that end a stream both ways; what the peer still sends of it is dropped."""
        self._given_up.add(stream.number)
        self._remove(stream)
        return frames.rst_stream(stream.number, code)

    def _reset_stream(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        frames.expect_stream("RST_STREAM", number, True)
        frames.expect_size("RST_STREAM", payload, 4)
        if self._idle(number):
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"RST_STREAM on stream {number}, which is idle")
        stream = self._streams.get(number)
        if stream is None:
            self._control.use()
            return
        self._count_reset()
        self._reset_by_peer(stream, messages, int.from_bytes(payload, "big"))

    def _count_reset(self) -> None:
        """A peer reset a stream that was under way."""

    def _say(self, said: bytes) -> None:
        """Something to write that answers no call of `send`."""
        self._out.append(said)
        self.owes = True

    def _grant(self, stream: Stream, size: int) -> None:
        """So many bytes of a stream left the proxy: the peer may send as many more."""
        stream.due += size
        if stream.due * 2 >= self._options.window:
            self._say(frames.window_update(stream.number, stream.due))
            stream.room += stream.due
            stream.due = 0


def reset_chunk(id: int, code: int, text: str = "") -> Chunk:
    """The end of a stream both ways, with what HTTP/2 calls the reason."""
    known = {"reset": frames.code_name(code)}
    if text:
        known["reset.text"] = text
    return Chunk(Kind.STREAM_RESET, b"", id, known, failed=True, unsent=code == Code.REFUSED_STREAM)
