"""
The frames of one connection of tRPC, whichever side it leads to.

Lives here: cutting the stream into frames, and which streams are open. Does not: what each frame is (`client`,
`server`), one frame's bytes (`frame`, `stream`), metadata, errors and mutations (`codec`).
"""

from __future__ import annotations

from dataclasses import dataclass

from metaproxy.codecs.cutters import compiled_cutter
from metaproxy.codecs.framing import Session
from metaproxy.codecs.shapes import Shape
from metaproxy.codecs.trpc.frame import CLOSE, DATA, FEEDBACK, HEAD, HEADER, INIT, MAGIC, MAX_ID, STREAM, UNARY
from metaproxy.codecs.trpc.stream import Close, Stream, increment_of, reset_payload, stream_frame
from metaproxy.message import Chunk, ErrorKind, FrameError, Kind, Message

_MAGIC = b"\x09\x30"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """max_frame: bytes of a frame. The others: see the options of the codec."""

    max_frame: int
    max_streams: int
    stream_window: int
    stream_buffer: int


class TrpcSession(Session):
    """What both sides have in common."""

    flow = "stream"
    _skips = False
    """Whether a unary frame over the bound is read to its end and dropped."""
    _exceed_ret = 0
    """The ret of a stream whose peer sends more than it may."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most = limits.max_frame
        self._rest = bytearray()
        self._need = HEAD
        self._shape: Shape | None = None
        self._repeated: Shape | None = None  # which the cutter knows
        self.cutter = compiled_cutter("TrpcRepeated", None, self._most)
        self._skip = 0  # bytes of a frame over the bound that are still to come
        self._skips_unary = False  # it is an answer
        self._streams: dict[int, Stream] = {}
        """By the stream id in frames."""
        self._open: dict[int, Stream] = {}
        """By the exchange's id."""
        self._owed: list[bytes] = []
        self._finished: list[Message] = []

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None:
            return []
        if self._rest:
            self._rest += data
            self.buffered = len(self._rest)
            if self.buffered < self._need:
                self._check_start(self._rest)
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
            self._check_start(self._rest)
        return messages

    def _read(self, data: bytes, messages: list[Message]) -> int:
        """Add the messages that are whole; where what is left of the data begins."""
        at, end = 0, len(data)
        if self._skip:
            at = self._pass_over(data, 0, messages)
            if self._skip:
                return at
        unpack = HEADER.unpack_from
        self._need = HEAD
        if self.cutter is not None:
            at = self.cutter(data, at, messages)
        while end - at >= HEAD:
            magic, kind, type, total, size, id, _, _ = unpack(data, at)
            if magic != MAGIC or kind > STREAM or (type if kind == UNARY else not INIT <= type <= CLOSE):
                raise _bad_start(data[at : at + 4])
            least = HEAD if kind else HEAD + size
            if total < least:
                raise FrameError(f"frame of {total} bytes whose head and header have {least}")
            stop = at + total
            if total > self._most:
                if least > self._most or not (self._skips if kind == UNARY else type == DATA):
                    raise FrameError(f"frame of {total} bytes; allowed are {HEAD} to {self._most}")
                if end - at < least:
                    self._need = least
                    break
                self._skips_unary = kind == UNARY
                if kind == UNARY:
                    self._over(data[at : at + least], total)
                else:
                    self._refuse(id, f"a message of {total - HEAD} bytes is over max_frame", messages)
                self._skip = total
                at = self._pass_over(data, at, messages)
            elif stop > end:
                self._need = total
                break
            else:
                if kind == UNARY:
                    self._unary(data[at:stop], HEAD + size, messages)
                elif type == INIT:
                    self._init(data[at:stop], id, messages)
                else:
                    self._stream_frame(type, id, data[at + HEAD : stop], messages)
                at = stop
        return at

    def _pass_over(self, data: bytes, at: int, messages: list[Message]) -> int:
        """Go on behind a frame over the bound, as far as it is there."""
        stop = min(at + self._skip, len(data))
        self._skip -= stop - at
        if not self._skip and self._skips_unary:
            self._skipped(messages)
        return stop

    def _unary(self, frame: bytes, end: int, messages: list[Message]) -> None:
        """Add what a whole unary frame is, whose header ends at `end`."""
        raise NotImplementedError

    def _again(self, frame: bytes, end: int, messages: list[Message]) -> bool:
        """Whether its header is that of the last one, but for the id: then it is added, and the cutter has the next."""
        shape = self._shape
        if shape is None or (again := shape.message(frame, end)) is None:
            return False
        again.id &= MAX_ID
        messages.append(again)
        if shape is not self._repeated:
            self._repeated = shape
            if self.cutter is not None:
                self.cutter = compiled_cutter("TrpcRepeated", shape, self._most)
        return True

    def _init(self, frame: bytes, wire_id: int, messages: list[Message]) -> None:
        """Add what an INIT is."""
        raise NotImplementedError

    def _over(self, head: bytes, total: int) -> None:
        """A unary frame of so many bytes, of which head and header are there, is over the bound and will be skipped."""

    def _skipped(self, messages: list[Message]) -> None:
        """It has been read."""

    def _check_start(self, data: bytes | bytearray) -> None:
        """Refuse what cannot become a frame at the first byte that is wrong."""
        read = bytes(data[:4])
        if not _begins(read):
            self.error = _bad_start(read)

    # -- frames of streams

    def _stream_frame(self, type: int, wire_id: int, payload: bytes, messages: list[Message]) -> None:
        stream = self._streams.get(wire_id)
        if stream is None:
            return  # it has ended here, and its peer does not know yet
        if type == FEEDBACK:
            self._say(stream.outgoing.grow(increment_of(payload)))
            self._settle(stream)
        elif type == CLOSE:
            close = Close(payload)
            if close.reset or not stream.ended:
                self._closed(stream, close, payload, messages)
        elif not stream.ended and self._listens(stream):
            if stream.take(len(payload)):
                messages.append(Chunk(Kind.STREAM_DATA, payload, stream.id))
            else:
                self._refuse(wire_id, "more than the window came before the other side took any of it", messages)

    def _listens(self, stream: Stream) -> bool:
        """Whether the peer may send messages yet."""
        return True

    def _refuse(self, wire_id: int, text: str, messages: list[Message]) -> None:
        """The peer breaks the rules of one stream: that one ends, both ways."""
        stream = self._streams.get(wire_id)
        if stream is not None:
            self._say(stream_frame(CLOSE, wire_id, reset_payload(self._exceed_ret, text)))
            self._forget(stream)
            messages.append(Chunk(Kind.STREAM_RESET, text.encode(), stream.id))

    def _closed(self, stream: Stream, close: Close, payload: bytes, messages: list[Message]) -> None:
        """The peer has closed its half, or both."""
        raise NotImplementedError

    def _send_chunk(self, chunk: Chunk, id: int) -> bytes:
        """What follows an INIT, or its answer."""
        stream = self._open.get(id)
        if stream is None:
            return b""
        data = b""
        if chunk.frame or chunk.kind is Kind.STREAM_DATA:
            data = stream.data(chunk.frame)
        if chunk.kind is Kind.STREAM_CLOSE:
            data += stream.close(chunk.trailers)
            self._settle(stream)
        return data

    def reset(self, id: int, kind: ErrorKind | None, text: str) -> bytes:
        """A unary call can't be given up: the protocol has no word for it."""
        stream = self._open.get(id)
        if stream is None:
            return b""
        self._end(stream)
        return stream_frame(CLOSE, stream.wire_id, reset_payload(self._reset_ret(kind), text))

    def _reset_ret(self, kind: ErrorKind | None) -> int:
        raise NotImplementedError

    def _settle(self, stream: Stream) -> None:
        """Forget a stream of which nothing more is to be sent, or to come."""

    def _end(self, stream: Stream) -> None:
        """Nothing more is sent, and nothing more of what comes is wanted."""
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        stream.outgoing.clear()
        self._streams.pop(stream.wire_id, None)
        self._open.pop(stream.id, None)

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


def _begins(read: bytes) -> bool:
    """Whether a frame may begin so: at most its first four bytes."""
    if not _MAGIC.startswith(read[:2]):
        return False
    if len(read) < 3:
        return True
    if read[2] > STREAM:
        return False
    return len(read) < 4 or (read[3] == 0 if read[2] == UNARY else INIT <= read[3] <= CLOSE)


def _bad_start(read: bytes) -> FrameError:
    """What is wrong at the first byte that is, however many are there."""
    while not _begins(read[:-1]):
        read = read[:-1]
    if len(read) < 3:
        return FrameError(f"magic 0930 expected, {read.hex()} read")
    if len(read) == 3:
        return FrameError(f"data frame type {read[2]}; known are 0 (unary) and 1 (stream)")
    if read[2] == UNARY:
        return FrameError(f"stream frame type {read[3]} of a unary frame, which has 0")
    return FrameError(f"stream frame type {read[3]}; known are 1 (INIT) to 4 (CLOSE)")
