"""
What the parts of the data path are to each other, so that none imports the one that uses it.

    Listener > Downstream > Exchange > (RetryState, SplitRequest, ...) > Attempt > Pool > Upstream

Each arrow is an import; what goes the other way goes through a Protocol of this module. Lives here: those Protocols.
Does not: behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.cluster.cluster import Cluster, ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.routes import Route, Target
from metaproxy.counts import ListenerCounts, TargetCounts
from metaproxy.interfaces import ICodec, ISession
from metaproxy.message import ErrorKind, Message, Reply
from metaproxy.proxy.deadlines import DeadlineQueues
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.overload import OverloadMonitor
from metaproxy.proxy.snapshot import ListenerSnapshot
from metaproxy.support.addresses import Address
from metaproxy.wire import Accepted, ConnectingProtocol, ListeningSocket


class Network(Protocol):
    """The sockets of the data path: `transport.Network`, or one in memory."""

    @property
    def clock(self) -> IReactorTime: ...
    @property
    def turn(self) -> FlushQueue: ...
    @property
    def deadlines(self) -> DeadlineQueues: ...
    @property
    def overload(self) -> OverloadMonitor: ...

    def listen(self, where: Address, accepted: Accepted) -> ListeningSocket:
        """A bound, listening socket. Raises OSError when the address can't be had."""

    def connect(self, where: Address, protocol: ConnectingProtocol, timeout: float) -> None:
        """Give `protocol` either makeConnection or connectionFailed(text, timed_out). timeout: seconds."""

    def soon(self, call: Callable[[], None]) -> None:
        """Call when what happens now is over."""


# -- from an attempt down


class Try(Protocol):
    """An `attempt.Attempt`, as who asked for it and the connection that carries it see it."""

    id: int
    done: bool
    begun: bool
    connection: UpstreamConnection | None

    @property
    def owner(self) -> Requester: ...
    @property
    def message(self) -> Message: ...
    @property
    def cluster(self) -> Cluster: ...
    @property
    def endpoint(self) -> Endpoint: ...

    def finish(self) -> None:
        """It is over, whatever its end. Called exactly once."""

    def fail(self, kind: ErrorKind, text: str) -> None:
        """End it, and tell its owner, unless it has ended."""

    def cancel(self) -> None:
        """End it; its owner does not want the answer any more."""

    def connections(self) -> tuple[UpstreamConnection, ...]:
        """Which connections it is under way on."""


class Requester(Protocol):
    """
    Who wants an attempt's answer. Exactly one of `answered`, `sent`, `failed` is called, once; none after
    `Try.cancel`. `broke` follows when one of them, or what it called, raised.
    """

    @property
    def client(self) -> Client: ...

    def answered(self, attempt: Try, response: Message) -> None: ...

    def sent(self, attempt: Try) -> None:
        """A one-way request was handed to its connection, or a request turned out to get no answer."""

    def failed(self, attempt: Try, kind: ErrorKind, text: str) -> None: ...

    def broke(self, failure: Failure) -> None:
        """Code that was called for this request failed: end its exchange as INTERNAL."""


class UpstreamConnection(Protocol):
    """An `upstream.Upstream`, as the clients and attempts see it that it carries."""

    holder: Client | None
    lease: Try | None
    usable: bool
    reserved: bool
    idle_since: float
    paused_by: set[Client]

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def pool(self) -> ConnectionOwner: ...
    @property
    def profile(self) -> Hashable: ...
    @property
    def alive(self) -> bool: ...
    @property
    def requests(self) -> int: ...
    @property
    def opened(self) -> float: ...
    @property
    def choked(self) -> bool: ...

    def submit(self, attempt: Try) -> None: ...
    def cancelled(self, attempt: Try) -> None: ...
    def answering(self, attempt: Try) -> bool: ...
    def pause(self, client: Client) -> None: ...
    def pause_if_alone(self, client: Client) -> None: ...
    def resume(self, client: Client) -> None: ...
    def recover(self) -> None: ...
    def busy(self) -> bool: ...
    def held(self) -> int: ...
    def clean(self) -> bool: ...
    def owing(self) -> bool: ...
    def idle_and_clean(self) -> bool: ...
    def retire(self) -> None: ...
    def let_go(self) -> None: ...
    def drop(self) -> None: ...


class ConnectionOwner(Protocol):
    """A `pool.Pool`, as its connections see it."""

    @property
    def cluster(self) -> Cluster: ...
    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def network(self) -> Network: ...
    @property
    def codec(self) -> ICodec: ...
    @property
    def settings(self) -> ConnectionSettings: ...

    def give_back(self, connection: UpstreamConnection) -> None:
        """Its lease is over."""

    def reserve(self, connection: UpstreamConnection, client: Client) -> None:
        """From now on it is this client's."""

    def closed(self, connection: UpstreamConnection) -> None:
        """It has ended. Called once."""

    def cluster_log(self, text: str) -> None: ...
    def codec_failed(self, who: str, failure: Failure) -> None: ...


class Client(Protocol):
    """
    Whose requests pools and connections carry: a downstream connection, or a mirror.

    number: spreads clients over shared connections. inflight: exchanges under way. session_pin: the connection with its
    state; pinned_by_cluster: those of `mode: pinned`; shared_by_pool: the one of each pool that it uses; leases:
    the pooled one that its requests stay on while any is under way.
    """

    session_pin: UpstreamConnection | None
    pinned_by_cluster: dict[tuple[str, str, Hashable], UpstreamConnection]
    shared_by_pool: dict[ConnectionOwner, UpstreamConnection]
    leases: dict[ConnectionOwner, UpstreamConnection]

    @property
    def network(self) -> Network: ...
    @property
    def number(self) -> int: ...
    @property
    def inflight(self) -> int: ...

    def pinned(self, connection: UpstreamConnection) -> None: ...
    def unpin(self) -> None: ...

    def pin_lost(self, connection: UpstreamConnection) -> None:
        """A connection that it has alone has ended."""

    def event(self, message: Message) -> None:
        """A server's push on its own connection."""


# -- from an exchange up


class ClientOwner(Protocol):
    """A `listener.Listener`, as its clients see it."""

    @property
    def snapshot(self) -> ListenerSnapshot: ...
    @property
    def network(self) -> Network: ...
    @property
    def counts(self) -> ListenerCounts: ...
    @property
    def draining(self) -> bool: ...

    def left(self, client: Leaving) -> None:
        """Its connection is over. Called once by each client."""

    def bad_frame(self, peer: str, text: str) -> None: ...
    def filter_failed(self, hook: Callable[..., object], failure: Failure) -> None: ...
    def plugin_failed(self, who: str, failure: Failure) -> None: ...


class Leaving(Protocol):
    """A client in its listener's list."""

    @property
    def transport(self) -> object: ...
    @property
    def session(self) -> ISession: ...

    def under_way(self) -> Iterator[OpenExchange]: ...
    def drain(self, linger: bool = True) -> None: ...
    def close(self) -> None: ...
    def idle_for(self, now: float) -> float: ...

    def forget_closed(self) -> None:
        """Keep no upstream connections that are closed, nor what these belong to."""


class ExchangeClient(Client, Protocol):
    """A `downstream.Downstream`, as its exchanges see it."""

    @property
    def listener(self) -> ClientOwner: ...
    @property
    def session(self) -> ISession: ...
    @property
    def facts(self) -> dict[str, str]: ...

    def wait_for(self, exchange: OpenExchange) -> None: ...
    def waited_for(self, exchange: OpenExchange) -> None: ...
    def passed_over(self, exchange: OpenExchange) -> bool: ...
    def end_behind(self, exchange: OpenExchange) -> None: ...
    def finished(self, exchange: OpenExchange) -> None: ...
    def reset(self) -> None: ...


class OpenExchange(Protocol):
    """An `exchange.Exchange`, as what is under way for it sees it."""

    endpoint: Endpoint | None
    target: Target | None
    tries: int
    data: bytes | None

    @property
    def client(self) -> ExchangeClient: ...
    @property
    def message(self) -> Message: ...
    @property
    def response(self) -> Message | None: ...
    @property
    def snapshot(self) -> ListenerSnapshot: ...
    @property
    def matched_route(self) -> Route: ...
    @property
    def outcome(self) -> str: ...
    @property
    def response_bytes(self) -> int: ...
    @property
    def attempt(self) -> Undertaking | None: ...

    def counts(self) -> TargetCounts: ...
    def take(self, response: Message) -> None: ...
    def sent(self, attempt: Try) -> None: ...
    def failed(self, attempt: Try | None, kind: ErrorKind, text: str) -> None: ...
    def broke(self, failure: Failure) -> None: ...
    def released(self, cluster: Cluster | None) -> None: ...
    def answer_locally(self, reply: Reply) -> None: ...
    def refuse_by(self, attempt: Try) -> None: ...
    def abandon(self, outcome: str) -> None: ...


class Undertaking(Protocol):
    """What is under way for an exchange: an attempt, several of them, or the pieces of a split request."""

    def connections(self) -> tuple[UpstreamConnection, ...]:
        """Which connections it is under way on."""

    def cancel(self) -> None: ...
