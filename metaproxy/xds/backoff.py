"""
How long to wait before something that failed is done again.

Lives here: `Backoff` for connections, `NackPacer` for refusals. Does not: timers.
"""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Seconds until the next try: at most `first`, doubled with each failure up to `most`, the whole of it jittered."""

    def __init__(
        self, first: float = 0.5, most: float = 30.0, share: Callable[[], float] = random.random, least: float = 0.05
    ) -> None:
        self._first, self._most, self._least = first, most, least
        self._share = share
        self._bound = first

    def next(self) -> float:
        """Return how long to wait now, and double what may be waited next."""
        bound, self._bound = self._bound, min(2 * self._bound, self._most)
        return max(self._least, bound * self._share())

    def reset(self) -> None:
        """Begin again with the first: it went well."""
        self._bound = self._first


class NackPacer:
    """
    When a refusal may be sent.

    go-control-plane answers a NACK at once with the same resource, so a client that refuses without a pause makes a hot
    loop. The first refusal goes at once; one of the same version waits until `first` seconds behind the one before,
    doubled each time up to `most`; one of another version waits for `first` seconds.
    """

    def __init__(self, first: float = 1.0, most: float = 30.0) -> None:
        self._first, self._most = first, most
        self._version: str | None = None
        self._last = 0.0
        self._pause = first

    def delay(self, version: str, now: float) -> float:
        """Return how long the refusal of `version` has to wait."""
        if self._version is None:
            return 0.0
        pause = self._pause if version == self._version else self._first
        return max(0.0, self._last + pause - now)

    def sent(self, version: str, now: float) -> None:
        """Note that a version was refused now."""
        again = version == self._version
        self._pause = min(2 * self._pause, self._most) if again else self._first
        self._version, self._last = version, now

    def accepted(self) -> None:
        """Forget the refusals: a version was accepted."""
        self._version, self._pause = None, self._first
