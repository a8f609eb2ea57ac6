"""A balancer: one endpoint after the other, whatever their weights."""

from collections.abc import Sequence
from itertools import cycle

from zope.interface import implementer

from metaproxy.interfaces import IEndpoint, ILoadBalancer
from metaproxy.plugins import Declaration


@implementer(ILoadBalancer)
class Turns:
    """Built again whenever an endpoint joins, leaves or changes health, from usable endpoints only."""

    uses_hash = False

    def __init__(self, endpoints: Sequence[IEndpoint]) -> None:
        self._turns = cycle(endpoints)

    def pick(self, hash_value: int) -> IEndpoint:
        return next(self._turns)


turns = Declaration(ILoadBalancer, "turns", Turns)
