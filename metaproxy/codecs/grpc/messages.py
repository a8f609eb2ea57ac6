"""
Where the messages of a half begin and end: each stands behind a byte of flags and four bytes of length.

Lives here: `Walk`, which bounds messages, and `Recut`, which makes each one chunk. Does not: what a message holds.
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.message import Chunk, ErrorKind, FrameError, Kind

PREFIX = 5


class TooLarge(FrameError):
    """A message is over the bound."""

    kind = ErrorKind.LIMITED


class Walk:
    """
    Goes through the bytes of one half, however they are cut. most: bytes that a message may have, 0 for any. size: of
    the message under way, its prefix included; 0 while that is not known.
    """

    __slots__ = ("_left", "_prefix", "most", "size")

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self._left = 0
        self._prefix = b""

    def over(self, data: bytes) -> list[int]:
        """Where in `data` messages end. Raises TooLarge."""
        found: list[int] = []
        at, end = 0, len(data)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
            else:
                piece = data[at : at + PREFIX - len(self._prefix)]
                self._prefix += piece
                at += len(piece)
                if len(self._prefix) < PREFIX:
                    break
                self._left = int.from_bytes(self._prefix[1:], "big")
                self._prefix = b""
                if self.most and self._left > self.most:
                    raise TooLarge(f"a message of {self._left} bytes; max_message is {self.most}")
                self.size = self._left + PREFIX
            if not self._left:
                found.append(at)
                self.size = 0
        return found


class Recut:
    """
    Makes each message of a stream one chunk, if it has at most so many bytes; a larger one passes in pieces as they
    come. held: bytes that wait for the end of their message: they were credited when they came, with `credit`.
    """

    __slots__ = ("_credit", "_most", "_pieces", "_walk", "held")

    def __init__(self, most: int, credit: Callable[[int], None]) -> None:
        self._most = most
        self._credit = credit
        self._walk = Walk(0)
        self._pieces: list[bytes] = []
        self.held = 0

    def cut(self, chunk: Chunk) -> list[Chunk]:
        """The chunks that one becomes: none while its message is not whole."""
        payload, id = chunk.frame, chunk.id
        made: list[Chunk] = []
        start = 0
        for stop in self._walk.over(payload):
            made.append(self._chunk(payload[start:stop], id))
            start = stop
        rest = payload[start:]
        padding = chunk.size - len(payload)
        if chunk.kind is Kind.STREAM_CLOSE:
            if not rest and not self.held and made:
                rest = made.pop().frame
            last = chunk.with_frame(self._joined(rest))
            last.size = min(chunk.size, len(rest) + padding)
            return [*made, last]
        if rest and self._walk.size > self._most:
            made.append(self._chunk(rest, id))
        elif rest:
            self._pieces.append(rest)
            self.held += len(rest)
            self._credit(len(rest) + padding)
            return made
        if padding:
            self._credit(padding)
        return made

    def _chunk(self, fresh: bytes, id: int) -> Chunk:
        return Chunk(Kind.STREAM_DATA, self._joined(fresh), id, size=len(fresh))

    def _joined(self, fresh: bytes) -> bytes:
        if not self.held:
            return fresh
        self._pieces.append(fresh)
        joined = b"".join(self._pieces)
        self._pieces.clear()
        self.held = 0
        return joined
