"""
`random`: any endpoint, by weight.

Lives here: one draw. Does not: any memory of what was picked before.
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
class Random:
    """Each pick independent of all others, in proportion to the weights."""

    uses_hash = False

    def __init__(
        self,
        endpoints: Sequence[IEndpoint],
        seed: Annotated[int | None, Option("Draw the same sequence every time.")] = None,
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._draw = drawing([endpoint.weight for endpoint in endpoints], random.Random(seed).random)

    def pick(self, hash_value: int) -> IEndpoint:
        return self._endpoints[self._draw()]
