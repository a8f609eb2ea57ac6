"""
Deadlines of exchanges: one queue and one timer a timeout value.

Lives here: `Deadlines` (a queue) and `DeadlineQueues` (all of them). Does not: what a time-out means.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

AT_ONCE = 256
"""Exchanges that time out in one turn: when a server hangs that thousands wait for, others go on between."""


class Timed(Protocol):
    """Something with a start, in seconds of the reactor's clock, that can run out of time."""

    started: float

    def time_out(self) -> None: ...

    def broke(self, failure: Failure) -> None:
        """See roles.Requester: `time_out` raised."""


class Deadlines:
    """
    Exchanges that may each last `timeout` seconds. As all have the same allowance, they expire in the order in which
    they came: a dict is the queue, and leaving it costs one deletion, not a cancelled timer.
    """

    __slots__ = ("_clock", "_timer", "_waiting", "forget", "timeout")

    def __init__(self, clock: IReactorTime, timeout: float) -> None:
        self.timeout = timeout
        self._clock = clock
        self._waiting: dict[Timed, None] = {}
        self._timer: IDelayedCall | None = None
        self.forget = self._waiting.pop
        """forget(exchange, None): it ended in time."""

    def watch(self, exchange: Timed) -> None:
        """Call `exchange.time_out()` once `timeout` seconds after its start, unless forgotten before."""
        self._waiting[exchange] = None
        if self._timer is None:
            self._timer = self._clock.callLater(max(0.0, self._rest(exchange)), self._sweep)

    def _rest(self, exchange: Timed) -> float:
        return exchange.started + self.timeout - self._clock.seconds()

    def _sweep(self) -> None:
        # The timer that fired keeps its place meanwhile: what a time-out starts must not set one for its own deadline,
        # which would leave those of before waiting for it.
        for _ in range(AT_ONCE):
            oldest = next(iter(self._waiting), None)
            if oldest is None or self._rest(oldest) > 1e-6:
                break
            del self._waiting[oldest]
            try:
                oldest.time_out()
            except BaseException:
                oldest.broke(Failure())
        self._timer = None
        oldest = next(iter(self._waiting), None)
        if oldest is not None:
            self._timer = self._clock.callLater(max(0.0, self._rest(oldest)), self._sweep)


class DeadlineQueues:
    """The queue of each timeout value that is in use."""

    __slots__ = ("_clock", "_last", "_queues")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._queues: dict[float, Deadlines] = {}
        self._last: Deadlines | None = None  # that was asked for: most often the next one is the same

    def of(self, timeout: float) -> Deadlines | None:
        """The queue for a timeout in seconds; None for 0, which means no limit."""
        queue = self._last
        if queue is not None and queue.timeout == timeout:
            return queue
        if timeout <= 0:
            return None
        queue = self._queues.get(timeout)
        if queue is None:
            queue = self._queues[timeout] = Deadlines(self._clock, timeout)
        self._last = queue
        return queue
