"""
What ends a call of a plugin that does not come back: an endless loop becomes a failed check.

Lives here: `Watchdog`, which counts the CPU time of the process (a slow machine is not a loop). Does not: any check.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import TraceFunction

_TICK = 0.25
"""Seconds of CPU. A call is ended at the second tick that finds it: after a quarter to half a second."""
_LINES = 3_000_000
"""Where there is no such timer (another thread, another system): lines of Python that a call may execute."""


class Endless(BaseException):
    """Raised inside a call that does not end. No Exception, so that the code in question does not catch it."""


class Watchdog:
    """Use as `with Watchdog() as watchdog:`, inside of it `watchdog.begin()` and `watchdog.end()` about each call."""

    def __init__(self) -> None:
        self._calls = 0
        self._seen = 0
        self._inside = False
        self._before: Callable[[int, FrameType | None], object] | int | None = None
        self._trace: TraceFunction | None = None
        self._left = 0
        main = threading.current_thread() is threading.main_thread()
        self._timer = main and hasattr(signal, "setitimer") and signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0

    def __enter__(self) -> Watchdog:
        if self._timer:
            self._before = signal.signal(signal.SIGVTALRM, self._tick)
            signal.setitimer(signal.ITIMER_VIRTUAL, _TICK, _TICK)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, self._before)

    def begin(self) -> None:
        self._calls += 1
        self._inside = True
        if not self._timer:
            self._left = _LINES
            self._trace = sys.gettrace()
            sys.settrace(self._line)

    def end(self) -> None:
        self._inside = False
        if not self._timer:
            sys.settrace(self._trace)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        if self._inside and self._seen == self._calls:
            raise Endless
        self._seen = self._calls

    def _line(self, frame: FrameType, event: str, argument: object) -> TraceFunction | None:
        self._left -= 1
        if self._left < 0:
            raise Endless
        return self._line
