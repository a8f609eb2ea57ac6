"""
The limits of a cluster that keep a slow one from taking the proxy with it.

Lives here: `Breaker`, the numbers and what is under way against them. Does not: who waits, the client's answer.
Semantics: Envoy's circuit breakers, per cluster and process.
"""

from __future__ import annotations


class Breaker:
    """
    max_connections: upstream connections, pooled, shared and pinned together; max_pending: exchanges that wait for a
    connection; max_requests: exchanges under way; max_retries: further tries under way; retry_budget: instead of it, a
    percentage of the exchanges under way, 0 for none. The counts are plain attributes, changed by the data path.
    """

    __slots__ = (
        "connections", "max_connections", "max_pending", "max_requests", "max_retries", "pending", "requests",
        "retries", "retry_budget",
    )  # fmt: skip

    def __init__(
        self,
        max_connections: int = 1024,
        max_pending: int = 1024,
        max_requests: int = 65536,
        max_retries: int = 3,
        retry_budget: float = 0.0,
    ) -> None:
        self.max_connections = max_connections
        self.max_pending = max_pending
        self.max_requests = max_requests
        self.max_retries = max_retries
        self.retry_budget = retry_budget
        self.retries = 0
        self.connections = 0
        self.pending = 0
        self.requests = 0

    def __repr__(self) -> str:
        return (
            f"Breaker(connections {self.connections}/{self.max_connections}, "
            f"pending {self.pending}/{self.max_pending}, requests {self.requests}/{self.max_requests})"
        )
