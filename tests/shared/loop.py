"""
A reactor with real descriptors whose time goes on only when a test says so.

Lives here: `Loop`; `fired`. Does not: assertions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure


class _AtOnce:
    """The place of a pool of threads: the pool of a reactor that `run` did not start runs nothing."""

    def callInThreadWithCallback(
        self, on_result: Callable[[bool, Any], None], call: Callable[..., Any], *arguments: Any, **options: Any
    ) -> None:
        try:
            result = call(*arguments, **options)
        except BaseException:
            on_result(False, Failure())
        else:
            on_result(True, result)


class Loop(SelectReactor):
    """`turn` lets it do what can be done now, the work of threads included; `advance` lets time pass."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__()

    def seconds(self) -> float:
        return self.now

    def getThreadPool(self) -> Any:
        return _AtOnce()

    def turn(self, times: int = 12) -> None:
        for _ in range(times):
            self.iterate(0)

    def advance(self, seconds: float) -> None:
        self.turn()
        self.now += seconds
        self.turn()

    def until(self, holds: Callable[[], object], turns: int = 2000) -> None:
        """Turns until something holds, without time that passes."""
        for _ in range(turns):
            if holds():
                return
            self.iterate(0)
        raise AssertionError("it never held")


def fired(deferred: Deferred[Any]) -> list[Any]:
    """What it fires with, once it has; a failure, where it fails."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found
