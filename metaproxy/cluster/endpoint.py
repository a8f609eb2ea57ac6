"""
One address of a cluster and what is counted of it.

Lives here: `Endpoint`. Does not: its connections (`proxy.pool`), the choice between endpoints (`cluster.cluster`).
"""

from __future__ import annotations

from collections.abc import Mapping

from zope.interface import implementer

from metaproxy.counts import EndpointCounts
from metaproxy.interfaces import IEndpoint


@implementer(IEndpoint)
class Endpoint:
    """
    address: 'host:port', '[v6]:port' or 'unix:/path'. active: exchanges under way on it. pool: the connections to it,
    owned by `proxy.pool`, which sets it.
    """

    __slots__ = ("active", "address", "counts", "metadata", "pool", "weight")

    def __init__(self, address: str, weight: int = 1, metadata: Mapping[str, str] | None = None) -> None:
        self.address = address
        self.weight = weight
        self.metadata: dict[str, str] = dict(metadata or {})
        self.active = 0
        self.counts = EndpointCounts()
        self.pool: object = None

    def answered(self, failed: bool) -> None:
        """An answer came; failed: it told of failure. The common path counts this in line."""
        if failed:
            self.counts.errors += 1
        else:
            self.counts.successes += 1

    def __repr__(self) -> str:
        return f"Endpoint({self.address})"
