"""
The codes of Hessian 2: which is what, how long the values are, and what steps over many of them at once.

Lives here: tables, and expressions made of them. Does not: reading (`hessian2_reader`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

NULL, TRUE, FALSE, END = 0x4E, 0x54, 0x46, 0x5A
UNTYPED_MAP, TYPED_MAP, REFERENCE, DEFINITION, OBJECT = 0x48, 0x4D, 0x51, 0x43, 0x4F
LAST_CHUNK, CHUNK = 0x53, 0x52


def _sizes() -> bytes:
    """Size of a value by its code, the code included, where that fixes it; else 0."""
    sizes = bytearray(256)
    for size, codes in (
        (1, (NULL, TRUE, FALSE, 0x5B, 0x5C, *range(0x80, 0xC0), *range(0xD8, 0xF0))),
        (2, (0x5D, *range(0xC0, 0xD0), *range(0xF0, 0x100))),
        (3, (0x5E, *range(0xD0, 0xD8), *range(0x38, 0x40))),
        (5, (0x49, 0x59, 0x4B, 0x5F)),
        (9, (0x4C, 0x44, 0x4A)),
    ):
        for code in codes:
            sizes[code] = size
    return bytes(sizes)


SIZES: Final = _sizes()
ZEROS: Final = {
    code: zero
    for zero, codes in (
        (0x90, range(0x80, 0xC0)), (0xC8, range(0xC0, 0xD0)), (0xD4, range(0xD0, 0xD8)),
        (0xE0, range(0xD8, 0xF0)), (0xF8, range(0xF0, 0x100)), (0x3C, range(0x38, 0x40)),
    )
    for code in codes
}  # fmt: skip
"""Codes that are the highest byte of an int or long, each with the code that stands for a highest byte of 0."""
NUMBERS: Final = frozenset((*ZEROS, 0x49, 0x59, 0x4C, 0x44, *range(0x5B, 0x60)))
NESTED: Final = frozenset(
    (DEFINITION, UNTYPED_MAP, TYPED_MAP, OBJECT, REFERENCE, *range(0x55, 0x59), *range(0x60, 0x80))
)
"""Codes of what later values may refer to, or may itself refer to earlier ones."""


def _simple_value() -> bytes:
    """A regular expression for a value of fixed size, or a short ASCII string."""
    sized = []
    for size in (1, 2, 3, 5, 9):
        codes = b"".join(b"\\x%02x" % code for code in range(256) if SIZES[code] == size)
        sized.append(b"[%s]" % codes + (b"[\\x00-\\xff]{%d}" % (size - 1) if size > 1 else b""))
    strings = [b"\\x%02x[\\x00-\\x7f]{%d}" % (length, length) for length in range(0x20)]
    return b"(?:" + b"|".join(sized + strings) + b")"


SOME: Final = 32
MANY: Final = 1024
_SIMPLE: Final = _simple_value()
SOME_SIMPLE: Final = re.compile(_SIMPLE + b"{1,256}")


@cache
def simple_values(count: int) -> re.Pattern[bytes]:
    """
    What matches so many simple values, at most SOME or just MANY. To step over them at once takes a tenth of the time
    that each alone takes. Slow when it is first asked for a count.
    """
    return re.compile(_SIMPLE + b"{%d}" % count)


def is_string(code: int) -> bool:
    """Whether a value of this code is a string."""
    return code <= 0x1F or 0x30 <= code <= 0x33 or code in (LAST_CHUNK, CHUNK)
