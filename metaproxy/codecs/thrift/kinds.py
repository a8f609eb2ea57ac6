"""
How a value is skipped, by its type on the wire.

A kind that is above 0 is a number of bytes; the others are the names below. Lives here: a table for each encoding.
Does not: skipping (`walk`, `runs`).
"""

from __future__ import annotations

STRING, RECORD, MAP, LIST, VARINT, BAD = -1, -2, -3, -4, -5, -6
NONE = 0
"""In place of a second kind: a list or set has one. As a field a bool of compact: its value is in its type."""

BINARY: tuple[int, ...] = (BAD, BAD, 1, 1, 8, BAD, 2, BAD, 4, BAD, 8, STRING, RECORD, MAP, LIST, LIST, 16)
BINARY += (BAD, BAD, 4) + (BAD,) * 236
"""19 is the float of fbthrift."""

COMPACT = (BAD, 1, 1, 1, VARINT, VARINT, VARINT, 8, STRING, LIST, LIST, MAP, RECORD, 16, BAD, BAD)
COMPACT_FIELD = (BAD, 0, 0, *COMPACT[3:])

_FLOAT = 13


def with_float(types: tuple[int, ...]) -> tuple[int, ...]:
    """The table of fbthrift's compact: type 13, a UUID of 16 bytes to Apache's libraries, is a float of four."""
    return (*types[:_FLOAT], 4, *types[_FLOAT + 1 :])
