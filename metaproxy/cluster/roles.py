"""
What the parts of a cluster are to each other, so that none imports the one that uses it.

Lives here: `EndpointSet` (a cluster, for who finds out about its endpoints), `FailureMonitor` and `Connections` (what
an endpoint has). Does not: behaviour.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar

from metaproxy.counts import ClusterCounts

E = TypeVar("E", covariant=True)


class FailureMonitor(Protocol):
    """Hears of the failures of one endpoint."""

    def erred(self) -> None:
        """The server answered with an error."""

    def lost(self) -> None:
        """There was no answer: no connection, none in time, or the connection ended."""


class Connections(Protocol):
    """What a cluster needs to know of the pool that `proxy` gives an endpoint."""

    @property
    def connections(self) -> Collection[object]: ...

    def retire(self) -> None:
        """Let what is under way end, and keep nothing."""

    def resume(self) -> None:
        """Keep connections again."""

    def cancelled(self, attempt: object) -> None:
        """Forget an attempt that waits for a connection."""


class EndpointSet(Protocol[E]):
    """The endpoints of a cluster that is in force."""

    @property
    def endpoints(self) -> Sequence[E]: ...

    @property
    def counts(self) -> ClusterCounts: ...

    def refresh(self) -> None:
        """Plan from what is known of the endpoints now."""

    def tell(self, text: str) -> None:
        """Log a line, unless there were many."""
