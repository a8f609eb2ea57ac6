"""
One balancer of several: draws a level by its share, and asks that level's own.

Lives here: `Levels`; `Balanced`, a plan with its balancer. Does not: which levels there are (`plan`), the balancers of
each. A cluster whose endpoints are all treated alike has one level, and then its balancer is used without this one.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from zope.interface import implementer

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.plan import Level
from metaproxy.interfaces import IEndpoint, ILoadBalancer

_GOLDEN = 0x9E3779B97F4A7C15
_BITS = (1 << 64) - 1


@implementer(ILoadBalancer)
class Levels:
    """
    shares: of each balancer, in their order; uniform: gives numbers of [0, 1). A hash decides the level as well, so
    that a key stays where it is while the shares do.
    """

    def __init__(
        self,
        shares: Sequence[float],
        balancers: Sequence[ILoadBalancer],
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self.balancers = tuple(balancers)
        self.uses_hash = self.balancers[0].uses_hash
        self.keys = getattr(self.balancers[0], "keys", ())
        self._uniform = uniform
        # The last bound is left out: whatever is drawn above the others is the last one's.
        self._bounds = list(accumulate(shares))[:-1]

    def pick(self, hash_value: int) -> IEndpoint:
        # Balancers look at a hash's lowest or highest bits; mixed, it says nothing of the place in their tables.
        drawn = (hash_value * _GOLDEN & _BITS) / 2**64 if self.uses_hash else self._uniform()
        return self.balancers[bisect_right(self._bounds, drawn)].pick(hash_value)


class Balanced(NamedTuple):
    """A plan and the balancer that follows it, None when there is no endpoint to pick."""

    levels: tuple[Level, ...]
    balancer: ILoadBalancer | None

    def parts(self) -> dict[tuple[tuple[Endpoint, int], ...], ILoadBalancer]:
        """The balancer of each level, by its members."""
        if self.balancer is None:
            return {}
        parts = self.balancer.balancers if isinstance(self.balancer, Levels) else [self.balancer]
        return {level.members: part for level, part in zip(self.levels, parts, strict=True)}
