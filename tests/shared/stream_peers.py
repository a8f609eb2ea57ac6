"""
Peers of bRPC's and tRPC's streams, for tests: written from the protocols' descriptions, by nothing of ours.

A peer keeps to its windows. `out` is what it has to say; `feed` takes what it is sent, in any pieces.
"""

from __future__ import annotations

import struct
from collections import deque

from protobuf_writing import blob, num


def read_fields(data: bytes) -> dict[int, list[int | bytes]]:
    """The fields of a message by their number, varints and bytes."""
    found: dict[int, list[int | bytes]] = {}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            found.setdefault(tag >> 3, []).append(number())
        else:
            assert tag & 7 == 2, tag
            size = number()
            found.setdefault(tag >> 3, []).append(data[at : at + size])
            at += size
    return found


def last_int(found: dict[int, list[int | bytes]], field: int) -> int:
    value = found.get(field, [0])[-1]
    assert isinstance(value, int)
    return value


def last_bytes(found: dict[int, list[int | bytes]], field: int) -> bytes:
    value = found.get(field, [b""])[-1]
    assert isinstance(value, bytes)
    return value


class Half:
    """
    A stream as its peer sees it. sent, got: whole messages. window: bytes that may still be sent. eaten: messages of
    `got` that were consumed; room: what its sender may have sent and not known of as consumed, for the check.
    """

    def __init__(self, id: int) -> None:
        self.id = id
        self.remote = 0
        self.open = False
        self.refused = self.ended = self.reset = self.closed = False
        self.sent: list[bytes] = []
        self.got: list[bytes] = []
        self.waiting: deque[bytes] = deque()
        self.closing = False
        self.window = 0
        self.room = 0
        self.eaten = 0
        self.consumed = 0
        self.acknowledged = 0
        self.partial = b""

    def arrived(self, message: bytes) -> None:
        assert not self.ended, "data behind the end"
        assert self.room > 0 or not message, "a message that began without a window"
        self.room -= len(message)
        self.got.append(message)

    def next(self) -> bytes | None:
        """The next message that the window allows."""
        if self.open and not self.closed and self.waiting and (self.window > 0 or not self.waiting[0]):
            message = self.waiting.popleft()
            self.window -= len(message)
            self.sent.append(message)
            return message
        return None


class Peer:
    """Either end of a connection."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.out = bytearray()
        self.halves: dict[int, Half] = {}
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        self._held += data
        while (size := self._size()) and len(self._held) >= size:
            frame = bytes(self._held[:size])
            del self._held[:size]
            self._frame(frame)

    def _size(self) -> int:
        raise NotImplementedError

    def _frame(self, frame: bytes) -> None:
        raise NotImplementedError

    def open(self, id: int) -> Half:
        """The client: ask for a stream."""
        raise NotImplementedError

    def send(self, half: Half) -> None:
        """As much as its window allows, and the end behind it."""
        while (message := half.next()) is not None:
            self.out += self._data(half, message)
        if half.open and half.closing and not half.waiting and not half.closed:
            half.closed = True
            self.out += self._end(half)

    def eat(self, half: Half, messages: int) -> None:
        """Consume some messages, and say so."""
        size = sum(map(len, half.got[half.eaten : half.eaten + messages]))
        half.eaten = min(len(half.got), half.eaten + messages)
        half.consumed += size
        half.room += size
        if size and not half.ended:
            self.out += self._feedback(half, size)

    def _data(self, half: Half, message: bytes) -> bytes:
        raise NotImplementedError

    def _end(self, half: Half) -> bytes:
        raise NotImplementedError

    def _feedback(self, half: Half, size: int) -> bytes:
        raise NotImplementedError

    def abort(self, half: Half) -> None:
        """End a stream both ways."""
        raise NotImplementedError


class TrpcPeer(Peer):
    """tRPC. window: what it gives, and 0 for no flow control."""

    def __init__(self, window: int, server: bool) -> None:
        super().__init__(window)
        self._server = server

    def _size(self) -> int:
        return int.from_bytes(self._held[4:8], "big") if len(self._held) >= 16 else 0

    def _write(self, type: int, id: int, payload: bytes) -> bytes:
        return struct.pack(">HBBIHIH", 0x0930, 1, type, 16 + len(payload), 0, id, 0) + payload

    def open(self, id: int) -> Half:
        half = self.halves[id] = Half(id)
        half.room = self.window or 1 << 60
        meta = blob(1, blob(1, "c") + blob(2, "trpc.a.b.C") + blob(3, "/trpc.a.b.C/Chat"))
        self.out += self._write(1, id, meta + (num(3, self.window) if self.window else b""))
        return half

    def _frame(self, frame: bytes) -> None:
        type, id, payload = frame[3], int.from_bytes(frame[10:14], "big"), frame[16:]
        assert frame[:3] == b"\x09\x30\x01", frame[:16]
        found = read_fields(payload) if type != 2 else {}
        if type == 1 and self._server:
            half = self.halves[id] = Half(id)
            half.open = True
            half.room = self.window or 1 << 60
            half.window = last_int(found, 3) or 1 << 60
            self.out += self._write(1, id, blob(2, b"") + (num(3, self.window) if self.window else b""))
            return
        half = self.halves[id]
        if type == 1:
            ret = last_int(read_fields(last_bytes(found, 2)), 1)
            half.open, half.refused = not ret, bool(ret)
            half.window = last_int(found, 3) or 1 << 60
        elif type == 2:
            half.arrived(payload)
        elif type == 3:
            half.window += last_int(found, 1)
        else:
            half.ended = True
            half.reset = last_int(found, 1) == 1

    def _data(self, half: Half, message: bytes) -> bytes:
        return self._write(2, half.id, message)

    def _end(self, half: Half) -> bytes:
        return self._write(4, half.id, b"")

    def _feedback(self, half: Half, size: int) -> bytes:
        return self._write(3, half.id, num(1, size)) if self.window else b""

    def abort(self, half: Half) -> None:
        half.closed = True
        self.out += self._write(4, half.id, num(1, 1) + num(2, 161))


class BrpcPeer(Peer):
    """
    bRPC. window: its own sender's buffer; it answers calls at once, and splits messages where `split` says.

    proxy_window: what the sender at the other end keeps to, for the check.
    """

    def __init__(self, window: int, server: bool, proxy_window: int, split: int = 1 << 30) -> None:
        super().__init__(window)
        self._server = server
        self._proxy_window = proxy_window
        self._split = split
        self._base = 5000 if server else 0
        self._by_call: dict[int, Half] = {}

    def _size(self) -> int:
        return 12 + int.from_bytes(self._held[4:8], "big") if len(self._held) >= 12 else 0

    def _write(self, half: Half, type: int, payload: bytes = b"", more: bytes = b"") -> bytes:
        meta = num(1, half.remote) + num(2, half.id) + num(3, type) + more
        return b"STRM" + struct.pack(">II", len(meta) + len(payload), len(meta)) + meta + payload

    def _call(self, meta: bytes) -> bytes:
        return b"PRPC" + struct.pack(">II", len(meta), len(meta)) + meta

    def open(self, id: int) -> Half:
        half = self.halves[id] = self._by_call[id] = Half(id)
        meta = blob(1, blob(1, "a.B") + blob(2, "Open")) + num(4, id) + blob(8, num(1, id) + num(2, 1))
        self.out += self._call(meta)
        return half

    def _frame(self, frame: bytes) -> None:
        size = int.from_bytes(frame[8:12], "big")
        found, payload = read_fields(frame[12 : 12 + size]), frame[12 + size :]
        if frame[:4] == b"PRPC":
            self._called(found)
            return
        assert frame[:4] == b"STRM", frame[:12]
        half = self.halves[last_int(found, 1)]
        assert last_int(found, 2) == half.remote
        type = last_int(found, 3)
        if type == 3:
            half.partial += payload
            if not last_int(found, 4):
                message, half.partial = half.partial, b""
                half.arrived(message)
        elif type == 4:
            consumed = last_int(read_fields(last_bytes(found, 5)), 1)
            half.window += consumed - half.acknowledged
            half.acknowledged = consumed
        else:
            half.ended = True
            half.reset = type == 1

    def _called(self, found: dict[int, list[int | bytes]]) -> None:
        settings = read_fields(last_bytes(found, 8))
        id = last_int(found, 4)
        if self._server:
            half = Half(self._base + id)
            self.halves[half.id] = half
            self.out += self._call(blob(2, b"") + num(4, id) + blob(8, num(1, half.id) + num(2, 1)))
        else:
            half = self._by_call[id]
        half.refused = not settings
        half.open = not half.refused
        half.remote = last_int(settings, 1)
        half.window, half.room = self.window, self._proxy_window

    def _data(self, half: Half, message: bytes) -> bytes:
        pieces = [message[at : at + self._split] for at in range(0, len(message), self._split)] or [b""]
        return b"".join(
            self._write(half, 3, piece, num(4, number < len(pieces))) for number, piece in enumerate(pieces, 1)
        )

    def _end(self, half: Half) -> bytes:
        return self._write(half, 2)

    def _feedback(self, half: Half, size: int) -> bytes:
        return self._write(half, 4, b"", blob(5, num(1, half.consumed)))

    def abort(self, half: Half) -> None:
        half.closed = True
        self.out += self._write(half, 1)
