"""
Frames of bRPC's baidu_std, calls and streams, by hand, with nothing of ours: no library outside of C++ has streams.

Lives here: protobuf as far as the two metas need it, frames to and from a socket, one half of a stream's flow control.
Layouts are those of Apache bRPC: src/brpc/policy/baidu_rpc_meta.proto and src/brpc/streaming_rpc_meta.proto.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

RST, CLOSE, DATA, FEEDBACK = 1, 2, 3, 4
BUFFER = 2 << 20  # bytes that a sender may have on the way, as bRPC's default has it
FRAME = 64 << 10  # a message is cut into frames of so many bytes

Fields = dict[int, list["int | bytes"]]


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def number(key: int, value: int) -> bytes:
    return varint(key << 3) + varint(value)


def nested(key: int, value: bytes) -> bytes:
    return varint(key << 3 | 2) + varint(len(value)) + value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data: bytes) -> Fields:
    """All fields by their number, in the order of arrival; numbers are not signed."""
    found: Fields = {}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        if key & 7 == 0:
            value, at = _read_varint(data, at)
            found.setdefault(key >> 3, []).append(value)
        elif key & 7 == 2:
            size, at = _read_varint(data, at)
            found.setdefault(key >> 3, []).append(data[at : at + size])
            at += size
        else:
            raise ValueError(f"a field of wire type {key & 7}")
    return found


def one(found: Fields, key: int, otherwise: int = 0) -> int:
    value = found.get(key, [otherwise])[-1]
    assert isinstance(value, int)
    return value


def text(found: Fields, key: int) -> bytes:
    value = found.get(key, [b""])[-1]
    assert isinstance(value, bytes)
    return value


@dataclass
class Frame:
    """magic: PRPC or STRM; meta: its fields; body: data, and behind it the attachment of a call."""

    magic: bytes
    meta: Fields
    body: bytes


def frame(magic: bytes, meta: bytes, body: bytes = b"") -> bytes:
    return magic + struct.pack(">II", len(meta) + len(body), len(meta)) + meta + body


def frames(sock: socket.socket) -> Iterator[Frame]:
    """What arrives, until the other side closes. A broken frame raises ValueError."""
    stream = sock.makefile("rb")
    while head := stream.read(12):
        if len(head) < 12 or head[:4] not in (b"PRPC", b"STRM"):
            raise ValueError(f"no frame begins with {head[:12]!r}")
        size, meta = struct.unpack(">II", head[4:])
        body = stream.read(size)
        if len(body) < size or meta > size:
            raise ValueError(f"a frame of {size} bytes with {meta} of meta has {len(body)}")
        yield Frame(head[:4], fields(body[:meta]), body[meta:])


@dataclass
class Stream:
    """
    One side of a stream. own, other: the ids that the two sides have given it.

    acknowledge: whether FEEDBACK is sent for what was read. Messages are put together from their frames.
    """

    sock: socket.socket
    lock: threading.Lock
    own: int
    other: int
    acknowledge: bool = True
    closed: bool = False
    reset: bool = False
    _produced: int = 0
    _consumed: int = 0
    _acknowledged: int = 0
    _parts: bytearray = field(default_factory=bytearray)
    _credit: threading.Condition = field(default_factory=threading.Condition)

    def _send(self, kind: int, more: bytes = b"", body: bytes = b"") -> None:
        meta = number(1, self.other) + number(2, self.own) + number(3, kind) + more
        with self.lock:
            self.sock.sendall(frame(b"STRM", meta, body))

    def send(self, message: bytes, seconds: float = 20.0) -> None:
        """Sends a message; waits while more than the buffer is on the way. TimeoutError when no credit comes."""
        for start in range(0, max(1, len(message)), FRAME):
            part = message[start : start + FRAME]
            with self._credit:
                if not self._credit.wait_for(self._may_send, seconds):
                    raise TimeoutError(f"no feedback behind {self._produced} bytes, {self._acknowledged} acknowledged")
                if self.closed:
                    raise ConnectionError("the stream is closed")
                self._produced += len(part)
            self._send(DATA, number(4, int(start + FRAME < len(message))), part)

    def _may_send(self) -> bool:
        return self.closed or self._produced - self._acknowledged < BUFFER

    def receive(self, arrived: Frame) -> bytes | None:
        """Takes a frame; returns a message that it completes."""
        kind = one(arrived.meta, 3)
        if kind == FEEDBACK:
            with self._credit:
                self._acknowledged = one(fields(text(arrived.meta, 5)), 1)
                self._credit.notify_all()
        elif kind in (RST, CLOSE):
            with self._credit:
                self.closed, self.reset = True, kind == RST
                self._credit.notify_all()
        elif kind == DATA:
            self._parts += arrived.body
            self._consumed += len(arrived.body)
            if self.acknowledge:
                self._send(FEEDBACK, nested(5, number(1, self._consumed)))
            if not one(arrived.meta, 4):
                message = bytes(self._parts)
                self._parts.clear()
                return message
        return None

    def close(self) -> None:
        self._send(CLOSE)

    def abort(self) -> None:
        self._send(RST)
