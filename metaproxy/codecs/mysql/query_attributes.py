"""
Query attributes: parameters that stand before the text of a query, where both sides agreed on them.

Lives here: `skip_attributes`. Does not: what they say, which is passed on as it is.
"""

from __future__ import annotations

from metaproxy.codecs.mysql.packets import read_bytes, read_integer
from metaproxy.message import FrameError

_SIZES = {0x01: 1, 0x02: 2, 0x0D: 2, 0x03: 4, 0x09: 4, 0x04: 4, 0x08: 8, 0x05: 8, 0x06: 0}
"""Bytes of a value by its type: TINY, SHORT, YEAR, LONG, INT24, FLOAT, LONGLONG, DOUBLE, NULL."""
_TIMES = frozenset((0x07, 0x0A, 0x0B, 0x0C))
"""TIMESTAMP, DATE, TIME, DATETIME: behind a length of one byte."""


def skip_attributes(payload: bytes, at: int) -> int:
    """Where the text of a query begins whose attributes begin at `at`. Raises FrameError."""
    count, at = read_integer(payload, at)
    _, at = read_integer(payload, at)
    if not count:
        return at
    if count > len(payload):
        raise FrameError(f"a query with {count} attributes in {len(payload)} bytes")
    nulls = payload[at : at + (count + 7) // 8]
    at += (count + 7) // 8
    if payload[at : at + 1] != b"\x01":
        raise FrameError("a query with attributes that have no types")
    at += 1
    kinds = []
    for _ in range(count):
        if at + 2 > len(payload):
            raise FrameError("a query ends within its attributes")
        kinds.append(payload[at])
        _, at = read_bytes(payload, at + 2)
    for number, kind in enumerate(kinds):
        if nulls[number >> 3] >> (number & 7) & 1:
            continue
        if kind in _SIZES:
            at += _SIZES[kind]
        elif kind in _TIMES:
            at += 1 + payload[at] if at < len(payload) else 1
        else:
            _, at = read_bytes(payload, at)
    if at > len(payload):
        raise FrameError("a query ends within its attributes")
    return at
