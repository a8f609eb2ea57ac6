"""
A cluster without endpoints of its own: each client's requests go to the address that its connection was meant for.

Lives here: `OriginalDestinationCluster`. Does not: finding out that address (`proxy.socket_options`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zope.interface import implementer

from metaproxy.cluster.cluster import NO_FACTS, Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.interfaces import IEndpoint, ILoadBalancer
from metaproxy.message import Message

MOST = 10_000
"""Endpoints at a time: a client that scans addresses must not fill the memory."""
FACT = "destination.original"
"""Of the connection: the address, as `host:port`; absent where nothing was redirected."""


@implementer(ILoadBalancer)
class _ByDestination:
    """Stands in the place of a balancer: there is always an endpoint to pick."""

    uses_hash = False

    def pick(self, hash_value: int) -> IEndpoint:
        raise LookupError("the client's connection decides")


class OriginalDestinationCluster(Cluster):
    """Endpoints come with the first request to an address and go with the last connection to it."""

    __slots__ = ("_by_address",)

    def _adopt(self) -> None:
        """Called once, when the cluster is made."""
        self.balance_by(_ByDestination())
        self._by_address = {endpoint.address: endpoint for endpoint in self.endpoints}

    def refresh(self) -> None:
        """No-op: nothing is balanced. Each pick looks at its endpoint."""

    def pick(
        self,
        message: Message,
        keys: Sequence[str],
        subset: Mapping[str, str] | None,
        facts: Mapping[str, str] = NO_FACTS,
    ) -> Endpoint | None:
        address = facts.get(FACT)
        if address is None:
            return None
        endpoint = self._by_address.get(address) or self._join(address)
        return endpoint if endpoint is not None and endpoint.usable else None

    def _join(self, address: str) -> Endpoint | None:
        if len(self._by_address) >= MOST:
            self.forget()
        if len(self._by_address) >= MOST:
            self.tell(f"{MOST} original destinations are in use; {address} is not taken")
            return None
        endpoint = self._by_address[address] = Endpoint(address)
        self.endpoints.append(endpoint)
        self._changed()
        return endpoint

    def forget(self) -> None:
        """Drops endpoints without a connection that no operator and no check decided about."""
        super().forget()
        kept = [one for one in self.endpoints if one.in_use or not one.usable]
        if len(kept) < len(self.endpoints):
            self.endpoints = kept
            self._by_address = {endpoint.address: endpoint for endpoint in kept}
            self._changed()
