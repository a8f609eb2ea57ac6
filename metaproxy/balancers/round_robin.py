"""
`round_robin`: one endpoint after the other, each as often as its weight says.

Lives here: the schedule, made when the balancer is built. Does not: any look at load or health.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import cycle
from math import gcd
from typing import Annotated

from zope.interface import implementer

from metaproxy.balancers.turns import Turns
from metaproxy.interfaces import IEndpoint, ILoadBalancer
from metaproxy.units import Option

MAX_SCHEDULE = 1 << 14
"""Turns in a schedule. Weights whose sum, divided by what they have in common, exceeds it are scaled and rounded."""

_GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio, modulo 1, lie as far from each other as points can that are added one by one."""


@implementer(ILoadBalancer)
class RoundRobin(Turns):
    """
    In turn, by weight, and an endpoint's turns are spread evenly: weights 5, 1, 1 give a b a a a c a, not aaaaa b c.

    The start is random, so that of many proxies, or of many rebuilds, not each begins with the same endpoint.
    """

    uses_hash = False

    def __init__(
        self,
        endpoints: Sequence[IEndpoint],
        seed: Annotated[int | None, Option("Start at the same place every time.", default="a random place")] = None,
    ) -> None:
        turns = schedule([endpoint.weight for endpoint in endpoints])
        start = random.Random(seed).randrange(len(turns))
        self._turns = cycle([endpoints[index] for index in turns[start:] + turns[:start]])


def schedule(weights: Sequence[int], bound: int = MAX_SCHEDULE) -> list[int]:
    """
    Indexes into `weights` in the order of their turns; how often one is in it is its weight, reduced by what all have
    in common. Above `bound` turns the weights are scaled down to it and rounded, to one turn at least: the lightest
    then get more than their share, by 1 in `bound` at most each.
    """
    common = gcd(*weights)
    reduced = [weight // common for weight in weights]
    total = sum(reduced)
    if total == len(weights):
        return list(range(total))
    if total > bound:
        reduced = [max(1, weight * bound // total) for weight in reduced]
    # The k-th of w turns stands at (k + phase) / w of the round. Without a phase of their own, equal weights would
    # have all their turns at the same places, and a heavy one would get many turns in a row between them.
    turns = [
        ((k + (index + 1) * _GOLDEN % 1.0) / weight, index)
        for index, weight in enumerate(reduced)
        for k in range(weight)
    ]
    turns.sort()
    return [index for _, index in turns]
