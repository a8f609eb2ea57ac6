"""
How long a client's login may take: who says one byte a minute would else keep a connection for an hour.

Lives here: `LoginTime`, `LOGIN_TIME`. Does not: what a protocol says to a client that took too long.
"""

from __future__ import annotations

from metaproxy.units import Seconds

LOGIN_TIME = Seconds(60)


class LoginTime:
    """limit: seconds; 0 for any. Counted from the first look, which is within a second of the connection's begin."""

    __slots__ = ("_begun", "limit")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._begun: float | None = None

    def over(self, now: float) -> bool:
        """Whether the time is over. now: as `ISession.beat` has it."""
        if self._begun is None:
            self._begun = now
        return 0 < self.limit <= now - self._begun
