"""
The bytes of a connection of HTTP/2 as frames, however they were cut into reads.

Lives here: `Cutter`: where a frame ends, what each may be at this point, data passed on before their frame is whole.
Does not: what a frame does (`reading`, `connection`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.codecs.framing import Session
from metaproxy.codecs.http.http2 import frames
from metaproxy.codecs.http.http2.floods import Allowance
from metaproxy.codecs.http.http2.frames import (
    CONTINUATION,
    DATA,
    END_STREAM,
    HEAD,
    HEAD_SIZE,
    PADDED,
    SETTINGS,
    Code,
    ConnectionFault,
    StreamFault,
)
from metaproxy.codecs.http.http2.stream import Piece, Stream
from metaproxy.message import Message

MAX_FRAME = frames.SMALLEST_FRAME
"""Bytes of a frame that we take: the least there is, for most peers send no larger ones whatever they are allowed."""

_CONTROL_MOST, _CONTROL_RATE = 1000, 100.0

_HTT = int.from_bytes(b"HTT", "big")
"""What the answer of a server of HTTP/1 has in the place of the first frame's length."""

_unpack = HEAD.unpack_from


_LARGE = 4096
"""Bytes from which a piece is copied when it is joined with others, and not before."""


def piece_of(data: bytes, at: int, stop: int) -> Piece:
    """A part of a read."""
    return data[at:stop] if stop - at < _LARGE else memoryview(data)[at:stop]


class Cutter(Session):
    """
    Cuts frames. A subclass takes them: those of data by `_data_stream`, `_take` and `_end_of_data`, others by the
    `_handlers` of their types. control: what frames may cost that carry no message.
    """

    __slots__ = (
        "_agreed",
        "_block",
        "_block_number",
        "_control",
        "_ends",
        "_handlers",
        "_held",
        "_left",
        "_need",
        "_padding",
        "_prefix",
        "_target",
    )

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._control = Allowance("control frames", _CONTROL_MOST, _CONTROL_RATE, clock)
        self._handlers: tuple[Callable[[int, int, bytes, list[Message]], None], ...] = ()
        self._prefix = b""  # what must come before the first frame
        self._agreed = False  # whether the peer's SETTINGS came
        self._held = bytearray()
        self._need = 0
        # A frame of data that goes on in the next read.
        self._left = self._padding = 0
        self._target: Stream | None = None
        self._ends = False
        # A block of headers that goes on in the next frame.
        self._block: bytearray | None = None
        self._block_number = 0

    def _read(self, data: bytes, messages: list[Message]) -> None:
        held = self._held
        if held:
            # Joined once, when the frame is whole: joining at each read is quadratic.
            held += data
            self.buffered = len(held)
            if self.buffered < self._need:
                return
            data = bytes(held)
            held.clear()
        if self._prefix:
            data = self._skip_prefix(data)
        at = self._resume(data, messages) if self._left or self._padding else 0
        end = len(data)
        need = HEAD_SIZE
        while end - at >= HEAD_SIZE:
            high, low, type, flags, number = _unpack(data, at)
            size = high << 8 | low
            number &= frames.LAST_STREAM
            self._check_head(size, type, number)
            if type == DATA:
                stop = self._data(data, at, size, flags, number, messages)
                if not stop:
                    need = HEAD_SIZE + 1
                    break
                at = stop
                continue
            stop = at + HEAD_SIZE + size
            if stop > end:
                need = HEAD_SIZE + size
                break
            payload = data[at + HEAD_SIZE : stop]
            at = stop
            if type <= CONTINUATION:
                try:
                    self._handlers[type](number, flags, payload, messages)
                except StreamFault as fault:
                    self._refuse(number, fault, messages)
            else:
                self._control.use()  # a kind that is not known means nothing
        if at < end:
            held += data[at:]
        self.buffered = len(held)
        self._need = need

    def _skip_prefix(self, data: bytes) -> bytes:
        """What is behind the bytes that a connection begins with. Raises ConnectionFault for other ones."""
        size = min(len(data), len(self._prefix))
        if data[:size] != self._prefix[:size]:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"no preface of HTTP/2: {data[:24]!r}")
        self._prefix = self._prefix[size:]
        return data[size:]

    def _check_head(self, size: int, type: int, number: int) -> None:
        if size == _HTT and not self._agreed:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "an answer of HTTP/1: such servers need `version: 1`")
        if size > MAX_FRAME:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of {size} bytes; at most {MAX_FRAME}")
        if not self._agreed and type != SETTINGS:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self._block is not None and (type != CONTINUATION or number != self._block_number):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a block of headers that another frame interrupts")

    def _data(self, data: bytes, at: int, size: int, flags: int, number: int, messages: list[Message]) -> int:
        """Take a frame of data at `at`, or what is there of it; where it ends, 0 while its padding is not known."""
        at += HEAD_SIZE
        left, padding = size, 0
        if flags & PADDED:
            if size and at >= len(data):
                return 0
            padding = data[at] if size else 0
            if padding >= size:
                raise ConnectionFault(Code.PROTOCOL_ERROR, f"padding of {padding} bytes in a frame of {size}")
            at += 1
            left -= 1 + padding
        stream = self._data_stream(number, size, left, flags, messages)
        stop = at + left + padding
        if stop <= len(data):
            if stream is not None:
                if left:
                    self._take(stream, piece_of(data, at, at + left))
                if flags & END_STREAM:
                    self._end_of_data(stream, messages)
            return stop
        self._target, self._left, self._padding, self._ends = stream, left, padding, bool(flags & END_STREAM)
        return self._resume(data, messages, at)

    def _resume(self, data: bytes, messages: list[Message], at: int = 0) -> int:
        """Go on with a frame of data from `at` on; where it ends, or the end of `data`."""
        stream, end = self._target, len(data)
        if stream is not None and stream.gone:
            stream = None
        got = min(self._left, end - at)
        if got:
            if stream is not None:
                self._take(stream, piece_of(data, at, at + got))
            self._left -= got
            at += got
        skipped = min(self._padding, end - at) if not self._left else 0
        self._padding -= skipped
        at += skipped
        if not self._left and not self._padding:
            self._target = None
            if self._ends and stream is not None:
                self._end_of_data(stream, messages)
        return at

    def _data_stream(self, number: int, size: int, left: int, flags: int, messages: list[Message]) -> Stream | None:
        """
        Whose data comes, None when it is not wanted. Counts a frame of `size` bytes, padding included, against the
        windows; `left` are without it.
        """
        raise NotImplementedError

    def _take(self, stream: Stream, piece: Piece) -> None:
        """Data of a stream."""
        raise NotImplementedError

    def _end_of_data(self, stream: Stream, messages: list[Message]) -> None:
        """A frame of data was the last of the peer's half."""
        raise NotImplementedError

    def _refuse(self, number: int, fault: StreamFault, messages: list[Message]) -> None:
        """End a stream whose peer broke a rule."""
        raise NotImplementedError
