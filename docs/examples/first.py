"""A balancer: everything goes to the first endpoint; the others are there for when it is gone."""

from collections.abc import Sequence

from zope.interface import implementer

from metaproxy.interfaces import IEndpoint, ILoadBalancer
from metaproxy.plugins import Declaration


@implementer(ILoadBalancer)
class First:
    """Built anew whenever an endpoint joins, leaves or changes health, from usable endpoints only."""

    uses_hash = False

    def __init__(self, endpoints: Sequence[IEndpoint]) -> None:
        self._first = endpoints[0]

    def pick(self, hash_value: int) -> IEndpoint:
        return self._first


first = Declaration(ILoadBalancer, "first", First)
