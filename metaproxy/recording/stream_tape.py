"""
The chunks of streams that are open, kept until their exchange ends and is written.

Lives here: `StreamTape`, and its bounds. Does not: the file (`entries`), what is recorded (`recorder`).
"""

from __future__ import annotations

from metaproxy.message import Chunk, Kind, Side
from metaproxy.recording.entries import Entry, Frame, Piece
from metaproxy.telemetry.inspect.decoded import metadata
from metaproxy.telemetry.roles import CompletedExchange
from metaproxy.telemetry.secret_keys import looks_secret

MOST = 1 << 20
"""Bytes of one stream, both halves together; what comes then is left out, and marked as cut."""
ROOM = 64 << 20
"""Bytes of all streams that are open."""
EACH = 64
"""Bytes that a chunk counts besides its own: however small they are, there are so many."""


class Taken:
    """The chunks of one stream. size: what they count. secret: whether trailers hold one."""

    __slots__ = ("cut", "pieces", "secret", "size")

    def __init__(self) -> None:
        self.pieces: tuple[list[Piece], list[Piece]] = [], []
        self.cut = [False, False]
        self.size = 0
        self.secret = False

    def put(self, entry: Entry) -> None:
        """Into the line of its exchange."""
        for half, frame in enumerate((entry.request, entry.response)):
            if frame is not None:
                self._put(half, frame)

    def _put(self, half: int, frame: Frame) -> None:
        if frame.kind is Kind.STREAM_OPEN or self.pieces[half] or self.cut[half]:
            frame.chunks = self.pieces[half]
            frame.cut = self.cut[half]


class StreamTape:
    """most: bytes of one stream; room: of all."""

    def __init__(self, most: int = MOST, room: int = ROOM) -> None:
        self._most = most
        self._room = room
        self._taken: dict[CompletedExchange, Taken] = {}

    def add(self, exchange: CompletedExchange, chunk: Chunk, side: Side, at: float) -> None:
        """at: seconds since the exchange began."""
        taken = self._taken.get(exchange)
        if taken is None:
            taken = self._taken[exchange] = Taken()
        half = int(side is Side.SERVER)
        size = len(chunk.frame) + len(chunk.trailers) + EACH
        if taken.cut[half] or taken.size + size > self._most or size > self._room:
            taken.cut[half] = True
            return
        taken.size += size
        self._room -= size
        if chunk.metadata and any(looks_secret(key, value) for key, value in chunk.metadata.items() if value):
            taken.secret = True
        taken.pieces[half].append(Piece.of(chunk, at, metadata(chunk) if chunk.metadata else None))

    def take(self, exchange: CompletedExchange) -> Taken:
        """The chunks of a stream that is over."""
        taken = self._taken.pop(exchange, None) or Taken()
        self._room += taken.size
        return taken

    def clear(self) -> None:
        self._taken.clear()
