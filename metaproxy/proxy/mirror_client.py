"""
Who sends copies: what pools and connections see in the place of a client.

Lives here: `MirrorClient`. Does not: copies (`mirror`).
"""

from __future__ import annotations

from collections.abc import Hashable

from metaproxy.message import ErrorKind, Message
from metaproxy.proxy.roles import ConnectionOwner, Network, UpstreamConnection


class MirrorClient:
    """Stands where a client does, for the pools: copies of all clients share connections, and slow no client down."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.number = 0
        self.inflight = 0
        self.session_pin: UpstreamConnection | None = None
        self.pinned_by_cluster: dict[tuple[str, str, Hashable], UpstreamConnection] = {}
        self.shared_by_pool: dict[ConnectionOwner, UpstreamConnection] = {}
        self.leases: dict[ConnectionOwner, UpstreamConnection] = {}

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
