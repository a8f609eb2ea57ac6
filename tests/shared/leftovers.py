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
    """Objects of some types that were made since all others were frozen."""

    def __init__(self, kinds: tuple[type, ...]) -> None:
        self._kinds = kinds

    def count(self) -> Counter[str]:
        """How many there are, by the type's name."""
        return Counter(type(one).__name__ for one in gc.get_objects() if type(one) in self._kinds)


@contextmanager
def no_collector(*kinds: type) -> Iterator[Leftovers]:
    """What is there already is frozen, and stays so: `get_objects` passes over it, and finds what is new at once."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield Leftovers(kinds)
    finally:
        gc.enable()
