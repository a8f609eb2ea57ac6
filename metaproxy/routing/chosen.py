"""
What an exchange reads of the route and the target that were chosen for it.

Lives here: `ChosenTarget`, `ReadByEach`, `ChosenRoute`, with `pick`; they are compiled, and so know no types that only
mypy has. Does not: what they are made of and what their attributes mean (`table.Target`, `table.Route`).
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


class ReadByEach:
    """
    What each exchange reads of its route, in a class of its own so that it lies side by side, in as few lines of the
    processor's cache as can be: Python sorts the slots of a class by name.
    """

    __slots__ = (
        "hash_keys", "mirror", "on_complete", "on_request", "on_response", "only_target", "reply", "request",
        "response", "retry", "split_by_hash", "subset", "timeout",
    )  # fmt: skip
    only_target: object


class ChosenRoute(ReadByEach):
    """See `table.Route`."""

    __slots__ = (
        "_bounds", "_uniform", "conditions", "name", "on_chunk", "on_head", "percent", "priority", "reply_target",
        "targets",
    )  # fmt: skip
    _bounds: tuple[int, ...]
    _uniform: Callable[[], float]
    targets: tuple[object, ...]

    def pick(self) -> object:
        """One of the targets, by weight; only a choice costs a random number. Not for a route that replies."""
        only = self.only_target  # most routes have one: without a look into a tuple
        if only is not None:
            return only
        bounds = self._bounds
        return self.targets[bisect_right(bounds, self._uniform() * bounds[-1], 0, len(bounds) - 1)]
