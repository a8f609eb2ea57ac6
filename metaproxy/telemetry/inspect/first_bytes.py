"""
The first bytes of both halves of streams: for people who look into the traffic.

Lives here: `FirstBytes`, which keeps them while a stream is open; `shown`, bytes as JSON has them. Does not: what else
a line says (`decoded`), frames (`recording`).

What a body holds can't be masked as metadata are. Of a request that the codec calls confidential nothing is kept.
"""

from __future__ import annotations

import base64
import codecs

from metaproxy.message import Chunk, FrameError, Kind, Side
from metaproxy.telemetry.inspect.decoded import metadata
from metaproxy.telemetry.roles import CompletedExchange

FIRST = 4096
"""Bytes of each half."""
ROOM = 16 << 20
"""Bytes of all streams together: those that send when there is no more are shown without."""


class _Half:
    __slots__ = ("first", "trailers")

    def __init__(self) -> None:
        self.first = b""
        self.trailers: dict[str, str] = {}

    def json(self) -> dict[str, object]:
        said: dict[str, object] = {"first": shown(self.first)} if self.first else {}
        return {**said, "trailers": self.trailers} if self.trailers else said


class FirstBytes:
    """room: bytes of all streams together."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._halves: dict[CompletedExchange, tuple[_Half, _Half]] = {}

    def add(self, exchange: CompletedExchange, chunk: Chunk, side: Side) -> None:
        """A hook of ProxyService.watch."""
        halves = self._halves.get(exchange)
        if halves is None:
            halves = self._halves[exchange] = _Half(), _Half()
        half = halves[side is Side.SERVER]
        if chunk.kind is Kind.STREAM_CLOSE and chunk.metadata:
            half.trailers = metadata(chunk)
        size = min(FIRST - len(half.first), len(chunk.frame), self._room)
        if size > 0 and not confidential(exchange):
            half.first += chunk.frame[:size]
            self._room -= size

    def take(self, exchange: CompletedExchange) -> tuple[dict[str, object], dict[str, object]]:
        """What there is of the request and of the answer. The exchange is over, and forgotten."""
        halves = self._halves.pop(exchange, None)
        if halves is None:
            return {}, {}
        self._room += sum(len(half.first) for half in halves)
        return halves[0].json(), halves[1].json()


def confidential(exchange: CompletedExchange) -> bool:
    """Whether the codec says that the request, or what answers it, holds a secret; so it is where it can't tell."""
    try:
        return exchange.snapshot.codec.confidential(exchange.message)
    except FrameError:
        return True


def shown(data: bytes) -> dict[str, str]:
    """As text where it is one, else in base64. data: may end within a character."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        text = "\0"
    if all(char.isprintable() or char in "\r\n\t" for char in text):
        return {"text": text}
    return {"base64": base64.b64encode(data).decode()}
