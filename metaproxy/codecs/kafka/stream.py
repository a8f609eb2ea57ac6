"""
Messages cut from what a peer sends: small ones whole, large ones as a head and chunks.

    up to stream_over, or what is needed whole     a message
    over it                                        STREAM_OPEN with the head, STREAM_DATA ..., STREAM_CLOSE

Lives here: `FrameStream`. Does not: what messages mean (`client`, `server`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.framing import Cutting
from metaproxy.codecs.kafka.wire import INT, SIZE
from metaproxy.message import Chunk, FrameError, Kind, Message

CHUNK: Final = 65536
"""Bytes of a chunk at most."""


class FrameStream(Cutting):
    """A subclass says what whole messages are (`_take`), and heads of large ones (`_head_end`, `_open`)."""

    least: int
    """Bytes of a message at least, with its size."""

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__()
        self._most = max_frame
        self._whole = min(stream_over, max_frame)
        self._need = SIZE
        self._left = 0  # bytes of a large message that are still to come
        self._reading = 0  # the id of its exchange

    def _take(self, frame: bytes, messages: list[Message]) -> None:
        """Add the message that a whole frame is."""
        raise NotImplementedError

    def _head_end(self, beginning: bytes, size: int) -> int:
        """Bytes of the head of a large message, or of what is needed to tell; `size`: it is needed whole."""
        raise NotImplementedError

    def _open(self, head: bytes, size: int, messages: list[Message]) -> int:
        """Add the STREAM_OPEN of a large message; the id of its exchange."""
        raise NotImplementedError

    def _piece(self, data: bytes) -> bytes:
        """What passes of a piece of a large message."""
        return data

    def _cut_short(self, messages: list[Message]) -> None:
        if self._left:
            messages.append(Chunk(Kind.STREAM_RESET, b"", self._reading))

    def _cut(self, data: bytes, messages: list[Message]) -> int:
        at, end = self._pass_on(data, 0, messages) if self._left else 0, len(data)
        whole, least, unpack = self._whole, self.least, INT.unpack_from
        while end - at >= SIZE:
            size = unpack(data, at)[0] + SIZE
            if size < least:
                raise FrameError(f"a message of {size} bytes; the least are {least}")
            stop = at + size
            if size <= whole:
                if stop > end:
                    self._need = size
                    return at
                self._take(data[at:stop] if at or stop < end else data, messages)
                at = stop
                continue
            if end - at < least:
                self._need = least
                return at
            head_end = self._head_end(data[at : min(end, stop, at + self._most)], size)
            if head_end >= size and size > self._most:
                raise FrameError(f"a message of {size} bytes that is needed whole; allowed are {self._most}")
            if at + head_end > end:
                self._need = head_end
                return at
            if head_end >= size:
                self._take(data[at:stop], messages)
                at = stop
                continue
            self._reading = self._open(data[at : at + head_end], size, messages)
            self._left = size - head_end
            at = self._pass_on(data, at + head_end, messages)
        self._need = SIZE
        return at

    def _pass_on(self, data: bytes, at: int, messages: list[Message]) -> int:
        """The rest of a large message, as far as it is there."""
        stop = min(at + self._left, len(data))
        id = self._reading
        while at < stop:
            piece = data[at : min(at + CHUNK, stop)]
            at += len(piece)
            self._left -= len(piece)
            passes = self._piece(piece)
            messages.append(Chunk(Kind.STREAM_DATA if self._left else Kind.STREAM_CLOSE, passes, id))
        return stop
