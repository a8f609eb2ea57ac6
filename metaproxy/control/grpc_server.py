"""
The gRPC server: xDS for all types on one stream, or a stream a type; state of the world and delta.

Lives here: `GrpcServer`, the bridge between its threads. Does not: what is answered (`server`). Needs the extra `grpc`.

gRPC's streams are coroutines of one asyncio loop in a thread of its own, so that a thousand of them cost no thread.
All that is known of them belongs to the reactor's thread: a request is handed to it, and the next one is read when it
was taken; so a client that floods holds up itself. A response is handed back to the loop. One is on its way for each
type of a stream, and a client that does not take it in time is cut off.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, Protocol, TypeVar, cast
from urllib.parse import unquote

import grpc
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from metaproxy.control.resource_types import TYPES, ResourceType
from metaproxy.control.server import Control
from metaproxy.control.stream import Refused, Stream

log = Logger()

T = TypeVar("T")

STALLED = 30.0
"""Seconds that a client may take to read a response, and to send its first request."""
GRACE = 1.0
"""Seconds that streams have to end when the server stops."""
BOUND = 10.0
"""Seconds to wait for the loop's thread at the start."""
MAX_REQUEST = 4 << 20
"""Bytes of a request: names of tens of thousands of resources."""

MAX_PENDING = 20_000
"""Streams that have come and were not looked at yet."""

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_concurrent_streams", 1000),
    # After a restart all proxies come at a time: beyond the library's 1000 it would turn them away.
    ("grpc.server.max_pending_requests", MAX_PENDING),
    ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)

AGGREGATED = "envoy.service.discovery.v3.AggregatedDiscoveryService"


class Method(NamedTuple):
    """only: the type that a stream of it is for; None for all."""

    only: ResourceType | None
    delta: bool


def _methods() -> dict[str, dict[str, Method]]:
    made = {
        AGGREGATED: {
            "StreamAggregatedResources": Method(None, False),
            "DeltaAggregatedResources": Method(None, True),
        }
    }
    for kind in TYPES:
        made[kind.service] = {f"Stream{kind.noun}": Method(kind, False), f"Delta{kind.noun}": Method(kind, True)}
    return made


METHODS = _methods()
"""Methods by service and name."""


class Call(Protocol):
    """A stream, as grpc.aio has it."""

    def peer(self) -> str: ...
    async def read(self) -> object: ...
    async def write(self, data: bytes) -> None: ...
    async def abort(self, code: grpc.StatusCode, details: str) -> None: ...


class GrpcServer(Service):
    """
    listen: `host:port`, `[v6]:port` or `unix:/path`. credentials: for TLS. bound: where it listens, the port filled in.
    """

    name = "grpc"

    def __init__(
        self,
        control: Control,
        reactor: IReactorFromThreads,
        listen: str,
        credentials: grpc.ServerCredentials | None = None,
        stalled: float = STALLED,
    ) -> None:
        self.bound = ""
        self._control = control
        self._reactor = reactor
        self._listen = listen
        self._credentials = credentials
        self._stalled = stalled
        self._loop = asyncio.new_event_loop()
        self._server: grpc.aio.Server | None = None
        self._thread: threading.Thread | None = None
        self._serving: set[asyncio.Task[object]] = set()

    # -- in the reactor's thread

    def startService(self) -> None:
        """Raises OSError for an address that can't be had."""
        super().startService()
        self._thread = threading.Thread(target=self._loop.run_forever, name="grpc", daemon=True)
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        try:
            self.bound = started.result(BOUND)
        except RuntimeError as error:  # grpc's word for a port that is taken
            self._loop.call_soon_threadsafe(self._loop.stop)
            raise OSError(f"{self._listen}: {error}") from None
        log.info("xDS over gRPC at {bound}", bound=self.bound)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        done: Deferred[None] = Deferred()
        stopped: Future[None] = asyncio.run_coroutine_threadsafe(self._stop(), self._loop)
        stopped.add_done_callback(lambda _: self._reactor.callFromThread(self._stopped, done))
        return done

    def _stopped(self, done: Deferred[None]) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(GRACE)
        self.bound = ""
        done.callback(None)

    # -- in the loop's thread

    async def _start(self) -> str:
        server = self._server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    service, {name: self._handler(one) for name, one in methods.items()}
                )
                for service, methods in METHODS.items()
            ]
        )
        if self._credentials is None:
            port = server.add_insecure_port(self._listen)
        else:
            port = server.add_secure_port(self._listen, self._credentials)
        await server.start()
        return self._listen if self._listen.startswith("unix:") else f"{self._listen.rpartition(':')[0]}:{port}"

    async def _stop(self) -> None:
        if self._server is not None:
            await self._server.stop(GRACE)
        if self._serving:
            await asyncio.wait(self._serving, timeout=GRACE)

    def _handler(self, method: Method) -> grpc.RpcMethodHandler:
        """Return what grpc calls for each stream; messages stay bytes."""

        async def serve(_: object, call: Call) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
            await self._serve(method, call)

        return grpc.stream_stream_rpc_method_handler(serve)

    async def _serve(self, method: Method, call: Call) -> None:
        """Serve one stream to its end."""
        waiting: asyncio.Queue[bytes] = asyncio.Queue()

        def send(data: bytes) -> None:
            self._loop.call_soon_threadsafe(waiting.put_nowait, data)

        opened: list[Stream] = []
        tasks: list[asyncio.Task[None]] = []

        def connect() -> Stream:
            opened.append(self._control.connect(send, method.delta, method.only, _host(call.peer())))
            return opened[0]

        def disconnect() -> None:
            for stream in opened:
                self._control.disconnect(stream)

        try:
            stream = await self._ask(connect)
            tasks += [asyncio.create_task(self._read(call, stream)), asyncio.create_task(self._write(call, waiting))]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except Refused as error:
            code = grpc.StatusCode.INVALID_ARGUMENT if opened else grpc.StatusCode.RESOURCE_EXHAUSTED
            await call.abort(code, str(error))
        except TimeoutError:
            await call.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"nothing was read or sent for {self._stalled:g} s")
        finally:
            # First, and behind all that was asked of the reactor's thread: a call that its client cancels may be
            # cancelled at any of these waits, the last one included.
            self._reactor.callFromThread(disconnect)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # each has been looked at above, or was cancelled here

    async def _read(self, call: Call, stream: Stream) -> None:
        async with asyncio.timeout(self._stalled):
            data = await call.read()
        while isinstance(data, bytes):
            request = data
            await self._ask(lambda: self._control.receive(stream, request))  # noqa: B023 - it is called before the next
            data = await call.read()

    async def _write(self, call: Call, waiting: asyncio.Queue[bytes]) -> None:
        while True:
            data = await waiting.get()
            # Not asyncio.wait_for, which before Python 3.12 swallows a cancellation that comes when the write is done.
            async with asyncio.timeout(self._stalled):
                await call.write(data)

    async def _ask(self, call: Callable[[], T]) -> T:
        """Call in the reactor's thread, and wait for what it returns."""
        answer: asyncio.Future[T] = self._loop.create_future()

        def settle(result: T | None, error: Exception | None) -> None:
            if answer.done():  # the stream has ended meanwhile
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(cast(T, result))

        def run() -> None:
            result, failed = None, None
            try:
                result = call()
            except Exception as error:
                failed = error
                if not isinstance(error, Refused):
                    log.failure("control: a request failed")
            self._loop.call_soon_threadsafe(settle, result, failed)

        self._reactor.callFromThread(run)
        return await answer


def _host(peer: str) -> str:
    """Return the address of gRPC's `ipv4:1.2.3.4:5` or `ipv6:%5B::1%5D:5`, without the port; "" of a socket's."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""
