"""
Log lines about what happens to endpoints by itself, however often it happens.

Lives here: `LogThrottle`. Does not: what is told, or counted.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

log = Logger()

MOST = 20
"""Lines a cluster and minute; a hundred endpoints that go up and down would write thousands."""
PERIOD = 60.0


class LogThrottle:
    """seconds: the time on a clock that does not jump."""

    __slots__ = ("_left", "_name", "_seconds", "_since", "_unsaid")

    def __init__(self, name: str, seconds: Callable[[], float]) -> None:
        self._name = name
        self._seconds = seconds
        self._since = float("-inf")
        self._left = 0
        self._unsaid = 0

    def tell(self, text: str) -> None:
        now = self._seconds()
        if now - self._since >= PERIOD:
            self._since, self._left = now, MOST
            if self._unsaid:
                log.warn("cluster {name}: {count} lines like these were left out", name=self._name, count=self._unsaid)
            self._unsaid = 0
        if not self._left:
            self._unsaid += 1
            return
        self._left -= 1
        log.warn("cluster {name}: {text}", name=self._name, text=text)
