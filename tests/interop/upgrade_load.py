"""
Traffic while a proxy is upgraded: servers that note what they were asked, and clients that note how each request ended.

Lives here: `Servers` (HTTP and RESP), `Load` with its clients. Does not: the proxy, assertions.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any

SLOW = 1.5
"""Seconds that a request whose name begins with `slow` takes."""
PATIENCE = 20.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Open = Callable[[], Coroutine[Any, Any, Streams]]


class Servers:
    """asked: how often each request came to a server."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []

    async def start(self, http: int, resp: int) -> None:
        for serve, port in ((self._http, http), (self._resp, resp)):
            self._servers.append(await asyncio.start_server(serve, "127.0.0.1", port))

    def stop(self) -> None:
        for one in self._servers:
            one.close()

    async def _note(self, name: str) -> None:
        self.asked[name] += 1
        if name.startswith("slow"):
            await asyncio.sleep(SLOW)

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                name = head.split()[1].decode().strip("/")
                await self._note(name)
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\n\r\n{name}".encode())
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            writer.close()

    async def _resp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                command, *words = [await _bulk(reader) for _ in range(int((await reader.readuntil())[1:]))]
                if command.upper() == b"GET":
                    await self._note(words[0].decode())
                writer.write(b"$%d\r\n%b\r\n" % (len(words[0]), words[0]) if words else b"+OK\r\n")
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            writer.close()


async def _bulk(reader: asyncio.StreamReader) -> bytes:
    size = int((await reader.readuntil())[1:])
    return (await reader.readexactly(size + 2))[:-2]


@dataclass
class Load:
    """
    ends: how each request ended, by its name: `answered`, `refused` (no connection), `crossed` (the connection ended in
    the place of an answer, which a protocol without a word for leaving can't rule out), or what was wrong.
    """

    ends: dict[str, list[str]] = field(default_factory=dict)
    over: bool = False
    _number: count[int] = field(default_factory=count)

    def count(self, kind: str) -> Counter[str]:
        """How often the requests of a kind of client ended in which way."""
        return Counter(end for name, ends in self.ends.items() if f"-{kind}-" in name for end in ends)

    async def ask(self, kind: str, streams: Streams, slow: bool) -> bool:
        """Send a request and wait for its end. Return whether the connection can be used further."""
        name = f"{'slow' if slow else 'x'}-{kind}-{next(self._number)}"
        ends = self.ends[name] = []
        reader, writer = streams
        http = kind.startswith("http")
        try:
            if http:
                writer.write(f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
                answer = await reader.readexactly(len(name)) if head.startswith(b"HTTP/1.1 200") else head
                more = b"connection: close" not in head.lower()
            else:
                writer.write(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(name), name.encode()))
                answer, more = await asyncio.wait_for(_bulk(reader), PATIENCE), True
            ends.append("answered" if answer == name.encode() else f"wrong: {answer!r}")
            return more
        except (asyncio.IncompleteReadError, OSError):
            ends.append("crossed")
        except (TimeoutError, ValueError) as error:
            ends.append(f"{type(error).__name__}: {error}")
        return False

    async def each_new(self, kind: str, connect: Open, slow: bool = False) -> None:
        """A connection for each request."""
        while not self.over:
            streams = await self._open(kind, connect)
            if streams is not None:
                await self.ask(kind, streams, slow)
                streams[1].close()
            await asyncio.sleep(0.01)

    async def kept(self, kind: str, connect: Open) -> None:
        """One connection for as long as the proxy keeps it."""
        while not self.over:
            streams = await self._open(kind, connect)
            while streams is not None and not self.over:
                if streams[0].at_eof() or not await self.ask(kind, streams, False):
                    break
                await asyncio.sleep(0.01)
            if streams is not None:
                streams[1].close()

    async def _open(self, kind: str, connect: Open) -> Streams | None:
        try:
            return await asyncio.wait_for(connect(), PATIENCE)
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            self.ends[f"x-{kind}-{next(self._number)}"] = [f"refused: {type(error).__name__} {error}"]
            await asyncio.sleep(0.1)
            return None


def to_port(port: int, tls: ssl.SSLContext | None = None) -> Open:
    return lambda: asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None)


def to_path(path: str) -> Open:
    return lambda: asyncio.open_unix_connection(path)
