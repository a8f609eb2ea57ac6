"""
Field tables and the properties of contents, read only as far as somebody asks; and a table with other texts in it.

    table: size 4, then name (short string), type 1, value ...
    properties: flags 2, then those that the flags announce, in their order

Lives here: `table_fields`, `properties`, `without`, `with_headers`. Does not: frames (`wire`), names of keys
(`metadata`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from metaproxy.codecs.amqp.wire import short_string
from metaproxy.message import FrameError

_NUMBERS: Final = {
    key: struct.Struct(form)
    for key, form in (
        (ord("b"), ">b"), (ord("B"), ">B"), (ord("s"), ">h"), (ord("u"), ">H"), (ord("I"), ">i"), (ord("i"), ">I"),
        (ord("l"), ">q"), (ord("L"), ">q"), (ord("T"), ">Q"), (ord("f"), ">f"), (ord("d"), ">d"),
    )
}  # fmt: skip
"""Types of numbers, as RabbitMQ has them."""
_BOOL, _VOID, _DECIMAL, _TEXT = ord("t"), ord("V"), ord("D"), ord("S")
_SIZED: Final = frozenset(b"SxFA")
"""Types whose value begins with its size in four bytes."""

PROPERTIES: Final = (
    ("content_type", "s"), ("content_encoding", "s"), ("headers", "F"), ("delivery_mode", "b"), ("priority", "b"),
    ("correlation_id", "s"), ("reply_to", "s"), ("expiration", "s"), ("message_id", "s"), ("timestamp", "Q"),
    ("type", "s"), ("user_id", "s"), ("app_id", "s"), ("cluster_id", "s"),
)  # fmt: skip
"""Of a content of class 60, the one announced by the highest bit first."""
_PLACES: Final = {name: place for place, (name, _) in enumerate(PROPERTIES)}
_HEADERS: Final = 0x2000


class Field(NamedTuple):
    """A field of a table: its name, its type, where it begins, and where its value does and ends."""

    name: bytes
    type: int
    start: int
    at: int
    stop: int


def table_fields(data: bytes, at: int, end: int) -> Iterator[Field]:
    """The fields of the table whose size stands at `at`. Raises FrameError where it can't be read."""
    stop = at + 4 + int.from_bytes(data[at : at + 4], "big")
    if stop > end or at + 4 > end:
        raise FrameError("a field table that is longer than what it stands in")
    at += 4
    while at < stop:
        start = at
        at += 1 + data[at]
        if at >= stop:
            raise FrameError("a field of a table without a value")
        name, kind = data[start + 1 : at], data[at]
        at += 1
        size = _size(data, at, stop, kind)
        if at + size > stop:
            raise FrameError(f"the field {name!r:.40} of a table is longer than the table")
        yield Field(name, kind, start, at, at + size)
        at += size


def _size(data: bytes, at: int, end: int, kind: int) -> int:
    number = _NUMBERS.get(kind)
    if number is not None:
        return number.size
    if kind in _SIZED:
        if at + 4 > end:
            raise FrameError("a field of a table without its size")
        return 4 + int.from_bytes(data[at : at + 4], "big")
    if kind == _BOOL:
        return 1
    if kind == _VOID:
        return 0
    if kind == _DECIMAL:
        return 5
    raise FrameError(f"a field of type {chr(kind)!r} in a table")


def field_text(data: bytes, field: Field) -> str | None:
    """The value as text, if it is one, a number, or true or false; None for tables, arrays and bytes."""
    kind = field.type
    if kind == _TEXT:
        return data[field.at + 4 : field.stop].decode("utf-8", "surrogateescape")
    number = _NUMBERS.get(kind)
    if number is not None:
        return str(number.unpack_from(data, field.at)[0])
    if kind == _BOOL:
        return "true" if data[field.at] else "false"
    return None


def find_table(data: bytes, field: Field) -> dict[bytes, Field]:
    """The fields of a field that is a table; {} of any other."""
    return {one.name: one for one in table_fields(data, field.at, field.stop)} if field.type == ord("F") else {}


class Property(NamedTuple):
    """A property of a content: where its bytes begin and end."""

    name: str
    type: str
    at: int
    stop: int


def properties(data: bytes, at: int, end: int) -> list[Property]:
    """Those of a content whose flags stand at `at`. Raises FrameError where they can't be read."""
    flags = int.from_bytes(data[at : at + 2], "big")
    if flags & 3:
        raise FrameError(f"flags of a content's properties {flags:#06x}: the two lowest bits say nothing")
    at += 2
    found = []
    for index, (name, kind) in enumerate(PROPERTIES):
        if not flags & 0x8000 >> index:
            continue
        if at >= end:
            raise FrameError(f"the properties of a content end before {name}")
        if kind == "s":
            stop = at + 1 + data[at]
        elif kind == "F":
            stop = at + 4 + int.from_bytes(data[at : at + 4], "big")
        else:
            stop = at + (1 if kind == "b" else 8)
        if stop > end:
            raise FrameError(f"the properties of a content end within {name}")
        found.append(Property(name, kind, at, stop))
        at = stop
    return found


def without(data: bytes, drops: Callable[[str, bytes], bool]) -> bytes:
    """The properties (from their flags on) without the texts of which `drops(name, text)` is true."""
    flags = int.from_bytes(data[:2], "big")
    kept, at = [b""], 2
    for found in properties(data, 0, len(data)):
        if found.type == "s" and drops(found.name, data[found.at + 1 : found.stop]):
            flags &= ~(0x8000 >> _PLACES[found.name])
            kept.append(data[at : found.at])
            at = found.stop
    return data if at == 2 else flags.to_bytes(2, "big") + b"".join(kept) + data[at:]


def property_text(data: bytes, found: Property) -> str:
    if found.type == "s":
        return data[found.at + 1 : found.stop].decode("utf-8", "surrogateescape")
    return str(int.from_bytes(data[found.at : found.stop], "big"))


def with_headers(data: bytes, set: Mapping[bytes, bytes], remove: frozenset[bytes]) -> bytes:
    """
    The properties (from their flags on) with headers removed, then set to texts. Removal is by name in any case. All
    else stays as it is.
    """
    flags = int.from_bytes(data[:2], "big")
    found = properties(data, 0, len(data))
    place = next((one for one in found if one.name == "headers"), None)
    kept = []
    if place is not None:
        start, stop = place.at, place.stop
        gone = remove | {name.lower() for name in set}
        kept = [
            data[field.start : field.stop]
            for field in table_fields(data, start, stop)
            if field.name.lower() not in gone
        ]
    else:
        before = [one for one in found if one.name in ("content_type", "content_encoding")]
        start = stop = before[-1].stop if before else 2
        if not set:
            return data
    for name, value in set.items():
        kept.append(short_string(name) + b"S" + len(value).to_bytes(4, "big") + value)
    table = b"".join(kept)
    flags |= _HEADERS
    return flags.to_bytes(2, "big") + data[2:start] + len(table).to_bytes(4, "big") + table + data[stop:]
