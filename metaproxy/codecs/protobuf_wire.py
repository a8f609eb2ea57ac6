"""
The wire format of Protocol Buffers, without descriptors: fields of a message found, kept, replaced and written.

    field: tag varint (number << 3 | wire type), value      0 varint · 1 eight bytes · 2 length, bytes · 5 four bytes

Source: protobuf.dev/programming-guides/encoding. Lives here: what RPC protocols need for their heads. Does not: groups
(wire types 3 and 4, in no head of any of them), messages of the services.

A message's fields are found once, as `Field`s, and what is not asked for is never decoded. Where a field is there more
than once the last value counts, as in every reader of protobuf; entries of a map add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from metaproxy.codecs.framing import write_varint
from metaproxy.message import FrameError

MAX_FIELDS = 4096
"""Fields of one message, entries of maps included."""
_SIGN = 1 << 63
_ALL = (1 << 64) - 1

Field = tuple[int, int, int, int]
"""The tag (number << 3 | wire type), and where the tag, the value and what follows begin."""


def fields(data: bytes, at: int, end: int) -> list[Field]:
    """The fields of the message that stands in data[at:end]. Raises FrameError where it is none."""
    found: list[Field] = []
    add = found.append
    try:
        while at < end:
            start = at
            tag = data[at]
            at += 1
            if tag >= 0x80:
                tag, at = read_varint(data, start)
            wire = tag & 7
            if wire == 2:
                size = data[at]
                at += 1
                if size >= 0x80:
                    size, at = read_varint(data, at - 1)
                stop = at + size
            elif wire == 0:
                stop = at + 1
                if data[at] >= 0x80:
                    stop = read_varint(data, at)[1]
            elif wire == 1:
                stop = at + 8
            elif wire == 5:
                stop = at + 4
            else:
                raise FrameError(f"protobuf: wire type {wire} of the field at {start}; known are 0, 1, 2 and 5")
            if stop > end:
                raise FrameError(f"protobuf: the field at {start} reaches {stop - end} bytes beyond its message")
            if tag < 8:
                raise FrameError(f"protobuf: the field at {start} has number 0")
            add((tag, start, at, stop))
            at = stop
    except IndexError:
        raise FrameError(f"protobuf: a message that ends at {end} ends in the middle of a number") from None
    if len(found) > MAX_FIELDS:
        raise FrameError(f"protobuf: a message of {len(found)} fields; allowed are {MAX_FIELDS}")
    return found


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint as an unsigned number of 64 bits, and where it ends. Raises FrameError, and IndexError at the end."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    start = at
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _ALL, at + 1
        shift += 7
        if shift == 70:
            raise FrameError(f"protobuf: a number of more than ten bytes at {start}")


def number(data: bytes, field: Field) -> int:
    """The value of a varint field, unsigned."""
    value = data[field[2]]
    return value if value < 0x80 else read_varint(data, field[2])[0]


def signed(value: int) -> int:
    """What an int32 or int64 is whose varint is `value`."""
    return value - (1 << 64) if value & _SIGN else value


def text(data: bytes, field: Field) -> str | None:
    """The value of a string field; None where it is no UTF-8."""
    return utf8(data[field[2] : field[3]])


def utf8(data: bytes) -> str | None:
    """The text; None where it is no UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


# -- maps


def entry(data: bytes, field: Field) -> tuple[bytes, bytes]:
    """Key and value of one entry of a map from strings to strings or bytes. Raises FrameError."""
    key = value = b""
    for tag, _, at, stop in fields(data, field[2], field[3]):
        if tag == 0x0A:
            key = data[at:stop]
        elif tag == 0x12:
            value = data[at:stop]
    return key, value


def pairs(data: bytes, found: Iterable[Field], tag: int) -> Iterator[tuple[str | None, str | None]]:
    """The entries of the map whose fields have the tag, in their order; None for what is no UTF-8."""
    for field in found:
        if field[0] == tag:
            key, value = entry(data, field)
            yield utf8(key), utf8(value)


# -- writing


def write(tag: int, value: bytes) -> bytes:
    """A field of bytes, a string or a message."""
    return write_varint(tag) + write_varint(len(value)) + value


def write_number(tag: int, value: int) -> bytes:
    """A varint field; a negative number takes ten bytes, as of an int32 or int64."""
    return write_varint(tag) + write_varint(value & _ALL)


def write_entry(tag: int, key: str, value: str) -> bytes:
    """One entry of a map."""
    return write(tag, write(0x0A, key.encode("utf-8", "replace")) + write(0x12, value.encode("utf-8", "replace")))


def without(data: bytes, found: Iterable[Field], tags: Set[int]) -> list[bytes]:
    """The fields, as they are, but for those of the tags."""
    return [data[start:stop] for tag, start, _, stop in found if tag not in tags]


def changed_map(
    data: bytes, found: Sequence[Field], tag: int, put: Mapping[str, str], removed: Iterable[str]
) -> list[bytes]:
    """The fields of a message, of whose map entries were taken out and then put in; all others are as they were."""
    gone = {key.encode("utf-8", "replace") for key in (*put, *removed)}
    kept = [
        data[field[1] : field[3]] for field in found if field[0] != tag or not gone or entry(data, field)[0] not in gone
    ]
    return kept + [write_entry(tag, key, value) for key, value in put.items()]
