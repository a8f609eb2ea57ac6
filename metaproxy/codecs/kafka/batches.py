"""
Batches of records for another cluster: of no producer, and of no transaction.

    base offset 8 | length 4 | leader epoch 4 | magic 1 | crc 4 | attributes 2 | last offset 4 | times 16 |
    producer id 8, epoch 2, sequence 4 | records 4 | record ...

A producer's id is of the cluster that gave it: in another one it may be another producer's, whose batches would then be
taken for repeated ones. Records stay as they are, packed or not; the CRC follows from the one that was there.

Source: the page *Message Format* of Kafka's documentation, magic 2. Lives here: `without_producer`. Does not: requests
(`copies`), what else stands in a batch (`records`).
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.kafka import crc32c
from metaproxy.codecs.kafka.records import HEAD
from metaproxy.codecs.kafka.wire import INT, SHORT
from metaproxy.message import FrameError

_LENGTH, _MAGIC, _CRC, _ATTRIBUTES, _PRODUCER, _COUNT = 8, 16, 17, 21, 43, 57
_BEFORE: Final = 12
"""Bytes that the length of a batch does not count."""
_TRANSACTIONAL, _CONTROL = 16, 32
_NO_PRODUCER: Final = b"\xff" * (_COUNT - _PRODUCER)
MOST: Final = 1000
"""Batches of a partition in a request. Brokers take one."""


def without_producer(records: bytes) -> bytes:
    """What a request has for a partition; b"" where nothing of it is to be copied. Raises FrameError."""
    kept: list[bytes] = []
    at, end = 0, len(records)
    for _ in range(MOST):
        if at >= end:
            return b"".join(kept)
        if at + HEAD > end:
            raise FrameError(f"a batch of {end - at} bytes; it has {HEAD} at least")
        stop = at + _BEFORE + INT.unpack_from(records, at + _LENGTH)[0]
        if not at + HEAD <= stop <= end:
            raise FrameError(f"a batch of {stop - at} bytes in {end - at}")
        if records[at + _MAGIC] != 2:
            raise FrameError(f"records of the format {records[at + _MAGIC]}, which is not copied; 2 is")
        if not SHORT.unpack_from(records, at + _ATTRIBUTES)[0] & _CONTROL:
            kept += _stripped(records, at, stop)
        at = stop
    raise FrameError(f"more than {MOST} batches for a partition")


def _stripped(records: bytes, at: int, stop: int) -> tuple[bytes, ...]:
    """A batch, in parts."""
    head = records[at : at + _COUNT]
    attributes = SHORT.unpack_from(head, _ATTRIBUTES)[0]
    if head[_PRODUCER:] == _NO_PRODUCER and not attributes & _TRANSACTIONAL:
        return (records[at:stop],)
    begin = SHORT.pack(attributes & ~_TRANSACTIONAL) + head[_ATTRIBUTES + SHORT.size : _PRODUCER] + _NO_PRODUCER
    before = head[_ATTRIBUTES:]
    difference = (int.from_bytes(begin, "big") ^ int.from_bytes(before, "big")).to_bytes(len(begin), "big")
    crc = crc32c.changed(int.from_bytes(head[_CRC:_ATTRIBUTES], "big"), difference, stop - at - _COUNT)
    return head[:_CRC], crc.to_bytes(4, "big"), begin, records[at + _COUNT : stop]
