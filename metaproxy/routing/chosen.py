"""
What an exchange reads of the route and the target that were chosen for it.

Lives here: `ChosenTarget`, `RouteAction`, `ReadByEach`, `ChosenRoute`, with `pick`; they are compiled, and so know no
types that only mypy has. Does not: what they are made of and what attributes mean (`table.Target`, `table.Route`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from metaproxy.counts import TargetCounts


class ChosenTarget:
    """See `table.Target`."""

    __slots__ = ("cluster", "counts", "fallback", "weight")
    cluster: object
    counts: TargetCounts
    fallback: object
    weight: int


class RouteAction:
    """
    What a route does with its exchanges: see `table.Route`. Routes that do the same have one in common, so that a
    thousand of them touch hardly more memory than one. It is never changed: a route is given another.
    """

    __slots__ = (
        "hash_keys", "mirror", "on_chunk", "on_complete", "on_head", "on_request", "on_response", "reply", "request",
        "response", "retry", "split_by_hash", "subset", "timeout",
    )  # fmt: skip
    hash_keys: tuple[str, ...]
    mirror: object
    on_chunk: tuple[Callable[..., object], ...]
    on_complete: tuple[Callable[[Any], object], ...]
    on_head: tuple[Callable[[Any, Any], object], ...]
    on_request: tuple[Callable[[Any], object], ...]
    on_response: tuple[Callable[[Any], object], ...]
    reply: Any
    request: Any
    response: Any
    retry: object
    split_by_hash: Any
    subset: dict[str, str] | None
    timeout: float | None

    def changed(self, **attributes: object) -> RouteAction:
        """Return another one, which differs in these attributes."""
        other = RouteAction()
        for name in RouteAction.__slots__:
            setattr(other, name, attributes[name] if name in attributes else getattr(self, name))
        return other


class ReadByEach:
    """
    What each exchange reads of its route, in a class of its own so that it is in one line of the processor's cache:
    Python sorts the slots of a class by name.
    """

    __slots__ = ("action", "only_target")
    action: RouteAction
    only_target: object


class ChosenRoute(ReadByEach):
    """See `table.Route`."""

    __slots__ = ("_bounds", "_uniform", "conditions", "name", "percent", "priority", "reply_target", "targets")
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
