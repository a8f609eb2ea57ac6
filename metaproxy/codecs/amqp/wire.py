"""
The bytes of AMQP 0-9-1: frames, the arguments of methods, the frames that the proxy makes by itself.

    | type 1 | channel 2 | size 4 | payload | 0xCE |      method: class 2, method 2, arguments

Lives here: reading and writing of those. Does not: connections (`stream`), the methods' table (`methods`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from metaproxy.codecs.amqp.methods import CHANNEL_CLOSE, CHANNEL_CLOSE_OK, CLOSE, CLOSE_OK, Method
from metaproxy.message import FrameError

METHOD, CONTENT, BODY, HEARTBEAT = 1, 2, 3, 8
END: Final = 0xCE
_END: Final = b"\xce"
HEAD: Final = 7
"""Bytes of a frame before its payload."""
AROUND: Final = 8
"""Bytes of a frame around its payload."""
PROTOCOL: Final = b"AMQP\0\0\x09\x01"
BEAT: Final = b"\x08\0\0\0\0\0\0\xce"

head = struct.Struct(">BHI")
_METHOD: Final = struct.Struct(">BHII")
_CONTENT: Final = struct.Struct(">HHQ")
_NUMBERS: Final = {
    "H": struct.Struct(">H"),
    "I": struct.Struct(">I"),
    "Q": struct.Struct(">Q"),
    "b": struct.Struct("B"),
}
ARGUMENTS: Final = HEAD + 4
"""Where the arguments of a method begin in its frame."""
_TEXT: Final = 255

Values = dict[str, int | bytes]


def method_frame(channel: int, number: int, arguments: bytes = b"") -> bytes:
    return _METHOD.pack(METHOD, channel, 4 + len(arguments), number) + arguments + _END


def body_frames(channel: int, payload: bytes, most: int) -> bytes:
    """Body frames with that payload, none of more than `most` bytes; b"" for no payload."""
    room = most - AROUND
    if len(payload) <= room:
        return head.pack(BODY, channel, len(payload)) + payload + _END if payload else b""
    pieces: list[bytes] = []
    for at in range(0, len(payload), room):
        piece = payload[at : at + room]
        pieces += (head.pack(BODY, channel, len(piece)), piece, _END)
    return b"".join(pieces)


def content_frame(channel: int, class_id: int, size: int, properties: bytes) -> bytes:
    """The frame of a content's header. properties: their flags and what these announce."""
    payload = _CONTENT.pack(class_id, 0, size) + properties
    return head.pack(CONTENT, channel, len(payload)) + payload + _END


def number_of(frame: bytes) -> int:
    """Of the method that a frame has."""
    return int.from_bytes(frame[HEAD : HEAD + 4], "big")


def channel_of(frame: bytes) -> int:
    return int.from_bytes(frame[1:3], "big")


def frame_end(frame: bytes, at: int = 0) -> int:
    """Where the frame ends that begins at `at`."""
    return at + AROUND + int.from_bytes(frame[at + 3 : at + 7], "big")


def frames(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Type of each of the whole frames in `data`, and where its payload begins and ends."""
    at = 0
    while at < len(data):
        stop = frame_end(data, at)
        yield data[at], at + HEAD, stop - 1
        at = stop


def body_size(data: bytes | bytearray, at: int) -> int:
    """Bytes of the body that the header of a content announces, whose frame begins at `at`."""
    if int.from_bytes(data[at + 3 : at + 7], "big") < _CONTENT.size + 2:
        raise FrameError("the header of a content ends before its flags do")
    return int.from_bytes(data[at + HEAD + 4 : at + HEAD + 12], "big")


def properties_of(frame: bytes) -> tuple[int, int, int]:
    """
    Where the properties of a method's content begin (their flags) and end, and its body's size. frame: the method's and
    the header's, more may follow.
    """
    at = frame_end(frame)
    return at + HEAD + _CONTENT.size, frame_end(frame, at) - 1, body_size(frame, at)


def short_string(value: bytes) -> bytes:
    return bytes((len(value),)) + value


def cut_text(text: str) -> bytes:
    """A reply text: at most 255 bytes of UTF-8, without half a character at its end."""
    return text.encode("utf-8", "replace")[:_TEXT].decode("utf-8", "ignore").encode()


def close_connection(code: int, text: str, number: int = 0) -> bytes:
    """number: the method that it is about, 0 for none."""
    return method_frame(0, CLOSE, _closing(code, text, number))


def close_channel(channel: int, code: int, text: str, number: int) -> bytes:
    return method_frame(channel, CHANNEL_CLOSE, _closing(code, text, number))


def _closing(code: int, text: str, number: int) -> bytes:
    return code.to_bytes(2, "big") + short_string(cut_text(text)) + number.to_bytes(4, "big")


CLOSED: Final = method_frame(0, CLOSE_OK)


def channel_closed(channel: int) -> bytes:
    return method_frame(channel, CHANNEL_CLOSE_OK)


def read_arguments(frame: bytes, method: Method) -> Values:
    """
    The arguments of a method by name: numbers, bytes of strings; of tables where they begin, at their size. Raises
    FrameError where they end too early.
    """
    at, end = ARGUMENTS, frame_end(frame) - 1
    found: Values = {}
    for name, kind in method.fields:
        number = _NUMBERS.get(kind)
        if number is not None:
            stop = at + number.size
            if stop > end:
                raise cut_short(method)
            found[name] = number.unpack_from(frame, at)[0]
            at = stop
            continue
        start = at + (1 if kind == "s" else 4)
        if start > end:
            raise cut_short(method)
        stop = start + int.from_bytes(frame[at:start], "big")
        if stop > end:
            raise cut_short(method)
        found[name] = at if kind == "T" else frame[start:stop]
        at = stop
    return found


def cut_short(method: Method) -> FrameError:
    return FrameError(f"the arguments of {method.name} end before {method.fields[-1][0]} does")


def number_at(values: Values, name: str) -> int:
    value = values[name]
    assert isinstance(value, int)
    return value


def string_at(values: Values, name: str) -> bytes:
    value = values[name]
    assert isinstance(value, bytes)
    return value
