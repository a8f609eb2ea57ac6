"""
What servers say of themselves, asked for with the first request and again from time to time.

Lives here: `Refreshed`. Does not: how they are asked (`reflection`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.filters.outage_log import OutageLog

AGAIN = 1.0
"""Seconds after a failure."""


class Source(Protocol):
    """failures: what its Deferreds fail with."""

    @property
    def failures(self) -> tuple[type[Exception], ...]: ...

    def fetch(self) -> Deferred[list[bytes]]: ...
    def close(self) -> None: ...


class Refreshed:
    """take: is given what was said; it may raise ValueError. refresh: seconds until it is asked again, 0 for never."""

    def __init__(
        self, source: Source, take: Callable[[list[bytes]], None], clock: IReactorTime, refresh: float
    ) -> None:
        self._source = source
        self._take = take
        self._clock = clock
        self._refresh = refresh
        self._next = 0.0
        self._waiting: list[Deferred[None]] | None = None
        self._outage = OutageLog("transcode", "the servers describe their API again", clock)

    def look(self) -> None:
        """Ask, if it is time."""
        if self._waiting is not None or self._clock.seconds() < self._next:
            return
        self._waiting = []
        self._source.fetch().addCallback(self._take).addCallbacks(self._taken, self._failed)

    def wait(self) -> Deferred[None] | None:
        """Fires when what is asked now was answered, or was not."""
        if self._waiting is None:
            return None
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def close(self) -> None:
        self._source.close()

    def _taken(self, _: None) -> None:
        self._outage.answered()
        self._over(self._refresh or float("inf"))

    def _failed(self, failure: Failure) -> None:
        failure.trap(*self._source.failures, ValueError)
        self._outage.failed(f"the servers do not describe their API: {failure.getErrorMessage()}")
        self._over(AGAIN)

    def _over(self, pause: float) -> None:
        self._next = self._clock.seconds() + pause
        waiting, self._waiting = self._waiting, None
        for deferred in waiting or ():
            deferred.callback(None)
