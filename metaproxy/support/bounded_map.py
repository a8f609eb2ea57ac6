"""
A mapping that never holds more than so many entries.

Lives here: `BoundedMap`. Does not: entries that end by time (their owner compares the time when it reads one).

It is an OrderedDict and not a plain dict: to find the first key of a dict whose first keys were deleted, Python walks
over the holes that they left, so that each replacement would cost as much as the mapping is long.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedMap(OrderedDict[K, V]):
    """
    A mapping of at most `most` entries. `keep` adds, and removes the oldest entry when there are too many. For the
    entry that was not used for longest in its place, call `move_to_end` with each use.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: K, value: V) -> None:
        """Put the entry behind all others. With `most` 0 nothing is kept."""
        self[key] = value
        self.move_to_end(key)
        self.limit(self._most)

    def limit(self, most: int) -> None:
        """Change the bound, and remove the oldest entries beyond it."""
        self._most = most
        while len(self) > most:
            self.popitem(last=False)
