"""
Many clients of MongoDB in one process: each logs in with SCRAM and reads, without a driver's threads and monitors.

Lives here: `finds`. Does not: anything that a driver checks; this is only about their number.
"""

from __future__ import annotations

import asyncio
import struct
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
        start = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": scram.first(), "$db": "admin"}
        first = await self.ask({**start, "options": {"skipEmptyExchange": True}})
        final = scram.final(first["payload"])
        last = await self.ask({"saslContinue": 1, "conversationId": 1, "payload": final, "$db": "admin"})
        scram.check(last["payload"])


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
