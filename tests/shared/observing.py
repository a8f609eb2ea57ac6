"""What is logged while a test looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer


@contextmanager
def observing(note: Callable[[Any], object]) -> Iterator[None]:
    """`note` is called with each event that is logged meanwhile."""

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        note(event)

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)
