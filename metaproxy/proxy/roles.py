"""
What the parts of the data path are to each other, so that none imports the one that uses it.

Lives here: `Client` (who asks for connections), `Requester` (who wants an attempt's answer). Does not: behaviour.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.python.failure import Failure

from metaproxy.message import ErrorKind, Message

if TYPE_CHECKING:
    from metaproxy.proxy.attempt import Attempt
    from metaproxy.proxy.pool import Pool
    from metaproxy.proxy.upstream import Upstream


class Client(Protocol):
    """
    What a pool and its connections know of the client whose requests they carry: a downstream connection, or a mirror.

    number: spreads clients over shared connections. inflight: exchanges under way. pin: the connection that holds its
    state; own: those that `mode: pinned` gives it; sticky: the shared one of each pool that its requests take; leases:
    the pooled one that its requests stay on while any is under way.
    """

    network: Any
    number: int
    inflight: int
    pin: Upstream | None
    own: dict[tuple[str, str, Hashable], Upstream]
    sticky: dict[Pool, Upstream]
    leases: dict[Pool, Upstream]

    def pinned(self, connection: Upstream) -> None: ...

    def unpin(self) -> None: ...

    def pin_lost(self, connection: Upstream) -> None:
        """A connection that it has alone has ended."""

    def event(self, message: Message) -> None:
        """A server's push on its own connection."""


class Requester(Protocol):
    """
    Who wants an attempt's answer. Exactly one of `answered`, `sent`, `failed` is called, once; none after
    `Attempt.cancel`. `broke` follows when one of them, or what it called, raised.
    """

    client: Any

    def answered(self, attempt: Attempt, response: Message) -> None: ...

    def sent(self, attempt: Attempt) -> None:
        """A one-way request was handed to its connection, or a request turned out to get no answer."""

    def failed(self, attempt: Attempt, kind: ErrorKind, text: str) -> None: ...

    def broke(self, failure: Failure) -> None:
        """Code that was called for this request failed: end its exchange as INTERNAL."""
