"""
How long to wait before something that failed is tried again.

Lives here: `Backoff`. Does not: the timer, and what is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random


class Backoff:
    """
    Seconds until the next attempt: `first`, doubled with each up to `last`, and of that a random part, half at least.
    Many proxies that lost the same server at the same time do not come back to it at the same time.
    """

    __slots__ = ("_failures", "_first", "_last", "_random")

    def __init__(self, first: float, last: float, random: Callable[[], float] = random) -> None:
        self._first = first
        self._last = last
        self._random = random
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        whole = min(self._first * 2.0 ** min(self._failures, 30), self._last)
        self._failures += 1
        return whole * (0.5 + self._random() / 2)

    def reset(self) -> None:
        """Begin with `first` again: an attempt succeeded."""
        self._failures = 0
