"""
How the connections to a cluster's servers are made and shared: `connections:` of a configuration.

Lives here: `ConnectionSettings`. Does not: connections and their pools (`proxy.pool`).
"""

from __future__ import annotations

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.roles import UpstreamTls

BORROWED = ("session", "transaction", "statement")
"""Modes in which clients borrow connections from a pool of a bounded size; only where they log in at the proxy."""
POOLED = 20
"""Connections to an endpoint in these modes, where nothing else is said."""


class ConnectionSettings:
    """
    `connections:` of a configuration. mode: 'multiplex', 'pool' or 'pinned'; times in seconds, 0 for no limit; tls: a
    proxy.tls.ClientTls, None for plain connections; queue_timeout: that a request may wait for a connection;
    idle_transaction_timeout: that a client may keep one and ask nothing; keepalive: idle, interval, count of TCP
    keep-alive; source: the own address, '' for any.
    """

    __slots__ = (
        "connect_timeout", "idle_timeout", "idle_transaction_timeout", "keepalive", "max_age", "max_frame",
        "max_requests", "mode", "per_endpoint", "queue_timeout", "source", "tls",
    )  # fmt: skip

    def __init__(
        self,
        mode: str = "multiplex",
        per_endpoint: int = 1,
        connect_timeout: float = 1.0,
        idle_timeout: float = 300.0,
        max_age: float = 0.0,
        max_requests: int = 0,
        max_frame: int = 16 << 20,
        tls: UpstreamTls | None = None,
        keepalive: tuple[float, float, int] | None = None,
        source: str = "",
        queue_timeout: float = 0.0,
        idle_transaction_timeout: float = 0.0,
    ) -> None:
        self.tls = tls
        self.queue_timeout = queue_timeout
        self.idle_transaction_timeout = idle_transaction_timeout
        self.source = source
        self.keepalive = keepalive
        self.mode = mode
        self.per_endpoint = per_endpoint
        self.connect_timeout = connect_timeout
        self.idle_timeout = idle_timeout
        self.max_age = max_age
        self.max_requests = max_requests
        self.max_frame = max_frame

    def tls_for(self, endpoint: Endpoint) -> UpstreamTls | None:
        """How an endpoint is spoken to; None: without TLS."""
        tls = self.tls
        return tls if tls is not None and tls.meant_for(endpoint.metadata) else None
