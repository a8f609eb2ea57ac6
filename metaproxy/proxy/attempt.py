"""
One try at one endpoint: a retry is the next, a part of a split request one of several.

Lives here: `Attempt`, what is counted while it lasts, and how it ends exactly once. Does not: the choice of the
endpoint; the client's answer (its owner makes it).
"""

from __future__ import annotations

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.message import Chunk, ErrorKind, Message
from metaproxy.proxy.roles import Requester, UpstreamConnection


class AttemptOwner:
    """What a connection calls most of a `roles.Requester`: compiled, it does so without a look-up."""

    __slots__ = ()

    def answered(self, attempt: Attempt, response: Message) -> None:
        raise NotImplementedError


class Attempt:
    """
    message: what is sent (mutations applied). connection: None until the pool found one. id: what it was sent under.
    done: whether it ended; a late answer to it is dropped. begun: whether some of the answer had come when it failed.
    open: its head was sent, and the end of the request was not. streaming: the head of its answer has come. moved: how
    often a server refused it unseen, or named another one, so that it was sent again.
    """

    __slots__ = (
        "begun",
        "cluster",
        "connection",
        "done",
        "endpoint",
        "id",
        "message",
        "moved",
        "open",
        "owner",
        "streaming",
    )

    def __init__(self, owner: Requester, message: Message, cluster: Cluster, endpoint: Endpoint) -> None:
        self.prepare(owner, message, cluster, endpoint)

    def prepare(self, owner: Requester, message: Message, cluster: Cluster, endpoint: Endpoint) -> None:
        """What `__init__` does; on the path objects are made without it, which is quicker."""
        self.owner = owner
        self.message = message
        self.cluster = cluster
        self.endpoint = endpoint
        self.connection: UpstreamConnection | None = None
        self.id = self.moved = 0
        self.done = self.begun = self.open = self.streaming = False
        self.endpoint.active += 1  # first: what a balancer picked may be no endpoint
        self.cluster.breaker.requests += 1

    def leave(self) -> Attempt:
        """It is sent again, elsewhere: gives what keeps its place where it was, until the answer to be dropped came."""
        self.connection = None
        return _Left(self)

    def connections(self) -> tuple[UpstreamConnection, ...]:
        """Which connections it is under way on."""
        return () if self.connection is None else (self.connection,)

    def finish(self) -> None:
        """It is over, whatever its end; called exactly once."""
        self._over()
        if self.open:
            self.abandon_request()

    def _over(self) -> None:
        self.done = True
        self.cluster.breaker.requests -= 1
        self.endpoint.active -= 1

    def abandon_request(self) -> None:
        """The answer is whole, and the request is not: its rest is not wanted."""
        if self.connection is not None:
            self.connection.abandon_request(self)

    def redirect(self, endpoint: Endpoint, message: Message) -> None:
        """It goes on at another endpoint, as a server said."""
        self.endpoint.active -= 1
        endpoint.active += 1
        self.endpoint, self.message = endpoint, message
        self.connection, self.id = None, 0
        self.moved += 1

    # -- streams

    def send_chunk(self, chunk: Chunk) -> None:
        if self.connection is not None and not self.done:
            self.connection.send_chunk(self, chunk)

    def has_room(self) -> bool:
        """Whether more may be sent now. If not, `owner.takes_more` is called once it may."""
        return self.connection is None or self.connection.has_room(self)

    def credit(self, size: int) -> None:
        """So many bytes of the answer have left the proxy."""
        if self.connection is not None:
            self.connection.credit(self, size)

    def pause(self, reason: object) -> bool:
        """Read no more of the answer, if no other client uses the connection."""
        return self.connection is not None and self.connection.hold_back(self, reason)

    def resume(self, reason: object) -> None:
        if self.connection is not None:
            self.connection.resume(reason)

    def ended(self) -> None:
        """Both sides have said all that was wanted of it: as `finish`, for an answer that was a stream."""
        self.finish()
        if self.connection is not None:
            self.connection.ended(self)

    # -- other ends

    def fail(self, kind: ErrorKind, text: str) -> None:
        if not self.done:
            self.finish()
            self.owner.failed(self, kind, text)

    def cancel(self) -> None:
        """End it: its owner does not want the answer any more."""
        if not self.done:
            self._over()
            if self.connection is not None:
                self.connection.cancelled(self)
            elif self.endpoint.pool is not None:
                self.endpoint.pool.cancelled(self)


class _Left(Attempt):
    """The place of an attempt that goes on elsewhere. It is over, and counts nowhere."""

    __slots__ = ()

    def __init__(self, attempt: Attempt) -> None:
        self.owner, self.message = attempt.owner, attempt.message
        self.cluster, self.endpoint = attempt.cluster, attempt.endpoint
        self.connection, self.id = None, attempt.id
        self.done, self.begun = True, attempt.begun
        self.open = self.streaming = False
