"""
Streams of tRPC: INIT both ways, DATA within windows, FEEDBACK that opens them, CLOSE of each side.

Source: docs/en/trpc_protocol_design.md and trpc/proto/trpc.proto of trpc-group/trpc. Lives here: what these frames say,
and what is known of one open stream. Does not: which streams a connection has (`session`), unary frames (`frame`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.protobuf_wire import fields, number, signed, without, write, write_number
from metaproxy.codecs.stream_flow import Incoming, Outgoing
from metaproxy.codecs.trpc.frame import CLOSE, DATA, FEEDBACK, HEAD, HEADER, INIT, MAGIC, STREAM

# Tags of TrpcStreamInitMeta.
REQUEST_META: Final = 0x0A
RESPONSE_META: Final = 0x12
INIT_WINDOW_SIZE: Final = 0x18
INIT_CONTENT_TYPE: Final = 0x20
INIT_CONTENT_ENCODING: Final = 0x28

# Tags of TrpcStreamInitRequestMeta.
INIT_CALLER: Final = 0x0A
INIT_CALLEE: Final = 0x12
INIT_FUNC: Final = 0x1A
INIT_MESSAGE_TYPE: Final = 0x20
INIT_TRANS_INFO: Final = 0x2A

# Tags of TrpcStreamInitResponseMeta.
INIT_RET: Final = 0x08
INIT_ERROR_MSG: Final = 0x12

# Tags of TrpcStreamFeedBackMeta and TrpcStreamCloseMeta.
WINDOW_SIZE_INCREMENT: Final = 0x08
CLOSE_TYPE: Final = 0x08
CLOSE_RET: Final = 0x10
CLOSE_MSG: Final = 0x1A
CLOSE_FUNC_RET: Final = 0x30

RESET: Final = 1
"""The close_type that ends both halves."""
_UINT32: Final = 0xFFFFFFFF


def stream_frame(type: int, id: int, payload: bytes) -> bytes:
    return HEADER.pack(MAGIC, STREAM, type, HEAD + len(payload), 0, id, 0, 0) + payload


def init_with(frame: bytes, id: int, window: int) -> bytes:
    """The INIT under another stream id, with another window; without one if that is 0, which means no flow control."""
    kept = without(frame, fields(frame, HEAD, len(frame)), {INIT_WINDOW_SIZE})
    if window:
        kept.append(write_number(INIT_WINDOW_SIZE, window))
    return stream_frame(INIT, id, b"".join(kept))


def window_of(frame: bytes) -> int:
    """The init_window_size of an INIT; 0 for none. Raises FrameError."""
    window = 0
    for field in fields(frame, HEAD, len(frame)):
        if field[0] == INIT_WINDOW_SIZE:
            window = number(frame, field) & _UINT32
    return window


def ret_of(frame: bytes) -> int:
    """The ret of the answer to an INIT; 0 where it was accepted. Raises FrameError."""
    ret = 0
    for field in fields(frame, HEAD, len(frame)):
        if field[0] == RESPONSE_META:
            for inner in fields(frame, field[2], field[3]):
                if inner[0] == INIT_RET:
                    ret = signed(number(frame, inner))
    return ret


def refusal(id: int, ret: int, message: bytes) -> bytes:
    """The answer to an INIT that was not accepted."""
    meta = write_number(INIT_RET, ret) + (write(INIT_ERROR_MSG, message) if message else b"")
    return stream_frame(INIT, id, write(RESPONSE_META, meta))


def increment_of(payload: bytes) -> int:
    """What a FEEDBACK adds to a window. Raises FrameError."""
    increment = 0
    for field in fields(payload, 0, len(payload)):
        if field[0] == WINDOW_SIZE_INCREMENT:
            increment = number(payload, field) & _UINT32
    return increment


class Close:
    """What a CLOSE says: reset ends both halves. Raises FrameError."""

    __slots__ = ("func_ret", "message", "reset", "ret")

    def __init__(self, payload: bytes) -> None:
        self.reset = False
        self.ret = self.func_ret = 0
        self.message = b""
        for field in fields(payload, 0, len(payload)):
            tag = field[0]
            if tag == CLOSE_TYPE:
                self.reset = number(payload, field) == RESET
            elif tag == CLOSE_RET:
                self.ret = signed(number(payload, field))
            elif tag == CLOSE_MSG:
                self.message = payload[field[2] : field[3]]
            elif tag == CLOSE_FUNC_RET:
                self.func_ret = signed(number(payload, field))


def reset_payload(ret: int, text: str) -> bytes:
    """A CLOSE that ends both halves."""
    message = write(CLOSE_MSG, text.encode("utf-8", "replace")) if text else b""
    return write_number(CLOSE_TYPE, RESET) + write_number(CLOSE_RET, ret) + message


class Stream:
    """
    One open stream of a connection. id: its exchange's; wire_id: in frames. window: bytes that the peer may send before
    a FEEDBACK; peer_window: bytes that may be sent to it before one; 0: it knows no flow control. ended: the peer has
    closed its half; closing: so has the proxy, or will behind what waits; accepted: the INIT was answered.
    """

    __slots__ = ("_incoming", "accepted", "closing", "ended", "id", "outgoing", "peer_window", "window", "wire_id")

    def __init__(self, id: int, wire_id: int, window: int, buffer: int) -> None:
        self.id = id
        self.wire_id = wire_id
        self.accepted = self.ended = self.closing = False
        self.outgoing = Outgoing()
        self.window = window
        self.peer_window = 0
        # A window counts what its sender counts; some may count a little else, so that twice as much is too much.
        self._incoming = Incoming(window, 2 * window if window else buffer)

    def unlimited(self, buffer: int) -> None:
        """The peer turns out to know no flow control."""
        self.window = 0
        self._incoming = Incoming(0, buffer)

    def take(self, size: int) -> bool:
        """Count what came. False if it is more than the peer may have sent."""
        return self._incoming.take(size)

    def credit(self, size: int) -> bytes:
        """So many bytes have left the proxy: the FEEDBACK of that, for a quarter of the window at a time."""
        due = self._incoming.credit(size)
        if not due or not self.window or self.ended:
            return b""
        return stream_frame(FEEDBACK, self.wire_id, write_number(WINDOW_SIZE_INCREMENT, due))

    def data(self, payload: bytes) -> bytes:
        """A message, if it may be sent now."""
        return self.outgoing.add(stream_frame(DATA, self.wire_id, payload), len(payload))

    def close(self, payload: bytes) -> bytes:
        """The CLOSE, behind what still waits."""
        self.closing = True
        return self.outgoing.add(stream_frame(CLOSE, self.wire_id, payload), 0)
