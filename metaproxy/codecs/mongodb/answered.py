"""
What an answer says: whether it reports failure, how many documents it has, what it is compared by.

Lives here: `verdict`, `read_rows`, `read_error`, `comparable`. Does not: which exchange it answers (`server`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from metaproxy.codecs.mongodb import bson, wire
from metaproxy.message import Message

_VERDICT: Final = frozenset((b"ok", b"code"))


def verdict(frame: bytes, body: wire.Body) -> tuple[int | None, bson.Element | None]:
    """
    What an answer says: the code of the error that it reports, 0 for one without a code, None for success; and its
    first field.
    """
    elements = bson.select(frame, body.at, body.end, _VERDICT)
    code, failed = 0, False
    for element in elements:
        if element.name == b"ok":
            if bson.number(frame, element):
                return None, elements[0]
            failed = True
        elif element.name == b"code":
            code = int(bson.number(frame, element) or 0)
    return (code if failed else None), (elements[0] if elements else None)


_BATCHES: Final = frozenset((b"firstBatch", b"nextBatch"))


def read_rows(message: Message) -> None:
    """How many documents an answer has, or a write was about."""
    frame = message.frame
    message.metadata = {}
    if wire.op_code(frame) != wire.OP_MSG:
        return
    for element in bson.select(frame, *wire.body(frame), _COUNTED):
        if element.name == b"n" and (count := bson.number(frame, element)) is not None:
            message.metadata["rows"] = str(int(count))
        elif element.name == b"cursor" and element.type == bson.DOCUMENT:
            for batch in bson.select(frame, element.at, element.stop, _BATCHES):
                if batch.name in _BATCHES and batch.type == bson.ARRAY:
                    message.metadata["rows"] = str(bson.count(frame, batch.at, batch.stop))


_COUNTED: Final = frozenset((b"cursor", b"n"))


def read_error(message: Message) -> None:
    """Metadata of an error."""
    frame = message.frame
    body = wire.reply_body(frame) if wire.op_code(frame) == wire.OP_REPLY else wire.body(frame)
    found: dict[str, str] = {}
    for element in bson.elements(frame, *body):
        if element.name == b"code":
            found["code"] = str(int(bson.number(frame, element) or 0))
        elif element.name == b"codeName":
            found["code_name"] = bson.text(frame, element) or ""
    message.metadata = found


_OF_A_MOMENT: Final = frozenset(
    (
        b"$clusterTime", b"$configTime", b"$gleStats", b"$topologyTime", b"connectionId", b"electionId",
        b"lastCommittedOpTime", b"lastWrite", b"localTime", b"opTime", b"operationTime", b"topologyVersion",
    )
)  # fmt: skip
"""Fields of answers that say when it was, or which server or connection answered."""


def comparable(frame: bytes) -> bytes:
    """
    The document of an answer without what differs from server to server, and from time to time; of a cursor only
    whether it goes on. Raises FrameError where it is no BSON.
    """
    code = wire.op_code(frame)
    body = wire.reply_body(frame) if code == wire.OP_REPLY else wire.body(frame)
    written = bson.join(_lasting(frame, body))
    if code == wire.OP_REPLY:
        return wire.reply(0, 0, written)
    return wire.message(0, 0, written, wire.flags(frame) & ~wire.CHECKSUM)


def _lasting(frame: bytes, body: wire.Body) -> Iterator[bytes]:
    for element in bson.elements(frame, *body):
        if element.name == b"cursor" and element.type == bson.DOCUMENT:
            inner = bson.elements(frame, element.at, element.stop)
            yield b"\x03cursor\0" + bson.join(_of_cursor(frame, one) for one in inner)
        elif element.name not in _OF_A_MOMENT:
            yield frame[element.start : element.stop]


def _of_cursor(frame: bytes, field: bson.Element) -> bytes:
    return bson.field("id", bool(bson.number(frame, field))) if field.name == b"id" else frame[field.start : field.stop]
