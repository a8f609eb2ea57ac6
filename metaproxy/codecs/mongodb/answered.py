"""
What an answer says: whether it reports failure, how many documents it has, what it is compared by.

Lives here: `verdict`, `read_rows`, `LargeRows`, `read_error`, `comparable`. Does not: which exchange it answers
(`server`).
"""

from __future__ import annotations

import re
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
        elif (rows := batch_rows(frame, element)) is not None:
            message.metadata["rows"] = str(rows)


def batch_rows(frame: bytes, cursor: bson.Element | None) -> int | None:
    """How many documents come with an answer, by its field of that name; None for another one."""
    if cursor is None or cursor.name != b"cursor" or cursor.type != bson.DOCUMENT:
        return None
    for batch in bson.select(frame, cursor.at, cursor.stop, _BATCHES):
        if batch.name in _BATCHES and batch.type == bson.ARRAY:
            rows = _rows_up_to(frame, batch.at, batch.stop)
            return bson.count(frame, batch.at, batch.stop) if rows is None else rows
    return None


def _rows_up_to(data: bytes, at: int, end: int) -> int | None:
    """
    How many documents an array has that ends at `end`, of which what is behind `at` is there: one more than the number
    of the last one. That is looked for backwards, as there may be very many. None where its beginning is not there.
    """
    if data[at:end] == _EMPTY:
        return 0
    for window in _WINDOWS:
        for item in _ITEM.finditer(data, max(at, end - window), end):
            start = item.end()
            if start + int.from_bytes(data[start : start + 4], "little") == end - 1:
                return int(item[1]) + 1
    return None


_EMPTY: Final = b"\5\0\0\0\0"
_ITEM: Final = re.compile(rb"\x03(\d{1,9})\x00")
"""Where a document in an array begins."""
_WINDOWS: Final = (1024, 1 << 16)
"""Bytes in which the last document of an array is looked for: most are found in the first."""


def rows_of_large(head: bytes) -> tuple[int, int]:
    """
    Where the array of documents stands in an answer that begins so: behind its length, and where it ends; both beyond
    all bytes where there is none.
    """
    at = wire.SECTIONS + 1 + 4
    name_end = head.find(b"\0", at, at + 16)
    if head[wire.SECTIONS] == 0 and name_end > 0 and head[at:name_end] == b"\x03cursor":
        at = name_end + 1 + 4
        name_end = head.find(b"\0", at, at + 16)
        if name_end > 0 and head[at:name_end] in (b"\x04firstBatch", b"\x04nextBatch"):
            rows = int.from_bytes(head[name_end + 1 : name_end + 5], "little")
            return name_end + 1, name_end + 1 + rows
    return wire.LARGEST, wire.LARGEST


class LargeRows:
    """
    Counts the documents of an answer that passes in pieces: large ones one by one, many small ones by the number of the
    last. rows: None until, or where, it is not known.
    """

    __slots__ = ("_count", "_held", "_left", "_passed", "_skip", "_tail", "_walks", "rows")

    def __init__(self, head: bytes) -> None:
        begin, end = rows_of_large(head)
        self._left = end - begin
        self._tail = self._held = b""
        self._skip = 4  # the array's own length
        self._count = self._passed = 0
        self._walks = True
        self.rows: int | None = None
        self.feed(head[begin:])

    def feed(self, data: bytes) -> None:
        if self._left <= 0:
            return
        data = data[: self._left]
        self._left -= len(data)
        if self._walks:
            self._walk(data)
        self._tail = b"" if self._left > _WINDOWS[-1] else (self._tail + data)[-_WINDOWS[-1] :]
        if not self._left:
            self.rows = self._count if self._walks else _rows_up_to(self._tail, 0, len(self._tail))

    def _walk(self, data: bytes) -> None:
        """From document to document, while these are large: what is skipped costs nothing."""
        data = self._held + data
        at, end, self._held = self._skip, len(data), b""
        while at < end and data[at]:
            name_end = data.find(b"\0", at, at + _MOST_NAME)
            if not at < name_end <= end - 5:
                self._held = data[at:]
                self._walks = len(self._held) < _MOST_NAME + 4
                break
            at = name_end + 1 + int.from_bytes(data[name_end + 1 : name_end + 5], "little")
            self._count += 1
            if self._count % _LOOKS == 0 and self._passed + at < self._count * _SMALL:
                self._walks = False  # many small ones
                break
        self._passed += end
        self._skip = max(0, at - end) if not self._held else 0


_MOST_NAME: Final = 12
"""Bytes of a document's type and number in an array."""
_LOOKS: Final = 4096
"""Documents behind which it is looked at whether they are large."""
_SMALL: Final = 512
"""Bytes of a document: with less, to count it alone would cost as much as to pass it on."""


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
