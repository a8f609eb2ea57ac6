"""
What the parts of a cluster are to each other, so that none imports the one that uses it.

Lives here: `EndpointSet` (a cluster, for who finds out about its endpoints), `FailureMonitor` and `Connections` (what
an endpoint has), `Network` and `UpstreamTls` (what `proxy` gives a cluster), `RequestQueue` (where its requests wait
while it is paused). Does not: behaviour.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.counts import ClusterCounts
from metaproxy.message import ErrorKind
from metaproxy.support.addresses import Address
from metaproxy.wire import ConnectingProtocol

E = TypeVar("E", covariant=True)
C = TypeVar("C", contravariant=True)


class Network(Protocol):
    """The sockets of the data path, as a cluster and its health checks use them."""

    @property
    def clock(self) -> IReactorTime: ...

    def connect(self, where: Address, protocol: ConnectingProtocol, timeout: float, source: str = "") -> None:
        """
        Give `protocol` either makeConnection or connectionFailed(text, timed_out). timeout: seconds; source: the own
        address, '' for any.
        """


class UpstreamTls(Protocol):
    """How connections to endpoints speak TLS: a `proxy.tls.ClientTls`."""

    @property
    def context(self) -> ssl.SSLContext: ...
    @property
    def server_name(self) -> str | None: ...
    @property
    def patience(self) -> float: ...
    @property
    def names(self) -> frozenset[str]: ...
    @property
    def unavailable(self) -> str: ...
    @property
    def start(self) -> str: ...

    def meant_for(self, metadata: Mapping[str, str]) -> bool:
        """Whether an endpoint with these metadata is spoken to so; else without TLS."""


class WaitingExchange(Protocol[C]):
    """An exchange whose cluster (a C) is paused."""

    @property
    def outcome(self) -> str: ...

    def released(self, cluster: C | None) -> None:
        """Go on. cluster: what has the name now; None when nothing has."""

    def failed(self, attempt: None, kind: ErrorKind, text: str) -> None: ...
    def broke(self, failure: Failure) -> None: ...


class RequestQueue(Protocol[E]):
    """Where the requests of a paused cluster (an E) wait: a `proxy.pause.Pause`. most: how many may wait."""

    most: int

    def __len__(self) -> int: ...
    def take(self, exchange: WaitingExchange[E]) -> None: ...


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
