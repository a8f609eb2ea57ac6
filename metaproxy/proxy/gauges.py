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
from collections.abc import Callable

PRESSURES = 3
"""The highest pressure: one for each priority."""
MEMORY_MARK = 0.95
"""The share of `max_memory` below which the memory counts as calm."""
CALM_LOOKS = 5
"""Looks in a row below the lower mark before a step is taken back."""
WAVERING_LOOKS = 50
"""The same between the lower mark and the limit: freed memory is not always given back, and must not block for ever."""
LAG_MARK = 0.5
"""The share of `max_lag` below which the lag counts as calm: it swings more than memory does."""
STEP_UP = 0.1
"""What a look adds to the pressure of a lag just beyond its limit; of one four times as large, four times as much."""
STEEPEST = 4.0
STEP_DOWN = 0.1
"""What a look in calm takes back."""


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
    """As MemoryGauge; value, limit: in seconds."""

    def __init__(self, option: str) -> None:
        self.option = option
        self.value = 0.0
        self.limit = 0.0
        self.pressure = 0.0

    @property
    def level(self) -> int:
        return math.ceil(self.pressure)

    @property
    def calm(self) -> bool:
        return self.value <= self.limit * LAG_MARK or self.limit <= 0

    def look(self, value: float, refused: bool) -> None:
        """refused: whether anything was since the last look. A priority that nobody asks with is passed at once."""
        self.value = value
        pressure, limit = self.pressure, self.limit
        if limit <= 0:
            self.pressure = 0.0
        elif value > limit:
            if pressure and not refused:
                pressure = math.floor(pressure) + 1.0
            self.pressure = min(pressure + STEP_UP * min(value / limit, STEEPEST), PRESSURES)
        elif self.calm:
            # A thousandth is what sums of tenths leave.
            self.pressure = pressure - STEP_DOWN if pressure > STEP_DOWN + 0.001 else 0.0


class Share:
    """
    Of how many that come which part is refused. value: from 0 to 1; count: those that were; passed: those that were
    not. By chance: were it each
    second one, a client that asks two things in turn would always lose the same one.
    """

    def __init__(self, uniform: Callable[[], float] = random.random) -> None:
        self.value = 0.0
        self.count = 0
        self.passed = 0
        self._uniform = uniform

    def refuses(self) -> bool:
        if self._uniform() >= self.value:
            self.passed += 1
            return False
        self.count += 1
        return True
