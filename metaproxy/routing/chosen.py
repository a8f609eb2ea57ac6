"""
What an exchange reads of the route and the target that were chosen for it.

Lives here: `ChosenTarget`, `ChosenRoute`, with `pick`; they are compiled, and so know no types that only mypy has. Does
not: what they are made of and what their attributes mean (`table.Target`, `table.Route`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from metaproxy.counts import TargetCounts


class ChosenTarget:
    """See `table.Target`."""

    __slots__ = ("cluster", "counts", "fallback", "weight")
    cluster: object
    counts: TargetCounts
    fallback: object
    weight: int


class ChosenRoute:
    """See `table.Route`."""

    __slots__ = (
        "_bounds", "_uniform", "conditions", "hash_keys", "mirror", "name", "on_chunk", "on_complete",
        "on_head", "on_request", "on_response", "only_target", "percent", "priority", "reply", "reply_target",
        "request", "response", "retry", "split_by_hash", "subset", "targets", "timeout",
    )  # fmt: skip
    _bounds: tuple[int, ...]
    _uniform: Callable[[], float]
    only_target: object
    targets: tuple[object, ...]

    def pick(self) -> object:
        """One of the targets, by weight; only a choice costs a random number. Not for a route that replies."""
        only = self.only_target  # most routes have one: without a look into a tuple
        if only is not None:
            return only
        bounds = self._bounds
        return self.targets[bisect_right(bounds, self._uniform() * bounds[-1], 0, len(bounds) - 1)]
