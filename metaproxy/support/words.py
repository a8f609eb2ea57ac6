"""
What an operator reads in the place of an object: words, never where it lies in memory.

Lives here: `words`. Does not: what an object says of itself (its `__str__`).
"""

from __future__ import annotations

_ADDRESS = " at 0x"


def words(one: object) -> str:
    """What `one` says of itself; of an object that says nothing, or only where it is, the name of its kind."""
    text = str(one)
    return type(one).__name__ if _ADDRESS in text and not isinstance(one, str) else text
