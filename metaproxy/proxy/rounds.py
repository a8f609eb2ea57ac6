"""
Rounds of waiting for sockets and seeing to those that are ready, which ends when the reactor has something to do.

Lives here: `Rounds`. Does not: what is ready (`polling`), what waits where the reactor would (`reactor_wait`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.polling import Polling
from metaproxy.proxy.reactor_wait import TakenWait

ROUNDS = 8
"""How often sockets are looked for before the reactor sees to timers and other readers."""
FEW = 8
"""
Where the reactor's wait is taken, they are looked for again at once if as many were ready: behind fewer, the next have
hardly come yet, and to look in vain costs as much as to read one.
"""
TURN = 0.01
"""Seconds after which the reactor is on in any case: else a thousand busy connections keep the admin API waiting."""
UNTIMED = 8
"""Sockets that are read between two looks at the clock."""


class Rounds:
    """seconds: the reactor's clock. wait: what waits in the reactor's place; None while the reactor itself does."""

    __slots__ = ("_poll", "_reactor_ready", "_seconds", "_turn", "wait")

    def __init__(self, poll: Polling, turn: FlushQueue, seconds: Callable[[], float]) -> None:
        self._poll = poll
        self._turn = turn
        self._seconds = seconds
        self._reactor_ready = False
        self.wait: TakenWait | None = None

    def iterate(self, delay: float | None) -> None:
        """As the reactor's doIteration, in its place. delay: seconds until its next timer, None where there is none."""
        while True:
            late = self.see_to_ready(delay, FEW)
            wait = self.wait
            if wait is None:
                return
            # Behind the turn, as it reads no sockets of ours; and where these take more than a turn, before the next.
            if late or self._reactor_ready:
                self._reactor_ready = False
                wait.see_to_reactor()
                return
            rest = wait.rest()
            # Longer than was asked for: it is not the reactor's own loop that called.
            if rest <= 0 or (delay is not None and rest > delay):
                return
            delay = rest

    def note_reactor(self) -> None:
        """The reactor's own descriptors are ready."""
        self._reactor_ready = True

    def see_to_ready(self, delay: float | None, few: int) -> bool:
        """Wait `delay` for sockets and see to them; go on at once if `few` were ready. Return whether it took long."""
        poll, turn = self._poll, self._turn
        left = poll.left or poll.wait(delay)
        until = 0.0
        for _ in range(ROUNDS):
            if not left:
                return False
            turn.begin()
            until = until or turn.now + TURN
            ready, late = left, False
            while left and not late:
                left = poll.see_to(UNTIMED)
                late = ready >= few and self._seconds() >= until
            turn.end()
            # What is left comes first next time: polled again, the same ones would always be the last.
            if late or ready < few:
                return late
            left = poll.wait(0)
        return False
