"""
Unary gRPC calls from the reactor: to a rate limit service, an authorization service.

Lives here: `Method`, the channels that methods of one target share, how a call ends. Does not: what is asked; the
messages (package xds-protos). Needs the extra `grpc`, so it is imported by whoever calls, when it is configured to.

grpcio works in threads of its own. A call hands its answer to the reactor with callFromThread; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from metaproxy.support.extras import install


class MissingExtra(ValueError, ImportError):
    """The packages are not installed. A ValueError, so that a configuration that needs them is told so by line."""


try:
    import grpc
except ImportError as error:
    raise MissingExtra(f"gRPC is not installed; install it with: {install('grpc')}") from error

Q = TypeVar("Q")
A = TypeVar("A")

_OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # a variable of the environment is no reason to ask somebody else
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

    path: as on the wire, '/package.Service/Method'; request, response: the classes of its messages; reactor: what the
    Deferreds fire in. The channel is opened by the first call, and shared with all other methods of the target.
    """

    def __init__(
        self, target: str, path: str, request: type[Q], response: type[A], reactor: IReactorFromThreads
    ) -> None:
        self.target = target
        self._path = path
        self._serialize: Callable[[Any], bytes] = request.SerializeToString  # type: ignore[attr-defined]
        self._parse: Callable[[bytes], Any] = response.FromString  # type: ignore[attr-defined]
        self._reactor = reactor
        self._start: Callable[..., Any] | None = None
        self._under_way = 0
        self._closed = False

    def call(self, request: Q, timeout: float, metadata: Sequence[tuple[str, str]] = ()) -> Deferred[A]:
        """
        Fires with the answer, or fails with CallFailed: after `timeout` seconds with DEADLINE_EXCEEDED, at once with
        UNAVAILABLE while nobody can be reached. To cancel the Deferred cancels the call.
        """
        start = self._start or self._open()
        self._under_way += 1
        future = start(request, timeout=timeout, metadata=metadata or None)
        deferred: Deferred[A] = Deferred(lambda _: self._cancel(future))
        future.add_done_callback(lambda done: self._reactor.callFromThread(self._done, done, deferred))
        return deferred

    def close(self) -> None:
        """The last call that is under way, or that somebody who is late still makes, lets go of the channel."""
        self._closed = True
        if not self._under_way:
            self._let_go()

    def _open(self) -> Callable[..., Any]:
        shared = _channels.get(self.target)
        if shared is None:
            shared = _channels[self.target] = _Shared(self.target)
        shared.users += 1
        method = shared.channel.unary_unary(self._path, self._serialize, self._parse)
        self._start = method.future
        return self._start

    def _let_go(self) -> None:
        if self._start is None:
            return
        self._start = None
        shared = _channels[self.target]
        shared.users -= 1
        if not shared.users:
            del _channels[self.target]
            shared.channel.close()

    def _cancel(self, future: Any) -> None:
        future.cancel()
        self._ended()

    def _ended(self) -> None:
        self._under_way -= 1
        if self._closed and not self._under_way:
            self._let_go()

    def _done(self, future: Any, deferred: Deferred[A]) -> None:
        """In the reactor's thread: the call has ended."""
        if deferred.called:  # cancelled
            return
        self._ended()
        code = future.code()
        if code is grpc.StatusCode.OK:
            deferred.callback(future.result())
        else:
            deferred.errback(CallFailed(code.name, str(future.details() or "")))
