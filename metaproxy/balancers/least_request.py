"""
`least_request`: of a few endpoints drawn by weight the one with the least under way (power of two choices).

Lives here: the choice. Does not: the counting (`IEndpoint.active`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from zope.interface import implementer

from metaproxy.balancers.weighted import drawing
from metaproxy.interfaces import IEndpoint, ILoadBalancer
from metaproxy.units import Option


@implementer(ILoadBalancer)
class LeastRequest:
    """
    Draws `choices` endpoints by weight and picks the one with the fewest exchanges under way per weight; of equals the
    first drawn. So an idle cluster is served by weight, and a busy or slow endpoint is avoided.

    More choices look further for the idlest and cost more.
    """

    uses_hash = False

    def __init__(
        self,
        endpoints: Sequence[IEndpoint],
        choices: Annotated[
            int, Option("How many are drawn. Of as many endpoints or fewer nearly all are looked at.", least=2)
        ] = 2,
        seed: Annotated[int | None, Option("Draw the same sequence every time.")] = None,
    ) -> None:
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
