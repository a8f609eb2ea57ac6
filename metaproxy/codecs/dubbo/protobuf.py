"""
Serialization 22, protobuf: an item is a varint of length and a message.

    string: StringValue · result type: Int32Value · attachments: {1: map<string, string>} · null: StringValue "H"

Source: org.apache.dubbo.common.serialize.protobuf.support of Dubbo 2.7.23. Lives here: such bodies, and as much of the
protobuf encoding as they take. Does not: arguments and results, which are messages of the service's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from metaproxy.codecs.dubbo.body import HEAD, MAX_PAIRS, Attachments, Body, Pair
from metaproxy.message import FrameError

MAX_FIELDS: Final = 8
"""Fields of a StringValue, an Int32Value or an entry of a map, which have one or two."""


class Protobuf(Body):
    """Serialization 22. Java writes nothing at all where there are no attachments."""

    def head_end(self, frame: bytes) -> int:
        at = HEAD
        try:
            for _ in range(5):
                size, at = _varint(frame, at)
                at += size
        except FrameError:
            return 0
        return at if at <= len(frame) else 0

    def head(self, frame: bytes) -> tuple[list[str], int]:
        texts: list[str] = []
        at = HEAD
        for _ in range(5):
            start, end = _delimited(frame, at)
            texts.append(_string_value(frame, start, end))
            at = end
        return texts, at

    def first_argument(self, frame: bytes, at: int) -> str | None:
        return _string_value(frame, *_delimited(frame, at))

    def result(self, frame: bytes) -> tuple[int | None, int]:
        start, end = _delimited(frame, HEAD)
        value = 0  # which protobuf leaves out
        for number, wire, at, _ in _fields(frame, start, end):
            if (number, wire) == (1, 0):
                value = _varint(frame, at)[0]
        return value, end

    def attachments(self, frame: bytes, at: int, skip: int) -> Attachments:
        for _ in range(skip):
            at = _delimited(frame, at)[1]
        if at == len(frame):
            return at, at, b"", ()
        pairs: list[Pair] = []
        start, end = _delimited(frame, at)
        begin = start
        for number, wire, value, stop in _fields(frame, start, end, MAX_PAIRS):
            key, text = _entry(frame, value, stop) if (number, wire) == (1, 2) else (None, None)
            pairs.append((key, text, frame[begin:stop], False))
            begin = stop
        return at, end, b"", pairs

    def pair(self, key: str, value: str) -> bytes:
        entry = b"".join(
            tag + _write_varint(len(data)) + data
            for tag, data in ((b"\x0a", key.encode("utf-8", "replace")), (b"\x12", value.encode("utf-8", "replace")))
        )
        return b"\x0a" + _write_varint(len(entry)) + entry

    def map(self, opening: bytes, raws: Sequence[bytes]) -> bytes:
        content = b"".join(raws)
        return _write_varint(len(content)) + content

    def string(self, text: str) -> bytes:
        data = text.encode("utf-8", "replace")
        value = b"\x0a" + _write_varint(len(data)) + data if data else b""
        return _write_varint(len(value)) + value

    def event(self, frame: bytes) -> str:
        text = _string_value(frame, *_delimited(frame, HEAD))
        return "" if text == "H" else text


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value = 0
    for index in range(10):
        if at + index >= len(data):
            raise FrameError(f"protobuf: the body ends at {len(data)}, in the middle of a number")
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise FrameError(f"protobuf: a number of more than ten bytes at {at}")


def _write_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _delimited(frame: bytes, at: int) -> tuple[int, int]:
    """Where an item with a varint of length in front begins and ends."""
    size, start = _varint(frame, at)
    end = start + size
    if end > len(frame):
        raise FrameError(f"protobuf: the item at {at} reaches {end - len(frame)} bytes beyond the body")
    return start, end


def _fields(data: bytes, at: int, end: int, most: int = MAX_FIELDS) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, start and end of the value of each field of a message, which may have so many."""
    while at < end:
        most -= 1
        if most < 0:
            raise FrameError(f"protobuf: a message that ends at {end} has too many fields")
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            start, stop = at, _varint(data, at)[1]
        elif wire == 2:
            start, stop = _delimited(data, at)
        elif wire in (1, 5):
            start, stop = at, at + (8 if wire == 1 else 4)
        else:
            raise FrameError(f"protobuf: wire type {wire} before {at}")
        if stop > end:
            raise FrameError(f"protobuf: a field reaches {stop - end} bytes beyond its message")
        yield number, wire, start, stop
        at = stop


def _string_value(data: bytes, at: int, end: int) -> str:
    """Field 1 of a message, a string."""
    text = ""
    for number, wire, start, stop in _fields(data, at, end):
        if (number, wire) == (1, 2):
            text = _utf8(data[start:stop])
    return text


def _entry(data: bytes, at: int, end: int) -> tuple[str, str]:
    """Key and value of a map's entry."""
    texts = {1: "", 2: ""}
    for number, wire, start, stop in _fields(data, at, end):
        if wire == 2 and number in texts:
            texts[number] = _utf8(data[start:stop])
    return texts[1], texts[2]


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FrameError(f"protobuf: a string that is no UTF-8: {error.reason}") from error
