"""
Waiting in the place of Twisted's reactor, which then waits inside the network's epoll, and not the network inside its.

A request that comes alone costs two waits otherwise, each in two epolls, and the reactor's way from a descriptor to who
reads it. Timers, threads and signals stay the reactor's: it has its round when it has something to do, and its own
epoll is one more descriptor that can be read.

Lives here: `TakenWait`. Does not: what is done with sockets that are ready (`rounds`).
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.epollreactor import EPollReactor

Iterate = Callable[[float | None], None]

LONGEST = 3600.0
"""Seconds to wait at most."""
_USED = ("_justStopped", "_newTimedCalls", "_pendingTimedCalls", "_poller", "running", "threadCallQueue")
"""What is used of the reactor that it does not promise."""


class TakenWait:
    """fd: of the reactor's epoll. Made by `take_wait`."""

    __slots__ = ("_reactor", "fd")

    def __init__(self, reactor: EPollReactor) -> None:
        self._reactor = reactor
        self.fd: int = reactor._poller.fileno()

    def rest(self) -> float:
        """Seconds until the reactor has something to do; 0 and less for now."""
        reactor = self._reactor
        if reactor._newTimedCalls or reactor.threadCallQueue or reactor._justStopped or not reactor.running:
            return 0.0
        calls = reactor._pendingTimedCalls  # as a heap: the first is due first
        if not calls:
            return LONGEST
        seconds: float = calls[0].time - reactor.seconds()
        return seconds if seconds < LONGEST else LONGEST

    def see_to_reactor(self) -> None:
        """Have it see to its own descriptors, without waiting."""
        self._reactor.doPoll(0)

    def give_back(self) -> None:
        """The reactor waits by itself again."""
        del self._reactor.doIteration


def take_wait(reactor: object, iterate: Iterate) -> TakenWait | None:
    """
    Have `iterate` called in the place of the reactor's doIteration from now on. None: it is another reactor, or another
    waits in its place.
    """
    if type(reactor) is not EPollReactor or "doIteration" in vars(reactor):
        return None
    if not all(hasattr(reactor, name) for name in _USED):  # another release of Twisted
        return None
    # Looked up on the object in each round. Rejected: a reactor of our own, which has to be chosen before anything is
    # imported, by `twistd --reactor`.
    reactor.doIteration = iterate  # type: ignore[method-assign]
    return TakenWait(reactor)
