"""
JSON from outside, read with a bound on its levels, so that nothing that walks through it can run out of stack.

Lives here: `loads`. Does not: bounds on the bytes (the reader of the body knows what it may have).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

MAX_DEPTH = 64
"""Levels of values within values, as in a configuration."""


def loads(text: str | bytes, depth: int = MAX_DEPTH) -> object:
    """The value. Raises ValueError for what is not JSON, and for what is nested more than `depth` levels deep."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"more than {depth} levels of values within values") from None
    level: list[object] = [value]
    for _ in range(depth + 1):
        level = [child for one in level if isinstance(one, (dict, list)) for child in _children(one)]
        if not level:
            return value
    raise ValueError(f"more than {depth} levels of values within values")


def _children(value: dict[str, object] | list[object]) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value
