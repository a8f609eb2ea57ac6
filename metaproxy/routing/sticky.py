"""
Draws that are the same for the same caller: `sticky:` of a route.

Lives here: `Sticking`. Does not: what is drawn for (`table`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import xxhash

_WHOLE = float(1 << 64)


class Sticking:
    """
    Draws by the values of metadata keys, or of facts of the connection such as source.address. A caller whose weight of
    clusters grows from 1 to 50 stays where it is once it is there: its number does not change, only the bounds do.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)

    def __call__(self, get: Callable[[str], str | None], facts: Mapping[str, str], draw: int) -> float | None:
        """
        A number of [0, 1), by XXH64 of the values; None when none of the keys is there. Other values of `draw` give
        numbers that have nothing in common with these. May raise FrameError, as `get` does.
        """
        values = [facts.get(key) or get(key) for key in self.keys]
        if not any(values):
            return None
        text = "\0".join(value or "" for value in values)
        return xxhash.xxh64_intdigest(text.encode("utf-8", "surrogateescape"), seed=draw) / _WHOLE

    def __str__(self) -> str:
        return ", ".join(self.keys)

    def __repr__(self) -> str:
        return f"Sticking({self})"
