"""
Whether workers answer: one that is stopped, or turns in a loop, still has its process and its line.

Lives here: `Watch`. Does not: a worker whose process has ended, which `member` hears of; starting it again
(`supervisor`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metaproxy.workers.member import READY, STARTING, Member

log = Logger()

QUIET = 5.0
"""Seconds without an answer from which on a worker gets no connection and is asked nothing."""
HUNG = 60.0
"""
Seconds from which on it is ended and started again. Building a large configuration must fit into them; one that has not
become ready in that time has twice as long the next time: on a machine that is busy it would else never be.
"""
LONGEST = 16
"""Times as long, at most."""


class Watch:
    """members: those that are watched. A question is a look at what a worker counted, one at a time for each."""

    def __init__(self, members: Sequence[Member], clock: IReactorTime) -> None:
        self._members = members
        self._clock = clock
        self._since: dict[int, float] = {}
        self._too_late: Counter[int] = Counter()

    def asked(self, member: Member) -> None:
        """A question is under way."""
        self._since[member.number] = self._clock.seconds()

    def answered(self, member: Member) -> None:
        """It answered, or has started, or has ended."""
        self._since.pop(member.number, None)
        if member.state == READY:
            self._too_late.pop(member.number, None)
        if member.quiet:
            member.quiet = False
            log.info("worker {number} answers again", number=member.number)

    def owes(self, member: Member) -> bool:
        """Return whether a question is under way."""
        return member.number in self._since

    def is_late(self, member: Member) -> bool:
        """Return whether it has been starting, or owing an answer, for long."""
        return self._waited(member) >= QUIET

    def look(self) -> None:
        """Take note of those that are quiet, and end those that hang."""
        for member in self._members:
            if member.state not in (STARTING, READY):
                continue
            if member.state == STARTING:
                self._since.setdefault(member.number, self._clock.seconds())
            waited = self._waited(member)
            if waited >= self._patience(member):
                self._too_late[member.number] += member.state == STARTING
                log.error("worker {number} does not answer: it is ended", number=member.number)
                self._since.pop(member.number)
                member.kill()
            elif waited >= QUIET and member.state == READY and not member.quiet:
                member.quiet = True
                log.warn("worker {number} does not answer; it gets no connection", number=member.number)

    def _patience(self, member: Member) -> float:
        return HUNG * min(2 ** self._too_late[member.number], LONGEST) if member.state == STARTING else HUNG

    def _waited(self, member: Member) -> float:
        return self._clock.seconds() - self._since.get(member.number, self._clock.seconds())
