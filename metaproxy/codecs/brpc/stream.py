"""
Streams of bRPC: the frames that both sides send behind a call that opened one.

    | STRM | body size 4 | meta size 4 | StreamFrameMeta | data |

    StreamFrameMeta: 1 stream_id, of the receiver · 2 source_stream_id · 3 frame_type · 4 has_continuation · 5 feedback

Source: src/brpc/streaming_rpc_meta.proto and stream.cpp of Apache bRPC. Lives here: the layout, the settings in a call
and its answer, and what is known of one open stream. Does not: which streams a connection has (`session`).
"""

from __future__ import annotations

import struct
from typing import Final

from metaproxy.codecs.brpc import frame as tags
from metaproxy.codecs.protobuf_wire import Field, fields, number, without, write, write_number
from metaproxy.codecs.stream_flow import Incoming, Outgoing
from metaproxy.message import Chunk, FrameError, Kind

MAGIC: Final = 0x5354524D
MAX_META: Final = 4096
"""Bytes of a StreamFrameMeta, which has five small fields."""
MAX_CHUNK: Final = 64 * 1024
RST, CLOSE, DATA, FEEDBACK = 1, 2, 3, 4

# Tags of StreamFrameMeta.
STREAM_ID: Final = 0x08
SOURCE_STREAM_ID: Final = 0x10
FRAME_TYPE: Final = 0x18
HAS_CONTINUATION: Final = 0x20
FEEDBACK_META: Final = 0x2A
CONSUMED_SIZE: Final = 0x08

# Tags of StreamSettings.
NEED_FEEDBACK: Final = 0x10
EXTRA_STREAM_IDS: Final = frozenset((0x20, 0x22))
"""Packed, and one by one."""

CONTINUES: Final = {"continuation": "true"}
"""Metadata of a chunk whose message goes on in the next one."""

_HEADER = struct.Struct(">III")


class Meta:
    """What a StreamFrameMeta says. Raises FrameError."""

    __slots__ = ("consumed", "continues", "stream_id", "type")

    def __init__(self, data: bytes) -> None:
        self.stream_id = self.type = self.consumed = 0
        self.continues = False
        for field in fields(data, 0, len(data)):
            tag = field[0]
            if tag == STREAM_ID:
                self.stream_id = number(data, field)
            elif tag == FRAME_TYPE:
                self.type = number(data, field)
            elif tag == HAS_CONTINUATION:
                self.continues = bool(number(data, field))
            elif tag == FEEDBACK_META:
                for inner in fields(data, field[2], field[3]):
                    if inner[0] == CONSUMED_SIZE:
                        self.consumed = number(data, inner)
        if not RST <= self.type <= FEEDBACK:
            raise FrameError(f"stream frame type {self.type}; known are 1 (RST) to 4 (FEEDBACK)")


class Settings:
    """The stream_settings of a call or an answer. several: it opens more than one stream."""

    __slots__ = ("needs_feedback", "several", "stream_id")

    def __init__(self, frame: bytes, field: Field) -> None:
        self.stream_id = 0
        self.needs_feedback = self.several = False
        for inner in fields(frame, field[2], field[3]):
            tag = inner[0]
            if tag == STREAM_ID:
                self.stream_id = number(frame, inner)
            elif tag == NEED_FEEDBACK:
                self.needs_feedback = bool(number(frame, inner))
            elif tag in EXTRA_STREAM_IDS:
                self.several = True


def settings_of(frame: bytes, found: list[Field]) -> Settings | None:
    """The settings of a whole frame; found: the fields of its meta."""
    settings = None
    for field in found:
        if field[0] == tags.STREAM_SETTINGS:
            settings = Settings(frame, field)
    return settings


def with_settings(frame: bytes, stream_id: int) -> bytes:
    """The frame with another stream_id in its settings, and the wish for feedback: the proxy sends within a window."""
    gone = {STREAM_ID, NEED_FEEDBACK, *EXTRA_STREAM_IDS}
    found = tags.meta_fields(frame)
    kept = without(frame, found, {tags.STREAM_SETTINGS})
    own = [write_number(STREAM_ID, stream_id), write_number(NEED_FEEDBACK, 1)]
    for field in found:
        if field[0] == tags.STREAM_SETTINGS:
            own += without(frame, fields(frame, field[2], field[3]), gone)
    kept.append(write(tags.STREAM_SETTINGS, b"".join(own)))
    return tags.spliced(frame, tags.HEAD, tags.meta_end(frame), b"".join(kept))


class Stream:
    """
    One open stream of a connection. id: its exchange's; own: the stream id that the peer sends to; peer: the peer's,
    which is known once its settings came. ended: the peer has closed it; closing: the proxy's own CLOSE was taken;
    given_up: before the peer's settings came.
    """

    __slots__ = (
        "_acknowledged", "_credited", "_data", "_feedback", "_incoming", "_more", "_most", "_within", "closing",
        "connected", "ended", "given_up", "id", "outgoing", "own", "peer",
    )  # fmt: skip

    def __init__(self, id: int, own: int, buffer: int, message: int) -> None:
        """buffer: bytes that may wait before the peer begins a message more; message: bytes that one may have."""
        self.id = id
        self.own = own
        self.peer = 0
        self.connected = self.ended = self.closing = self.given_up = False
        self.outgoing = Outgoing()
        self._incoming = Incoming(0, buffer)
        self._most = buffer + message
        self._within = self._feedback = False
        self._credited = self._acknowledged = 0
        self._data = self._more = b""

    def meet(self, settings: Settings) -> None:
        """The peer's settings have come."""
        self.peer = settings.stream_id
        self._feedback = settings.needs_feedback
        start = self._meta(DATA)
        self._data, self._more = start + b"\x20\x00", start + b"\x20\x01"

    def connect(self, window: int) -> bytes:
        """Both sides know each other's ids: what waited for that."""
        self.connected = True
        return self.outgoing.open(window)

    def take(self, size: int, continues: bool) -> bool:
        """Count a piece of a message that came. False if far more waits than the peer may have sent."""
        fits = self._incoming.take(size) or self._within
        self._within = continues
        return fits and self._incoming.waiting <= self._most

    def acknowledge(self, consumed: int) -> bytes:
        """The peer's FEEDBACK: bytes that it has consumed so far. What may be sent now."""
        size, self._acknowledged = consumed - self._acknowledged, max(consumed, self._acknowledged)
        return self.outgoing.grow(size) if size > 0 else b""

    def data(self, payload: bytes, continues: bool) -> bytes:
        """A piece of a message, if it may be sent now."""
        meta = self._more if continues else self._data
        size = len(payload)
        frame = _HEADER.pack(MAGIC, len(meta) + size, len(meta)) + meta + payload
        return self.outgoing.add(frame, size, continues)

    def close(self) -> bytes:
        """The CLOSE, behind what still waits."""
        self.closing = True
        return self.outgoing.add(self.frame(CLOSE), 0)

    def frame(self, type: int) -> bytes:
        """A frame that is its type alone: RST or CLOSE."""
        meta = self._meta(type)
        return _HEADER.pack(MAGIC, len(meta), len(meta)) + meta

    def credit(self, size: int) -> bytes:
        """So many bytes have left the proxy: the FEEDBACK of that, if the peer wants it. Its sender may wait for it."""
        self._credited += self._incoming.credit(size)
        if not (self._feedback and self.connected and size):
            return b""
        meta = self._meta(FEEDBACK) + write(FEEDBACK_META, write_number(CONSUMED_SIZE, self._credited))
        return _HEADER.pack(MAGIC, len(meta), len(meta)) + meta

    def _meta(self, type: int) -> bytes:
        own = write_number(STREAM_ID, self.peer) + write_number(SOURCE_STREAM_ID, self.own)
        return own + write_number(FRAME_TYPE, type)


def chunk(id: int, payload: bytes, continues: bool) -> Chunk:
    """A piece of a message."""
    return Chunk(Kind.STREAM_DATA, payload, id, CONTINUES if continues else None)
