"""
How long a socket that has something to read waits for its turn.

Lives here: `QueueProbe`, a descriptor that stands in the line of all sockets. Does not: what a long wait leads to
(`overload`); the line itself (`transport`).

The lateness of a timer does not tell it: the loop goes back to its timers after a bounded time, whatever is left.
"""

from __future__ import annotations

import os
from collections.abc import Callable


class QueueProbe:
    """seconds: a clock. Register `fd` for reading, and have `read` called as for any other socket."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._seconds = seconds
        self._since: float | None = None
        self._waited = 0.0

    def look(self) -> float:
        """Return how long the last event waited, or waits by now, and send the next one to the end of the line."""
        now = self._seconds()
        if self._since is not None:
            return now - self._since
        waited, self._since = self._waited, now
        os.eventfd_write(self.fd, 1)
        return waited

    def read(self) -> None:
        """Its turn has come."""
        os.eventfd_read(self.fd)
        if self._since is not None:
            self._waited = self._seconds() - self._since
            self._since = None

    def on_events(self, events: int) -> None:
        """See transport.Watched."""
        self.read()

    def close(self) -> None:
        """Give the descriptor back. Then its turn never comes, and `look` is called no more."""
        os.close(self.fd)
