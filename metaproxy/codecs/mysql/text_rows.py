"""
Rows of an answer that is whole, as texts.

Lives here: `first_rows`. Does not: where answers end (`answers`), rows by the names of their columns (`roles`).
"""

from __future__ import annotations

from collections.abc import Iterator

from metaproxy.codecs.mysql.packets import EOF, ERR, HEAD, head_of, read_bytes, read_error, read_integer
from metaproxy.message import FrameError

_NULL = 0xFB


def first_rows(frame: bytes) -> list[list[bytes | None]] | None:
    """Those of the first result, whose columns an EOF packet ends; None where that has no rows. Raises FrameError."""
    packets = _packets(frame)
    first = next(packets, b"\0")
    _check(first)
    columns, _ = read_integer(first, 0)
    for _ in range(columns + 1):  # and the end of them
        next(packets, b"")
    rows: list[list[bytes | None]] = []
    for payload in packets if columns else ():
        _check(payload)
        if payload[0] == EOF:
            return rows
        rows.append(list(_values(payload)))
    return None


def _check(payload: bytes) -> None:
    if payload[0] == ERR:
        refusal = read_error(payload)
        raise FrameError(f"the server says {refusal.number} {refusal.text[:200]}")


def _packets(frame: bytes) -> Iterator[bytes]:
    at = 0
    while len(frame) - at > HEAD:
        size, _ = head_of(frame, at)
        yield frame[at + HEAD : at + HEAD + size]
        at += HEAD + size


def _values(payload: bytes) -> Iterator[bytes | None]:
    at = 0
    while at < len(payload):
        if payload[at] == _NULL:
            yield None
            at += 1
        else:
            value, at = read_bytes(payload, at)
            yield value
