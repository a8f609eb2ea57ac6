"""
The CRC-32C of bytes of which a few are changed, from the one that they had.

A CRC is linear: two texts of the same length have CRCs whose difference is the (pure) CRC of the difference of the
texts. So what is behind the last change counts by its length alone, in steps that each double it.

Lives here: `changed`. Does not: which bytes change (`batches`). Source of the polynomial: RFC 3720, appendix B.4;
the way to move a CRC on is that of `crc32_combine` in zlib.
"""

from __future__ import annotations

from functools import cache, reduce
from operator import xor
from typing import Final

_POLYNOMIAL: Final = 0x82F63B78
_ONE: Final = 1 << 31
"""The polynomial 1: the highest bit is the lowest power."""


def changed(crc: int, difference: bytes, behind: int) -> int:
    """
    The CRC of a text that was `crc` before. difference: of the first bytes that change up to the last, the old ones XOR
    the new ones; behind: how many bytes follow these.
    """
    return crc ^ _moved(_pure(difference), behind)


def _pure(data: bytes) -> int:
    """The CRC without what is done first and last: that of zeros is 0."""
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def _times(one: int, other: int) -> int:
    """The product of two polynomials, modulo that of the CRC."""
    product = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ _POLYNOMIAL if other & 1 else other >> 1
    return product


def _moved(crc: int, count: int) -> int:
    """The pure CRC of the same text with so many zeros behind it."""
    place = 0
    while count:
        if count & 1:
            first, second, third, fourth = _step(place)
            crc = first[crc & 0xFF] ^ second[crc >> 8 & 0xFF] ^ third[crc >> 16 & 0xFF] ^ fourth[crc >> 24]
        count >>= 1
        place += 1
    return crc


@cache
def _step(place: int) -> tuple[tuple[int, ...], ...]:
    """What 2 ** place zeros make of each byte of a CRC: made once, as to multiply takes 32 times as long."""
    bits = [_times(_SQUARES[place], 1 << bit) for bit in range(32)]
    return tuple(
        tuple(reduce(xor, (bits[at + bit] for bit in range(8) if byte >> bit & 1), 0) for byte in range(256))
        for at in (0, 8, 16, 24)
    )


def _table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ _POLYNOMIAL if crc & 1 else crc >> 1
        table.append(crc)
    return table


def _squares() -> list[int]:
    """x to the powers 8, 16, 32 ...: for as many bytes as a message of Kafka's can have."""
    found = [_ONE >> 8]
    while len(found) < 32:
        found.append(_times(found[-1], found[-1]))
    return found


_TABLE: Final = _table()
_SQUARES: Final = _squares()
