"""
The frames of HTTP/2 (RFC 9113, sections 4 and 6): numbers, layouts, and the bytes of those that the proxy sends.

Lives here: constants, the errors' codes, writers, and the rules that a single frame can break. Does not: streams,
windows, compressed headers.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from metaproxy.message import FrameError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first."""

HEAD = struct.Struct(">HBBBI")
"""Length (in two parts), type, flags, stream."""

HEAD_SIZE = 9

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20

SMALLEST_FRAME = 16384
"""What SETTINGS_MAX_FRAME_SIZE is at first, and at least."""

LARGEST_FRAME = (1 << 24) - 1

FIRST_WINDOW = 65535
"""What each window is before anything was agreed."""

LARGEST_WINDOW = (1 << 31) - 1

LAST_STREAM = (1 << 31) - 1

PING_SIZE = 8


class Code(IntEnum):
    """Why a stream or the connection ends (RFC 9113, section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def code_name(code: int) -> str:
    """The name of a code that a peer sent; its number where it has no name."""
    return Code(code).name if code < len(Code) else str(code)


class ConnectionFault(FrameError):
    """The peer broke a rule that ends the connection."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


class StreamFault(Exception):
    """The peer broke a rule that ends the stream; the connection goes on."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


def head(size: int, type: int, flags: int, stream: int) -> bytes:
    """The nine bytes before a payload."""
    return HEAD.pack(size >> 8, size & 0xFF, type, flags, stream)


def frame(type: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One whole frame."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, type, flags, stream) + payload


def rst_stream(stream: int, code: int) -> bytes:
    """The end of a stream, both ways."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def window_update(stream: int, size: int) -> bytes:
    """Leave to send so many bytes more; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big"))


def goaway(last: int, code: int, text: str = "") -> bytes:
    """The end of the connection: no stream above `last` was looked at."""
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + text.encode()[:256])


def ping(data: bytes, flags: int = 0) -> bytes:
    """A question that is answered at once, or with ACK the answer."""
    return frame(PING, flags, 0, data)


def headers(block: bytes, flags: int, stream: int, most: int) -> bytes:
    """A block of compressed headers, in as many frames as the peer's bound asks for."""
    size = len(block)
    if size <= most:
        return HEAD.pack(size >> 8, size & 0xFF, HEADERS, flags | END_HEADERS, stream) + block
    parts = [frame(HEADERS, flags, stream, block[:most])]
    for at in range(most, size, most):
        last = END_HEADERS if at + most >= size else 0
        parts.append(frame(CONTINUATION, last, stream, block[at : at + most]))
    return b"".join(parts)


def unpadded(payload: bytes) -> bytes:
    """The payload of a padded frame without its padding."""
    if not payload:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a padded frame without the length of its padding")
    padding = payload[0]
    if padding >= len(payload):
        raise ConnectionFault(Code.PROTOCOL_ERROR, f"padding of {padding} bytes in a frame of {len(payload)}")
    return payload[1 : len(payload) - padding]


def expect_size(name: str, payload: bytes, size: int) -> None:
    """Raises ConnectionFault unless the payload of this kind of frame has its one size."""
    if len(payload) != size:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"{name} of {len(payload)} bytes; it has {size}")


def expect_stream(name: str, stream: int, wanted: bool) -> None:
    """Raises ConnectionFault unless the frame belongs to a stream, or to the connection, as its kind asks for."""
    if bool(stream) is not wanted:
        raise ConnectionFault(Code.PROTOCOL_ERROR, f"{name} on stream {stream}; it belongs to {_OWNER[wanted]}")


_OWNER = ("the connection", "a stream")
