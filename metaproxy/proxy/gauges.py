"""
What is measured against its limit, and how hard it presses: from 0, nothing is refused, to 3, everything is.

    pressure 0 to 1     new connections and requests of low priority: as large a share of them as the pressure says
             1 to 2     all of these, and a share of the requests of normal priority
             2 to 3     all of these, and a share of those of high priority

Lives here: `MemoryGauge`, whose pressure is a whole number, as memory that is lost costs more than a request;
`LagGauge`, whose pressure finds the share that the process can do; `Share`, which refuses that part. Does not: what is
done with the pressure (`overload`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

PRESSURES = 3
"""The highest pressure: one for each priority."""
MEMORY_MARK = 0.95
"""The share of `max_memory` below which the memory counts as calm."""
CALM_LOOKS = 5
"""Looks in a row below the lower mark before a step is taken back."""
WAVERING_LOOKS = 50
"""The same between the lower mark and the limit: freed memory is not always given back, and must not block for ever."""
LOOK_EVERY = 0.1
"""Seconds between two looks."""
LAG_AIM = 0.75
"""The share of `max_lag` that is aimed at, once the lag was beyond it."""
STEEPEST = 0.5
"""The least part of what passed until now that passes after one step."""
LEAST_PASSED = 0.05
"""A smaller part of a priority is none: then it is the next one's turn."""
EASE, EASE_BY = 1.25, 0.02
"""What a look makes at most of the part that passes, below the aim: so many times as much, and this share of all."""


class MemoryGauge:
    """option: the limit's, as in a configuration; value, limit: in bytes, no limit with 0; level: its pressure."""

    def __init__(self, option: str) -> None:
        self.option = option
        self.value = 0.0
        self.limit = 0.0
        self.level = 0
        self._looks = 0
        self._calm = 0

    @property
    def pressure(self) -> float:
        return float(self.level)

    @property
    def beyond(self) -> bool:
        return 0 < self.limit < self.value

    def look(self, value: float) -> None:
        self.value = value
        if self.limit <= 0:
            self.level = 0
        elif value > self.limit:
            self.level = min(self.level + 1, PRESSURES)
            self._looks = self._calm = 0
        elif self.level:
            self._looks += 1
            self._calm = self._calm + 1 if value <= self.limit * MEMORY_MARK else 0
            if self._calm >= CALM_LOOKS or self._looks >= WAVERING_LOOKS:
                self.level -= 1
                self._looks = self._calm = 0


class LagGauge:
    """
    As MemoryGauge; value, limit: in seconds.

    How long requests wait is proportional to how many wait, so to how many clients are served at a time. A lag of twice
    what is aimed at is answered by serving half of them: one step, and no more until what is measured came after it.
    What counts is the lesser of two looks: one late look is a burst, or a scrape of /metrics, and no queue that stays.
    """

    def __init__(self, option: str) -> None:
        self.option = option
        self.value = 0.0
        self.limit = 0.0
        self.pressure = 0.0
        self._before = 0.0
        self._rest = 0

    @property
    def level(self) -> int:
        return math.ceil(self.pressure)

    def look(self, value: float, asked: Sequence[bool]) -> None:
        """asked: of which priorities there are requests. One without any is passed at once."""
        lag, self._before, self.value = min(value, self._before), value, value
        if self.limit <= 0:
            self.pressure = 0.0
        elif lag > self.limit and self.pressure and not asked[self.level - 1]:
            self.pressure = float(self.level)
            self._harder(lag)
        elif self._rest:
            self._rest -= 1
        elif lag > self.limit:
            self._harder(lag)
        elif self.pressure and lag < self._aim:
            self._ease(lag)

    @property
    def _aim(self) -> float:
        return self.limit * LAG_AIM

    def _harder(self, lag: float) -> None:
        if self.pressure >= PRESSURES:
            return
        above = math.floor(self.pressure) + 1.0
        passed = (above - self.pressure) * max(self._aim / lag, STEEPEST)
        self.pressure = above - passed if passed >= LEAST_PASSED else above
        # A socket that came before this step waits behind others of its time; the next one is the first that tells.
        self._rest = math.ceil(lag / LOOK_EVERY)

    def _ease(self, lag: float) -> None:
        above = float(self.level)
        more = min(self._aim / lag, EASE) if lag else EASE
        passed = (above - self.pressure) * more + EASE_BY * (more - 1.0) / (EASE - 1.0)
        self.pressure = above - min(passed, 1.0)


class Share:
    """
    Of how many that come which part is refused. value: from 0 to 1; count: those that were. By chance: were it each
    second one, a client that asks two things in turn would always lose the same one.
    """

    def __init__(self, uniform: Callable[[], float] = random.random) -> None:
        self.value = 0.0
        self.count = 0
        self._uniform = uniform

    def refuses(self) -> bool:
        if self._uniform() >= self.value:
            return False
        self.count += 1
        return True
