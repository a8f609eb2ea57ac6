"""
The CRC-32C of bytes of which a few are changed, from the one that they had.

A CRC is linear: two texts of the same length have CRCs whose difference is the (pure) CRC of the difference of the
texts. So what is behind the last change counts by its length alone, in steps that each double it.

Lives here: `changed`. Does not: which bytes change (`batches`). Source of the polynomial: RFC 3720, appendix B.4;
the way to move a CRC on is that of `crc32_combine` in zlib.
"""

from __future__ import annotations

from typing import Final

_POLYNOMIAL: Final = 0x82F63B78
_ONE: Final = 1 << 31
"""The polynomial 1: the highest bit is the lowest power."""


def changed(crc: int, difference: bytes, behind: int) -> int:
    """
    The CRC of a text that was `crc` before. difference: of the first bytes that change up to the last, the old ones XOR
    the new ones; behind: how many bytes follow these.
    """
    return crc ^ _times(_power_of_bytes(behind), _pure(difference))


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


def _power_of_bytes(count: int) -> int:
    """x to the power of 8 * count: what a CRC is multiplied by when so many bytes follow."""
    power = _ONE
    for square in _SQUARES:
        if not count:
            break
        if count & 1:
            power = _times(square, power)
        count >>= 1
    return power


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
