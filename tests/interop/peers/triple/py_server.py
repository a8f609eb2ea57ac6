"""
A Triple provider, apache-dubbo: py_server.py NAME PORT

It has example.v1.Echo of grpc/example/v1/echo.proto, by the names of gRPC (Unary) and of Dubbo's interfaces (unary). It
fills payloads, repeats replies, waits; statuses other than INTERNAL and metadata are not to be had of the library: a
request with a code ends with INTERNAL.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import dubbo
from dubbo.configs import ServiceConfig
from dubbo.proxy.handlers import RpcMethodHandler, RpcServiceHandler
from example.v1 import echo_pb2

NAME, PORT = sys.argv[1], int(sys.argv[2])


def reply(request: Any, index: int, text: str = "") -> Any:
    time.sleep(request.delay_ms / 1000)
    if request.code:
        raise RuntimeError(request.message)
    payload = bytes(request.size) or request.payload
    return echo_pb2.EchoReply(text=text or request.text, payload=payload, index=index, served_by=NAME)


def unary(request: Any) -> Any:
    return reply(request, 0)


def server_stream(stream: Any) -> Iterator[Any]:
    request = stream.read()
    for index in range(request.count):
        yield reply(request, index)


def client_stream(stream: Any) -> Any:
    requests = list(stream)
    return reply(requests[-1], len(requests), "+".join(each.text for each in requests))


def bidi_stream(stream: Any) -> Iterator[Any]:
    index = 0
    for request in stream:
        for _ in range(max(1, request.count)):
            yield reply(request, index)
            index += 1


def handlers() -> Iterator[RpcMethodHandler]:
    made = {
        "Unary": (RpcMethodHandler.unary, unary),
        "ServerStream": (RpcMethodHandler.server_stream, server_stream),
        "ClientStream": (RpcMethodHandler.client_stream, client_stream),
        "BidiStream": (RpcMethodHandler.bi_stream, bidi_stream),
    }
    for name, (make, method) in made.items():
        for each in (name, name[0].lower() + name[1:]):
            yield make(
                method=method,
                method_name=each,
                request_deserializer=echo_pb2.EchoRequest.FromString,
                response_serializer=echo_pb2.EchoReply.SerializeToString,
            )


service = RpcServiceHandler(service_name="example.v1.Echo", method_handlers=list(handlers()))
dubbo.Server(ServiceConfig(service_handler=service, host="127.0.0.1", port=PORT)).start()
print("ready", flush=True)
threading.Event().wait()
