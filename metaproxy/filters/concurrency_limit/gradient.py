"""
How many requests may be under way, found by how long they take.

Lives here: `Gradient`, the controller, and its options. Does not: what is refused (`concurrency_limit`).

Envoy's adaptive concurrency filter and its gradient controller are the reference: from time to time, with few requests
under way, the shortest time is measured that an answer takes (min_rtt). Then, window by window,

    gradient = min_rtt * (1 + buffer) / time that answers take now, from 0.5 to 2
    limit    = gradient * limit + headroom, which is sqrt(gradient * limit)
"""

from __future__ import annotations

import math
import random
from typing import Annotated

from metaproxy.options import made
from metaproxy.plugins import OptionError
from metaproxy.units import Option, OptionsOf, Percent, Seconds

PINNED = 5
"""Windows in a row at the least limit after which min_rtt is measured again: it is of another time, then."""
MOST_SAMPLES = 10000
"""Samples that are kept of one window."""
SHORTEST = 1e-6
"""Seconds: of nothing at all there would be no multiple."""

_NEVER, _TENTH, _MINUTE = Seconds(0.0), Seconds(0.1), Seconds(60.0)
_FIFTEEN, _QUARTER, _HALF = Percent(15.0), Percent(25.0), Percent(50.0)


class MinRtt:
    """How `min_rtt`, the shortest time of an answer, is measured."""

    def __init__(
        self,
        interval: Annotated[
            Seconds, Option("Time between two measurements of the shortest time.", above="0s")
        ] = _MINUTE,
        fixed: Annotated[Seconds, Option("The shortest time, which then is never measured.", default="none")] = _NEVER,
        requests: Annotated[int, Option("Answers that make a measurement.", least=1)] = 50,
        min_concurrency: Annotated[int, Option("The limit during a measurement, and the least one ever.", least=1)] = 3,
        jitter: Annotated[
            Percent,
            Option("Share of `interval` by which a measurement is put off at random: not all proxies measure at once."),
        ] = _FIFTEEN,
        buffer: Annotated[
            Percent, Option("By how much answers may be slower without the limit being lowered.")
        ] = _QUARTER,
    ) -> None:
        self.interval = interval
        self.fixed = fixed
        self.requests = requests
        self.min_concurrency = min_concurrency
        self.jitter = jitter / 100
        self.buffer = buffer / 100


class Adaptive:
    """A limit that follows how long answers take."""

    def __init__(
        self,
        percentile: Annotated[Percent, Option("Which of the answers' times stands for all of a window.")] = _HALF,
        update_interval: Annotated[
            Seconds, Option("Length of a window, after which the limit is set again.", above="0s")
        ] = _TENTH,
        max_limit: Annotated[int, Option("The greatest limit.")] = 1000,
        min_rtt: Annotated[
            dict[str, object] | None, OptionsOf(MinRtt), Option("How the shortest time is measured.")
        ] = None,
    ) -> None:
        self.percentile = percentile / 100
        self.update_interval = update_interval
        self.max_limit = max_limit
        self.min_rtt = made(MinRtt, min_rtt or {}, "min_rtt")
        if max_limit < self.min_rtt.min_concurrency:
            least = self.min_rtt.min_concurrency
            raise OptionError("max_limit", f"{max_limit} is less than min_rtt.min_concurrency, {least}")


class Gradient:
    """
    limit: how many requests may be under way. min_rtt, sample_rtt: seconds; headroom, gradient: see the module;
    measuring: whether min_rtt is being measured. Needs no timer: `turn` is to be called before `limit` is looked at.
    """

    __slots__ = (
        "_deferred", "_due", "_epoch", "_options", "_pinned", "_rng", "_samples", "_update", "gradient", "headroom",
        "limit", "measuring", "min_rtt", "sample_rtt",
    )  # fmt: skip

    def __init__(self, options: Adaptive, rng: random.Random, now: float) -> None:
        self._options = options
        self._rng = rng
        self.limit = options.min_rtt.min_concurrency
        self.min_rtt = options.min_rtt.fixed
        self.sample_rtt = 0.0
        self.gradient = 0.0
        self.headroom = 0.0
        self.measuring = False
        self._samples: list[float] = []
        self._pinned = 0
        self._update = now + options.update_interval
        self._due = math.inf
        self._epoch = now
        self._deferred = self.limit
        if not self.min_rtt:
            self._measure(now)

    def adapt(self, options: Adaptive, now: float) -> None:
        """Goes on with other options, as far as they allow what was found."""
        least = options.min_rtt.min_concurrency
        self._options = options
        if options.min_rtt.fixed:
            self.min_rtt = options.min_rtt.fixed
            self.limit = self._deferred if self.measuring else self.limit
            self.measuring, self._due = False, math.inf
        elif not self.measuring and self._due == math.inf:  # it was fixed before
            self._measure(now)
        self._deferred = max(least, min(options.max_limit, self._deferred))
        self.limit = least if self.measuring else max(least, min(options.max_limit, self.limit))

    def turn(self, now: float) -> None:
        """Does what is due by now."""
        if self.measuring:
            return
        if now >= self._due:
            self._measure(now)
        elif now >= self._update:
            self._update = now + self._options.update_interval
            if self._samples:
                self.sample_rtt = self._take_samples()
                self._set(self._next_limit(), now)

    def record(self, started: float, ended: float) -> None:
        """An answer came. What was asked before the measurement began tells of more requests than it allows."""
        if started < self._epoch:
            return
        samples = self._samples
        if len(samples) < MOST_SAMPLES:
            samples.append(ended - started)
        if self.measuring and len(samples) >= self._options.min_rtt.requests:
            self._measured(ended)

    def _measure(self, now: float) -> None:
        self.measuring = True
        self._epoch = now
        self._samples.clear()
        self._deferred = self.limit
        self.limit = self._options.min_rtt.min_concurrency

    def _measured(self, now: float) -> None:
        options = self._options.min_rtt
        self.min_rtt = Seconds(max(self._take_samples(), SHORTEST))
        self.measuring = False
        self.limit = self._deferred
        self._pinned = 0
        self._due = now + options.interval * (1 + self._rng.random() * options.jitter)
        self._update = now + self._options.update_interval

    def _take_samples(self) -> float:
        samples = sorted(self._samples)
        self._samples.clear()
        return samples[min(len(samples) - 1, int(len(samples) * self._options.percentile))]

    def _next_limit(self) -> int:
        options = self._options
        ideal = self.min_rtt * (1 + options.min_rtt.buffer)
        self.gradient = max(0.5, min(2.0, ideal / self.sample_rtt)) if self.sample_rtt > 0 else 2.0
        limit = self.gradient * self.limit
        self.headroom = math.sqrt(limit)
        return max(options.min_rtt.min_concurrency, min(options.max_limit, int(limit + self.headroom)))

    def _set(self, limit: int, now: float) -> None:
        least = self._options.min_rtt.min_concurrency
        self._pinned = self._pinned + 1 if limit == self.limit == least else 0
        self.limit = limit
        if self._pinned >= PINNED and not self._options.min_rtt.fixed:
            self._due = now
