"""
One connection of raw bytes: a head without bytes, chunks, the end of its half.

Lives here: `TcpSession`, the same on both sides. Does not: options, errors (`codec`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.framing import Session
from metaproxy.message import Chunk, Kind, Message

LARGEST_CHUNK: Final = 64 * 1024
"""Bytes of a Chunk's payload, at most."""


class TcpSession(Session):
    """What a peer sends is its half of the only exchange of its connection."""

    reusable = False

    def __init__(self, max_frame: int) -> None:
        super().__init__()
        self._most = min(LARGEST_CHUNK, max_frame)
        self._opened = False

    def receive(self, data: bytes) -> list[Message]:
        """The head comes with the first call, also where that has no bytes: see `opens` of ICodec."""
        messages = self._open()
        most = self._most
        if len(data) > most:
            messages += [Chunk(Kind.STREAM_DATA, data[at : at + most]) for at in range(0, len(data), most)]
        elif data:
            messages.append(Chunk(Kind.STREAM_DATA, data))
        return messages

    def _open(self) -> list[Message]:
        if self._opened:
            return []
        self._opened = True
        return [Message(Kind.STREAM_OPEN, b"", metadata={})]

    def eof(self) -> list[Message]:
        return [*self._open(), Chunk(Kind.STREAM_CLOSE, final=False)]
