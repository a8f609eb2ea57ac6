"""
The bytes of one frame of tRPC.

    | 09 30 | 0 unary, 1 stream | stream frame type | total 4 | header size 2 | id 4 | version, 0 | header | body |

    big-endian; total counts these 16 bytes; a stream frame has no header: one message of protobuf, or data

Source: docs/en/trpc_protocol_design.md and trpc/proto/trpc.proto of trpc-group/trpc. Lives here: the tags, a frame
made, its id and its header changed. Does not: streams of frames (`session`), what the header says (`metadata`).
"""

from __future__ import annotations

import struct
from typing import Final

from metaproxy.codecs.framing import write_varint
from metaproxy.codecs.protobuf_wire import Field, fields, number, write, write_number
from metaproxy.codecs.shapes import Located
from metaproxy.message import FrameError, Message

HEAD: Final = 16
MAGIC: Final = 0x0930
HEADER = struct.Struct(">HBBIHIBB")
UNARY, STREAM = 0, 1
INIT, DATA, FEEDBACK, CLOSE = 1, 2, 3, 4
MAX_ID: Final = 0xFFFFFFFF
MAX_HEADER: Final = 0xFFFF
"""Bytes of a unary frame's header, which its size has 16 bits for."""

# Tags of RequestProtocol and ResponseProtocol: number << 3 | wire type.
CALL_TYPE: Final = 0x10
REQUEST_ID: Final = 0x18

# Tags of RequestProtocol.
TIMEOUT: Final = 0x20
CALLER: Final = 0x2A
CALLEE: Final = 0x32
FUNC: Final = 0x3A
MESSAGE_TYPE: Final = 0x40
TRANS_INFO: Final = 0x4A
CONTENT_TYPE: Final = 0x50
CONTENT_ENCODING: Final = 0x58
ATTACHMENT_SIZE: Final = 0x60

# Tags of ResponseProtocol.
RET: Final = 0x20
FUNC_RET: Final = 0x28
ERROR_MSG: Final = 0x32
ANSWER_MESSAGE_TYPE: Final = 0x38
ANSWER_TRANS_INFO: Final = 0x42
ANSWER_CONTENT_TYPE: Final = 0x48
ANSWER_CONTENT_ENCODING: Final = 0x50
ANSWER_ATTACHMENT_SIZE: Final = 0x60

_ID = struct.Struct(">I")


def header_end(frame: bytes) -> int:
    """Where the header of a whole unary frame ends."""
    return HEAD + (frame[8] << 8 | frame[9])


def header_fields(frame: bytes) -> list[Field]:
    """The fields of a whole unary frame's header. Raises FrameError."""
    return fields(frame, HEAD, header_end(frame))


def spliced(frame: bytes, at: int, stop: int, new: bytes) -> bytes:
    """The unary frame with other bytes in place of frame[at:stop], which are of its header. Raises FrameError."""
    grown = len(new) - (stop - at)
    if not grown:
        return b"".join((frame[:at], new, frame[stop:]))
    magic, kind, type, total, size, id, version, reserved = HEADER.unpack_from(frame)
    size += grown
    if size > MAX_HEADER:
        raise FrameError(f"tRPC: the header would have {size} bytes; its size has room for {MAX_HEADER}")
    head = HEADER.pack(magic, kind, type, total + grown, size, id, version, reserved)
    return b"".join((head, frame[HEAD:at], new, frame[stop:]))


def with_id(frame: bytes, id: int) -> bytes:
    """
    The unary frame under another request id: the last one in its header counts, and is replaced. The id in front is
    one too, where it was the same; some servers leave 0 there. Raises FrameError.
    """
    place = None
    for field in header_fields(frame):
        if field[0] == REQUEST_ID:
            place = field
    if place is not None:
        return _with_id_at(frame, place[2], place[3], request_id(frame, place), id)
    end = header_end(frame)
    return _with_id_at(frame, end, end, 0, id, b"\x18")


def renumbered(message: Message, id: int) -> bytes:
    """The unary frame of a message under another request id. Raises FrameError."""
    if type(message) is Located:
        return _with_id_at(message.frame, message.id_at, message.id_stop, message.id, id)
    return with_id(message.frame, id)


def _with_id_at(frame: bytes, at: int, stop: int, old: int, id: int, tag: bytes = b"") -> bytes:
    changed = spliced(frame, at, stop, tag + write_varint(id))
    if int.from_bytes(frame[10:14], "big") == old:
        return changed[:10] + _ID.pack(id) + changed[14:]
    return changed


def request_id(frame: bytes, field: Field) -> int:
    """The value of a field of type uint32."""
    return number(frame, field) & MAX_ID


def with_stream_id(frame: bytes, id: int) -> bytes:
    """The stream frame under another stream id."""
    return frame[:10] + _ID.pack(id) + frame[14:]


def error_frame(id: int, ret: int, text: str) -> bytes:
    """An answer that has failed, without a body."""
    header = write_number(REQUEST_ID, id) + write_number(RET, ret)
    header += write(ERROR_MSG, text.encode("utf-8", "replace")) if text else b""
    return HEADER.pack(MAGIC, UNARY, 0, HEAD + len(header), len(header), id, 0, 0) + header
