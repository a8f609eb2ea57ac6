"""
How often a line about the same thing may be logged.

Lives here: `LogThrottle`. Does not: the line, which the caller writes; counting, which goes on for each event.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

PERIOD = 60.0
"""Seconds in which a subject has its lines."""
MAX_SUBJECTS = 1024
"""Subjects that are remembered. With more, the memory begins empty, so that a peer who invents them can't fill it."""


class LogThrottle:
    """
    At most `most` lines in `period` seconds about each subject.

    seconds: the time on a clock that does not jump. The first line begins a period.
    """

    __slots__ = ("_left_out", "_most", "_period", "_seconds", "_subjects")

    def __init__(self, seconds: Callable[[], float], most: int = 1, period: float = PERIOD) -> None:
        self._seconds = seconds
        self._most = most
        self._period = period
        self._subjects: dict[Hashable, tuple[float, int]] = {}
        self._left_out = 0

    def allows(self, subject: Hashable = None) -> bool:
        """Return whether a line about the subject may be logged now; a line that is allowed is counted as logged."""
        now = self._seconds()
        began, lines = self._subjects.get(subject, (float("-inf"), 0))
        if now - began >= self._period:
            began, lines = now, 0
        elif lines >= self._most:
            self._left_out += 1
            return False
        if len(self._subjects) >= MAX_SUBJECTS and subject not in self._subjects:
            self._subjects.clear()
        self._subjects[subject] = began, lines + 1
        return True

    def left_out(self) -> int:
        """Return how many lines were not allowed since this was asked last."""
        count, self._left_out = self._left_out, 0
        return count
