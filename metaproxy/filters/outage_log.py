"""
What the log has of a service that filters ask, and that does not always answer.

Lives here: `OutageLog`. Does not: what becomes of the requests.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metaproxy.support.log_throttle import LogThrottle

log = Logger()


class OutageLog:
    """who: the filter; again: the text when the service answers again, if its failure was logged."""

    def __init__(self, who: str, again: str, clock: IReactorTime) -> None:
        self._who = who
        self._again = again
        # A service that fails every other call would else write two lines for each.
        self._log_throttle = LogThrottle(clock.seconds)
        self._failing = self._spoke = False

    def failed(self, reason: str) -> None:
        if self._failing:
            return
        self._failing = True
        if self._log_throttle.allows():
            self._spoke = True
            log.warn("{who}: {reason}", who=self._who, reason=reason)

    def answered(self) -> None:
        if not self._failing:
            return
        self._failing = False
        if self._spoke:
            self._spoke = False
            log.info("{who}: {again}", who=self._who, again=self._again)
