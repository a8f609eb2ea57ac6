"""
Who sends copies: what pools and connections see in the place of a client.

Lives here: `MirrorClient`. Does not: copies (`mirror`).
"""

from __future__ import annotations

from metaproxy.message import ErrorKind, Message
from metaproxy.proxy.pool_client import PoolClient
from metaproxy.proxy.roles import Network, UpstreamConnection


class MirrorClient(PoolClient):
    """Stands where a client does, for the pools: copies of all clients share connections, and slow no client down."""

    __slots__ = ()

    def __init__(self, network: Network) -> None:
        super().__init__(network, 0)

    def pinned(self, connection: UpstreamConnection) -> None:
        """A copy has left a transaction open, which nothing will end."""
        connection.drop()

    def unpin(self) -> None:
        self.session_pin = None

    def released(self, connection: UpstreamConnection) -> None:
        """Nothing: it keeps none."""

    def pin_lost(self, connection: UpstreamConnection, kind: ErrorKind, text: str) -> None:
        self.pinned_by_cluster = {place: own for place, own in self.pinned_by_cluster.items() if own is not connection}

    def event(self, message: Message, connection: UpstreamConnection) -> None:
        """A push, which no client asked for."""

    def event_open(self, message: Message, connection: UpstreamConnection) -> None:
        """The same."""
