"""
What the log has of a service that filters ask, and that does not always answer.

Lives here: `OutageLog`. Does not: what becomes of the requests.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

log = Logger()

EVERY = 60.0
"""Seconds from one report to the next: a service that fails every other call would else write two lines for each."""


class OutageLog:
    """who: the filter; again: what is told when the service answers again, if its failure was told."""

    def __init__(self, who: str, again: str, clock: IReactorTime) -> None:
        self._who = who
        self._again = again
        self._clock = clock
        self._failing = self._spoke = False
        self._told = float("-inf")

    def failed(self, reason: str) -> None:
        if self._failing:
            return
        self._failing = True
        now = self._clock.seconds()
        if now - self._told >= EVERY:
            self._told, self._spoke = now, True
            log.warn("{who}: {reason}", who=self._who, reason=reason)

    def answered(self) -> None:
        if not self._failing:
            return
        self._failing = False
        if self._spoke:
            self._spoke = False
            log.info("{who}: {again}", who=self._who, again=self._again)
