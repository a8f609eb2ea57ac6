"""
What a fault does to an exchange whose request or answer comes in pieces.

Lives here: `AnswerPieces`, `RequestPieces`: what becomes of one piece. Does not: when it goes on (`filter`), what a
configuration may ask for (`plan`).
"""

from __future__ import annotations

import random

from metaproxy.filters.fault.plan import Plan, corrupted
from metaproxy.message import Chunk, ErrorKind, Kind, Reply

_CLOSE = Kind.STREAM_CLOSE


class RequestPieces:
    """How much of a request has passed."""

    __slots__ = ("_bytes", "_chunks", "_plan")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._bytes = self._chunks = 0

    def look(self, chunk: Chunk, counters: dict[str, int]) -> Reply | None:
        abort = self._plan.abort
        if abort is None or abort.of != "request":
            return None
        cut = abort.cut(self._bytes, self._chunks, len(chunk.frame))
        self._bytes += len(chunk.frame)
        self._chunks += 1
        if cut is None:
            return None
        counters["aborts"] += 1
        return Reply(ErrorKind.RESET, "request aborted")


class AnswerPieces:
    """
    How much of an answer has passed, and what is still to be done to it. head: its head's bytes, which count, too.
    free: when the bytes so far would have come at the plan's rate.
    """

    __slots__ = ("_bytes", "_chunks", "_draw", "_left", "_plan", "_spoilt", "free")

    def __init__(self, plan: Plan, head: int, draw: random.Random) -> None:
        self._plan = plan
        self._draw = draw
        self._bytes = head
        self._chunks = 0
        self._left = plan.corrupt[0] if plan.corrupt is not None else 0
        self._spoilt = False
        self.free = 0.0

    def look(self, chunk: Chunk, counters: dict[str, int]) -> bytes | Reply | None:
        """The payload in the chunk's place; None for the same; a Reply that ends the answer behind its `frame`."""
        data = self._corrupt(chunk, counters)
        cut, event = self._cut(data, chunk.kind is _CLOSE)
        self._bytes += len(data)
        self._chunks += 1
        if event:
            counters[event] += 1
            return Reply(ErrorKind.RESET, "answer cut off", frame=data[:cut])
        return None if data is chunk.frame else data

    def _cut(self, data: bytes, last: bool) -> tuple[int, str]:
        """How many bytes of a piece still pass before the answer ends, and by what; no event where it goes on."""
        plan = self._plan
        cuts: list[tuple[int, str]] = []
        if plan.truncate is not None:
            allowed = max(plan.truncate - self._bytes, 0)
            if allowed < len(data) or last:
                # Never all of it: a fault that is asked for happens, also to an answer that is short.
                cuts.append((min(allowed, max(len(data) - 1, 0)), "truncations"))
        if plan.abort is not None and plan.abort.of == "answer":
            cut = plan.abort.cut(self._bytes, self._chunks, len(data))
            if cut is not None:
                cuts.append((cut, "aborts"))
        return min(cuts, default=(0, ""))

    def _corrupt(self, chunk: Chunk, counters: dict[str, int]) -> bytes:
        data = chunk.frame
        if self._plan.corrupt is None or not data:
            return data
        start = self._plan.corrupt[1]
        if start is None:
            count = min(self._left, len(data))
            self._left -= count
            changed = corrupted(data, count, None, self._draw) if count else data
        elif start < 0:
            changed = corrupted(data, self._left, start, self._draw) if chunk.kind is _CLOSE else data
        else:
            first = max(start - self._bytes, 0)
            count = start + self._left - self._bytes - first
            changed = corrupted(data, count, first, self._draw) if count > 0 and first < len(data) else data
        if changed != data and not self._spoilt:
            self._spoilt = True
            counters["corruptions"] += 1
        return changed if changed != data else data
