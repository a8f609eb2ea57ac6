"""
BSON, as much as a proxy needs: the fields of a document, one after the other, and small documents to write.

A value that is not asked for is stepped over by its length; what lies within it is never looked at.

Lives here: `elements`, `find`, readers of single values, `document`. Does not: what the fields mean. The layout is that
of bsonspec.org, version 1.1.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from metaproxy.message import FrameError

DOUBLE: Final = 0x01
STRING: Final = 0x02
DOCUMENT: Final = 0x03
ARRAY: Final = 0x04
BINARY: Final = 0x05
OBJECT_ID: Final = 0x07
BOOLEAN: Final = 0x08
DATE: Final = 0x09
INT32: Final = 0x10
TIMESTAMP: Final = 0x11
INT64: Final = 0x12

MOST_FIELDS: Final = 4096
"""Fields of one document that are looked at: a command has some dozens."""

_FIXED: Final = {
    DOUBLE: 8, 0x06: 0, OBJECT_ID: 12, BOOLEAN: 1, DATE: 8, 0x0A: 0, INT32: 4, TIMESTAMP: 8, INT64: 8, 0x13: 16,
    0x7F: 0, 0xFF: 0,
}  # fmt: skip
"""Type -> bytes of its values."""
_BEHIND: Final = {STRING: 4, DOCUMENT: 0, ARRAY: 0, BINARY: 5, 0x0D: 4, 0x0E: 4, 0x0F: 0, 0x0C: 16}
"""Type -> what comes to the length that its values begin with."""
_REGEX: Final = 0x0B
_INT32 = struct.Struct("<i")
_INT64 = struct.Struct("<q")
_DOUBLE = struct.Struct("<d")


class Element(NamedTuple):
    """One field: its type, its name, where its value begins and ends, and where the field itself begins."""

    type: int
    name: bytes
    at: int
    stop: int
    start: int


def size(data: bytes, at: int, end: int) -> int:
    """Bytes of the document that begins at `at`. Raises FrameError if it does not end before `end`, with a 0."""
    if end - at < 5:
        raise FrameError("a BSON document has at least 5 bytes")
    length: int = _INT32.unpack_from(data, at)[0]
    if not 5 <= length <= end - at:
        raise FrameError(f"a BSON document of {length} bytes, where there are {end - at}")
    if data[at + length - 1]:
        raise FrameError("a BSON document does not end with a 0")
    return length


def elements(data: bytes, at: int, end: int) -> Iterator[Element]:
    """The fields of the document that begins at `at`, in their order. Raises FrameError where they are not BSON."""
    stop = at + size(data, at, end) - 1
    at += 4
    for _ in range(MOST_FIELDS):
        if at >= stop:
            return
        name_end = data.find(b"\0", at + 1, stop)
        if name_end < 0:
            raise FrameError("the name of a BSON field has no end")
        element = Element(
            data[at], data[at + 1 : name_end], name_end + 1, _stop(data, data[at], name_end + 1, stop), at
        )
        yield element
        at = element.stop
    if at < stop:
        raise FrameError(f"a BSON document with more than {MOST_FIELDS} fields")


def select(data: bytes, at: int, end: int, wanted: Container[bytes]) -> list[Element]:
    """The first field of a document, and those of these names: as `elements`, at less than half of the work."""
    stop = at + size(data, at, end) - 1
    at += 4
    found: list[Element] = []
    fixed, find = _FIXED.get, data.find
    left = MOST_FIELDS
    while at < stop:
        left -= 1
        if left < 0:
            raise FrameError(f"a BSON document with more than {MOST_FIELDS} fields")
        name_end = find(b"\0", at + 1, stop)
        if name_end < 0:
            raise FrameError("the name of a BSON field has no end")
        type_ = data[at]
        length = fixed(type_)
        value = name_end + 1
        next_at = value + length if length is not None else _stop(data, type_, value, stop)
        if next_at > stop:
            raise FrameError("a BSON field ends behind its document")
        name = data[at + 1 : name_end]
        if name in wanted or not found:
            found.append(Element(type_, name, value, next_at, at))
        at = next_at
    return found


def count(data: bytes, at: int, end: int) -> int:
    """How many items an array of documents has, or of what else tells its length; at most MOST_FIELDS are counted."""
    stop = at + size(data, at, end) - 1
    at += 4
    found = 0
    while at < stop and found < MOST_FIELDS:
        name_end = data.find(b"\0", at + 1, stop)
        if name_end < 0:
            raise FrameError("the name of a BSON field has no end")
        at = _stop(data, data[at], name_end + 1, stop)
        found += 1
    return found


def _stop(data: bytes, type_: int, value: int, stop: int) -> int:
    """Where a value ends that begins at `value`, in a document whose fields end at `stop`."""
    length = _FIXED.get(type_)
    if length is None:
        more = _BEHIND.get(type_)
        if more is not None:
            if value + 4 > stop:
                raise FrameError("a BSON field ends behind its document")
            length = int.from_bytes(data[value : value + 4], "little", signed=True) + more
            if length < 5:
                raise FrameError(f"a BSON field of type {type_:#04x} has a length of {length}")
        elif type_ == _REGEX:
            length = _regex(data, value, stop)
        else:
            raise FrameError(f"unknown type {type_:#04x} of a BSON field")
    if value + length > stop:
        raise FrameError("a BSON field ends behind its document")
    return value + length


def _regex(data: bytes, at: int, stop: int) -> int:
    """Bytes of a regular expression: two texts that end with a 0."""
    middle = data.find(b"\0", at, stop)
    end = data.find(b"\0", middle + 1, stop) if middle >= 0 else -1
    if end < 0:
        raise FrameError("a BSON field ends behind its document")
    return end + 1 - at


def find(data: bytes, at: int, end: int, name: bytes) -> Element | None:
    """The first field of that name."""
    return next((one for one in elements(data, at, end) if one.name == name), None)


def text(data: bytes, element: Element) -> str | None:
    """The value of a string; None if it is of another type. Raises FrameError if it is not UTF-8."""
    if element.type != STRING:
        return None
    try:
        return data[element.at + 4 : element.stop - 1].decode()
    except UnicodeDecodeError:
        raise FrameError(f"the field {element.name[:40]!r} is not UTF-8") from None


def number(data: bytes, element: Element) -> float | None:
    """The value of a number or a boolean; None if it is of another type."""
    if element.type == INT32:
        return int(_INT32.unpack_from(data, element.at)[0])
    if element.type == DOUBLE:
        return float(_DOUBLE.unpack_from(data, element.at)[0])
    if element.type == INT64:
        return int(_INT64.unpack_from(data, element.at)[0])
    return data[element.at] if element.type == BOOLEAN else None


def date(data: bytes, element: Element) -> int:
    """The value of a date: milliseconds since 1970."""
    return int(_INT64.unpack_from(data, element.at)[0])


def binary(data: bytes, element: Element) -> bytes | None:
    """The bytes of a binary value, without its subtype; None if it is of another type."""
    return data[element.at + 5 : element.stop] if element.type == BINARY else None


Value = bool | int | float | str | bytes | Mapping[str, "Value"] | list["Value"]
"""What `document` can write. int: of 32 bits, or of 64 where that is too small; bytes: binary, subtype 0."""


def document(fields: Mapping[str, Value]) -> bytes:
    """The BSON of a document."""
    return join(field(name, value) for name, value in fields.items())


def join(fields: Iterable[bytes]) -> bytes:
    """The document of fields that are BSON already."""
    body = b"".join(fields)
    return b"%b%b\0" % (_INT32.pack(len(body) + 5), body)


def field(name: str, value: Value) -> bytes:
    """One field: its type, its name, its value."""
    key = name.encode() + b"\0"
    if isinstance(value, bool):
        return b"\x08%b%c" % (key, value)
    if isinstance(value, int):
        if -(1 << 31) <= value < 1 << 31:
            return b"\x10" + key + _INT32.pack(value)
        return b"\x12" + key + _INT64.pack(value)
    if isinstance(value, float):
        return b"\x01" + key + _DOUBLE.pack(value)
    if isinstance(value, str):
        encoded = value.encode("utf-8", "replace")
        return b"\x02%b%b%b\0" % (key, _INT32.pack(len(encoded) + 1), encoded)
    if isinstance(value, bytes):
        return b"\x05%b%b\0%b" % (key, _INT32.pack(len(value)), value)
    if isinstance(value, Mapping):
        return b"\x03" + key + document(value)
    return b"\x04" + key + join(field(str(place), one) for place, one in enumerate(value))
