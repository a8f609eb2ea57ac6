"""
`least_request`: of a few endpoints drawn by weight the one with the least under way (power of two choices).

Lives here: the choice. Does not: the counting (`IEndpoint.active`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from zope.interface import implementer

from metaproxy.balancers.weighted import drawing
from metaproxy.interfaces import IEndpoint, ILoadBalancer


@implementer(ILoadBalancer)
class LeastRequest:
    """
    Draws `choices` endpoints by weight and picks the one with the fewest exchanges under way per weight; of equals the
    first drawn. So an idle cluster is served by weight, and a busy or slow endpoint is avoided.

    choices: 2 or more; more choices look further for the idlest and cost more. seed: makes the draws reproducible.
    """

    uses_hash = False

    def __init__(self, endpoints: Sequence[IEndpoint], choices: int = 2, seed: int | None = None) -> None:
        if choices < 2:
            raise ValueError(
                f"choices: {choices} leaves nothing to choose from; write 2 or more, or use balancer: random"
            )
        self._endpoints = tuple(endpoints)
        self._draw = drawing([endpoint.weight for endpoint in endpoints], random.Random(seed).random)
        self._others = range(choices - 1)

    def pick(self, hash_value: int) -> IEndpoint:
        endpoints, draw = self._endpoints, self._draw
        chosen = draw()
        best = endpoints[chosen]
        for _ in self._others:
            index = draw()
            if index == chosen:
                # Drawn twice is no choice: the next one takes part instead (of one or two endpoints: all).
                index = (index + 1) % len(endpoints)
            other = endpoints[index]
            if other.active * best.weight < best.active * other.weight:
                best, chosen = other, index
        return best
