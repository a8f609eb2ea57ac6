"""
Clients of MongoDB without a driver: many in one process, which log in with SCRAM and read; and one that sends what no
driver does.

Lives here: `finds`, `Raw`. Does not: anything that a driver checks.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from types import TracebackType
from typing import Any

from bson import decode, encode

from metaproxy.codecs.scram import ScramClient


class _Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._id = reader, writer, 0

    async def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """The answer, which must be ok."""
        self._id += 1
        body = bytes(5) + encode(command)
        self._writer.write(struct.pack("<iiii", 16 + len(body), self._id, 0, 2013) + body)
        size, _, to, _ = struct.unpack("<iiii", await self._reader.readexactly(16))
        found: dict[str, Any] = decode((await self._reader.readexactly(size - 16))[5:])
        assert (to, found["ok"]) == (self._id, 1.0), found
        return found

    async def log_in(self) -> None:
        scram = ScramClient("SCRAM-SHA-256", "app", "pencil")
        first = await self.ask({**start(scram.first()), "options": {"skipEmptyExchange": True}})
        final = scram.final(first["payload"])
        last = await self.ask({"saslContinue": 1, "conversationId": 1, "payload": final, "$db": "admin"})
        scram.check(last["payload"])


def message(id: int, command: dict[str, Any], flags: int = 0) -> bytes:
    """An OP_MSG."""
    body: bytes = struct.pack("<I", flags) + b"\0" + encode(command)
    return struct.pack("<iiii", 16 + len(body), id, 0, 2013) + body


def old_query(id: int, command: dict[str, Any]) -> bytes:
    """An OP_QUERY of admin.$cmd, as drivers send it first that may meet an old server."""
    body: bytes = struct.pack("<i", 4) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1) + encode(command)
    return struct.pack("<iiii", 16 + len(body), id, 0, 2004) + body


class Raw:
    """A connection. code, id, to: of the last answer, opCode and ids; more: whether another one follows by itself."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self.code = self.id = self.to = 0
        self.more = False

    def __enter__(self) -> Raw:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, *messages: bytes) -> None:
        self._socket.sendall(b"".join(messages))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def receive(self) -> dict[str, Any]:
        """The document of the next answer. Raises EOFError where the connection has ended."""
        size, self.id, self.to, self.code = struct.unpack("<iiii", self._exactly(16))
        rest = self._exactly(size - 16)
        self.more = self.code == 2013 and bool(rest[0] & 2)
        found: dict[str, Any] = decode(rest[20 if self.code == 1 else 5 :])
        return found

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        self.send(message(1, command))
        return self.receive()

    def begin(self, user: str, password: str) -> dict[str, Any]:
        """Begins a login; the command that ends it."""
        scram = ScramClient("SCRAM-SHA-256", user, password)
        first = self.ask({**start(scram.first()), "options": {"skipEmptyExchange": True}})
        return {"saslContinue": 1, "conversationId": 1, "payload": scram.final(first["payload"]), "$db": "admin"}


def start(payload: bytes) -> dict[str, Any]:
    return {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": payload, "$db": "admin"}


async def finds(port: int, clients: int, each: int) -> int:
    """How many documents all of them have found."""

    async def work(number: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = _Client(reader, writer)
        await client.ask({"hello": 1, "$db": "admin"})
        await client.log_in()
        found = 0
        for step in range(each):
            asked = {"find": "many", "filter": {"_id": (number + step) % 100}, "singleBatch": True, "$db": "shop"}
            found += len((await client.ask(asked))["cursor"]["firstBatch"])
        writer.close()
        return found

    return sum(await asyncio.gather(*(work(number) for number in range(clients))))
