"""
Clients of Dubbo, Thrift, Redis and HTTP/1.1 that are no library's: each knows what it is owed, and checks every answer.

Lives here: one call of each protocol in bytes, and how its answer is found (`Dubbo`, `Thrift`, `Redis`, `Http`);
`Caller`, which has many calls under way; `Neighbour`, which has one, and measures how long it waits. Does not: servers,
faults.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import Counter, deque

OK, ERROR, NONE = "ok", "error", ""


class _Named:
    @staticmethod
    def token(number: int, id: int) -> str:
        """What call `id` of client `number` asks for, and its answer must have."""
        return f"t{number}-{id}"


def _text(value: str) -> bytes:
    """A text of less than 32 characters in hessian2."""
    return bytes([len(value)]) + value.encode()


_DUBBO = b"".join(map(_text, ("2.0.2", "org.example.HelloService", "1.0.0", "sayHello", "Ljava/lang/String;")))
_ATTACHMENTS = (
    b"H" + b"".join(map(_text, ("path", "org.example.HelloService", "interface", "org.example.HelloService"))) + b"Z"
)


class Dubbo(_Named):
    """sayHello(token) of the interoperability tests' providers."""

    in_order = False

    @staticmethod
    def call(id: int, token: str) -> bytes:
        body = _DUBBO + _text(token) + _ATTACHMENTS
        return struct.pack(">HBBQI", 0xDABB, 0xC2, 0, id, len(body)) + body

    @staticmethod
    def read(data: bytes, at: int) -> tuple[int, int, str, bytes] | None:
        """Where it ends, id, what it is, and the bytes in which the token must be; None while it is incomplete."""
        if len(data) < at + 16:
            return None
        _, flags, status, id, size = struct.unpack_from(">HBBQI", data, at)
        end = at + 16 + size
        if len(data) < end:
            return None
        kind = NONE if flags & 0x20 else OK if status == 20 else ERROR
        return end, id, kind, data[at + 16 : end]


class Thrift(_Named):
    """sayHello(token), framed, binary."""

    in_order = False

    @staticmethod
    def call(id: int, token: str) -> bytes:
        name, value = b"sayHello", token.encode()
        body = struct.pack(">II8sI", 0x80010001, 8, name, id) + struct.pack(">BHI", 11, 1, len(value)) + value + b"\0"
        return struct.pack(">I", len(body)) + body

    @staticmethod
    def read(data: bytes, at: int) -> tuple[int, int, str, bytes] | None:
        if len(data) < at + 4:
            return None
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        if len(data) < end:
            return None
        kind, _, id = struct.unpack_from(">I4x8sI", data, at + 4)
        return end, id, OK if kind & 0xFF == 2 else ERROR, data[at + 4 : end]


class Redis(_Named):
    """ECHO token: answered in order, by value."""

    in_order = True

    @staticmethod
    def call(id: int, token: str) -> bytes:
        return b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(token), token.encode())

    @staticmethod
    def read(data: bytes, at: int) -> tuple[int, int, str, bytes] | None:
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        if data[at : at + 1] == b"-":
            return line + 2, 0, ERROR, b""
        end = line + 2 + int(data[at + 1 : line]) + 2
        return (end, 0, OK, data[line + 2 : end]) if len(data) >= end else None


class LargeRedis(Redis):
    """GET of one of `COUNT` values of 1 MB, each of which begins with its key: `fill` puts them there."""

    COUNT = 16

    @staticmethod
    def token(number: int, id: int) -> str:
        return f"large:{id % LargeRedis.COUNT:02}"

    @staticmethod
    def call(id: int, token: str) -> bytes:
        return b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(token), token.encode())

    @staticmethod
    def fill() -> bytes:
        """The commands that store the values."""
        keys = [LargeRedis.token(0, id).encode() for id in range(LargeRedis.COUNT)]
        return b"".join(
            b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$1000000\r\n%b\r\n" % (len(key), key, key.ljust(1_000_000))
            for key in keys
        )


class Http(_Named):
    """POST /echo with the token as the body: HTTP/1.1, answered in order, with a length or in chunks."""

    in_order = True

    @staticmethod
    def call(id: int, token: str) -> bytes:
        head = f"POST /echo HTTP/1.1\r\nhost: calls\r\ncontent-length: {len(token)}\r\n\r\n"
        return head.encode() + token.encode()

    @staticmethod
    def read(data: bytes, at: int) -> tuple[int, int, str, bytes] | None:
        body = data.find(b"\r\n\r\n", at) + 4
        if body < 4:
            return None
        head = data[at:body].lower()
        kind = OK if head[9:12] == b"200" else ERROR
        _, sized, rest = head.partition(b"\r\ncontent-length:")
        if sized or b"transfer-encoding: chunked" not in head:
            end = body + int(rest.partition(b"\r\n")[0] or 0)
            return (end, 0, kind, data[body:end]) if len(data) >= end else None
        whole = b""
        while (line := data.find(b"\r\n", body)) >= 0:
            size = int(data[body:line], 16)
            body = line + 4 + size
            if len(data) < body:
                return None
            whole += data[line + 2 : body - 2]
            if not size:
                return body, 0, kind, whole
        return None


Protocol = type[Dubbo] | type[Thrift] | type[Redis] | type[Http]


class Caller(asyncio.Protocol):
    """
    Keeps `depth` requests under way, each next one `pause` seconds after an answer, until it is `stopping`. outcomes:
    how the proxy answered; wrong: what should not have happened: an answer to nothing, a second one, another's; a
    connection that was closed. reads: False lets answers lie until `read_on`.
    """

    def __init__(self, protocol: Protocol, number: int, depth: int, pause: float = 0.0) -> None:
        self.protocol = protocol
        self.pause = pause
        self.number = number
        self.depth = depth
        self.sent = 0
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.stopping = False
        self.closing = False
        self.reads = True
        self._owed: dict[int, str] = {}
        self._order: deque[int] = deque()
        self._data = b""

    def itself(self) -> Caller:
        """In the place of a factory, which asyncio wants."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self.reads:
            transport.pause_reading()
        self._send(self.depth)

    def _send(self, count: int) -> None:
        calls = []
        for _ in range(count):
            self.sent += 1
            token = self.protocol.token(self.number, self.sent)
            self._owed[self.sent] = token
            if self.protocol.in_order:
                self._order.append(self.sent)
            calls.append(self.protocol.call(self.sent, token))
        self._transport.write(b"".join(calls))

    def data_received(self, data: bytes) -> None:
        data = self._data + data
        ended = at = 0
        while (found := self.protocol.read(data, at)) is not None:
            at, id, kind, body = found
            if kind != NONE:
                ended += self._answered(id, kind, body)
        self._data = data[at:]
        if ended and self.pause:
            asyncio.get_running_loop().call_later(self.pause, self._next, ended)
        elif ended:
            self._next(ended)

    def _next(self, count: int) -> None:
        if not self.stopping and not self._transport.is_closing():
            self._send(count)

    def _answered(self, id: int, kind: str, body: bytes) -> int:
        if self.protocol.in_order:
            id = self._order.popleft() if self._order else 0
        token = self._owed.pop(id, None)
        if token is None:
            self.wrong.append(f"an answer to {id}, which was not asked or is answered already")
            return 0
        if kind == OK and token.encode() not in body:
            self.wrong.append(f"the answer to {token} is {body[:80]!r}")
        self.outcomes[kind] += 1
        return 1

    def read_on(self) -> None:
        self.reads = True
        self._transport.resume_reading()

    def close(self) -> None:
        self.closing = True
        self._transport.close()

    @property
    def owed(self) -> int:
        return len(self._owed)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closing:
            self.wrong.append(f"connection {self.number} was closed with {self.owed} requests under way: {exc!r}")


class Neighbour(Caller):
    """
    Has one call under way at a time, the next PAUSE seconds after an answer. waits: when each was sent, on the
    system's monotonic clock, and the seconds until its answer.
    """

    PAUSE = 0.005

    def __init__(self, protocol: Protocol, number: int) -> None:
        super().__init__(protocol, number, 1, self.PAUSE)
        self.waits: list[tuple[float, float]] = []

    def _send(self, count: int) -> None:
        self._began = time.monotonic()
        super()._send(count)

    def _answered(self, id: int, kind: str, body: bytes) -> int:
        ended = super()._answered(id, kind, body)
        if ended:
            self.waits.append((self._began, time.monotonic() - self._began))
        return ended
