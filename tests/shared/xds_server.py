"""A gRPC server of xDS in this process, whose streams the test speaks on."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from envoy.service.discovery.v3 import discovery_pb2


class ServedStream:
    """One stream. requests: what the client sent; metadata: of its head; `say` sends, `end` ends it."""

    def __init__(self, path: str, metadata: dict[str, str]) -> None:
        self.path = path
        self.metadata = metadata
        self.requests: list[Any] = []
        self.over = False
        self._out: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def say(self, response: Any) -> None:
        self._out.put(response)

    def end(self) -> None:
        self._out.put(None)

    def outgoing(self) -> Iterator[Any]:
        while (one := self._out.get()) is not None:
            yield one


class XdsServer:
    """streams: every stream so far. Serves any method of discovery on a free port, or on `where`."""

    def __init__(self, where: str = "127.0.0.1:0", credentials: Any = None) -> None:
        self.streams: list[ServedStream] = []
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), handlers=[_Handlers(self)])
        if credentials is None:
            port = self.server.add_insecure_port(where)
        else:
            port = self.server.add_secure_port(where, credentials)
        self.target = where if where.startswith("unix:") else f"127.0.0.1:{port}"
        self.server.start()

    def serve(self, path: str, requests: Any, context: Any) -> Iterator[Any]:
        stream = ServedStream(path, dict(context.invocation_metadata()))
        self.streams.append(stream)

        def read() -> None:
            with contextlib.suppress(grpc.RpcError):  # the client left
                for one in requests:
                    stream.requests.append(one)
            stream.end()

        def ended() -> None:
            stream.over = True
            stream.end()

        threading.Thread(target=read, daemon=True).start()
        context.add_callback(ended)
        yield from stream.outgoing()

    def stop(self) -> None:
        for stream in self.streams:
            stream.end()
        self.server.stop(None).wait()


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Takes every method: those whose name has Delta are incremental."""

    def __init__(self, server: XdsServer) -> None:
        self._server = server

    def service(self, handler_call_details: Any) -> Any:
        path: str = handler_call_details.method
        is_delta = "Delta" in path.rpartition("/")[2]
        request = discovery_pb2.DeltaDiscoveryRequest if is_delta else discovery_pb2.DiscoveryRequest

        def serve(requests: Any, context: Any) -> Iterator[Any]:
            return self._server.serve(path, requests, context)

        return grpc.stream_stream_rpc_method_handler(
            serve, request_deserializer=request.FromString, response_serializer=lambda one: one.SerializeToString()
        )
