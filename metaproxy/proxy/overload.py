"""
When the process has too much to do, or too little memory: what it refuses, and in which order.

    beyond a limit          new connections are refused
    still beyond            requests are answered with an error of kind OVERLOAD; for memory, the connections that hold
                            the most unfinished bytes are closed, the largest first, until enough is free
    below it for a while    the same steps back, one after the other

Lives here: `OverloadMonitor` (looks, decides, counts) and `OverloadLimits`. Does not: reading the process's memory
(`memory`); refusing a connection (`listener`) or a request (`downstream`), which look at two flags.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from metaproxy.proxy.memory import give_back, resident
from metaproxy.support.log_throttle import LogThrottle

log = Logger()

LOOK_EVERY = 0.1
"""Seconds between two looks at lag and memory."""
CALM_LOOKS = 5
"""Looks in a row below the lower mark before a step is taken back."""
WAVERING_LOOKS = 50
"""The same between the lower mark and the limit: freed memory is not always given back, and must not block for ever."""
MEMORY_MARK = 0.95
"""The share of `max_memory` below which the memory counts as calm."""
LAG_MARK = 0.5
"""The share of `max_lag` below which the lag counts as calm: it swings more than memory does."""
FREE_TO = 0.9
"""Connections are closed until the memory should be down to this share of `max_memory`."""
LEAST = 4096
"""Bytes held below which a connection is left alone: closing it frees hardly more than it costs to make it again."""
RECLAIM_EVERY = 5.0
"""Seconds between two collections of garbage while the memory is beyond its limit and no connection holds it."""

CALM, REFUSING, SHEDDING = range(3)
STATES = ("ok", "refusing", "shedding")
"""The words for the three levels, in metrics and the admin API."""


class OverloadLimits(NamedTuple):
    """max_memory: bytes; max_lag: seconds. 0 for no limit."""

    max_memory: int = 0
    max_lag: float = 0.0


NO_LIMITS = OverloadLimits()


class Holder(NamedTuple):
    """A connection that may be closed to get memory back. last: only when all others do not suffice."""

    held: int
    close: Callable[[], None]
    last: bool = False


class Gauge:
    """One thing that is measured, its limit, and how far it was gone as it is beyond it."""

    def __init__(self, option: str, mark: float) -> None:
        self.option = option
        self.value = 0.0
        self.limit = 0.0
        self.level = CALM
        self._mark = mark
        self._looks = 0
        self._calm = 0

    def look(self, value: float) -> None:
        self.value = value
        if self.limit <= 0:
            self.level = CALM
        elif value > self.limit:
            self.level = min(self.level + 1, SHEDDING)
            self._looks = self._calm = 0
        elif self.level:
            self._looks += 1
            self._calm = self._calm + 1 if value <= self.limit * self._mark else 0
            if self._calm >= CALM_LOOKS or self._looks >= WAVERING_LOOKS:
                self.level -= 1
                self._looks = self._calm = 0

    @property
    def beyond(self) -> bool:
        return 0 < self.limit < self.value


class OverloadMonitor:
    """
    refusing, shedding: what the data path looks at. refused_connections, shed_requests, closed_connections: counters
    of its actions. reason: the option whose limit is reached, '' when none is. memory: reads the process's memory in
    bytes; reclaim: has the system get back what was freed.
    """

    def __init__(
        self, clock: IReactorTime, memory: Callable[[], int] = resident, reclaim: Callable[[], None] = give_back
    ) -> None:
        self.refusing = False
        self.shedding = False
        self.reason = ""
        self.refused_connections = 0
        self.shed_requests = 0
        self.closed_connections = 0
        self.memory = Gauge("overload.max_memory", MEMORY_MARK)
        self.lag = Gauge("overload.max_lag", LAG_MARK)
        self._clock = clock
        self._read_memory = memory
        self._reclaim = reclaim
        self._holders: Callable[[], Iterable[Holder]] = tuple
        self._timer: IDelayedCall | None = None
        self._due = math.inf
        self._closed = False  # at the last look
        self._reclaimed = -math.inf
        self._log_throttle = LogThrottle(clock.seconds)

    # -- life

    def start(self, holders: Callable[[], Iterable[Holder]]) -> None:
        """Begin to look. holders: gives the connections that hold bytes; only called when memory is short."""
        self._holders = holders
        if self._timer is None:
            self._timer = self._clock.callLater(LOOK_EVERY, self._look)

    def stop(self) -> None:
        """Look no more; nothing is refused from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.refusing = self.shedding = False

    def limit(self, limits: OverloadLimits) -> None:
        self.memory.limit, self.lag.limit = limits.max_memory, limits.max_lag

    # -- what the data path asks for

    def refuse(self) -> None:
        """Count a connection that is refused."""
        self.refused_connections += 1

    def shed(self) -> str:
        """Count a request that is refused, and return the text of its error."""
        self.shed_requests += 1
        return f"the proxy is overloaded ({self.reason} is reached)"

    @property
    def state(self) -> str:
        return STATES[max(self.memory.level, self.lag.level)]

    # -- from time to time

    def _look(self) -> None:
        now = self._clock.seconds()
        if self._closed:
            self._closed = False
            self._reclaim()
        self.lag.look(max(0.0, now - self._due))
        self.memory.look(self._read_memory())
        before = max(self.refusing, 2 * self.shedding)
        level = max(self.memory.level, self.lag.level)
        self.refusing, self.shedding = level >= REFUSING, level >= SHEDDING
        worst = self.memory if self.memory.level >= self.lag.level else self.lag
        self.reason = worst.option if level else ""
        if level != before:
            self._tell(level, before, worst)
        if self.memory.level == SHEDDING and self.memory.beyond:
            self._free(now)
        # Last: what this look costs is no lag of others.
        self._due = self._clock.seconds() + LOOK_EVERY
        self._timer = self._clock.callLater(LOOK_EVERY, self._look)

    def _free(self, now: float) -> None:
        """Closes the connections that hold the most, or collects garbage when none holds much."""
        excess = self.memory.value - self.memory.limit * FREE_TO
        found = sorted((one for one in self._holders() if one.held >= LEAST), key=lambda one: (one.last, -one.held))
        closed = freed = 0
        for holder in found:
            if freed >= excess:
                break
            holder.close()
            freed += holder.held
            closed += 1
        self.closed_connections += closed
        self._closed = bool(closed)
        if closed and self._log_throttle.allows("closed"):
            log.warn(
                "overload.max_memory: closed the {count} connections that held the most, {size} in all",
                count=closed, size=size(freed),
            )  # fmt: skip
        if not closed and now - self._reclaimed >= RECLAIM_EVERY:
            self._reclaimed = now
            gc.collect()
            self._reclaim()

    # -- log lines, bounded in number

    def _tell(self, level: int, before: int, worst: Gauge) -> None:
        if level > before and self._log_throttle.allows(STATES[level]):
            what = "requests are refused" if level == SHEDDING else "new connections are refused"
            log.warn(
                "{option} is reached: {value}, the limit is {limit}; {what}",
                option=worst.option, value=self._show(worst, worst.value), limit=self._show(worst, worst.limit),
                what=what,
            )  # fmt: skip
        elif level == CALM and self._log_throttle.allows(STATES[CALM]):
            log.info(
                "overload is over; since the start {refused} connections and {shed} requests were refused, {closed} "
                "connections closed",
                refused=self.refused_connections, shed=self.shed_requests, closed=self.closed_connections,
            )  # fmt: skip

    def _show(self, gauge: Gauge, value: float) -> str:
        return size(value) if gauge is self.memory else f"{1000 * value:.0f} ms"


def size(count: float) -> str:
    """Bytes as people write them."""
    return f"{count / (1 << 20):.0f} MiB" if count >= 1 << 20 else f"{count / 1024:.0f} KiB"
