"""
The name that was probably meant where one is not known.

Lives here: `nearest_name`, and `did_you_mean` for the end of an error. Does not: lists of names.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

MAX_COMPARED = 500
"""Names that are compared; each costs some microseconds."""
MAX_NAME = 256
"""Characters of the unknown name that are compared: it may come from a peer."""
CUTOFF = 0.6
"""How alike two names must be, 0 to 1; the default of difflib."""


def nearest_name(name: str, known: Collection[str], cutoff: float = CUTOFF) -> str | None:
    """Return the name of `known` that is nearest to `name`; None when none is near."""
    if len(known) > MAX_COMPARED:  # a mistake in the first letter is rare
        known = [other for other in known if other[:1] == name[:1]][:MAX_COMPARED]
    return next(iter(difflib.get_close_matches(name[:MAX_NAME], known, 1, cutoff)), None)


def did_you_mean(name: str, known: Collection[str], otherwise: str = "", cutoff: float = CUTOFF) -> str:
    """Return `did you mean 'NAME'?`; `otherwise` when no name is near."""
    near = nearest_name(name, known, cutoff)
    return otherwise if near is None else f"did you mean {near!r}?"
