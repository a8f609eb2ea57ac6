"""
What the two ends of an HTTP/2 connection agree on: SETTINGS (RFC 9113, section 6.5, and RFC 8441).

Lives here: the parameters, what a peer may set them to, and the frame that announces ours. Does not: what follows from
a change (windows, the table of the compression): the session does that.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping

from metaproxy.codecs.http.http2 import frames
from metaproxy.codecs.http.http2.frames import Code, ConnectionFault

HEADER_TABLE_SIZE = 1
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5
MAX_HEADER_LIST_SIZE = 6
ENABLE_CONNECT_PROTOCOL = 8

_PAIR = struct.Struct(">HI")

MOST = 64
"""Parameters in one frame: there are seven, and a sender may add a few that mean nothing."""

_BOUNDS: dict[int, tuple[str, int, int, Code]] = {
    ENABLE_PUSH: ("ENABLE_PUSH", 0, 1, Code.PROTOCOL_ERROR),
    INITIAL_WINDOW_SIZE: ("INITIAL_WINDOW_SIZE", 0, frames.LARGEST_WINDOW, Code.FLOW_CONTROL_ERROR),
    MAX_FRAME_SIZE: ("MAX_FRAME_SIZE", frames.SMALLEST_FRAME, frames.LARGEST_FRAME, Code.PROTOCOL_ERROR),
    ENABLE_CONNECT_PROTOCOL: ("ENABLE_CONNECT_PROTOCOL", 0, 1, Code.PROTOCOL_ERROR),
}


class Settings:
    """What the peer announced, with the values that hold before it said anything."""

    __slots__ = ("connect_protocol", "max_frame", "max_header_list", "max_streams", "table_size", "window")

    def __init__(self) -> None:
        self.table_size = 4096
        self.max_streams = frames.LAST_STREAM
        self.window = frames.FIRST_WINDOW
        self.max_frame = frames.SMALLEST_FRAME
        self.max_header_list = 0
        self.connect_protocol = False

    def take(self, payload: bytes) -> None:
        """Take over the parameters of a frame. Raises ConnectionFault for a value that is not allowed."""
        for key, value in read(payload):
            if key == INITIAL_WINDOW_SIZE:
                self.window = value
            elif key == MAX_FRAME_SIZE:
                self.max_frame = value
            elif key == MAX_CONCURRENT_STREAMS:
                self.max_streams = value
            elif key == HEADER_TABLE_SIZE:
                self.table_size = value
            elif key == MAX_HEADER_LIST_SIZE:
                self.max_header_list = value
            elif key == ENABLE_CONNECT_PROTOCOL:
                if self.connect_protocol and not value:
                    raise ConnectionFault(Code.PROTOCOL_ERROR, "ENABLE_CONNECT_PROTOCOL was 1 and becomes 0")
                self.connect_protocol = bool(value)


def read(payload: bytes) -> list[tuple[int, int]]:
    """The parameters of a SETTINGS frame, in their order. Raises ConnectionFault."""
    if len(payload) % _PAIR.size:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes; a parameter has 6")
    if len(payload) > MOST * _PAIR.size:
        raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"SETTINGS with more than {MOST} parameters")
    pairs = list(_PAIR.iter_unpack(payload))
    for key, value in pairs:
        if key in _BOUNDS:
            name, least, most, code = _BOUNDS[key]
            if not least <= value <= most:
                raise ConnectionFault(code, f"{name} of {value}; allowed are {least} to {most}")
    return pairs


def payload(parameters: Mapping[int, int]) -> bytes:
    """The parameters as bytes."""
    return b"".join(_PAIR.pack(key, value) for key, value in parameters.items())


def from_header(value: str) -> bytes:
    """The payload that a client put into HTTP2-Settings of its Upgrade. Raises ConnectionFault."""
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars="-_", validate=True)
    except (binascii.Error, ValueError):
        raise ConnectionFault(Code.PROTOCOL_ERROR, "HTTP2-Settings is not base64url") from None
