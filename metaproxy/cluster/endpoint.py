"""
One address of a cluster and what is counted of it.

Lives here: `Endpoint`. Does not: its connections (`proxy.pool`), the choice between endpoints (`cluster.cluster`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from zope.interface import implementer

from metaproxy.counts import EndpointCounts
from metaproxy.interfaces import IEndpoint


class Connections(Protocol):
    """What a cluster needs to know of the pool that `proxy` gives an endpoint."""

    @property
    def connections(self) -> Collection[object]: ...

    def retire(self) -> None:
        """What is under way ends, nothing is kept."""


@implementer(IEndpoint)
class Endpoint:
    """
    address: 'host:port', '[v6]:port' or 'unix:/path'. active: exchanges under way on it. pool: the connections to it,
    owned by `proxy.pool`, which sets it; None before the first.
    """

    __slots__ = ("active", "address", "counts", "metadata", "pool", "weight")

    def __init__(self, address: str, weight: int = 1, metadata: Mapping[str, str] | None = None) -> None:
        self.address = address
        self.weight = weight
        self.metadata: dict[str, str] = dict(metadata or {})
        self.active = 0
        self.counts = EndpointCounts()
        self.pool: Connections | None = None

    def take(self, other: Endpoint) -> None:
        """Be as `other`, of the same address, is configured; connections, counts and what is under way stay."""
        self.weight = other.weight
        self.metadata = other.metadata

    def configured(self) -> tuple[object, ...]:
        """Equal while nothing that `update` may change has changed."""
        return self, self.weight, self.metadata

    @property
    def in_use(self) -> bool:
        """Whether anything is under way on it, or a connection to it is open."""
        return self.active > 0 or (self.pool is not None and len(self.pool.connections) > 0)

    def answered(self, failed: bool) -> None:
        """An answer came; failed: it told of failure. The common path counts this in line."""
        if failed:
            self.counts.errors += 1
        else:
            self.counts.successes += 1

    def __repr__(self) -> str:
        return f"Endpoint({self.address})"
