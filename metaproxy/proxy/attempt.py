"""
One try at one endpoint: a retry is the next, a part of a split request one of several.

Lives here: `Attempt`, what is counted while it lasts, and how it ends exactly once. Does not: the choice of the
endpoint; the client's answer (its owner makes it).
"""

from __future__ import annotations

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.message import ErrorKind, Message
from metaproxy.proxy.roles import Requester, UpstreamConnection


class Attempt:
    """
    message: what is sent (mutations applied). connection: None until the pool found one. id: what it was sent under.
    done: whether it ended; a late answer to it is dropped. begun: whether some of the answer had come when it failed.
    """

    __slots__ = ("begun", "cluster", "connection", "done", "endpoint", "id", "message", "owner")

    def __init__(self, owner: Requester, message: Message, cluster: Cluster, endpoint: Endpoint) -> None:
        self.owner = owner
        self.message = message
        self.cluster = cluster
        self.endpoint = endpoint
        self.connection: UpstreamConnection | None = None
        self.id = 0
        self.done = self.begun = False
        endpoint.active += 1  # first: what a balancer picked may be no endpoint
        cluster.breaker.requests += 1

    def connections(self) -> tuple[UpstreamConnection, ...]:
        """Which connections it is under way on."""
        return () if self.connection is None else (self.connection,)

    def finish(self) -> None:
        """It is over, whatever its end; called exactly once."""
        self.done = True
        self.cluster.breaker.requests -= 1
        self.endpoint.active -= 1

    def fail(self, kind: ErrorKind, text: str) -> None:
        if not self.done:
            self.finish()
            self.owner.failed(self, kind, text)

    def cancel(self) -> None:
        """End it: its owner does not want the answer any more."""
        if not self.done:
            self.finish()
            if self.connection is not None:
                self.connection.cancelled(self)
            elif self.endpoint.pool is not None:
                self.endpoint.pool.cancelled(self)
