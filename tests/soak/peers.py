"""
What the soak tests talk with: a Quill server, and clients that check every answer.

Run as `python tests/soak/peers.py PORT`, it is the server: it answers with the body it got, the service `big` with a
mebibyte. Lives here: both ends of the protocol of docs/examples/quill.py on asyncio. Does not: the proxy.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from typing import Any

HEAD = struct.Struct(">IQB")
BIG = bytes(1 << 20)


def call(id: int, service: bytes, body: bytes) -> bytes:
    return HEAD.pack(9 + len(service) + len(body), id, len(service)) + service + body


def answer(id: int, body: bytes) -> bytes:
    return HEAD.pack(9 + len(body), id, 0) + body


class Server(asyncio.Protocol):
    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._paused = False

    def data_received(self, data: bytes) -> None:
        data = self._data + data
        out = []
        at = 0
        while len(data) - at >= 13:
            size, id, n = HEAD.unpack_from(data, at)
            if len(data) - at < 4 + size:
                break
            service = data[at + 13 : at + 13 + n]
            body = data[at + 13 + n : at + 4 + size]
            out.append(answer(id, BIG if service == b"big" else body))
            at += 4 + size
        self._data = data[at:]
        self._transport.write(b"".join(out))


class Client(asyncio.Protocol):
    """Keeps `flight` requests under way until it is stopped; `wrong` lists whatever should not have happened."""

    def __init__(self, flight: int, number: int) -> None:
        self.flight = flight
        self.number = number
        self.answered = 0
        self.wrong: list[str] = []
        self.stopping = False
        self.idle = asyncio.Event()
        self._owed: dict[int, bytes] = {}
        self._next = 1
        self._data = b""

    def itself(self) -> Client:
        """In the place of a factory, which asyncio wants."""
        return self

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(b"".join(self._request() for _ in range(self.flight)))

    def _request(self) -> bytes:
        id, self._next = self._next, self._next + 1
        body = b"%d:%d" % (self.number, id)
        self._owed[id] = body
        return call(id, b"echo", body)

    def data_received(self, data: bytes) -> None:
        data = self._data + data
        at = 0
        out = []
        while len(data) - at >= 13:
            size, id, n = HEAD.unpack_from(data, at)
            if len(data) - at < 4 + size:
                break
            body = data[at + 13 : at + 4 + size]
            if n or self._owed.pop(id, None) != body:
                self.wrong.append(f"answer to {id}: {n:#x} {body[:80]!r}")
            self.answered += 1
            if not self.stopping:
                out.append(self._request())
            at += 4 + size
        self._data = data[at:]
        if out:
            self._transport.write(b"".join(out))
        if not self._owed:
            self.idle.set()

    def connection_lost(self, error: Exception | None) -> None:
        if self._owed:
            self.wrong.append(f"connection lost with {len(self._owed)} requests unanswered: {error}")
        self.idle.set()

    async def finish(self) -> None:
        """Sends nothing new, waits for what is owed, closes."""
        self.stopping = True
        await asyncio.wait_for(self.idle.wait(), 20)
        self._transport.close()


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
