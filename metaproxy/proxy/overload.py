"""
When the process has too much to do, or too little memory: what it refuses, and in which order.

    beyond a limit          new connections are refused, and requests of low priority
    still beyond            requests of normal priority, too; for memory, the connections that hold the most unfinished
                            bytes are closed, the largest first, until enough is free
    still beyond            requests of high priority
    below it for a while    the same steps back, one after the other

For `max_lag` the steps are smooth: a share of each, as large as it has to be. Requests are answered with an error of
kind OVERLOAD.

Lives here: `OverloadMonitor` (looks, decides, counts) and `OverloadLimits`. Does not: reading the process's memory
(`memory`); how measures become pressure (`gauges`); refusing a connection (`listener`) or a request (`exchange`).
"""

from __future__ import annotations

import gc
import math
import random
from collections.abc import Callable, Iterable
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from metaproxy.proxy.current import Shedding
from metaproxy.proxy.gauges import LOOK_EVERY, LagGauge, MemoryGauge, Share
from metaproxy.proxy.memory import give_back, resident
from metaproxy.proxy.shed_share import AskingConnection, ShedShare
from metaproxy.routing.table import PRIORITIES
from metaproxy.support.log_throttle import LogThrottle

log = Logger()

FREE_TO = 0.9
"""Connections are closed until the memory should be down to this share of `max_memory`."""
LEAST = 4096
"""Bytes held below which a connection is left alone: closing it frees hardly more than it costs to make it again."""
RECLAIM_EVERY = 5.0
"""Seconds between two collections of garbage while the memory is beyond its limit and no connection holds it."""

CALM, REFUSING, SHEDDING, SHEDDING_ALL = range(4)
STATES = ("ok", "refusing", "shedding", "shedding")
"""The words for the levels in the admin API."""
REFUSED = (
    "",
    "new connections and requests of low priority are refused",
    "requests of normal priority are refused, too",
    "requests of all priorities are refused",
)
"""What the log says of them."""


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


class OverloadMonitor(Shedding):
    """
    refusing, shedding: what the data path looks at: whether some connections, some requests are refused. requests: the
    share of each priority that is refused, and how many were; connections: the same of these; closed_connections:
    counts. reason: the option whose limit is reached, '' when none is. memory: reads the process's memory in bytes;
    reclaim: has the system get back what was freed; uniform, draw: a number of [0, 1), by chance; waited: seconds that
    a socket with something to read waits for its turn, see `queue_probe`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        memory: Callable[[], int] = resident,
        reclaim: Callable[[], None] = give_back,
        uniform: Callable[[], float] = random.random,
        waited: Callable[[], float] = float,
    ) -> None:
        self.refusing = False
        self.shedding = False
        self.reason = ""
        self.requests = tuple(ShedShare(uniform) for _ in PRIORITIES)
        self.shed_requests = 0
        self.connections = Share(uniform)
        self.closed_connections = 0
        self.memory = MemoryGauge("overload.max_memory")
        self.lag = LagGauge("overload.max_lag")
        self._clock = clock
        self._read_memory = memory
        self._reclaim = reclaim
        self.draw = uniform
        self._waited = waited
        self._holders: Callable[[], Iterable[Holder]] = tuple
        self._timer: IDelayedCall | None = None
        self._due = math.inf
        self._level = CALM  # at the last look, as is what follows
        self._closed = False
        self._reclaimed = self._trimmed = -math.inf
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
        self._press(0.0)
        for share in self.requests:
            share.release()

    def limit(self, limits: OverloadLimits) -> None:
        self.memory.limit, self.lag.limit = limits.max_memory, limits.max_lag

    # -- what the data path asks for

    def refuses(self) -> bool:
        """Whether this new connection is refused, which is counted."""
        return self.connections.refuses()

    def sheds(self, priority: int, client: AskingConnection) -> bool:
        """Whether this request of the client's is refused, which is counted. priority: its route's."""
        if not self.requests[priority].refuses_one_of(client):
            return False
        self.shed_requests += 1
        return True

    def text(self) -> str:
        """Of the error that a refused request gets."""
        if not self.reason:  # what waited in the socket of a client that was not read
            return "the proxy was overloaded while this waited"
        return f"the proxy is overloaded ({self.reason} is reached)"

    # -- what is shown

    @property
    def state(self) -> str:
        return STATES[max(self.memory.level, self.lag.level)]

    @property
    def parked(self) -> int:
        """Connections that are not read at present."""
        return sum(share.parked for share in self.requests)

    @property
    def refused_connections(self) -> int:
        return self.connections.count

    # -- from time to time

    def _look(self) -> None:
        now = self._clock.seconds()
        if self._closed:
            self._closed = False
            self._reclaim()
        self.lag.look(max(0.0, now - self._due, self._waited()), [share.asked for share in self.requests])
        self.memory.look(self._memory_in_use(now))
        self._press(max(self.memory.pressure, self.lag.pressure))
        worst = self.memory if self.memory.level >= self.lag.level else self.lag
        for share in self.requests:
            share.look(now, self.lag.value)
            self.shedding = self.shedding or share.owes
        level, before, self._level = worst.level, self._level, worst.level
        self.reason = worst.option if level else ""
        if level != before:
            self._tell(level, before, worst)
        if self.memory.level >= SHEDDING and self.memory.beyond:
            self._free(now)
        # Last: what this look costs is no lag of others.
        self._due = self._clock.seconds() + LOOK_EVERY
        self._timer = self._clock.callLater(LOOK_EVERY, self._look)

    def _memory_in_use(self, now: float) -> int:
        """Bytes. Of what is freed the process keeps some: that is given back before anything is done about too much."""
        found = self._read_memory()
        if 0 < self.memory.limit < found and now - self._trimmed >= RECLAIM_EVERY:
            self._trimmed = now
            self._reclaim()
            found = self._read_memory()
        return found

    def _press(self, pressure: float) -> None:
        """Set what is refused of each priority, the lowest first."""
        for priority, share in enumerate(self.requests):
            share.value = min(max(pressure - priority, 0.0), 1.0)
            if not share.value:
                share.forget()
        self.connections.value = self.requests[0].value
        self.refusing = self.shedding = pressure > 0.0

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

    def _tell(self, level: int, before: int, worst: MemoryGauge | LagGauge) -> None:
        if level > before and self._log_throttle.allows(str(level)):
            log.warn(
                "{option} is reached: {value}, the limit is {limit}; {what}",
                option=worst.option, value=self._show(worst, worst.value), limit=self._show(worst, worst.limit),
                what=REFUSED[level],
            )  # fmt: skip
        elif level == CALM and self._log_throttle.allows(str(CALM)):
            log.info(
                "overload is over; since the start {refused} connections and {shed} requests were refused, {closed} "
                "connections closed",
                refused=self.refused_connections, shed=self.shed_requests, closed=self.closed_connections,
            )  # fmt: skip

    def _show(self, gauge: MemoryGauge | LagGauge, value: float) -> str:
        return size(value) if gauge is self.memory else f"{1000 * value:.0f} ms"


def size(count: float) -> str:
    """Bytes as people write them."""
    return f"{count / (1 << 20):.0f} MiB" if count >= 1 << 20 else f"{count / 1024:.0f} KiB"
