"""
The frames of one connection of baidu_std, whichever side it leads to.

Lives here: cutting the stream into frames and pieces of streams, and which streams are open. Does not: what calls and
answers are (`client`, `server`), one frame's bytes (`frame`, `stream`), metadata, errors and mutations (`codec`).
"""

from __future__ import annotations

from dataclasses import dataclass

from metaproxy.codecs.brpc.frame import HEAD, HEADER, MAGIC
from metaproxy.codecs.brpc.stream import CLOSE, CONTINUES, DATA, FEEDBACK, MAX_CHUNK, MAX_META, RST, Meta, Stream
from metaproxy.codecs.brpc.stream import MAGIC as STREAM_MAGIC
from metaproxy.codecs.cutters import compiled_cutter
from metaproxy.codecs.framing import Cutter, Session
from metaproxy.codecs.shapes import Shape
from metaproxy.message import Chunk, FrameError, Kind, Message

_MAGICS = (b"PRPC", b"STRM")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """max_frame: bytes of a call or an answer. The others: see the options of the codec."""

    max_frame: int
    max_streams: int
    stream_window: int
    stream_buffer: int


def _begins(read: bytes) -> bool:
    return any(magic.startswith(read) for magic in _MAGICS)


def _bad_magic(read: bytes) -> FrameError:
    """Says what is wrong at the first byte that differs, however many are there."""
    while not _begins(read[:-1]):
        read = read[:-1]
    return FrameError(f"magic PRPC or STRM expected, {read!r} read")


class BrpcSession(Session):
    """What both sides have in common."""

    flow = "stream"
    _skips = False
    """Whether a frame over the bound is read to its end and dropped."""
    _numbered = False
    """Whether 0 is no id."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most = limits.max_frame - HEAD
        self._rest = bytearray()
        self._need = HEAD
        self._skip = 0  # bytes of a frame over the bound that are still to come
        self._left = 0  # bytes of a stream's frame that are still to come
        self._reading: Stream | None = None  # whose they are
        self._continues = False
        self._streams: dict[int, Stream] = {}
        """By the id that the peer sends to."""
        self._open: dict[int, Stream] = {}
        """By the exchange's id."""
        self._shape: Shape | None = None
        self._repeated: Shape | None = None  # which the cutter knows
        self.cutter = compiled_cutter("BrpcRepeated", None, None, self._most, self._open, self._numbered)
        self._owed: list[bytes] = []
        self._finished: list[Message] = []

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None:
            return []
        if self._rest:
            self._rest += data
            self.buffered = len(self._rest)
            if self.buffered < self._need:
                self._check_magic(self._rest)
                return []
            data = bytes(self._rest)
            self._rest.clear()
            self.buffered = 0
        messages: list[Message] = []
        if self._finished:
            messages, self._finished = self._finished, messages
        try:
            at = self._read(data, messages)
        except FrameError as error:
            self.error = error
            return messages
        if at < len(data):
            self._rest += data[at:]
            self.buffered = len(self._rest)
            self._check_magic(self._rest)
        return messages

    def _read(self, data: bytes, messages: list[Message]) -> int:
        """Add the messages that are there; where what is left of the data begins."""
        at, end = 0, len(data)
        if self._skip:
            at = min(self._skip, end)
            self._skip -= at
            if self._skip:
                return at
            self._skipped(messages)
        elif self._left:
            at = self._pieces(data, 0, messages)
        unpack = HEADER.unpack_from
        self._need = HEAD
        if self.cutter is not None:
            at = self._cut_repeated(self.cutter, data, at, messages)
        while end - at >= HEAD:
            magic, body, meta = unpack(data, at)
            if magic != MAGIC and magic != STREAM_MAGIC:
                raise _bad_magic(data[at : at + 4])
            if meta > body:
                raise FrameError(f"meta of {meta} bytes in a body of {body}")
            stop = at + HEAD + body
            if magic == STREAM_MAGIC:
                if meta > MAX_META:
                    raise FrameError(f"meta of {meta} bytes in a stream's frame; allowed are {MAX_META}")
                if end - at < HEAD + meta:
                    self._need = HEAD + meta
                    break
                at = self._stream_frame(data, at, at + HEAD + meta, body - meta, messages)
            elif body > self._most:
                if meta > self._most or not self._skips:
                    raise FrameError(f"frame of {HEAD + body} bytes; allowed are {HEAD} to {HEAD + self._most}")
                if end - at < HEAD + meta:
                    self._need = HEAD + meta
                    break
                self._over(data[at : at + HEAD + meta], HEAD + body)
                at, self._skip = min(stop, end), max(0, stop - end)
                if not self._skip:
                    self._skipped(messages)
            elif stop > end:
                self._need = HEAD + body
                break
            else:
                self._add(data[at:stop], HEAD + meta, messages)
                at = stop
        return at

    def _cut_repeated(self, cutter: Cutter, data: bytes, at: int, messages: list[Message]) -> int:
        """What the cutter takes; where it stopped."""
        return cutter(data, at, messages)

    def _repeats(self, shape: Shape | None, profile: bytes | None = None) -> None:
        """A head has come a second time: the cutter takes those that follow. None: it takes none, as they are new."""
        self._repeated = shape
        if self.cutter is not None:
            self.cutter = compiled_cutter("BrpcRepeated", shape, profile, self._most, self._open, self._numbered)

    def _add(self, frame: bytes, end: int, messages: list[Message]) -> None:
        """Add what a whole frame is, whose meta ends at `end`."""
        raise NotImplementedError

    def _over(self, head: bytes, size: int) -> None:
        """A frame of so many bytes, of which head and meta are there, is over the bound and will be skipped."""

    def _skipped(self, messages: list[Message]) -> None:
        """The frame over the bound has been read."""

    def _check_magic(self, data: bytes | bytearray) -> None:
        """Refuse what cannot become a frame at the first byte that differs."""
        read = bytes(data[:4])
        if not _begins(read):
            self.error = _bad_magic(read)

    # -- frames of streams

    def _stream_frame(self, data: bytes, at: int, end: int, size: int, messages: list[Message]) -> int:
        """A frame whose meta ends at `end`, and whose data has `size` bytes; where what follows begins."""
        meta = Meta(data[at + HEAD : end])
        stream = self._streams.get(meta.stream_id)
        self._left = size
        self._reading = None
        if stream is not None and stream.connected and not stream.ended:
            if meta.type == DATA:
                self._reading, self._continues = stream, meta.continues
                if not size:
                    self._piece(stream, b"", meta.continues, messages)
            else:
                self._control(stream, meta, messages)
        return self._pieces(data, end, messages)

    def _pieces(self, data: bytes, at: int, messages: list[Message]) -> int:
        """The data of a stream's frame, as far as it is there."""
        stop = min(at + self._left, len(data))
        self._left -= stop - at
        while at < stop and self._reading is not None:
            cut = min(at + MAX_CHUNK, stop)
            more = cut < stop or self._left > 0
            self._piece(self._reading, data[at:cut], self._continues or more, messages)
            at = cut
        return stop

    def _piece(self, stream: Stream, payload: bytes, continues: bool, messages: list[Message]) -> None:
        if stream.take(len(payload), continues):
            chunk = Chunk(Kind.STREAM_DATA, payload, stream.id, CONTINUES if continues else None)
            messages.append(chunk)
            return
        self._say(stream.frame(RST))
        self._forget(stream)
        text = b"more than stream_buffer came before the other side took any of it"
        messages.append(Chunk(Kind.STREAM_RESET, text, stream.id))

    def _control(self, stream: Stream, meta: Meta, messages: list[Message]) -> None:
        if meta.type == FEEDBACK:
            self._say(stream.acknowledge(meta.consumed))
            self._settle(stream)
        elif meta.type == RST:
            self._forget(stream)
            messages.append(Chunk(Kind.STREAM_RESET, b"reset by its peer", stream.id))
        else:
            stream.ended = True
            messages.append(Chunk(Kind.STREAM_CLOSE, b"", stream.id))
            if stream.closing:  # it takes nothing any more
                self._say(self._close(stream))

    def _send_chunk(self, chunk: Message, id: int) -> bytes:
        """What follows a call or an answer that opened a stream."""
        stream = self._open.get(id)
        if stream is None:
            return b""
        data = b""
        if not stream.ended and (chunk.frame or chunk.kind is Kind.STREAM_DATA):
            continues = chunk.metadata is not None and "continuation" in chunk.metadata
            data = stream.data(chunk.frame, continues)
        if chunk.kind is Kind.STREAM_CLOSE:
            data += self._close(stream)
        return data

    def _close(self, stream: Stream) -> bytes:
        """The CLOSE: at once if the peer has closed, and takes nothing any more; else behind what waits."""
        waits = stream.closing and not stream.outgoing.empty
        if stream.ended:
            stream.outgoing.clear()
        data = stream.close() if not stream.closing else stream.frame(CLOSE) if waits else b""
        self._settle(stream)
        return data

    def _settle(self, stream: Stream) -> None:
        """Forget a stream of which nothing more is to be sent, or to come."""
        raise NotImplementedError

    def _forget(self, stream: Stream) -> None:
        stream.outgoing.clear()
        self._streams.pop(stream.own, None)
        self._open.pop(stream.id, None)
        if self._reading is stream:
            self._reading = None

    # -- flow control

    def credit(self, id: int, size: int) -> None:
        stream = self._open.get(id)
        if stream is not None:
            self._say(stream.credit(size))

    def unsent_bytes(self, id: int) -> int:
        stream = self._open.get(id)
        return stream.outgoing.unsent if stream is not None else 0

    def _say(self, data: bytes) -> None:
        if data:
            self._owed.append(data)
            self.owes = True

    def owed(self) -> bytes:
        owed, self._owed = self._owed, []
        self.owes = False
        return b"".join(owed)
