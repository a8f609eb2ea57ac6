"""
How much a client may have waiting, in bytes, and so how many exchanges it may have under way.

Lives here: `ClientBudget`. Does not: who is paused or closed (`client_connection`).
"""

from __future__ import annotations

WINDOW = 32
"""Exchanges under way for a client whose answers were not seen yet; then as many as `max_buffered` has room for."""
OVERFULL = 4
"""
How many times `max_buffered` may wait for a client that does not read, before it is closed: what is asked for on a
connection that others share is read in their interest.
"""


class ClientBudget:
    """
    most: exchanges, `max_inflight`; size: bytes, `max_buffered`. window: exchanges that may be under way now; roomy:
    bytes of an answer up to which `most` of them fit. behind: bytes of answers that wait for one before them; intake:
    bytes of requests read since they were last added up, at most.
    """

    __slots__ = ("_estimate", "behind", "intake", "most", "roomy", "size", "window")

    def __init__(self, most: int, size: int) -> None:
        self.most = most
        self.size = size
        self.window = min(WINDOW, most)
        self.roomy = size // most
        self.behind = 0
        self.intake = 0
        self._estimate = size // WINDOW

    def seen(self, size: int) -> int:
        """Answers are of this size, in bytes: the window from now on. It shrinks at once and doubles at most."""
        self._estimate = max(size, self._estimate // 2, 1)
        self.window = max(1, min(self.most, self.size // self._estimate))
        return self.window

    def overfull(self, waiting: int) -> bool:
        """Whether so many bytes wait that the client is to be closed."""
        return waiting > self.size * OVERFULL
