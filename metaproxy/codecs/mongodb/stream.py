"""
Messages cut from what a peer sends: small ones whole, large ones as a head and chunks.

    up to stream_over          a whole message
    over it                    STREAM_OPEN with the head, STREAM_DATA ..., STREAM_CLOSE
    compressed                 what it is unpacked, which the same goes for

Lives here: `MessageStream`. Does not: what messages mean (`client`, `server`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.framing import Cutting
from metaproxy.codecs.mongodb.compressed import MOST_AT_ONCE, PREFIX, Unpacking, compressor_of
from metaproxy.codecs.mongodb.wire import (
    FLAGS,
    HEAD,
    HEADER,
    LARGEST,
    OP_COMPRESSED,
    OP_MSG,
    OP_QUERY,
    OP_REPLY,
    SECTIONS,
    checksum_change,
    is_checked,
    total,
)  # fmt: skip
from metaproxy.message import Chunk, FrameError, Kind, Message

CHUNK: Final = 65536
"""Bytes of a chunk at most."""
_KNOWN: Final = (OP_MSG, OP_QUERY, OP_REPLY, OP_COMPRESSED)
_LEAST: Final = SECTIONS + 5
"""Bytes of a head: the flags, and where the first section ends."""


_NONE: frozenset[int] = frozenset()


class MessageStream(Cutting):
    """A subclass says what whole messages are (`_take`), and heads of large ones (`_head_end`, `_open`)."""

    __slots__ = ("_left", "_most", "_need", "_reading", "_room", "_sending", "_unpacking", "_unpacks", "_whole")

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__()
        self._most = max_frame
        self._whole = min(stream_over, max_frame)
        self._need = HEADER
        self._left = 0  # bytes of a large message that are still to come
        self._reading = 0  # the id of its exchange
        self._unpacks = _NONE  # compressors that the peer may use
        self._unpacking: Unpacking | None = None
        self._room = max(max_frame, MOST_AT_ONCE)  # bytes that what was read may still unpack to
        self._sending: dict[int, _Ending] = {}
        """Streams whose message ends with a checksum that changes, by their exchange."""

    def _take(self, frame: bytes, own: int, to: int, code: int, messages: list[Message]) -> None:
        """Add the messages that a whole frame is, which has these in its head."""
        raise NotImplementedError

    def _head_end(self, beginning: bytes, size: int) -> int:
        """Bytes of the head of a large message; or, while that is not known, how many are needed to tell."""
        raise NotImplementedError

    def _open(self, head: bytes, size: int, messages: list[Message]) -> int:
        """Add the STREAM_OPEN of a large message; the id of its exchange."""
        raise NotImplementedError

    def _close(self, id: int, messages: list[Message]) -> bool:
        """The last byte of a large message was read: whether its half of the exchange ends with it."""
        return True

    def _cut_short(self, messages: list[Message]) -> None:
        if self._left:
            messages.append(Chunk(Kind.STREAM_RESET, b"", self._reading))

    def _cut(self, data: bytes, messages: list[Message], unpacked: bool = False) -> int:
        """unpacked: the data are those of a compressed message."""
        if not unpacked:
            if self._unpacks:
                self._room = max(self._most, MOST_AT_ONCE)
            if self._unpacking is not None:
                return self._go_on(data, messages)
        at, end = self._pass_on(data, 0, messages) if self._left else 0, len(data)
        unpack, whole = HEAD.unpack_from, self._whole
        while end - at >= HEADER:
            size, own, to, code = unpack(data, at)
            if code not in _KNOWN:
                raise FrameError(f"opCode {code}; known are OP_MSG (2013) and the OP_QUERY (2004) of a hello")
            if not HEADER + 5 <= size <= LARGEST:
                raise FrameError(f"a message of {size} bytes; allowed are {HEADER + 5} to {LARGEST}")
            if code == OP_COMPRESSED and self._unpacks:
                if end - at < PREFIX:
                    self._need = PREFIX
                    return at
                at = self._unpack_from(data, at, messages)
                continue
            stop = at + size
            if size <= whole:
                if stop > end:
                    self._need = size
                    return at
                self._take(data[at:stop] if at or stop < end else data, own, to, code, messages)
                at = stop
                continue
            head_end = (
                self._head_end(data[at : min(end, stop, at + self._most)], size) if end - at >= _LEAST else _LEAST
            )
            if at + head_end > end:
                self._need = head_end
                return at
            self._reading = self._open(data[at : at + head_end], size, messages)
            self._left = size - head_end
            at = self._pass_on(data, at + head_end, messages)
        self._need = HEADER
        return at

    # -- compressed ones

    def _unpack_from(self, data: bytes, at: int, messages: list[Message]) -> int:
        """A compressed message begins; where what is behind it, or behind what is there of it, begins."""
        compressor = compressor_of(data, at)
        if compressor not in self._unpacks:
            raise FrameError(f"a message compressed by {compressor}, which was not offered")
        self._unpacking = Unpacking(data, at, self._most)
        self._unpacked(data, at, compressor)
        return self._unpack(data, at + PREFIX, messages)

    def _unpacked(self, data: bytes, at: int, compressor: int) -> None:
        """A message that is unpacked begins."""

    def _go_on(self, data: bytes, messages: list[Message]) -> int:
        """More of a compressed message, and what is behind it."""
        at = self._unpack(data, 0, messages)
        return at if self._unpacking is not None else self._cut(data[at:], messages, True) + at

    def _unpack(self, data: bytes, at: int, messages: list[Message]) -> int:
        unpacking = self._unpacking
        assert unpacking is not None
        stop = min(at + unpacking.left, len(data))
        for piece in unpacking.feed(data[at:stop]):
            self._room -= len(piece)
            if self._room < 0:
                raise FrameError(f"compressed messages of more than {max(self._most, MOST_AT_ONCE)} bytes in one read")
            unpacking.held += piece
            if len(unpacking.held) >= unpacking.need:
                plain = bytes(unpacking.held)
                read = self._cut(plain, messages, True)
                unpacking.held = bytearray(plain[read:])
                unpacking.need = 0 if self._left else self._need  # of a large message each byte is passed on
        if not unpacking.left:
            if unpacking.held or self._left:
                raise FrameError("a compressed message ends before what it has does")
            self._unpacking = None
        return stop

    def _pass_on(self, data: bytes, at: int, messages: list[Message]) -> int:
        """The rest of a large message, as far as it is there."""
        stop = min(at + self._left, len(data))
        self._left -= stop - at
        id = self._reading
        closes = not self._left and self._close(id, messages)
        while stop - at > CHUNK:
            messages.append(Chunk(Kind.STREAM_DATA, data[at : at + CHUNK], id))
            at += CHUNK
        if closes:
            messages.append(Chunk(Kind.STREAM_CLOSE, data[at:stop], id))
        elif at < stop:
            messages.append(Chunk(Kind.STREAM_DATA, data[at:stop], id))
        return stop

    # -- ids are patched on the way out

    def _patched(self, frame: bytes, changed: bytes, id: int) -> bytes:
        """
        The frame with its id changed, and its checksum, if it has one, corrected: here, or in the chunks of the stream
        `id`.
        """
        if not is_checked(frame):
            return changed
        size = total(frame)
        change = checksum_change(frame[:12], changed[:12], size - 4 - 12)
        if len(frame) == size:
            return changed[:-4] + _corrected(changed[-4:], change)
        self._sending[id] = _Ending(change, size - len(frame))
        return changed

    def _patched_chunk(self, chunk: Message, id: int) -> bytes:
        """A chunk of a stream: the last four bytes of its message are a checksum in some."""
        ending = self._sending.get(id) if self._sending else None
        if ending is None:
            return chunk.frame
        data = ending.held + chunk.frame
        if len(data) >= ending.left:
            del self._sending[id]
            at = ending.left - 4
            return data[:at] + _corrected(data[at : at + 4], ending.change) + data[at + 4 :]
        cut = min(len(data), ending.left - 4)
        ending.held = data[cut:]
        ending.left -= cut
        return data[:cut]


class _Ending:
    """
    A message on its way that ends with a checksum. change: of the checksum; left: bytes of the message that were not
    sent yet; held: those of them that came.
    """

    __slots__ = ("change", "held", "left")

    def __init__(self, change: int, left: int) -> None:
        self.change = change
        self.left = left
        self.held = b""


def _corrected(checksum: bytes, change: int) -> bytes:
    return FLAGS.pack(FLAGS.unpack(checksum)[0] ^ change)
