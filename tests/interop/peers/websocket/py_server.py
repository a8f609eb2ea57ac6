"""
A WebSocket server, `websockets` (PyPI): py_server.py PORT [certificate key]. What a path does is that of ws_server.js:

/echo                    each message back as it came, its subprotocol "chat" if the client offers it
/headers                 one text message: the request's head as JSON, a list of pairs; then closes
/close?code=C&reason=R   closes at once
/ping                    sends a ping, then the text "pong" once it was answered
/fragments?text=T&n=N    T in N fragments
/sink                    reads; on the text "end" it says JSON: bytes, messages, crc32
/source?bytes=N&chunk=C  N bytes in binary messages of C bytes; with &whole=1 in one message of fragments of C bytes
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import zlib
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Request, Response, ServerConnection, serve

FILL = b"\xa5"


def fragments(text: str, count: int) -> Iterator[str]:
    size = -(-len(text) // count)
    return (text[start : start + size] for start in range(0, len(text), size))


def chunks(total: int, size: int) -> Iterator[bytes]:
    whole = FILL * size
    for start in range(0, total, size):
        yield whole[: min(size, total - start)]


async def sink(connection: ServerConnection) -> None:
    seen = messages = crc = 0
    while True:
        fragment: str | bytes = b""
        async for fragment in connection.recv_streaming():
            if isinstance(fragment, bytes):
                seen += len(fragment)
                crc = zlib.crc32(fragment, crc)
        if fragment == "end":
            await connection.send(json.dumps({"bytes": seen, "messages": messages, "crc32": crc}))
            return
        messages += 1


async def source(connection: ServerConnection, total: int, size: int, whole: bool) -> None:
    if whole:

        async def each() -> object:
            for chunk in chunks(total, size):
                yield chunk

        await connection.send(each())
        return
    for chunk in chunks(total, size):
        await connection.send(chunk)


async def handle(connection: ServerConnection) -> None:
    assert connection.request is not None
    url = urlsplit(connection.request.path)
    query = dict(parse_qsl(url.query))
    if url.path == "/echo":
        async for message in connection:
            await connection.send(message)
    elif url.path == "/headers":
        await connection.send(json.dumps(list(connection.request.headers.raw_items())))
    elif url.path == "/close":
        await connection.close(int(query["code"]), query.get("reason", ""))
    elif url.path == "/ping":
        await (await connection.ping(b"hello"))
        await connection.send("pong")
        await connection.wait_closed()
    elif url.path == "/fragments":
        await connection.send(fragments(query["text"], int(query["n"])))
        await connection.wait_closed()
    elif url.path == "/sink":
        await sink(connection)
    elif url.path == "/source":
        await source(connection, int(query["bytes"]), int(query["chunk"]), "whole" in query)


def known(connection: ServerConnection, request: Request) -> Response | None:
    """404 for a path that is not in the list."""
    paths = ("/echo", "/headers", "/close", "/ping", "/fragments", "/sink", "/source")
    return None if urlsplit(request.path).path in paths else connection.respond(HTTPStatus.NOT_FOUND, "no such path\n")


async def main() -> None:
    tls = None
    if len(sys.argv) > 2:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*sys.argv[2:4])
    options = {"process_request": known, "subprotocols": None, "select_subprotocol": chat, "max_size": None}
    async with serve(handle, "127.0.0.1", int(sys.argv[1]), ssl=tls, ping_interval=None, **options):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


def chat(connection: ServerConnection, offered: list[str]) -> str | None:
    return "chat" if "chat" in offered else None


asyncio.run(main())
