"""
Serialization 23, fastjson2: an item is four bytes of length and a JSONB document.

Source: org.apache.dubbo.common.serialize.fastjson2 of Dubbo 3.3.6. Lives here: where the items of such a body are, and
a fast way to read the attachments that most peers send. Does not: JSONB (`jsonb`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

from metaproxy.codecs.dubbo import jsonb
from metaproxy.codecs.dubbo.body import HEAD, MAX_PAIRS, MAX_PLAIN, Attachments, Body, Pair
from metaproxy.message import FrameError

T = TypeVar("T")

_SIZE = struct.Struct(">I")


class Fastjson2(Body):
    """Serialization 23."""

    def head_end(self, frame: bytes) -> int:
        at, unpack = HEAD, _SIZE.unpack_from
        try:
            for _ in range(5):
                at += 4 + unpack(frame, at)[0]
        except struct.error:
            return 0
        return at if at <= len(frame) else 0

    def head(self, frame: bytes) -> tuple[list[str], int]:
        texts: list[str] = []
        at = HEAD
        for _ in range(5):
            start, end = _counted(frame, at)
            texts.append(_whole(jsonb.Reader(frame, start, end), jsonb.Reader.string))
            at = end
        return texts, at

    def first_argument(self, frame: bytes, at: int) -> str | None:
        reader = jsonb.Reader(frame, *_counted(frame, at))
        return reader.string() if reader.is_string() else None

    def result(self, frame: bytes) -> tuple[int | None, int]:
        if frame[HEAD : HEAD + 5] == b"\0\0\0\2\xbd" and len(frame) > HEAD + 5:  # a byte, which is what Java writes
            return frame[HEAD + 5], HEAD + 6
        start, end = _counted(frame, HEAD)
        return _whole(jsonb.Reader(frame, start, end), jsonb.Reader.integer), end

    def attachments(self, frame: bytes, at: int, skip: int) -> Attachments:
        for _ in range(skip):
            at = _counted(frame, at)[1]
        if at == len(frame):
            return at, at, b"\xa6", ()
        start, end = _counted(frame, at)
        plain = plain_pairs(frame, start, end)
        if plain is not None:
            return at, end, b"\xa6", plain
        reader = jsonb.Reader(frame, start, end)
        if reader.peek() == jsonb.NULL:
            return at, end, b"\xa6", ()
        opening = reader.begin_map()
        return at, end, opening, _whole(reader, jsonb.Reader.pairs)

    def pair(self, key: str, value: str) -> bytes:
        return jsonb.write_string(key) + jsonb.write_string(value)

    def map(self, opening: bytes, raws: Sequence[bytes]) -> bytes:
        content = b"".join(raws)
        return b"".join((_SIZE.pack(len(opening) + len(content) + 1), opening, content, b"\xa5"))

    def string(self, text: str) -> bytes:
        data = jsonb.write_string(text)
        return _SIZE.pack(len(data)) + data

    def event(self, frame: bytes) -> str:
        return jsonb.Reader(frame, *_counted(frame, HEAD)).text() or ""


def _counted(frame: bytes, at: int) -> tuple[int, int]:
    """Where an item with four bytes of length in front begins and ends."""
    start = at + 4
    if start > len(frame):
        raise FrameError(f"fastjson2: an item expected at {at}; the frame has {len(frame)} bytes")
    end = start + int(_SIZE.unpack_from(frame, at)[0])
    if end > len(frame):
        raise FrameError(f"fastjson2: the item at {at} reaches {end - len(frame)} bytes beyond the body")
    return start, end


def _whole(reader: jsonb.Reader, read: Callable[[jsonb.Reader], T]) -> T:
    """What `read` gives of a document that it must use up."""
    value = read(reader)
    if reader.at != reader.end:
        raise FrameError(f"fastjson2: {reader.end - reader.at} bytes left of the item that ends at {reader.end}")
    return value


def plain_pairs(data: bytes, start: int, end: int) -> list[Pair] | None:
    """
    The pairs of a map that is a whole document; None unless it is an untyped one of short ASCII strings, as nearly all
    maps of attachments are. Several times as fast as a Reader.
    """
    raw = data[start + 1 : end - 1]
    if (
        end - start < 2
        or data[start] != jsonb.OBJECT
        or data[end - 1] != jsonb.END
        or len(raw) > MAX_PLAIN
        or not raw.isascii()
    ):
        return None
    text = raw.decode("ascii")
    found: list[Pair] = []
    at, size = 0, len(raw)
    try:
        while at < size:
            key = raw[at]
            middle = at + key - 0x48
            value = raw[middle]
            stop = middle + value - 0x48
            if not (0x49 <= key <= 0x78 and 0x49 <= value <= 0x78):
                return None
            found.append((text[at + 1 : middle], text[middle + 1 : stop], raw[at:stop], False))
            at = stop
    except IndexError:
        return None
    return found if at == size and len(found) <= MAX_PAIRS else None
