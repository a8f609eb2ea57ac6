"""
A gRPC server, grpcio: py_server.py NAME PORT [key=value ...]

It serves example.v1.Echo, Library and Control, grpc.health.v1.Health and reflection. keys: certificate, key (PEM
files), ca (then clients need a certificate), and the library's own arguments, as grpc.max_concurrent_streams=1.
Every answer has the metadata served-by: NAME; calls that end early are printed: "cancelled METHOD TEXT".
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from example.v1 import echo_pb2, echo_pb2_grpc, library_pb2, library_pb2_grpc
from google.api import httpbody_pb2
from google.protobuf import empty_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

NAME, PORT = sys.argv[1], sys.argv[2]
OPTIONS = dict(each.split("=", 1) for each in sys.argv[3:])
FILL = b"\xa5"
CODES = {code.value[0]: code for code in grpc.StatusCode}

Context = grpc.aio.ServicerContext
_attempts: Counter[str] = Counter()


def _pairs(given: Any) -> list[tuple[str, str | bytes]]:
    return [(key, value.encode() if key.endswith("-bin") else value) for key, value in given.items()]


class Echo(echo_pb2_grpc.EchoServicer):
    async def _begin(self, request: Any, context: Context) -> None:
        await context.send_initial_metadata([("served-by", NAME), *_pairs(request.initial)])

    async def _end(self, request: Any, context: Context) -> None:
        context.set_trailing_metadata(_pairs(request.trailing))
        if request.code:
            await context.abort(CODES[request.code], request.message)

    async def _reply(self, request: Any, context: Context, index: int) -> Any:
        await asyncio.sleep(request.delay_ms / 1000)
        left = context.time_remaining()
        metadata = {key: value for key, value in context.invocation_metadata() or () if not key.endswith("-bin")}
        return echo_pb2.EchoReply(
            text=request.text,
            payload=FILL * request.size if request.size else request.payload,
            index=index,
            metadata=metadata,
            deadline_ms=-1 if left is None else int(left * 1000),
            served_by=NAME,
        )

    async def Unary(self, request: Any, context: Context) -> Any:
        with Told("Unary", request):
            index = 0
            if request.key:
                _attempts[request.key] += 1
                index = _attempts[request.key]
            if not request.key or index > request.fail_first:
                # A call whose headers were sent is committed: it may not be tried again.
                await self._begin(request, context)
            if not request.key or index <= request.fail_first:
                await asyncio.sleep(request.delay_ms / 1000 if request.code else 0)
                await self._end(request, context)
            return await self._reply(request, context, index)

    async def ServerStream(self, request: Any, context: Context) -> AsyncIterator[Any]:
        with Told("ServerStream", request):
            if request.count or not request.code:  # else it fails at once, in trailers alone
                await self._begin(request, context)
            for index in range(request.count):
                yield await self._reply(request, context, index)
            await self._end(request, context)

    async def ClientStream(self, requests: AsyncIterator[Any], context: Context) -> Any:
        texts: list[str] = []
        last, size = echo_pb2.EchoRequest(), 0
        with Told("ClientStream") as call:
            async for last in requests:
                call.request = last
                texts.append(last.text)
                size += len(last.payload)
            await self._begin(last, context)
            await self._end(last, context)
            reply = await self._reply(last, context, len(texts))
            reply.text, reply.payload = "+".join(texts), str(size).encode()
            return reply

    async def BidiStream(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        index, request = 0, echo_pb2.EchoRequest()
        with Told("BidiStream") as call:
            async for request in requests:
                call.request = request
                if not index:
                    await self._begin(request, context)
                for _ in range(max(1, request.count)):
                    yield await self._reply(request, context, index)
                    index += 1
                if request.code:
                    break
            await self._end(request, context)


class Told:
    """Prints that a call was cancelled before its end. request: the last one that has arrived."""

    def __init__(self, method: str, request: Any = None) -> None:
        self._method, self.request = method, request

    def __enter__(self) -> Told:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError | GeneratorExit):
            print("cancelled", self._method, self.request.text if self.request is not None else "", flush=True)


class Library(library_pb2_grpc.LibraryServicer):
    """A shelf in memory. A name with "nowhere" in it is not found."""

    def __init__(self) -> None:
        self._books: dict[str, Any] = {}

    async def GetBook(self, request: Any, context: Context) -> Any:
        if "nowhere" in request.name:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no book {request.name}")
        return self._books.get(request.name) or library_pb2.Book(
            name=request.name, title="A title", authors=["Ann", "Bob"], pages=1 << 53, kind=library_pb2.NOVEL
        )

    async def ListBooks(self, request: Any, context: Context) -> Any:
        names = [f"{request.parent or 'shelves/1'}/books/{each}" for each in range(min(request.page_size, 3))]
        books = [library_pb2.Book(name=name) for name in names]
        return library_pb2.ListBooksReply(books=books, next_page_token="next", asked=request)

    async def CreateBook(self, request: Any, context: Context) -> Any:
        request.book.name = f"{request.parent}/books/{request.request_id or 'new'}"
        self._books[request.book.name] = request.book
        return request.book

    async def UpdateBook(self, request: Any, context: Context) -> Any:
        request.book.labels["mask"] = ",".join(request.update_mask.paths)
        return request.book

    async def DeleteBook(self, request: Any, context: Context) -> Any:
        self._books.pop(request.name, None)
        return empty_pb2.Empty()

    async def MoveBook(self, request: Any, context: Context) -> Any:
        number = request.name.rpartition("/")[2]
        return library_pb2.Book(name=f"{request.shelf}/books/{number}", lent=request.force)

    GetTitle = GetBook

    async def HeadBook(self, request: Any, context: Context) -> Any:
        await self.GetBook(request, context)
        return empty_pb2.Empty()

    async def GetFile(self, request: Any, context: Context) -> Any:
        return httpbody_pb2.HttpBody(content_type="text/plain", data=f"{request.path}@{request.revision}".encode())

    async def WatchBooks(self, request: Any, context: Context) -> AsyncIterator[Any]:
        for number in range(request.page_size):
            yield library_pb2.Book(name=f"{request.parent}/books/{number}")

    async def ImportBooks(self, requests: AsyncIterator[Any], context: Context) -> Any:
        return library_pb2.ImportBooksReply(names=[book.name async for book in requests])

    async def Hidden(self, request: Any, context: Context) -> Any:
        return request


class Control(echo_pb2_grpc.ControlServicer):
    def __init__(self, servicer: health.aio.HealthServicer) -> None:
        self._health = servicer

    async def SetHealth(self, request: Any, context: Context) -> Any:
        statuses = health_pb2.HealthCheckResponse
        await self._health.set(request.service, statuses.SERVING if request.serving else statuses.NOT_SERVING)
        return echo_pb2.SetHealthReply()


def _read(option: str) -> bytes | None:
    return Path(OPTIONS[option]).read_bytes() if option in OPTIONS else None


async def main() -> None:
    own = [(key, int(value) if value.lstrip("-").isdigit() else value) for key, value in OPTIONS.items() if "." in key]
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1), *own])
    echo_pb2_grpc.add_EchoServicer_to_server(Echo(), server)
    library_pb2_grpc.add_LibraryServicer_to_server(Library(), server)
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    echo_pb2_grpc.add_ControlServicer_to_server(Control(servicer), server)
    names = [each.full_name for file in (echo_pb2, library_pb2) for each in file.DESCRIPTOR.services_by_name.values()]
    for name in ("", *names):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    address = f"127.0.0.1:{PORT}"
    if "certificate" in OPTIONS:
        pair = [(_read("key"), _read("certificate"))]
        server.add_secure_port(address, grpc.ssl_server_credentials(pair, _read("ca"), "ca" in OPTIONS))
    else:
        server.add_insecure_port(address)
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


asyncio.run(main())
