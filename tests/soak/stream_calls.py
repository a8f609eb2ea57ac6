"""
What the callers of streams ask for, and what must come back: uploads, downloads, both at once, read slowly, given up.

Lives here: a play of HTTP and of gRPC, against the servers on h2, grpcio and nginx of the interoperability tests.
Does not: connections (stream_callers.py).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

FILE = b"".join(b"%d," % number for number in range(30_000))
"""What nginx has as /files/large."""
ECHO = "/example.v1.Echo/"
FILL = b"\xa5"
"""Of which the gRPC server's replies are made."""
KINDS = ("both", "up", "down", "slow", "left while reading", "left while sending")
LEFT = KINDS[4:]
"""The kinds that the client gives up in the middle."""


@dataclass(frozen=True)
class Play:
    """
    An exchange: what is sent in which pieces, and the bytes that must come back. kind: one of KINDS. half: bytes sent
    or read behind which it is given up.
    """

    kind: str
    method: str
    path: str
    pieces: tuple[bytes, ...]
    answer: bytes
    grpc: bool = False

    @property
    def half(self) -> int:
        size = len(self.answer) if self.kind == "left while reading" else sum(map(len, self.pieces))
        return size // 2

    def heard(self, body: bytes) -> bytes:
        """What the body of an answer comes to: for gRPC the payloads of its messages."""
        return b"".join(map(_payload, _messages(body))) if self.grpc else body


def size_of(number: int, id: int) -> int:
    """Bytes of a body: from less than a piece to some windows."""
    return (1, 7_000, 70_000, 200_000)[(number + id) % 4] + id % 1000


def http_play(number: int, id: int, kind: str = "") -> Play:
    """What exchange `id` of client `number` does."""
    kind = kind or KINDS[(number + id) % len(KINDS)]
    size = size_of(number, id // len(KINDS))
    token = b"<t%d-%d>" % (number, id)
    body = (token * (size // len(token) + 1))[:size]
    pieces = tuple(body[at : at + 16_384] for at in range(0, size, 16_384))
    if kind == "down":
        path, answer = ("/files/large", FILE) if id % 2 else (f"/bytes/{size}", bytes(size))
        return Play(kind, "GET", path, (), answer)
    if kind in ("up", "left while sending"):
        counted = {"bytes": size, "crc32": zlib.crc32(body), "trailers": []}
        return Play(kind, "POST", "/sink", pieces, json.dumps(counted).encode())
    return Play(kind, "POST", "/echo", pieces, body)


def grpc_play(number: int, id: int, kind: str = "") -> Play:
    """The same of gRPC, with a message a piece."""
    same = http_play(number, id, kind)
    size = size_of(number, id // len(KINDS))
    if same.kind == "down":
        request = _message(_bytes(1, b"down") + _number(3, size) + _number(4, 3))
        return Play(same.kind, "POST", f"{ECHO}ServerStream", (request,), FILL * size * 3, True)
    messages = tuple(_message(_bytes(1, b"t") + _bytes(2, piece)) for piece in same.pieces)
    if same.kind in ("up", "left while sending"):
        return Play(same.kind, "POST", f"{ECHO}ClientStream", messages, str(size).encode(), True)
    return Play(same.kind, "POST", f"{ECHO}BidiStream", messages, same.answer, True)


def _message(data: bytes) -> bytes:
    return struct.pack(">BI", 0, len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _messages(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        size = int.from_bytes(body[at + 1 : at + 5], "big")
        yield body[at + 5 : at + 5 + size]
        at += 5 + size


def _payload(message: bytes) -> bytes:
    """Field 2 of an EchoReply."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        value, at = _read_varint(message, at)
        if key & 7 == 2:
            if key >> 3 == 2:
                return message[at : at + value]
            at += value
    return b""


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
