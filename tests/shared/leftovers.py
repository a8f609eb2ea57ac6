"""
Which objects are left without the garbage collector, which looks seldom while the proxy runs: those that are in use,
and those that refer to each other in a circle.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Leftovers:
    """Objects of some types that were made since."""

    def __init__(self, kinds: tuple[type, ...]) -> None:
        self._kinds = kinds
        self._before = self._objects()  # kept, so that no other object gets the id of one

    def _objects(self) -> dict[int, object]:
        return {id(one): one for one in gc.get_objects() if type(one) in self._kinds}

    def count(self) -> Counter[str]:
        """How many there are, by the type's name."""
        return Counter(type(one).__name__ for id, one in self._objects().items() if id not in self._before)


@contextmanager
def no_collector(*kinds: type) -> Iterator[Leftovers]:
    gc.collect()
    gc.disable()
    try:
        yield Leftovers(kinds)
    finally:
        gc.enable()
