"""
How a check says what is wrong: a text that names the fault and the remedy, and the bytes as a hexdump.

Lives here: `need`, `fault`, `hexdump`, `shorten`. Does not: any check.
"""

from __future__ import annotations

from collections.abc import Sequence

_ROW = 16
_FIRST_ROWS, _LAST_ROWS = 12, 4
"""Rows of a hexdump that are shown of long data: where heads are, and where it was cut."""


def need(holds: bool, text: str, data: bytes | None = None) -> None:
    """Raise AssertionError with `text` and a hexdump of `data` unless `holds`. (python -O skips assert statements.)"""
    if not holds:
        raise fault(text, data)


def fault(text: str, data: bytes | None = None) -> AssertionError:
    """The error to raise: `text`, and `data` as a hexdump below it."""
    return AssertionError(text if data is None else f"{text}\n{hexdump(data)}")


def hexdump(data: bytes) -> str:
    """Offset, hexadecimal and ASCII, 16 bytes a row; of more than 256 bytes the first rows and the last ones."""
    rows = range(0, len(data), _ROW)
    size = f"  {len(data)} bytes"
    if len(rows) <= _FIRST_ROWS + _LAST_ROWS:
        return "\n".join((*(_row(data, at) for at in rows), size))
    first, last = rows[:_FIRST_ROWS], rows[-_LAST_ROWS:]
    gap = f"  ........  {last[0] - first[-1] - _ROW} bytes left out"
    return "\n".join((*(_row(data, at) for at in first), gap, *(_row(data, at) for at in last), size))


def _row(data: bytes, at: int) -> str:
    piece = bytes(data[at : at + _ROW])
    shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
    return f"  {at:08x}  {piece[:8].hex(' '):<23}  {piece[8:].hex(' '):<23}  |{shown}|"


def shorten(items: Sequence[object]) -> str:
    """A list as text, at most eight items of it, each bounded."""
    shown = ", ".join(f"{item!s:.200}" for item in items[:8])
    return f"[{shown}{', ...' if len(items) > 8 else ''}]"
