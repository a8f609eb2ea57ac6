"""
What the walks of all encodings have in common: where they stand in a message, and how far they go.

Lives here: `Walk`, and its bounds. Does not: encodings (walk, json_walk).
"""

from __future__ import annotations

from metaproxy.codecs.thrift.heads import Data
from metaproxy.message import FrameError

MAX_DEPTH = 64
"""Structs and containers in each other. Apache's libraries allow 64 too."""

MAX_STEPS, BYTES_A_STEP = 1 << 16, 8
"""
Steps that a message may take: so many, and one more for so many bytes. Runs of values are one step, so that only many
small values deep within each other come near it.
"""
WORTH = 4
"""Bytes that a leap over many values should skip."""
PAUSES = (0, 1, 2, 4, 8, 16, 32)
"""Steps until the next leap, by how many were not worth it."""


def too_many(most: int) -> FrameError:
    text = f"{MAX_STEPS} are allowed, and one more in {BYTES_A_STEP} bytes"
    return FrameError(f"more than {most} small values deep within each other; {text}")


class Walk:
    """
    Finds the ends of the messages of one connection, one after the other. limit: bytes allowed a message.

    `walk` sees to the bounds; a subclass knows the encoding and keeps `_at`, how far it is from the message's begin.
    """

    __slots__ = ("_at", "_limit", "_steps")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._at = 0
        self._steps = 0

    def begin(self) -> None:
        """Forget a message that was not walked to its end."""
        self._at = 0

    def walk(self, data: Data, start: int) -> int:
        """
        The offset behind the message that begins at `start`; -1: call again when more bytes stand behind the same ones.

        Raises FrameError for what is no message and for one over the bounds; the walk is then of no more use.
        """
        top = start + self._limit
        stop = min(len(data), top)
        at = start + self._at
        if not self._at:
            self._steps = 0
            at = self._begin(data, start, stop)
            if at > top:
                raise self._too_big(at - start)
        if start < at <= stop:
            end = self._run(data, at, stop, top)
            if end >= 0:
                self._at = 0
                return end
            self._at = ~end - start
        if len(data) >= top:
            raise self._too_big(self._limit + 1)
        return -1

    def _begin(self, data: Data, start: int, stop: int) -> int:
        """The offset behind the head: where `_run` begins if it is not beyond `stop`. -1: not known yet."""
        raise NotImplementedError

    def _run(self, data: Data, at: int, stop: int, top: int) -> int:
        """Goes on from `at` to the message's end: its offset; or as far as there are whole tokens: ~offset."""
        raise NotImplementedError

    def _too_big(self, size: int) -> FrameError:
        return FrameError(f"message of at least {size} bytes; allowed are {self._limit}")
