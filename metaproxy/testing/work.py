"""
How much work a session does, in counts: a quadratic one is found without a stop-watch.

Lives here: `Work`, which adds up lines of Python that ran, bytes that were copied or searched, and bytes allocated;
`shortest`, for what only C code does and nothing can count. Does not: what is too much.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, SupportsIndex, overload

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, TraceFunction

    Searched = ReadableBuffer | SupportsIndex


class CountedBytes(bytes):
    """Bytes that add what is copied of them, and what is searched in them, to `CountedBytes.touched`."""

    touched = 0

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: SupportsIndex | slice) -> int | bytes:
        found = bytes.__getitem__(self, key)
        return found if isinstance(found, int) else _counted(found)

    def __add__(self, other: ReadableBuffer) -> bytes:
        return _counted(bytes.__add__(self, other))

    def __iter__(self) -> Iterator[int]:
        CountedBytes.touched += len(self)
        return bytes.__iter__(self)

    def find(self, sub: Searched, start: SupportsIndex | None = 0, end: SupportsIndex | None = None) -> int:
        found = bytes.find(self, sub, start, end)
        stop = len(self) if end is None else min(len(self), int(end))
        CountedBytes.touched += max(0, (found if found >= 0 else stop) - int(start or 0))
        return found

    def index(self, sub: Searched, start: SupportsIndex | None = 0, end: SupportsIndex | None = None) -> int:
        found = self.find(sub, start, end)
        if found < 0:
            raise ValueError("subsection not found")
        return found

    def split(self, sep: ReadableBuffer | None = None, maxsplit: SupportsIndex = -1) -> list[bytes]:
        return [_counted(piece) for piece in bytes.split(self, sep, maxsplit)]

    def splitlines(self, keepends: bool = False) -> list[bytes]:
        return [_counted(piece) for piece in bytes.splitlines(self, keepends)]

    def partition(self, separator: ReadableBuffer) -> tuple[bytes, bytes, bytes]:
        head, middle, tail = bytes.partition(self, separator)
        return _counted(head), middle, _counted(tail)

    def rpartition(self, separator: ReadableBuffer) -> tuple[bytes, bytes, bytes]:
        head, middle, tail = bytes.rpartition(self, separator)
        return _counted(head), middle, _counted(tail)

    def count(self, sub: Searched, start: SupportsIndex | None = None, end: SupportsIndex | None = None) -> int:
        CountedBytes.touched += len(self)
        return bytes.count(self, sub, start, end)


def _counted(data: bytes) -> CountedBytes:
    CountedBytes.touched += len(data)
    return CountedBytes(data)


class Work:
    """
    Measures one call after another; `total` is the sum of lines, bytes touched and, if asked for, allocated.

    Within the `with`, no garbage is collected: what ends with it is the work of others.
    """

    def __init__(self, allocations: bool = False) -> None:
        self.total = 0
        self._allocations = allocations
        self._line, self._lines = _line_counter()

    def __enter__(self) -> Work:
        self._collecting = gc.isenabled()
        gc.disable()
        self._mine = self._allocations and not tracemalloc.is_tracing()
        if self._mine:
            tracemalloc.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._mine:
            tracemalloc.stop()
        if self._collecting:
            gc.enable()

    def of(self, call: Callable[[], object]) -> object:
        """What `call` gives; its work is added."""
        touched, lines = CountedBytes.touched, self._lines()
        trace = sys.gettrace()
        before = 0
        if self._allocations:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
        sys.settrace(self._line)
        try:
            return call()
        finally:
            sys.settrace(trace)
            self.total += self._lines() - lines + CountedBytes.touched - touched
            if self._allocations:
                self.total += max(0, tracemalloc.get_traced_memory()[1] - before)


def _line_counter() -> tuple[TraceFunction, Callable[[], int]]:
    """
    Return a trace function, and a function that returns how many lines it has seen.

    It runs at every line that is measured, so it allocates nothing, which tracemalloc would trace: it is a closure, as
    a method is bound again at every look; it counts in two numbers, as an int of 257 and more is an object of its own.
    """
    ones = rounds = 0

    def line(frame: FrameType, event: str, argument: object) -> TraceFunction:
        nonlocal ones, rounds
        ones += 1
        if ones == 256:
            ones, rounds = 0, rounds + 1
        return line

    return line, lambda: rounds * 256 + ones


def shortest(call: Callable[[], object], times: int) -> float:
    """Seconds of CPU of the shortest of several calls: what else the machine does can only make a call longer."""
    found = float("inf")
    for _ in range(times):
        start = time.thread_time()
        call()
        found = min(found, time.thread_time() - start)
    return found
