"""
What stands in a batch of records, as far as it can be read without unpacking anything.

    base offset 8 | length 4 | leader epoch 4 | magic 1 | crc 4 | attributes 2 | last offset 4 | times 16 |
    producer 14 | records 4 | record ...
    record: length | attributes 1 | time | offset | key | value | headers, all numbers as signed varints

Source: the page *Message Format* of Kafka's documentation, magic 2. Lives here: `read_batch`. Does not: where batches
are (`metadata`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from metaproxy.codecs.kafka.wire import INT, SHORT
from metaproxy.message import FrameError

HEAD: Final = 61
COMPRESSIONS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
MOST_HEADERS: Final = 64
"""Headers of a record that are read."""
_MAGIC, _ATTRIBUTES, _COUNT = 16, 21, 57


class Batch(NamedTuple):
    """records: how many there are; headers: of the first one, None where they can't be read."""

    records: int
    compression: str
    headers: dict[str, str] | None


def read_batch(data: bytes, at: int, end: int) -> Batch | None:
    """The batch that begins there; None for one of an older format, or of which there is too little."""
    if at + HEAD > end or data[at + _MAGIC] != 2:
        return None
    packing = SHORT.unpack_from(data, at + _ATTRIBUTES)[0] & 7
    compression = COMPRESSIONS[packing] if packing < len(COMPRESSIONS) else str(packing)
    count = INT.unpack_from(data, at + _COUNT)[0]
    headers = None
    if not packing and count > 0:
        try:
            headers = _headers(data, at + HEAD, end)
        except IndexError:
            headers = None  # they come behind what is there
    return Batch(count, compression, headers)


def _headers(data: bytes, at: int, end: int) -> dict[str, str]:
    """Of the record that begins there. Raises IndexError where it ends too early, FrameError for what can't be."""
    _, at = _number(data, at, end)
    at += 1
    for _ in range(2):
        _, at = _number(data, at, end)
    for _ in range(2):
        _, at = _text(data, at, end)
    count, at = _number(data, at, end)
    found: dict[str, str] = {}
    for _ in range(min(count, MOST_HEADERS)):
        name, at = _text(data, at, end)
        value, at = _text(data, at, end)
        if name and value is not None:
            found.setdefault(name.decode("utf-8", "replace"), value.decode("utf-8", "replace"))
    return found


def _text(data: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    size, at = _number(data, at, end)
    if size < 0:
        return None, at
    if at + size > end:
        raise IndexError
    return data[at : at + size], at + size


def _number(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A zigzag varint of 64 bits at most."""
    value = shift = 0
    while True:
        if at >= end:
            raise IndexError
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value >> 1 ^ -(value & 1), at
        shift += 7
        if shift > 63:
            raise FrameError("a number of more than 64 bits in a record")
