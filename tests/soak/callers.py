"""
Clients of the chaos test: Dubbo, Thrift and Redis, each keeping requests under way and checking every answer.

Lives here: the bytes of one call of each protocol, and `Caller`, which knows what it is owed. Does not: servers, chaos.
"""

from __future__ import annotations

import asyncio
import struct
from collections import Counter, deque
from collections.abc import Callable

OK, ERROR, NONE = "ok", "error", ""


def _text(value: str) -> bytes:
    """A text of less than 32 characters in hessian2."""
    return bytes([len(value)]) + value.encode()


_DUBBO = b"".join(map(_text, ("2.0.2", "org.example.HelloService", "1.0.0", "sayHello", "Ljava/lang/String;")))
_ATTACHMENTS = (
    b"H" + b"".join(map(_text, ("path", "org.example.HelloService", "interface", "org.example.HelloService"))) + b"Z"
)


class Dubbo:
    """sayHello(token) of the interoperability tests' providers."""

    in_order = False

    @staticmethod
    def call(id: int, token: str) -> bytes:
        body = _DUBBO + _text(token) + _ATTACHMENTS
        return struct.pack(">HBBQI", 0xDABB, 0xC2, 0, id, len(body)) + body

    @staticmethod
    def read(data: bytes) -> tuple[int, int, str, bytes] | None:
        """Size, id, what it is, and the bytes in which the token must be; None while it is incomplete."""
        if len(data) < 16:
            return None
        _, flags, status, id, size = struct.unpack_from(">HBBQI", data)
        if len(data) < 16 + size:
            return None
        kind = NONE if flags & 0x20 else OK if status == 20 else ERROR
        return 16 + size, id, kind, data[16 : 16 + size]


class Thrift:
    """sayHello(token), framed, binary."""

    in_order = False

    @staticmethod
    def call(id: int, token: str) -> bytes:
        name, value = b"sayHello", token.encode()
        body = struct.pack(">II8sI", 0x80010001, 8, name, id) + struct.pack(">BHI", 11, 1, len(value)) + value + b"\0"
        return struct.pack(">I", len(body)) + body

    @staticmethod
    def read(data: bytes) -> tuple[int, int, str, bytes] | None:
        if len(data) < 4:
            return None
        (size,) = struct.unpack_from(">I", data)
        if len(data) < 4 + size:
            return None
        kind, _, id = struct.unpack_from(">I4x8sI", data, 4)
        return 4 + size, id, OK if kind & 0xFF == 2 else ERROR, data[4 : 4 + size]


class Redis:
    """ECHO token: answered in order, by value."""

    in_order = True

    @staticmethod
    def call(id: int, token: str) -> bytes:
        return b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(token), token.encode())

    @staticmethod
    def read(data: bytes) -> tuple[int, int, str, bytes] | None:
        line = data.find(b"\r\n")
        if line < 0:
            return None
        if data[:1] == b"-":
            return line + 2, 0, ERROR, b""
        size = line + 2 + int(data[1:line]) + 2
        return (size, 0, OK, data[line + 2 : size]) if len(data) >= size else None


class Caller(asyncio.Protocol):
    """
    Keeps `depth` requests under way. outcomes: how the proxy answered; wrong: whatever should not have happened: an
    answer to nothing, a second one, somebody else's; a connection that was closed.
    """

    def __init__(self, protocol: type[Dubbo] | type[Thrift] | type[Redis], number: int, depth: int) -> None:
        self.protocol = protocol
        self.number = number
        self.depth = depth
        self.sent = 0
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.stopping = False
        self.closing = False
        self._owed: dict[int, str] = {}
        self._order: deque[int] = deque()
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send(self.depth)

    def _send(self, count: int) -> None:
        calls = []
        for _ in range(count):
            self.sent += 1
            token = f"t{self.number}-{self.sent}"
            self._owed[self.sent] = token
            if self.protocol.in_order:
                self._order.append(self.sent)
            calls.append(self.protocol.call(self.sent, token))
        self._transport.write(b"".join(calls))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._data += data
        ended = 0
        while (found := self.protocol.read(self._data)) is not None:
            size, id, kind, body = found
            self._data = self._data[size:]
            if kind != NONE:
                ended += self._answered(id, kind, body)
        if ended and not self.stopping:
            self._send(ended)

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

    @property
    def owed(self) -> int:
        return len(self._owed)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closing:
            self.wrong.append(f"connection {self.number} was closed with {self.owed} requests under way: {exc!r}")


async def run(
    plan: list[tuple[type[Dubbo] | type[Thrift] | type[Redis], int, int, int]],
    stop: Callable[[], bool],
    made: list[Caller],
    connect: Callable[[asyncio.AbstractEventLoop, Caller, int], object],
) -> None:
    """plan: protocol, port, connections, depth. Calls until stop(), then waits for what is owed. made: the callers."""
    loop = asyncio.get_running_loop()
    for protocol, port, connections, depth in plan:
        for _ in range(connections):
            caller = Caller(protocol, len(made), depth)
            made.append(caller)
            await connect(loop, caller, port)  # type: ignore[misc]
    while not stop():
        await asyncio.sleep(0.05)
    for caller in made:
        caller.stopping = True
    for _ in range(200):
        if not any(caller.owed for caller in made):
            break
        await asyncio.sleep(0.05)
