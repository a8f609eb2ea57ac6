"""
Peers of bRPC's and tRPC's streams, over sockets: for what the Java libraries do not have or do not survive.

    streams.py server PROTOCOL PORT WINDOW    prints "ready"
    streams.py client                         jobs on stdin, see ../jobs.py

Written from the protocols' descriptions (tests/shared/stream_peers.py holds their bytes); imports nothing of metaproxy.

The server echoes every message of a stream. A message that begins with a word does more: "pour COUNT SIZE " sends COUNT
messages of SIZE bytes, "bye" ends the stream behind it, "reset" resets it, "die" ends the program, "deaf" has it
consume nothing of this stream any more.

job: {"protocol", "port", "window", "streams": [{"messages": [Latin-1], "big": SIZE, "pace": seconds before each
     message is consumed, "wait": bytes, "background": bool}], "seconds": of patience, "leave": bool}
value of each stream: {"got": messages, "bytes", "digest" of all that came, "sent" digest of all that went, "echo":
     whether they are equal, "ended", "reset", "refused", "seconds"}

"leave": the connection is closed in the middle, once each stream got "wait" bytes. "background": the job ends without.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from typing import Any

import jobs
from stream_peers import BrpcPeer, Half, Peer, TrpcPeer

CHUNK = 1 << 16


def peer(protocol: str, window: int, server: bool) -> Peer:
    # What the proxy sends within is its own affair: in bRPC no receiver knows it, so nothing is checked here.
    return BrpcPeer(window, server, 1 << 60) if protocol == "brpc" else TrpcPeer(window, server)


async def write(writer: asyncio.StreamWriter, one: Peer) -> None:
    if one.out:
        data = bytes(one.out)
        one.out.clear()
        writer.write(data)
        await writer.drain()


class Server:
    def __init__(self, protocol: str, window: int) -> None:
        self._protocol, self._window = protocol, window

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        one = peer(self._protocol, self._window, True)
        seen: dict[int, int] = {}
        deaf: set[int] = set()
        try:
            while data := await reader.read(CHUNK):
                one.feed(data)
                for half in list(one.halves.values()):
                    self._hear(one, half, seen, deaf)
                    one.send(half)
                await write(writer, one)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _hear(self, one: Peer, half: Half, seen: dict[int, int], deaf: set[int]) -> None:
        for message in half.got[seen.get(half.id, 0) :]:
            words = message[:40].split()
            word = words[0] if words else b""
            if word == b"die":
                os._exit(1)
            if word == b"reset":
                one.abort(half)
            elif word == b"pour":
                half.waiting.extend([bytes(int(words[2]))] * int(words[1]))
            elif word == b"deaf":
                deaf.add(half.id)
            else:
                half.waiting.append(message)
            half.closing = half.closing or word == b"bye"
        seen[half.id] = len(half.got)
        if half.id not in deaf:
            one.eat(half, len(half.got) - half.eaten)
        half.closing = half.closing or half.ended


class Client:
    """One connection, with all streams of a job on it."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._one = peer(job["protocol"], job.get("window", 65535), False)
        self._halves: list[Half] = []
        self._done: dict[int, float] = {}
        self._ate: dict[int, float] = {}

    async def run(self) -> list[dict[str, Any]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._job["port"])
        start = time.monotonic()
        for number, asked in enumerate(self._job["streams"]):
            half = self._one.open(101 + number)
            half.waiting.extend(message.encode("latin-1") for message in asked.get("messages", []))
            if asked.get("big"):
                half.waiting.append(os.urandom(asked["big"]))
            half.closing = "wait" not in asked and self._job["protocol"] == "trpc"
            self._halves.append(half)
        try:
            await asyncio.wait_for(self._talk(reader, writer, start), self._job.get("seconds", 20))
        except TimeoutError:
            pass
        writer.close()
        return [self._result(half, start) for half in self._halves]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, start: float) -> None:
        reading = asyncio.ensure_future(reader.read(CHUNK))
        while any(half.id not in self._done for half in self._awaited()):
            for half, asked in zip(self._halves, self._job["streams"], strict=True):
                self._move(half, asked, start)
            await write(writer, self._one)
            done, _ = await asyncio.wait([reading], timeout=0.01)
            if not done:
                continue
            data = reading.result()
            if not data:
                return
            self._one.feed(data)
            reading = asyncio.ensure_future(reader.read(CHUNK))
        reading.cancel()

    def _awaited(self) -> list[Half]:
        """The streams whose ends the job waits for."""
        pairs = zip(self._halves, self._job["streams"], strict=True)
        return [half for half, asked in pairs if not asked.get("background")]

    def _move(self, half: Half, asked: dict[str, Any], start: float) -> None:
        now = time.monotonic()
        pace = asked.get("pace", 0)
        if not pace:
            self._one.eat(half, len(half.got) - half.eaten)
        elif now - self._ate.get(half.id, start) >= pace:
            self._ate[half.id] = now
            self._one.eat(half, 1)
        self._one.send(half)
        wanted = asked.get("wait")
        enough = wanted is not None and sum(map(len, half.got)) >= wanted
        if half.id not in self._done and (half.ended or half.refused or enough):
            if enough and not half.ended and not self._job.get("leave"):
                half.closing = True
                self._one.send(half)
            self._done[half.id] = now - start

    def _result(self, half: Half, start: float) -> dict[str, Any]:
        got, sent = b"".join(half.got), b"".join(half.sent)
        return {
            "got": len(half.got),
            "bytes": len(got),
            "digest": hashlib.sha256(got).hexdigest(),
            "sent": hashlib.sha256(sent).hexdigest(),
            "echo": half.got == half.sent,
            "ended": half.ended,
            "reset": half.reset,
            "refused": half.refused,
            "seconds": round(self._done.get(half.id, time.monotonic() - start), 2),
        }


def run(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"value": value} for value in asyncio.run(Client(job).run())]


async def serve(protocol: str, port: int, window: int) -> None:
    server = await asyncio.start_server(Server(protocol, window).serve, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    else:
        jobs.serve(run)
