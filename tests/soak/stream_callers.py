"""
Callers of streams over HTTP/1.1 and HTTP/2: each knows what it is owed, and compares the bytes of every stream.

Lives here: `H2Streams`, many exchanges on one connection, also of gRPC; `H1Streams`, one after the other. Does not:
what they ask for (stream_calls.py), whole messages (tests/shared/calls.py), servers, faults.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from calls import ERROR, OK
from stream_calls import LEFT, Play

sys.path.append(str(Path(__file__).parents[2] / ".peers" / "python" / "main"))
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError, StreamClosedError

GIVEN_UP = "given up"
"""The outcome of what the client left in the middle."""
SLOWLY = 0.1
"""Seconds that a slow reader lets a piece lie."""


class Plan(Protocol):
    """What exchange `id` of client `number` does."""

    def __call__(self, number: int, id: int, kind: str = "") -> Play: ...


class Streams:
    """
    What all of them count. sent: exchanges begun; owed: those that have no end; outcomes: how the others ended; wrong:
    what should not have happened. A caller that is `stopping` begins nothing; `reads`: False lets what comes lie.
    """

    def __init__(self, plan: Plan, number: int, depth: int, pause: float = 0.0) -> None:
        self.plan, self.number, self.depth, self.pause = plan, number, depth, pause
        self.sent = self.owed = self.moved = 0
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.stopping = self.closing = False
        self.reads = True

    def read_on(self) -> None:
        self.reads = True

    def under_way(self) -> list[str]:
        """What has no end yet, and how far it came."""
        raise NotImplementedError

    def _begun(self) -> Play:
        self.sent += 1
        self.owed += 1
        return self.plan(self.number, self.sent)

    def _ended(self, outcome: str, play: Play, body: bytes = b"") -> None:
        self.owed -= 1
        self.outcomes[outcome] += 1
        self.moved += len(body)
        if outcome == OK and (heard := play.heard(body)) != play.answer:
            said = f"{len(heard)} bytes {heard[:60]!r} in the place of {len(play.answer)} {play.answer[:60]!r}"
            self.wrong.append(f"{play.kind} {play.path} of client {self.number}: {said}")


@dataclass
class _Stream:
    play: Play
    rest: list[bytes]
    sent: int = 0
    body: bytearray = field(default_factory=bytearray)
    status: str = ""
    code: str = ""
    uncredited: int = 0


class H2Streams(Streams, asyncio.Protocol):
    """One connection with `depth` exchanges under way, each next one `pause` seconds after one has ended."""

    async def connect(self, port: int) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._open: dict[int, _Stream] = {}
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(1 << 26)  # streams that are read slowly hold no other up
        for _ in range(self.depth):
            self._begin()
        self._write()

    def _begin(self) -> None:
        play = self._begun()
        id = self._h2.get_next_available_stream_id()
        head = [(":method", play.method), (":scheme", "http"), (":authority", "soak"), (":path", play.path)]
        if play.grpc:
            head += [("content-type", "application/grpc"), ("te", "trailers")]
        self._h2.send_headers(id, head, end_stream=not play.pieces)
        self._open[id] = _Stream(play, list(play.pieces))
        self._send(id)

    def _send(self, id: int) -> None:
        """What the windows allow."""
        stream = self._open[id]
        while stream.rest:
            if stream.play.kind == LEFT[1] and stream.sent >= stream.play.half:
                stream.rest.clear()
                self._h2.ping(id.to_bytes(8, "big"))  # a stream that is reset in the read that begins it is not counted
                return
            room = min(self._h2.local_flow_control_window(id), self._h2.max_outbound_frame_size)
            if room <= 0:
                return
            piece, later = stream.rest[0][:room], stream.rest[0][room:]
            stream.rest[:1] = [later] if later else []
            stream.sent += len(piece)
            self._h2.send_data(id, piece, end_stream=not stream.rest)

    def _write(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                self._happened(event)
        except ProtocolError as error:
            self.wrong.append(f"client {self.number} was sent what is against the protocol: {error!r}")
            raise
            self.close()
            return
        for id in list(self._open):
            if self._open[id].rest:
                self._send(id)
        self._write()

    def _happened(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.wrong.append(f"client {self.number} was sent GOAWAY {event.error_code} {event.additional_data!r}")
            return
        if isinstance(event, PingAckReceived):
            if (left := int.from_bytes(event.ping_data, "big")) in self._open:
                self._leave(left)
            return
        stream = self._open.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, ResponseReceived | TrailersReceived):
            found = {str(name): str(value) for name, value in event.headers}
            stream.status = found.get(":status", stream.status)
            stream.code = found.get("grpc-status", stream.code)
        elif isinstance(event, DataReceived):
            self._data(event.stream_id, stream, event)
        elif isinstance(event, StreamEnded):
            good = stream.status == "200" and stream.code == ("0" if stream.play.grpc else "")
            self._reset(event.stream_id, ErrorCodes.NO_ERROR)  # answered before all was sent: the rest is not wanted
            self._over(event.stream_id, OK if good else ERROR)
        elif isinstance(event, StreamReset):
            self._over(event.stream_id, ERROR)

    def _data(self, id: int, stream: _Stream, event: DataReceived) -> None:
        stream.body += event.data
        stream.uncredited += event.flow_controlled_length
        if stream.play.kind == LEFT[0] and len(stream.body) >= stream.play.half:
            self._leave(id)
        elif not self.reads:
            return
        elif stream.play.kind == "slow":
            asyncio.get_running_loop().call_later(SLOWLY, self._credit, id)
        else:
            self._credit(id)

    def _credit(self, id: int) -> None:
        stream = self._open.get(id)
        if stream is not None and stream.uncredited and not self._transport.is_closing():
            size, stream.uncredited = stream.uncredited, 0
            self._h2.acknowledge_received_data(size, id)
            self._write()

    def _leave(self, id: int) -> None:
        if self._reset(id, ErrorCodes.CANCEL):  # else its end has come already, and is among the events that follow
            self._over(id, GIVEN_UP)

    def _reset(self, id: int, code: ErrorCodes) -> bool:
        """False when both halves have ended."""
        try:
            self._h2.reset_stream(id, code)
        except StreamClosedError:
            return False
        return True

    def _over(self, id: int, outcome: str) -> None:
        stream = self._open.pop(id)
        if stream.uncredited:
            self._h2.increment_flow_control_window(stream.uncredited)
        self._ended(outcome, stream.play, bytes(stream.body))
        asyncio.get_running_loop().call_later(self.pause, self._next)

    def _next(self) -> None:
        if not self.stopping and not self._transport.is_closing():
            self._begin()
            self._write()

    def read_on(self) -> None:
        super().read_on()
        for id in list(self._open):
            self._credit(id)

    def under_way(self) -> list[str]:
        return [
            f"{stream.play.kind} {stream.play.path}, stream {id}: {stream.sent} sent, {stream.rest[:1]!r:.40} left, "
            f"{len(stream.body)} of {len(stream.play.answer)} read, {stream.uncredited} uncredited, {stream.status!r}, "
            f"window {self._h2.local_flow_control_window(id)} of {self._h2.outbound_flow_control_window}"
            for id, stream in self._open.items()
        ]

    def close(self) -> None:
        self.closing = True
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closing:
            self.wrong.append(f"connection {self.number} was closed with {self.owed} streams under way: {exc!r}")


class H1Streams(Streams):
    """One exchange after the other, on a connection that is kept while both sides want it."""

    def __init__(self, plan: Plan, number: int, depth: int = 1, pause: float = 0.0) -> None:
        super().__init__(plan, number, depth, pause)
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self, port: int) -> None:
        self._port = port
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while not self.stopping:
            play = self._play = self._begun()
            try:
                outcome, body = await self._exchange(play)
            except (OSError, EOFError):  # the proxy gives up an answer that it cannot end
                outcome, body = ERROR, b""
                self._drop()
            self._ended(outcome, play, body)
            await asyncio.sleep(self.pause)

    async def _exchange(self, play: Play) -> tuple[str, bytes]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        sending = asyncio.get_running_loop().create_task(self._send(play, self._writer))
        answering = asyncio.get_running_loop().create_task(self._answer(play))
        try:
            await asyncio.wait((sending, answering), return_when=asyncio.FIRST_COMPLETED)
            if play.kind == LEFT[1] and sending.done() and not answering.done():
                self._drop()
                return GIVEN_UP, b""
            outcome, body, kept = await answering
            if not kept or not sending.done() or outcome == GIVEN_UP:
                self._drop()
            return outcome, body
        finally:
            for task in (sending, answering):
                task.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)

    async def _send(self, play: Play, writer: asyncio.StreamWriter) -> None:
        framing = "transfer-encoding: chunked\r\n" if play.pieces else ""
        writer.write(f"{play.method} {play.path} HTTP/1.1\r\nhost: soak\r\n{framing}\r\n".encode())
        sent = 0
        for piece in play.pieces:
            if play.kind == LEFT[1] and sent >= play.half:
                return
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            sent += len(piece)
        if play.pieces and play.kind != LEFT[1]:
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    async def _answer(self, play: Play) -> tuple[str, bytes, bool]:
        """How it ended, the body, and whether the connection is kept."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        body = bytearray()
        left = -1 if b"transfer-encoding: chunked" in head else _length(head)
        while left:
            size = int(await self._reader.readline(), 16) if left < 0 else min(left, 65_536)
            body += await self._reader.readexactly(size)
            if left < 0:
                await self._reader.readexactly(2)
            left -= size if left > 0 else -1 if not size else 0
            if play.kind == LEFT[0] and len(body) >= max(1, play.half):
                return GIVEN_UP, b"", False
            if play.kind == "slow":
                await asyncio.sleep(SLOWLY)
        return OK if head[9:12] == b"200" else ERROR, bytes(body), b"connection: close" not in head

    def under_way(self) -> list[str]:
        return [f"{self._play.kind} {self._play.path}", repr(self._task)]

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    def close(self) -> None:
        self.closing = True
        self._task.cancel()
        self._drop()


def _length(head: bytes) -> int:
    _, found, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0
