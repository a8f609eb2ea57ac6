"""
Streams of gRPC to a control plane, by grpcio, which works in threads of its own.

Lives here: `GrpcServer`, which opens them, and what carries messages between its threads and the reactor. Does not:
what is said (`session`), when a stream is opened again. Needs the extra `xds`.

Each stream has a channel of its own, so that the session alone decides when it is tried again, and a server that ends a
connection ends nothing else. A thread reads; it goes on when the reactor has taken what it read, so at most ROOM
messages wait. TLS, and the endpoints of a cluster, are the proxy's own, behind a socket that only this user can reach.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from twisted.internet.interfaces import IReactorFromThreads

from metaproxy.xds.session import Receiver
from metaproxy.xds.subscription import Request, Response

MAX_MESSAGE = 64 << 20
"""Bytes of a response; ten thousand clusters are some 10 MiB."""
ROOM = 2
"""Responses that wait for the reactor."""
MAX_REQUESTS = 1000
"""Requests that wait for a server that reads none."""

_LAST_LOOK = 0.5
"""Seconds until a channel is closed: a thread of grpcio's looks at its state five times a second, and at one that is
closed it fails with a traceback."""

_OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # a variable of the environment must not change where streams go
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.initial_reconnect_backoff_ms", 1000),
    # Servers in Go end a connection that is asked more often than every five minutes.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class Reading(Protocol):
    """A call that is read in a thread."""

    def __iter__(self) -> Iterator[Response]: ...
    def cancel(self) -> bool: ...


class GrpcServer:
    """
    target: where streams go, as gRPC writes it: HOST:PORT or unix:/path; token: what they show, '' for none; authority:
    the name of the server, where the target is a socket that leads to it; problem: why that did not lead there.
    """

    def __init__(
        self,
        target: str,
        reactor: IReactorFromThreads,
        token: Callable[[], str] = lambda: "",
        authority: str = "",
        problem: Callable[[], str] = lambda: "",
    ) -> None:
        self._target = target
        self._reactor = reactor
        self._token = token
        self._problem = problem
        self._options = (*_OPTIONS, ("grpc.default_authority", authority)) if authority else _OPTIONS

    def opener(self, path: str, delta: bool) -> Callable[[Receiver], GrpcStream]:
        """Return what opens a stream of the method `path`."""
        response = discovery_pb2.DeltaDiscoveryResponse if delta else discovery_pb2.DiscoveryResponse
        return partial(self._open, path, response.FromString)

    def _open(self, path: str, parse: Callable[[bytes], Response], receiver: Receiver) -> GrpcStream:
        token = self._token()
        metadata = (("authorization", f"Bearer {token}"),) if token else None
        channel = grpc.insecure_channel(self._target, options=self._options)
        return GrpcStream(channel, path, parse, metadata, receiver, self._reactor, self._problem)


class GrpcStream:
    """See `session.Stream`."""

    def __init__(
        self,
        channel: grpc.Channel,
        path: str,
        parse: Callable[[bytes], Response],
        metadata: Sequence[tuple[str, str]] | None,
        receiver: Receiver,
        reactor: IReactorFromThreads,
        problem: Callable[[], str],
    ) -> None:
        self._problem = problem
        self._receiver: Receiver | None = receiver
        self._reactor = reactor
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._waiting = 0
        self._room = threading.Semaphore(ROOM)
        self._over = False
        channel.subscribe(self._state, try_to_connect=True)
        method = channel.stream_stream(path, _serialized, parse)
        self._call: Reading = method(self._outgoing(), metadata=metadata)
        threading.Thread(target=self._read, args=(channel,), name="metaproxy-xds", daemon=True).start()

    # -- in the reactor's thread

    def send(self, request: Request) -> None:
        if self._requests.qsize() >= MAX_REQUESTS:
            self._call.cancel()
        else:
            self._requests.put(request)

    def close(self) -> None:
        self._receiver = None
        self._over = True
        self._call.cancel()
        self._requests.put(None)
        self._room.release()

    def _connected(self) -> None:
        if self._receiver is not None:
            self._receiver.connected()

    def _received(self, response: Response) -> None:
        if self._receiver is not None:
            self._receiver.received(response, self._room.release)

    def _ended(self, reason: str) -> None:
        receiver, self._receiver = self._receiver, None
        self._requests.put(None)
        if receiver is not None:
            problem = self._problem()
            receiver.ended(f"{reason} ({problem})" if problem else reason)

    # -- in threads of grpcio and its own

    def _outgoing(self) -> Iterator[Request]:
        while (request := self._requests.get()) is not None:
            yield request

    def _state(self, state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.READY:
            self._reactor.callFromThread(self._connected)

    def _read(self, channel: grpc.Channel) -> None:
        reason = "the server ended the stream"
        try:
            for response in self._call:
                self._room.acquire()
                if self._over:
                    break
                self._reactor.callFromThread(self._received, response)
        except grpc.RpcError as error:
            reason = _reason(error)
        self._reactor.callFromThread(self._ended, reason)
        channel.unsubscribe(self._state)
        time.sleep(_LAST_LOOK)
        channel.close()


def _serialized(request: Request) -> bytes:
    data: bytes = request.SerializeToString()
    return data


def _reason(error: grpc.RpcError) -> str:
    """Return gRPC's word for what went wrong, and its details in one line."""
    code, details = getattr(error, "code", None), getattr(error, "details", None)
    word = code().name if code is not None else type(error).__name__
    text = " ".join(str(details() or "").split()) if details is not None else ""
    return f"{word}: {text}"[:500] if text else word
