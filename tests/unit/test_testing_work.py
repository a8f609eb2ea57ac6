"""Work counts what a call does, and nothing else that happens meanwhile."""

from __future__ import annotations

import gc

from metaproxy.testing.work import Work


class Garbage:
    """A circle, whose end takes many lines and much memory."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        for _ in range(10_000):
            self.itself = self
        bytearray(1 << 20)


def objects() -> None:
    """More than a collection waits for."""
    for _ in range(10):
        [[] for _ in range(1000)]


def test_the_end_of_objects_of_others_is_not_counted() -> None:
    collected = gc.isenabled()
    for allocations in (False, True):
        [Garbage() for _ in range(3)]
        with Work(allocations) as work:
            work.of(objects)
        assert work.total < 20_000 + (1 << 18) * allocations
    assert gc.isenabled() is collected
