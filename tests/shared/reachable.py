"""What an object keeps alive: for tests of what is remembered, and of how much."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType

_ENDS = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""What belongs to the program and not to an object."""


def reachable(thing: object) -> Iterator[object]:
    """The object and all that it refers to, its code left out."""
    seen: dict[int, object] = {}
    waiting = [thing]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, _ENDS):
            continue
        seen[id(found)] = found
        yield found
        waiting += gc.get_referents(found)
