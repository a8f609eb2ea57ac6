"""
Reel, a protocol for tests of streams: whole messages, heads and chunks, windows; ids in all frames.

A frame: kind (1 byte), id (4), length (4), payload. Kinds: W whole, E whole and an error, O head, F head of a failure,
N head that gets no answer, V head of a push, v whole push, D data, C close, T close of a tunnel's half, X failed close,
R reset, U reset of what was certainly not done, I interim, P head that opens the request's half, w window (payload: 4
bytes of credit), G no more requests.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Mapping

from metaproxy.codecs.framing import Codec, LengthFramed
from metaproxy.message import Chunk, Correlation, ErrorKind, FrameError, Kind, Message, Side

HEAD = struct.Struct("!cII")


def frame(kind: str, id: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(kind.encode(), id, len(payload)) + payload


def frames(data: bytes) -> list[tuple[str, int, bytes]]:
    """What `data` holds, frame by frame."""
    found = []
    while data:
        kind, id, length = HEAD.unpack_from(data)
        found.append((kind.decode(), id, data[9 : 9 + length]))
        data = data[9 + length :]
    return found


def _size(data: bytes, offset: int) -> int:
    return int(HEAD.unpack_from(data, offset)[2]) + 9


_CHUNKS = {
    "D": (Kind.STREAM_DATA, {}),
    "C": (Kind.STREAM_CLOSE, {}),
    "T": (Kind.STREAM_CLOSE, {"final": False}),
    "X": (Kind.STREAM_CLOSE, {"failed": True}),
    "R": (Kind.STREAM_RESET, {}),
    "U": (Kind.STREAM_RESET, {"unsent": True}),
}


class ReelSession(LengthFramed):
    def __init__(self, side: Side, max_frame: int, codec: Reel) -> None:
        super().__init__(9, _size, self._read, max_frame)
        self._server = side is Side.SERVER
        self.flow = codec.flow
        self.capacity = codec.capacity
        self.credits: dict[int, int] = {}
        self.window = codec.window
        self._windows: dict[int, int] = {}
        self._unsent: dict[int, list[bytes]] = {}
        self._owed: list[bytes] = []
        self._fifo = codec.correlation is Correlation.FIFO
        self._resets = codec.resets

    # -- reading

    def _read(self, data: bytes) -> Message:
        kind, id, _ = HEAD.unpack_from(data)
        name, payload = kind.decode("latin-1"), data[9:]
        if name == "w":
            self._windows[id] = self._windows.get(id, self.window) + int.from_bytes(payload, "big")
            self._push(id)
            return Message(Kind.HEARTBEAT, data)
        if name in _CHUNKS:
            found, more = _CHUNKS[name]
            return Chunk(found, payload, id, **more)  # type: ignore[arg-type]
        return self._message(name, id, data)

    def _message(self, name: str, id: int, data: bytes) -> Message:
        if name == "G":
            return Message(Kind.DRAIN, data)
        if name in "Vv":
            return Message(
                Kind.EVENT_OPEN if name == "V" else Kind.EVENT, data, id, {"say": data[9:].decode("latin-1")}
            )
        if name == "I":
            return Message(Kind.INTERIM, data, id)
        if name in "OFPN":
            message = Message(Kind.STREAM_OPEN, data, id, {"say": data[9:].decode("latin-1")})
            if name == "F":
                message.failed = True
            if name == "P":
                message.duplex = True
            if name == "N":
                message.oneway = True
            return message
        if name not in "WE":
            raise FrameError(f"frame of kind {name!r}; allowed are W E O F P N V v D C T X R U I w G")
        kind = Kind.REQUEST if not self._server else Kind.RESPONSE if name == "W" else Kind.ERROR
        return Message(kind, data, id, {"say": data[9:].decode("latin-1")})

    # -- writing

    def send(self, message: Message, id: int) -> bytes:
        if not isinstance(message, Chunk):
            return message.frame[:1] + struct.pack("!I", id) + message.frame[5:]
        flags = (message.kind, message.failed, message.final)
        name = {
            (Kind.STREAM_DATA, False, True): "D",
            (Kind.STREAM_CLOSE, False, True): "C",
            (Kind.STREAM_CLOSE, False, False): "T",
            (Kind.STREAM_CLOSE, True, True): "X",
        }[flags]
        data = frame(name, id, message.frame)
        if not self.window:
            return data
        self._unsent.setdefault(id, []).append(data)
        ready, self._owed = self._owed, []
        self._push(id)
        sent, self._owed = self._owed, ready
        self.owes = bool(ready)
        return b"".join(sent)

    def _push(self, id: int) -> None:
        waiting = self._unsent.get(id, [])
        left = self._windows.get(id, self.window)
        while waiting and (left > 0 or waiting[0][:1] == b"C"):
            left -= len(waiting[0]) - 9
            self._owed.append(waiting.pop(0))
        self._windows[id] = left
        self.owes = bool(self._owed)

    def unsent_bytes(self, id: int) -> int:
        return sum(len(one) - 9 for one in self._unsent.get(id, ()))

    def credit(self, id: int, size: int) -> None:
        self.credits[id] = self.credits.get(id, 0) + size
        if self.window:
            self._owed.append(frame("w", id, size.to_bytes(4, "big")))
            self.owes = True

    def say(self, data: bytes) -> None:
        """Have the proxy write these bytes, of which no message says anything."""
        self._owed.append(data)
        self.owes = True

    def owed(self) -> bytes:
        owed, self._owed, self.owes = b"".join(self._owed), [], False
        return owed

    def reset(self, id: int, kind: ErrorKind | None, text: str) -> bytes | None:
        self._unsent.pop(id, None)
        return frame("R", id, text.encode()[:20]) if self._resets else None

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        return b""


class Reel(Codec):
    """flow, capacity: see ISession. window: bytes that a peer takes before it gives credit, 0: no windows."""

    name = "reel"
    mutable = ""
    max_id = (1 << 32) - 1

    def __init__(
        self, flow: str = "stream", capacity: int = 0, window: int = 0, resets: bool = True, fifo: bool = False
    ) -> None:
        self.flow = flow
        self.capacity = capacity
        self.window = window
        self.resets = resets
        self.connections = "multiplex" if flow == "stream" or fifo else "pool"
        if fifo:
            self.correlation = Correlation.FIFO

    def session(self, side: Side, max_frame: int) -> ReelSession:
        return ReelSession(side, max_frame, self)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes | Message:
        return Message(Kind.ERROR, frame("E", request.id, f"{kind.value}: {text}".encode()), request.id)

    def safe(self, request: Message) -> bool:
        return True


def credits_of(session: object) -> dict[int, int]:
    """What a session was credited: id -> bytes."""
    assert isinstance(session, ReelSession)
    return session.credits
