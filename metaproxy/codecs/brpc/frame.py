"""
The bytes of one frame of baidu_std.

    | PRPC | body size 4 | meta size 4 | meta | data | attachment |     big-endian; body size counts what follows

Source: src/brpc/policy/baidu_rpc_meta.proto and baidu_rpc_protocol.cpp of Apache bRPC. Lives here: the tags of the
meta, a frame made, its id and its meta changed. Does not: streams of frames (`session`), what the meta says
(`metadata`).
"""

from __future__ import annotations

import struct
from typing import Final

from metaproxy.codecs.framing import write_varint
from metaproxy.codecs.protobuf_wire import Field, fields, write, write_number
from metaproxy.codecs.shapes import Located
from metaproxy.message import FrameError, Message

HEAD: Final = 12
MAGIC: Final = 0x50525043
HEADER = struct.Struct(">III")

# Tags of RpcMeta: number << 3 | wire type.
REQUEST: Final = 0x0A
RESPONSE: Final = 0x12
COMPRESS_TYPE: Final = 0x18
CORRELATION_ID: Final = 0x20
ATTACHMENT_SIZE: Final = 0x28
AUTHENTICATION_DATA: Final = 0x3A
STREAM_SETTINGS: Final = 0x42
USER_FIELDS: Final = 0x4A
CONTENT_TYPE: Final = 0x50

# Tags of RpcRequestMeta.
SERVICE_NAME: Final = 0x0A
METHOD_NAME: Final = 0x12
LOG_ID: Final = 0x18
TRACE_ID: Final = 0x20
REQUEST_ID: Final = 0x3A
"""A string in bRPC; brpc-java and Starlight have pairs under this number: see `pair`."""
TIMEOUT_MS: Final = 0x40

# Tags of RpcResponseMeta.
ERROR_CODE: Final = 0x08
ERROR_TEXT: Final = 0x12

NO_COMPRESSION: Final = b"\x18\x00"
"""The field compress_type, which says the same where it is left out."""
ID_TAG: Final = write_varint(CORRELATION_ID)


def meta_end(frame: bytes) -> int:
    """Where the meta of a whole frame ends."""
    return HEAD + int.from_bytes(frame[8:HEAD], "big")


def meta_fields(frame: bytes) -> list[Field]:
    """The fields of a whole frame's meta. Raises FrameError."""
    return fields(frame, HEAD, meta_end(frame))


def pair(frame: bytes, field: Field) -> tuple[bytes, bytes] | None:
    """
    Key and value of a pair as brpc-java and Starlight put them where bRPC has its request_id. None for a request_id: no
    string begins as a pair does, with a line feed, a length, that many bytes, and the same again.
    """
    start, stop = field[2], field[3]
    if start == stop or frame[start] != 0x0A:
        return None
    try:
        inner = fields(frame, start, stop)
    except FrameError:
        return None
    if [each[0] for each in inner] not in ([0x0A], [0x0A, 0x12]):
        return None
    value = frame[inner[1][2] : inner[1][3]] if len(inner) > 1 else b""
    return frame[inner[0][2] : inner[0][3]], value


def spliced(frame: bytes, at: int, stop: int, new: bytes) -> bytes:
    """The frame with other bytes in place of frame[at:stop], which are of its meta; both sizes follow."""
    _, body, meta = HEADER.unpack_from(frame)
    grown = len(new) - (stop - at)
    head = HEADER.pack(MAGIC, body + grown, meta + grown) if grown else frame[:HEAD]
    return b"".join((head, frame[HEAD:at], new, frame[stop:]))


def with_id(frame: bytes, id: int) -> bytes:
    """The frame under another correlation_id: the last one in its meta counts, and is replaced."""
    place = None
    for field in meta_fields(frame):
        if field[0] == CORRELATION_ID:
            place = field
    if place is None:
        end = meta_end(frame)
        return spliced(frame, end, end, ID_TAG + write_varint(id))
    return spliced(frame, place[2], place[3], write_varint(id))


def renumbered(message: Message, id: int) -> bytes:
    """The frame of a message under another correlation_id."""
    if type(message) is Located:
        return spliced(message.frame, message.id_at, message.id_stop, write_varint(id))
    return with_id(message.frame, id)


def appended(frame: bytes, field: bytes) -> bytes:
    """The frame with one more field behind its meta."""
    end = meta_end(frame)
    return spliced(frame, end, end, field)


def error_frame(id: int, code: int, text: str) -> bytes:
    """An answer that has failed, without data. Starlight reads none that leaves its compress_type out."""
    message = text.encode("utf-8", "replace")
    response = write_number(ERROR_CODE, code) + (write(ERROR_TEXT, message) if message else b"")
    meta = write(RESPONSE, response) + NO_COMPRESSION + write_number(CORRELATION_ID, id)
    return HEADER.pack(MAGIC, len(meta), len(meta)) + meta
