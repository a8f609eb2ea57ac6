"""
Calls without a pause while something happens to what is between or behind.

Lives here: `Steady`. Does not: the calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self

from running import Jobs, eventually


class Steady:
    """
    Runs `call` again and again in a thread of its own, from `with` to its end. answers: what it returned, in its order;
    failed: what it raised.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers: list[object] = []
        self.failed: list[str] = []

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.answers.append(self._call())
            except Exception as error:
                self.failed.append(repr(error))

    def more(self, count: int = 20, seconds: float = 20.0) -> None:
        """Waits for so many more calls."""
        wanted = len(self.answers) + count
        assert eventually(lambda: len(self.answers) >= wanted or self.failed, seconds), "the calls stand still"
        assert self.failed == [], self.failed[:3]

    def until(self, answer: object, seconds: float = 10.0) -> None:
        """Waits until a call that begins from now on is answered so."""
        begun = len(self.answers) + 1
        assert eventually(lambda: answer in self.answers[begun:], seconds), f"no call was answered {answer!r}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.more(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join(20)
        assert self.failed == [], self.failed[:3]


def calls_of(jobs: Jobs, port: int, **options: Any) -> Callable[[], object]:
    """One call a time of a client program, on a connection each; returns its value, raises its error."""

    def call() -> object:
        (result,) = jobs.run(port=port, **options)
        if "error" in result:
            raise RuntimeError(str(result["error"]))
        return result["value"]

    return call
