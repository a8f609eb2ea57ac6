"""
Unary gRPC calls from the reactor: to a rate limit service, an authorization service.

Lives here: `Method`, the channels that methods of one target share, how a call ends. Does not: what is asked; the
messages (package xds-protos). Needs the extra `grpc`, so it is imported only where a call is configured.

grpcio works in threads of its own. A call hands its answer to the reactor with callFromThread; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, Self, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime

from metaproxy.support.extras import install


class MissingExtra(ValueError, ImportError):
    """The packages are not installed. A ValueError, so that a configuration gets an error with its line."""


try:
    import grpc
except ImportError as error:
    raise MissingExtra(f"gRPC is not installed; install it with: {install('grpc')}") from error


T = TypeVar("T", covariant=True)
Q_in = TypeVar("Q_in", contravariant=True)


class Request(Protocol):
    """A message that is sent."""

    def SerializeToString(self) -> bytes: ...


class Response(Protocol):
    """A message that comes back."""

    @classmethod
    def FromString(cls, s: bytes) -> Self: ...


Q = TypeVar("Q", bound=Request)
A = TypeVar("A", bound=Response)


class Future(Protocol[T]):
    """A call that is under way, as grpcio has it."""

    def cancel(self) -> bool: ...
    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def result(self) -> T: ...
    def add_done_callback(self, done: Callable[[Future[T]], object]) -> None: ...


class Start(Protocol[Q_in, T]):
    """Starts a call."""

    def __call__(self, request: Q_in, timeout: float, metadata: Sequence[tuple[str, str]] | None) -> Future[T]: ...


_OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # a variable of the environment must not change where calls go
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5000),
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.keepalive_time_ms", 30000),
    ("grpc.keepalive_timeout_ms", 5000),
)


class CallFailed(Exception):
    """A call without an answer. code: gRPC's name of the status, such as 'DEADLINE_EXCEEDED'; text: the details."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text


class _Shared:
    """A channel, and how many methods use it."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target, options=_OPTIONS)
        self.users = 0


_channels: dict[str, _Shared] = {}
"""By target. It is opened by the first call and closed with the last method that called."""


def open_targets() -> tuple[str, ...]:
    """Targets that a channel is open to."""
    return tuple(_channels)


class Method(Generic[Q, A]):
    """
    One method of a service at `target`, HOST:PORT or unix:/path, in plain text.

    path: as on the wire, '/package.Service/Method'; request, response: the classes of its messages; reactor: with
    IReactorFromThreads, the one that Deferreds fire in. The channel is opened by the first call, and shared with all
    other methods of the target.
    """

    def __init__(self, target: str, path: str, request: type[Q], response: type[A], reactor: IReactorTime) -> None:
        self.target = target
        self._path = path
        self._serialize: Callable[[Q], bytes] = request.SerializeToString
        self._parse: Callable[[bytes], A] = response.FromString
        self._reactor = reactor
        self._start: Start[Q, A] | None = None
        self._under_way = 0
        self._closed = False

    def call(self, request: Q, timeout: float, metadata: Sequence[tuple[str, str]] = ()) -> Deferred[A]:
        """
        Fires with the answer, or fails with CallFailed: after `timeout` seconds with DEADLINE_EXCEEDED, at once with
        UNAVAILABLE while there is no connection. To cancel the Deferred cancels the call.
        """
        start = self._start or self._open()
        self._under_way += 1
        reactor = IReactorFromThreads(self._reactor)
        future = start(request, timeout=timeout, metadata=metadata or None)
        deferred: Deferred[A] = Deferred(lambda _: self._cancel(future))
        future.add_done_callback(lambda done: reactor.callFromThread(self._done, done, deferred))
        return deferred

    def close(self) -> None:
        """Close the channel behind the last call, one that is still made included."""
        self._closed = True
        if not self._under_way:
            self._let_go()

    def _open(self) -> Start[Q, A]:
        shared = _channels.get(self.target)
        if shared is None:
            shared = _channels[self.target] = _Shared(self.target)
        shared.users += 1
        method = shared.channel.unary_unary(self._path, self._serialize, self._parse)
        start: Start[Q, A] = method.future
        self._start = start
        return start

    def _let_go(self) -> None:
        if self._start is None:
            return
        self._start = None
        shared = _channels[self.target]
        shared.users -= 1
        if not shared.users:
            del _channels[self.target]
            shared.channel.close()

    def _cancel(self, future: Future[A]) -> None:
        future.cancel()
        self._ended()

    def _ended(self) -> None:
        self._under_way -= 1
        if self._closed and not self._under_way:
            self._let_go()

    def _done(self, future: Future[A], deferred: Deferred[A]) -> None:
        """In the reactor's thread: the call has ended."""
        if deferred.called:  # cancelled
            return
        self._ended()
        code = future.code()
        if code is grpc.StatusCode.OK:
            deferred.callback(future.result())
        else:
            deferred.errback(CallFailed(code.name, str(future.details() or "")))
