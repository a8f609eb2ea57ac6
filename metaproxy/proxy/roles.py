"""
What the parts of the data path are to each other, so that none imports the one that uses it.

    Listener > Downstream > Exchange > (RetryState, SplitRequest, ...) > Attempt > Pool > Upstream

Each arrow is an import; what goes the other way goes through a Protocol of this module. Lives here: those Protocols.
Does not: behaviour.

Longer than most modules: each part of the path stands here as the others see it, in the order of the path.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.routes import Route, Target
from metaproxy.counts import ListenerCounts, TargetCounts
from metaproxy.interfaces import ICodec, ISession
from metaproxy.message import Chunk, ErrorKind, Message, Redirect, Reply, Side, Written
from metaproxy.proxy.deadlines import DeadlineQueues
from metaproxy.proxy.descriptor_reserve import DescriptorReserve
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.overload import OverloadMonitor
from metaproxy.proxy.snapshot import ListenerSnapshot
from metaproxy.support.addresses import Address
from metaproxy.wire import Accepted, ConnectingProtocol, ListeningSocket, Wire, WireProtocol


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
    @property
    def descriptors(self) -> DescriptorReserve: ...

    def listen(self, where: Address, accepted: Accepted) -> ListeningSocket:
        """A bound, listening socket. Raises OSError when the address can't be had."""

    def connect(self, where: Address, protocol: ConnectingProtocol, timeout: float, source: str = "") -> None:
        """Give `protocol` either makeConnection or connectionFailed(text, timed_out). timeout: seconds."""

    def soon(self, call: Callable[[], None]) -> None:
        """Call when what happens now is over."""


# -- from an attempt down


class Try(Protocol):
    """An `attempt.Attempt`, as who asked for it and the connection that carries it see it."""

    id: int
    done: bool
    begun: bool
    open: bool
    streaming: bool
    moved: int
    connection: UpstreamConnection | None
    owner: Requester

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

    def send_chunk(self, chunk: Chunk) -> None: ...
    def has_room(self) -> bool: ...
    def credit(self, size: int) -> None: ...
    def pause(self, reason: object) -> bool: ...
    def resume(self, reason: object) -> None: ...
    def ended(self) -> None: ...
    def abandon_request(self) -> None: ...

    def redirect(self, endpoint: Endpoint, message: Message) -> None:
        """It goes on at another endpoint."""

    def leave(self) -> Try:
        """It is sent again, elsewhere; what keeps its place on the connection where it was."""


class Requester(Protocol):
    """
    Who wants an attempt's answer. Exactly one of `answered`, `sent`, `failed` is called, once; none after
    `Try.cancel`. `broke` follows when one of them, or what it called, raised. In the place of `answered`, `opened` may
    be called, with the head of the answer, then `chunk` for each of its chunks; `failed` may still end it.
    """

    @property
    def client(self) -> Client: ...

    def answered(self, attempt: Try, response: Message) -> None: ...

    def sent(self, attempt: Try) -> None:
        """A one-way request was handed to its connection, or a request turned out to get no answer."""

    def failed(self, attempt: Try, kind: ErrorKind, text: str) -> None: ...

    def broke(self, failure: Failure) -> None:
        """Code that was called for this request failed: end its exchange as INTERNAL."""

    def redirected(self, attempt: Try) -> None:
        """It goes on at another endpoint, which the server named."""

    def sending(self, attempt: Try) -> None:
        """The head of a request was handed to its connection: chunks may follow."""

    def takes_more(self, attempt: Try) -> None:
        """The connection takes more of the request: see Try.has_room."""

    def opened(self, attempt: Try, head: Message) -> None: ...

    def chunk(self, attempt: Try, chunk: Chunk) -> None: ...

    def interim(self, attempt: Try, message: Message) -> None:
        """The server says something that does not answer the request yet."""


class UpstreamConnection(Protocol):
    """An `upstream.Upstream`, as the clients and attempts see it that it carries."""

    holder: Client | None
    lease: Try | None
    usable: bool
    reserved: bool
    idle_since: float
    paused_by: set[object]
    companions: int

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def pool(self) -> ConnectionOwner: ...
    @property
    def profile(self) -> Hashable: ...
    @property
    def alive(self) -> bool: ...
    @property
    def ready(self) -> bool: ...
    @property
    def requests(self) -> int: ...
    @property
    def opened(self) -> float: ...
    @property
    def choked(self) -> bool: ...

    def submit(self, attempt: Try) -> None: ...
    def wait_until_ready(self, attempt: Try) -> None: ...
    def give_up_push(self, attempt: Try) -> None: ...
    def cancelled(self, attempt: Try) -> None: ...
    def answering(self, attempt: Try) -> bool: ...
    def pause(self, client: Client) -> None: ...
    def pause_if_alone(self, client: Client) -> None: ...
    def resume(self, reason: object) -> None: ...
    def send_chunk(self, attempt: Try, chunk: Chunk) -> None: ...
    def has_room(self, attempt: Try) -> bool: ...
    def credit(self, attempt: Try, size: int) -> None: ...
    def hold_back(self, attempt: Try, reason: object) -> bool: ...
    def ended(self, attempt: Try) -> None: ...
    def abandon_request(self, attempt: Try) -> None: ...
    def beat(self, now: float) -> None: ...
    def recover(self) -> None: ...
    def busy(self) -> bool: ...
    def held(self) -> int: ...
    def clean(self) -> bool: ...
    def in_transaction(self) -> bool: ...
    def change(self, profile: Hashable) -> bool: ...
    def owing(self) -> bool: ...
    def idle_and_clean(self) -> bool: ...
    def retire(self) -> None: ...
    def let_go(self) -> None: ...
    def drop(self) -> None: ...
    def end(self, kind: ErrorKind, text: str) -> None: ...
    def companion(self, message: Message) -> bytes | Message: ...

    def welcomes(self, attempt: Try) -> bool: ...


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
    @property
    def lends(self) -> bool:
        """Whether clients have its connections for a request or a transaction."""

    def bind(self, connection: UpstreamConnection, client: Client) -> bool:
        """The client keeps the connection that it has for a request; False: that is not allowed."""

    def left(self, connection: UpstreamConnection) -> None:
        """The client that had it alone is gone."""

    def start(self, attempt: Try, client: Client) -> None:
        """Send the attempt, now or when a connection is there; a bound that is reached fails it."""

    def redirect(self, attempt: Try, redirect: Redirect, answer: Message) -> None:
        """The server names another one for it. answer: that says so."""

    def give_back(self, connection: UpstreamConnection) -> None:
        """Its lease is over."""

    def reserve(self, connection: UpstreamConnection, client: Client) -> None:
        """From now on it is this client's."""

    def companion_left(self, connection: UpstreamConnection) -> None:
        """A request about what is under way on it has ended: it may be lent again."""

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
    def turn(self) -> FlushQueue: ...
    @property
    def deadlines(self) -> DeadlineQueues: ...
    @property
    def number(self) -> int: ...
    @property
    def inflight(self) -> int: ...

    def pinned(self, connection: UpstreamConnection) -> None: ...
    def unpin(self) -> None: ...

    def released(self, connection: UpstreamConnection) -> None:
        """It has the connection for the rest of this exchange only."""

    def pin_lost(self, connection: UpstreamConnection, kind: ErrorKind, text: str) -> None:
        """A connection that it has alone has ended; why."""

    def event(self, message: Message, connection: UpstreamConnection) -> None:
        """A server's push on its own connection."""

    def event_open(self, message: Message, connection: UpstreamConnection) -> Try | None:
        """The head of such a push; what its chunks are handed to, None where they are not wanted."""


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
    @property
    def patient(self) -> bool:
        """Whether idle connections that drain are closed behind their next answer only."""

    @property
    def memory(self) -> dict[Hashable, object]: ...

    def left(self, client: Leaving) -> None:
        """Its connection is over. Called once by each client."""

    def bad_frame(self, peer: str, text: str) -> None: ...
    def tls_failed(self, text: str) -> None: ...
    def filter_failed(self, hook: Callable[..., object], failure: Failure) -> None: ...
    def plugin_failed(self, who: str, failure: Failure) -> None: ...


class Candidate(Protocol):
    """A listener that a connection may be handed to once it is known what its client speaks."""

    @property
    def name(self) -> str: ...
    @property
    def snapshot(self) -> ListenerSnapshot: ...

    def take_over(self, connection: Wire, own_tls: bool = False) -> WireProtocol | None:
        """
        A client of its own for a connection that another listener accepted; None: it is refused. own_tls: nothing of
        TLS was spoken yet, so that this listener's `tls` counts.
        """


class DetectingListener(Protocol):
    """The listener that accepted it."""

    @property
    def snapshot(self) -> ListenerSnapshot: ...
    @property
    def network(self) -> Network: ...
    @property
    def counts(self) -> ListenerCounts: ...
    @property
    def patient(self) -> bool: ...

    def left(self, client: Leaving) -> None: ...
    def bad_frame(self, peer: str, text: str) -> None: ...


class Leaving(Protocol):
    """A client in its listener's list."""

    @property
    def transport(self) -> object: ...
    @property
    def session(self) -> ISession: ...

    def under_way(self) -> Iterator[OpenExchange]: ...
    def open_streams(self) -> Iterable[OpenExchange]: ...
    def drain(self, linger: bool = True) -> None: ...
    def close(self) -> None: ...
    def idle_for(self, now: float) -> float: ...
    def beat(self, now: float) -> None: ...

    def cut_short(self) -> None:
        """There is no more time for what is under way: say so, before it is closed."""

    def expire(self) -> None:
        """It was idle for too long: close it."""

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

    def under_way(self) -> Iterator[OpenExchange]: ...
    def write(self, data: Written) -> None: ...
    def open_stream(self, exchange: StreamExchange) -> None:
        """Its answer is a stream: give it its `stream`, if it has none."""

    def give_up(self, exchange: OpenExchange, kind: ErrorKind | None, text: str) -> None:
        """Reset a stream whose answer has begun."""

    def half_close(self) -> None:
        """Send no more, behind what was written; go on reading."""

    def wait_for(self, exchange: OpenExchange) -> None: ...
    def waited_for(self, exchange: OpenExchange) -> None: ...
    def answer_waits(self, exchange: OpenExchange) -> None: ...
    def passed_over(self, exchange: OpenExchange) -> bool: ...
    def end_behind(self, exchange: OpenExchange) -> None: ...
    def finished(self, exchange: OpenExchange) -> None: ...
    def reset(self) -> None: ...


class OpenExchange(Protocol):
    """An `exchange.Exchange`, as what is under way for it sees it."""

    endpoint: Endpoint | None
    target: Target | None
    tries: int
    data: Written | None
    stream: ExchangeStream | None

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
    def ended(self) -> float: ...
    @property
    def response_bytes(self) -> int: ...
    @property
    def attempt(self) -> Undertaking | None: ...

    def counts(self) -> TargetCounts: ...
    def take(self, response: Message) -> None: ...
    def sent(self, attempt: Try) -> None: ...
    def opened(self, attempt: Try, head: Message) -> None: ...
    def chunk(self, attempt: Try, chunk: Chunk) -> None: ...
    def interim(self, attempt: Try, message: Message) -> None: ...

    def adopt(self, attempt: Try) -> None:
        """From now on it is the exchange's own and only attempt."""

    def failed(self, attempt: Try | None, kind: ErrorKind, text: str) -> None: ...
    def broke(self, failure: Failure) -> None: ...
    def released(self, cluster: Cluster | None) -> None: ...
    def answer_locally(self, reply: Reply) -> None: ...
    def refuse_by(self, attempt: Try) -> None: ...

    def revoke_by(self, attempt: Try) -> float:
        """What goes to the server behind it is on its way; how many seconds that may take, 0 for any."""

    def run_out(self, text: str) -> None:
        """Its time is over; text: which."""

    def abandon(self, outcome: str) -> None: ...


class ExchangeStream(Protocol):
    """A `stream.Stream`, as what is under way for its exchange sees it, and the client's connection."""

    copies: list[StreamCopy]

    @property
    def id(self) -> int: ...
    @property
    def begun(self) -> bool: ...
    @property
    def over(self) -> bool: ...
    @property
    def reading(self) -> bool: ...
    @property
    def replay(self) -> list[Chunk] | None: ...
    @property
    def waiting_bytes(self) -> int: ...
    @property
    def request_bytes(self) -> int: ...
    @property
    def request_chunks(self) -> int: ...
    @property
    def response_chunks(self) -> int: ...
    @property
    def first_byte(self) -> float: ...
    @property
    def failed(self) -> bool: ...
    @property
    def answered(self) -> bool: ...
    @property
    def attempt(self) -> Try | None: ...
    @property
    def exchange(self) -> OpenExchange | None: ...

    def watch(self) -> None:
        """Start its clock."""

    def from_client(self, chunk: Chunk) -> None: ...
    def sending(self, attempt: Try) -> None: ...
    def server_has_room(self) -> None: ...

    def resend(self) -> bool:
        """Another try begins, if all that was sent is kept."""

    def at_front(self) -> None:
        """All answers before its own are written."""

    def client_has_room(self) -> None: ...

    def opened(self, attempt: Try, duplex: bool) -> None:
        """The server's head has come; it is on its way through the filters."""

    def deliver(self, head: Message) -> None:
        """The filters are done with the head."""

    def from_server(self, chunk: Chunk) -> None: ...

    def collect(self, side: Side, most: int) -> Deferred[list[Chunk] | None]:
        """See IExchange.gather."""

    def ended(self, counts: TargetCounts) -> None:
        """The exchange is complete. Called once. counts: where it is counted."""


class StreamCopy(Protocol):
    """What a mirror makes of a stream: a `mirror_target.Copy`."""

    def follow(self, chunk: Chunk) -> None:
        """A chunk was sent on."""

    def original_ended(self) -> None:
        """Nothing more of it will be."""


class StreamExchange(OpenExchange, Protocol):
    """An `exchange.Exchange`, as its stream sees it. time_limit: seconds from its start that a filter allows, or 0."""

    time_limit: float
    started: float

    @property
    def request_bytes(self) -> int: ...
    @property
    def request_chunks(self) -> int: ...
    @property
    def response_chunks(self) -> int: ...

    def allowed(self) -> float:
        """Seconds that it may take to be answered, 0 for no limit."""

    def write(self, message: Message) -> None:
        """Send the client a head or a chunk of the answer."""

    def stream_ended(self) -> None: ...
    def local(self, reply: Reply) -> None: ...
    def chunk_failed(self, hook: Callable[..., object], failure: Failure) -> None: ...


class StreamClient(Protocol):
    """A `downstream.Downstream`, as the streams of its exchanges see it."""

    @property
    def network(self) -> Network: ...
    @property
    def session(self) -> ISession: ...

    def pause(self, reason: object) -> None: ...
    def resume(self, reason: object) -> None: ...
    def close(self) -> None: ...

    def read_again(self) -> None:
        """Have the session look again at the bytes that it holds: what it sent may have opened a tunnel for them."""

    def credit(self, id: int, size: int) -> None:
        """So many bytes of the request have left the proxy."""

    def has_room(self, stream: ExchangeStream) -> bool:
        """Whether the client takes more of the answer now. If not, `stream.client_has_room` is called once it does."""

    def at_front(self, exchange: OpenExchange) -> bool:
        """Whether all answers before that of `exchange` are written."""

    def keep_waiting(self, stream: ExchangeStream, size: int) -> None:
        """So many bytes more (or less) of its answer wait for others."""


class Undertaking(Protocol):
    """What is under way for an exchange: an attempt, several of them, or the pieces of a split request."""

    def connections(self) -> tuple[UpstreamConnection, ...]:
        """Which connections it is under way on."""

    def cancel(self) -> None: ...
