"""
The frame of a Kafka message, and its primitive types.

    request     size 4 | api key 2 | api version 2 | correlation id 4 | client id 2 + n | tags | body
    answer      size 4 | correlation id 4 | tags | body

Tags are there in flexible versions, in ApiVersions' answers never. Source: Kafka protocol guide, KIP-482, KIP-511.
Lives here: heads, numbers and texts, and `edited`, which puts other bytes into a frame. Does not: bodies (`walk`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from metaproxy.message import FrameError

SIZE: Final = 4
REQUEST: Final = struct.Struct(">ihhi")
ANSWER: Final = struct.Struct(">ii")
SHORT: Final = struct.Struct(">h")
INT: Final = struct.Struct(">i")
CLIENT_ID: Final = REQUEST.size
LARGEST: Final = (1 << 31) - 1
API_VERSIONS: Final = 18
MOST_TAGS: Final = 1000
"""Tags that a header may have. None has been defined so far."""

Edit = tuple[int, int, bytes]
"""From where to where of a frame these bytes stand in place of others."""


def total(frame: bytes) -> int:
    """Bytes of a whole message, whose head is there."""
    return SIZE + int.from_bytes(frame[:SIZE], "big", signed=True)


def correlation_id(frame: bytes) -> int:
    """Of a request."""
    return int(INT.unpack_from(frame, 8)[0])


def with_request_id(frame: bytes, id: int) -> bytes:
    return frame[:8] + INT.pack(id) + frame[12:]


def with_answer_id(frame: bytes, id: int) -> bytes:
    return frame[:4] + INT.pack(id) + frame[8:]


def client_id(frame: bytes) -> bytes | None:
    """None for null. Raises FrameError."""
    if len(frame) < CLIENT_ID + 2:
        raise FrameError("a request that ends within its header")
    size = SHORT.unpack_from(frame, CLIENT_ID)[0]
    if size < 0:
        return None
    if CLIENT_ID + 2 + size > len(frame):
        raise FrameError("a client id that ends behind its request")
    return frame[CLIENT_ID + 2 : CLIENT_ID + 2 + size]


def request_body(frame: bytes, flexible: bool) -> int:
    """Where the body of a request begins. Raises FrameError."""
    at = CLIENT_ID + 2 + len(client_id(frame) or b"")
    return skip_tags(frame, at) if flexible else at


def answer_body(frame: bytes, flexible: bool) -> int:
    """Where the body of an answer begins. Raises FrameError."""
    return skip_tags(frame, ANSWER.size) if flexible else ANSWER.size


def answer_has_tags(key: int, flexible: bool) -> bool:
    """Whether the header of answers has tags: a client that asks for versions can't know that yet."""
    return flexible and key != API_VERSIONS


def skip_tags(data: bytes, at: int) -> int:
    """Where what is behind a section of tags begins. Raises FrameError."""
    count, at = varint(data, at)
    if count > MOST_TAGS:
        raise FrameError(f"{count} tags in a header; allowed are {MOST_TAGS}")
    for _ in range(count):
        _, at = varint(data, at)
        size, at = varint(data, at)
        at += size
    if at > len(data):
        raise FrameError("tags that end behind their message")
    return at


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned varint of 32 bits, and where it ends. Raises FrameError."""
    value = shift = 0
    for byte in data[at : at + 5]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise FrameError("a varint without end")


def write_varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def read_text(data: bytes, start: int, stop: int, flexible: bool) -> bytes | None:
    """The bytes of a string that stands there with its length, None for null."""
    if flexible:
        size, at = varint(data, start)
        return data[at:stop] if size else None
    return data[start + 2 : stop] if SHORT.unpack_from(data, start)[0] >= 0 else None


def write_text(text: bytes | None, flexible: bool) -> bytes:
    """A string with its length. At most 32,767 bytes of it."""
    if text is None:
        return b"\0" if flexible else b"\xff\xff"
    text = text[:32767]
    return (write_varint(len(text) + 1) if flexible else SHORT.pack(len(text))) + text


def edited(frame: bytes, edits: Sequence[Edit]) -> bytes:
    """The frame with these changes, which are in the order of their places, and another size."""
    if not edits:
        return frame
    parts, at = [], SIZE
    for start, stop, text in edits:
        parts += [frame[at:start], text]
        at = stop
    parts.append(frame[at:])
    change = sum(map(len, parts)) + SIZE - len(frame)
    return b"".join((INT.pack(INT.unpack_from(frame)[0] + change), *parts))


def framed(body: bytes) -> bytes:
    """A message behind its size."""
    return INT.pack(len(body)) + body


def count(data: bytes, at: int, flexible: bool) -> tuple[int, int]:
    """The number of elements of an array, below 0 for null, and where it ends. Raises FrameError."""
    if flexible:
        written, stop = varint(data, at)
        return written - 1, stop
    if at + INT.size > len(data):
        raise FrameError("a message that ends within the count of an array")
    return INT.unpack_from(data, at)[0], at + INT.size


def write_count(number: int, flexible: bool) -> bytes:
    return write_varint(number + 1) if flexible else INT.pack(number)
