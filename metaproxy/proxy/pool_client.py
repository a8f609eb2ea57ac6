"""
Whose requests pools and connections carry, as far as these keep what they know of it on itself.

Lives here: `PoolClient`, below a client's connection (`client_connection`) and what sends copies (`mirror_client`), and
`AskingClient`, what an exchange needs of its client. Does not: anything that a client does.
"""

from __future__ import annotations

from collections.abc import Hashable

from metaproxy.interfaces import ISession
from metaproxy.proxy.roles import ClientOwner, ConnectionOwner, Network, OpenExchange, UpstreamConnection
from metaproxy.proxy.socket_protocol import SocketProtocol


class PoolClient(SocketProtocol):
    """
    number: spreads clients over shared connections; of a connection: counts the listener's. inflight: exchanges under
    way. session_pin: the upstream connection that has its state, if any: all its requests go there. pinned_by_cluster:
    those that are its own because a cluster's `mode` is pinned; see pool.pin_key. shared_by_pool: the connection of
    each pool that its requests take, so that they can't overtake each other. leases: the pooled one that its requests
    stay on while any is under way. turn, deadlines: of its network.
    """

    __slots__ = (
        "deadlines", "inflight", "leases", "network", "number", "pinned_by_cluster", "session_pin", "shared_by_pool",
        "turn",
    )  # fmt: skip

    def __init__(self, network: Network, number: int) -> None:
        self.network = network
        self.turn = network.turn
        self.deadlines = network.deadlines
        self.number = number
        self.inflight = 0
        self.session_pin: UpstreamConnection | None = None
        self.pinned_by_cluster: dict[tuple[str, str, Hashable], UpstreamConnection] = {}
        self.shared_by_pool: dict[ConnectionOwner, UpstreamConnection] = {}
        self.leases: dict[ConnectionOwner, UpstreamConnection] = {}


class AskingClient(PoolClient):
    """facts: what routes and filters may know of the peer. session: its codec's, of this connection."""

    __slots__ = ("facts", "listener", "session")
    session: ISession

    def __init__(self, listener: ClientOwner, number: int) -> None:
        super().__init__(listener.network, number)
        self.listener = listener
        self.facts: dict[str, str] = {}

    def finished(self, exchange: OpenExchange) -> None:
        """Called once by each of its exchanges, when it is complete."""
        raise NotImplementedError
