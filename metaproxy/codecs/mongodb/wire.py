"""
Messages of MongoDB's wire protocol: their head, the sections of OP_MSG, checksums, and messages of our own.

    length, requestID, responseTo, opCode          four int32, little endian
    OP_MSG (2013): flags, sections, checksum?      section 0: a document; section 1: a named sequence of documents
    OP_QUERY (2004), OP_REPLY (1)                  only for the hello of clients that do not know the server yet

Source: the "MongoDB Wire Protocol" page of MongoDB's manual. Lives here: the layout. Does not: what documents mean
(`metadata`, `hello`); cutting a stream (`stream`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from metaproxy.codecs.mongodb import bson
from metaproxy.message import FrameError

OP_REPLY: Final = 1
OP_QUERY: Final = 2004
OP_COMPRESSED: Final = 2012
OP_MSG: Final = 2013

HEADER: Final = 16
LARGEST: Final = 48_000_000
"""Bytes of a message that servers take: their maxMessageSizeBytes."""

CHECKSUM: Final = 1
MORE_TO_COME: Final = 2
EXHAUST_ALLOWED: Final = 1 << 16
MOST_SECTIONS: Final = 16
"""Of one OP_MSG: a command has one document and one or two sequences."""
_REQUIRED: Final = 0xFFFF & ~(CHECKSUM | MORE_TO_COME)
"""Flags that a receiver must know; there are no others yet."""

HEAD: Final = struct.Struct("<iiii")
FLAGS: Final = struct.Struct("<I")
_INT32: Final = struct.Struct("<i")
_FLAGS_AT: Final = 16
SECTIONS: Final = 20
"""Where the first section of an OP_MSG begins."""
LEAST_CHECKED: Final = SECTIONS + 1 + 5 + 4
"""Bytes of an OP_MSG with a checksum: a document without fields is in it."""
_SECONDARY_OK: Final = 4
_QUERY_NAME: Final = 20
_REPLY_DOCUMENT: Final = 36


class Body(NamedTuple):
    """Where a document stands in a frame."""

    at: int
    end: int


def flags(frame: bytes) -> int:
    """The flags of an OP_MSG. Raises FrameError for unknown ones."""
    value: int = FLAGS.unpack_from(frame, _FLAGS_AT)[0]
    if value & _REQUIRED:
        raise FrameError(f"OP_MSG with unknown required flags: {value & _REQUIRED:#06x}")
    return value


def body(frame: bytes) -> Body:
    """Where the document of section 0 stands. Raises FrameError unless there is exactly one, and sections are whole."""
    end = len(frame) - (4 if FLAGS.unpack_from(frame, _FLAGS_AT)[0] & CHECKSUM else 0)
    at, found, sections = SECTIONS, None, 0
    while at < end:
        kind = frame[at]
        sections += 1
        if sections > MOST_SECTIONS:
            raise FrameError(f"an OP_MSG with more than {MOST_SECTIONS} sections")
        if kind == 0:
            if found is not None:
                raise FrameError("an OP_MSG with two sections of kind 0")
            stop = at + 1 + bson.size(frame, at + 1, end)
            found = Body(at + 1, stop)
        elif kind == 1:
            if end - at < 5:
                raise FrameError("a section of an OP_MSG has no length")
            stop = at + 1 + int(_INT32.unpack_from(frame, at + 1)[0])
            if not at + 6 <= stop <= end:
                raise FrameError("a section of an OP_MSG ends behind it")
        else:
            raise FrameError(f"a section of kind {kind} in an OP_MSG; known are 0 and 1")
        at = stop
    if found is None:
        raise FrameError("an OP_MSG without a section of kind 0")
    return found


def sequences(frame: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name of each sequence of a whole message, where its documents begin and end."""
    end, at = len(frame) - (4 if FLAGS.unpack_from(frame, _FLAGS_AT)[0] & CHECKSUM else 0), SECTIONS
    while at + 5 <= end:
        stop = at + 1 + int(_INT32.unpack_from(frame, at + 1)[0])
        if not at + 6 <= stop <= end:
            return
        if frame[at] == 1:
            name_end = frame.find(b"\0", at + 5, stop)
            if name_end < 0:
                return
            yield frame[at + 5 : name_end], name_end + 1, stop
        at = stop


def last_body(frame: bytes) -> Body:
    """As `body`, for a message of which only the first bytes are there, up to the end of its section 0."""
    end, at = len(frame), SECTIONS
    for _ in range(MOST_SECTIONS):
        if end - at < 6:
            break
        length = int(_INT32.unpack_from(frame, at + 1)[0])
        if frame[at] == 0:
            return Body(at + 1, at + 1 + bson.size(frame, at + 1, end))
        if frame[at] != 1 or length < 5:
            break
        at += 1 + length
    raise FrameError("an OP_MSG without a section of kind 0")


def head_end(frame: bytes, end: int, most: int) -> int:
    """
    Where the document of section 0 ends, for a message of which the first bytes are there, or, while that is not known,
    how many are needed. most: bytes that it may be. Raises FrameError where there is none, or behind these bytes.
    """
    at, have = SECTIONS, len(frame)
    for _ in range(MOST_SECTIONS):
        if at + 5 > most:
            break
        if have < at + 5:
            return at + 5
        kind, length = frame[at], int(_INT32.unpack_from(frame, at + 1)[0])
        stop = at + 1 + length
        if length < 5 or stop > end:
            raise FrameError("a section of an OP_MSG ends behind it")
        if kind == 0:
            if stop > most:
                break
            return stop
        if kind != 1:
            raise FrameError(f"a section of kind {kind} in an OP_MSG; known are 0 and 1")
        at = stop
    raise FrameError(f"the command of a large OP_MSG does not lie within its first {most} bytes (max_frame)")


def query(frame: bytes) -> tuple[bytes, Body]:
    """The collection of an OP_QUERY, and where its document stands."""
    end = frame.find(b"\0", _QUERY_NAME)
    if end < 0:
        raise FrameError("an OP_QUERY without the end of its collection's name")
    at = end + 9
    return frame[_QUERY_NAME:end], Body(at, at + bson.size(frame, at, len(frame)))


def reply_body(frame: bytes) -> Body:
    """Where the first document of an OP_REPLY stands."""
    if len(frame) < _REPLY_DOCUMENT:
        raise FrameError("an OP_REPLY without a document")
    return Body(_REPLY_DOCUMENT, _REPLY_DOCUMENT + bson.size(frame, _REPLY_DOCUMENT, len(frame)))


def op_code(frame: bytes) -> int:
    code: int = _INT32.unpack_from(frame, 12)[0]
    return code


def message(id: int, to: int, document: bytes, flag_bits: int = 0) -> bytes:
    """An OP_MSG with one document. id: its own; to: the request that it answers, or 0."""
    size = SECTIONS + 1 + len(document)
    return b"%b%b\0%b" % (HEAD.pack(size, id, to, OP_MSG), FLAGS.pack(flag_bits), document)


def reply(id: int, to: int, document: bytes) -> bytes:
    """An OP_REPLY with one document."""
    size = _REPLY_DOCUMENT + len(document)
    return HEAD.pack(size, id, to, OP_REPLY) + struct.pack("<iqii", 8, 0, 0, 1) + document


def hello_query(id: int, document: bytes) -> bytes:
    """An OP_QUERY of admin.$cmd with one document."""
    rest = struct.pack("<i", _SECONDARY_OK) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1) + document
    return HEAD.pack(HEADER + len(rest), id, 0, OP_QUERY) + rest


def answer(code: int, id: int, to: int, document: bytes) -> bytes:
    """The answer to a request of that opCode."""
    return (reply if code == OP_QUERY else message)(id, to, document)


def request_id(frame: bytes) -> int:
    """The id that a message, or what begins with these bytes, has."""
    id: int = _INT32.unpack_from(frame, 4)[0]
    return id


def with_request_id(frame: bytes, id: int) -> bytes:
    """A request, or its first bytes, under another id; its checksum is not: see `checksum_change`."""
    return frame[:4] + _INT32.pack(id) + frame[8:]


def with_response_to(frame: bytes, id: int) -> bytes:
    """An answer, or its first bytes, to another request."""
    return frame[:8] + _INT32.pack(id) + frame[12:]


def is_checked(frame: bytes) -> bool:
    """Whether a message, or what begins with these bytes, ends with a checksum."""
    return _INT32.unpack_from(frame, 12)[0] == OP_MSG and bool(frame[_FLAGS_AT] & CHECKSUM)


def total(frame: bytes) -> int:
    """Bytes of the message that begins so."""
    length: int = _INT32.unpack_from(frame, 0)[0]
    return length


# -- checksums

_POLYNOMIAL: Final = 0x82F63B78
"""CRC-32C (Castagnoli), its bits reversed."""


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE: Final = [_crc_of_byte(value) for value in range(256)]


def crc32c(data: bytes) -> int:
    """The checksum of OP_MSG. A byte costs some 0.1 us: not for large messages."""
    crc = 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def checksum_change(before: bytes, after: bytes, follow: int) -> int:
    """
    What a checksum changes by (exclusive or) when bytes are replaced by as many others and `follow` bytes come behind.

    The checksum is linear, so that the bytes behind need not be read: a change passes through them as through zeros.
    A receiver that verifies the result verifies the sender's own checksum, of what the sender wrote.
    """
    crc, table = 0, _TABLE
    for one, other in zip(before, after, strict=True):
        crc = crc >> 8 ^ table[(crc ^ one ^ other) & 0xFF]
    return _through_zeros(crc, follow)


def _through_zeros(crc: int, count: int) -> int:
    """The checksum's register after so many zero bytes: as many squarings as the count has bits."""
    power, bits = _ZERO_BYTE, count
    while bits and crc:
        if bits & 1:
            crc = _times(power, crc)
        bits >>= 1
        if bits:
            power = [_times(power, column) for column in power]
    return crc


def _times(matrix: list[int], vector: int) -> int:
    """A matrix over GF(2), as its columns, times a vector of bits."""
    product = 0
    for column in matrix:
        if not vector:
            break
        if vector & 1:
            product ^= column
        vector >>= 1
    return product


_ZERO_BYTE: Final = [(1 << bit) >> 8 ^ _TABLE[(1 << bit) & 0xFF] for bit in range(32)]
"""What one zero byte does to the register, as a matrix."""
