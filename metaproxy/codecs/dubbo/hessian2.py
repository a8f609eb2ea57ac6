"""
Hessian 2, as far as a proxy needs it: strings, numbers and maps are read, everything else is stepped over.

Source: the Hessian 2.0 serialization protocol; what Dubbo's Java implementation writes. Lives here: `Reader` and the
writing of strings and maps. Does not: objects; the layout of a Dubbo body (`body`).

A string's length counts UTF-16 units, each written as UTF-8 on its own; so a character beyond U+FFFF is two groups of
three bytes (CESU-8). Strict implementations write one group of four, which counts as two units here as well.
"""

from __future__ import annotations

import struct
from typing import Final

from metaproxy.message import FrameError

MAX_DEPTH: Final = 64
"""Nesting of lists, maps and objects that is followed; what is deeper is refused."""
MAX_DEFINITIONS: Final = 1024
"""Class definitions in one body."""

NULL, TRUE, FALSE, END = 0x4E, 0x54, 0x46, 0x5A
UNTYPED_MAP, TYPED_MAP, REFERENCE = 0x48, 0x4D, 0x51

_INT = struct.Struct(">i")
_LONG = struct.Struct(">q")
_DOUBLE = struct.Struct(">d")

_FIXED: Final = {0x49: 4, 0x59: 4, 0x4C: 8, 0x5D: 1, 0x5E: 2, 0x5F: 4, 0x44: 8, 0x4A: 8, 0x4B: 4}
"""Bytes behind the code of values of fixed size: int, long, double, date."""


class Opaque:
    """What stands for a value that was stepped over; `raw` is how it was written."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def __repr__(self) -> str:
        return f"Opaque({len(self.raw)} bytes)"


Scalar = str | int | float | bool | None | Opaque


class Reader:
    """
    Reads one body from `at` on. Every method raises FrameError for what is not Hessian 2, and stays within `data`.

    places: where each list, map and object began, in the order in which references number them.
    """

    __slots__ = ("_definitions", "at", "data", "places")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at
        self.places: list[int] = []
        self._definitions: list[int] = []

    def string(self) -> str:
        """A string. Lone surrogates stay as they are; a pair becomes its character."""
        start = self.at
        if not self._is_string(self._peek()):
            raise FrameError(f"a string expected at {start}, code {self._peek():#04x} read")
        pieces: list[bytes] = []
        last = False
        while not last:
            units, last = self._string_head()
            end = self._string_end(units)
            pieces.append(self.data[self.at : end])
            self.at = end
        return _decoded(b"".join(pieces))

    def integer(self) -> int:
        value = self.scalar()
        if isinstance(value, bool) or not isinstance(value, int):
            raise FrameError(f"an int expected, {value!r} read")
        return value

    def scalar(self) -> Scalar:
        """A string, number, truth value or null; Opaque for everything else."""
        code = self._peek()
        if self._is_string(code):
            return self.string()
        if code in (NULL, TRUE, FALSE):
            self.at += 1
            return {NULL: None, TRUE: True, FALSE: False}[code]
        start = self.at
        self.skip()
        raw = self.data[start : self.at]
        number = _number(code, raw)
        return Opaque(raw) if number is None else number

    def entries(self) -> list[tuple[str, Scalar, bytes]]:
        """
        A map with strings for keys, or null, which has none: key, value, and the value as it was written. Other keys
        are left out. A reference to an earlier map is followed.
        """
        code = self._peek()
        if code == NULL:
            self.at += 1
            return []
        if code == REFERENCE:
            return self._referred()
        if code not in (UNTYPED_MAP, TYPED_MAP):
            raise FrameError(f"a map expected at {self.at}, code {code:#04x} read")
        self.places.append(self.at)
        self.at += 1
        if code == TYPED_MAP:
            self._type()
        found: list[tuple[str, Scalar, bytes]] = []
        while self._peek() != END:
            key = self.scalar()
            start = self.at
            value = self.scalar()
            if isinstance(key, str):
                found.append((key, value, self.data[start : self.at]))
        self.at += 1
        return found

    def _referred(self) -> list[tuple[str, Scalar, bytes]]:
        self.at += 1
        number = self.integer()
        if not 0 <= number < len(self.places):
            raise FrameError(f"reference to value {number} of {len(self.places)}")
        other = Reader(self.data, self.places[number])
        other._definitions = self._definitions
        if other._peek() == REFERENCE:
            raise FrameError("reference to a reference")
        return other.entries()

    def skip(self, depth: int = 0) -> None:
        """Steps over one value."""
        if depth > MAX_DEPTH:
            raise FrameError(f"values nested deeper than {MAX_DEPTH}")
        code = self._peek()
        if self._is_string(code):
            self._skip_string()
        elif 0x20 <= code <= 0x2F or 0x34 <= code <= 0x37 or code in (0x41, 0x42):
            self._skip_binary()
        elif 0x60 <= code <= 0x6F or code == 0x4F:
            self._skip_object(code, depth)
        elif 0x55 <= code <= 0x58 or 0x70 <= code <= 0x7F:
            self._skip_list(code, depth)
        elif code in (UNTYPED_MAP, TYPED_MAP):
            self.places.append(self.at)
            self.at += 1
            if code == TYPED_MAP:
                self._type()
            self._until_end(depth)
        elif code == 0x43:
            self._definition()
            self.skip(depth + 1)
        elif code == REFERENCE:
            self.at += 1
            self.skip(depth + 1)
        else:
            self._step(1 + _size_behind(code, self.at))

    # -- pieces

    def _peek(self) -> int:
        try:
            return self.data[self.at]
        except IndexError:
            raise FrameError(f"the body ends at {self.at}, in the middle of a value") from None

    def _step(self, size: int) -> None:
        self.at += size
        if self.at > len(self.data):
            raise FrameError(f"a value reaches {self.at - len(self.data)} bytes beyond the body")

    def _byte(self) -> int:
        value = self._peek()
        self.at += 1
        return value

    @staticmethod
    def _is_string(code: int) -> bool:
        return code <= 0x1F or 0x30 <= code <= 0x33 or code == 0x53 or code == 0x52

    def _string_head(self) -> tuple[int, bool]:
        """Units of one chunk, and whether it is the last."""
        code = self._byte()
        if code <= 0x1F:
            return code, True
        if 0x30 <= code <= 0x33:
            return (code - 0x30) << 8 | self._byte(), True
        if code in (0x53, 0x52):
            return self._byte() << 8 | self._byte(), code == 0x53
        raise FrameError(f"a string's next chunk expected at {self.at - 1}, code {code:#04x} read")

    def _string_end(self, units: int) -> int:
        """Where a chunk of so many UTF-16 units ends."""
        data, at = self.data, self.at
        end = at + units
        if end <= len(data) and data[at:end].isascii():
            return end
        while units > 0:
            if at >= len(data):
                raise FrameError("a string reaches beyond the body")
            lead = data[at]
            width = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            at += width
            units -= 2 if width == 4 else 1
        if at > len(data):
            raise FrameError("a string reaches beyond the body")
        return at

    def _skip_string(self) -> None:
        last = False
        while not last:
            units, last = self._string_head()
            self.at = self._string_end(units)

    def _skip_binary(self) -> None:
        while True:
            code = self._byte()
            if 0x20 <= code <= 0x2F:
                self._step(code - 0x20)
                return
            if 0x34 <= code <= 0x37:
                self._step((code - 0x34) << 8 | self._byte())
                return
            if code not in (0x41, 0x42):
                raise FrameError(f"a binary's next chunk expected at {self.at - 1}, code {code:#04x} read")
            self._step(self._byte() << 8 | self._byte())
            if code == 0x42:
                return

    def _type(self) -> None:
        """A type's name, or the number of one that was named before."""
        if self._is_string(self._peek()):
            self._skip_string()
        else:
            self.integer()

    def _skip_list(self, code: int, depth: int) -> None:
        self.places.append(self.at)
        self.at += 1
        if code in (0x55, 0x56) or 0x70 <= code <= 0x77:
            self._type()
        if code in (0x55, 0x57):
            self._until_end(depth)
            return
        length = self.integer() if code in (0x56, 0x58) else code & 7
        if not 0 <= length <= len(self.data) - self.at:  # each value takes a byte at least
            raise FrameError(f"a list of {length} values in {len(self.data) - self.at} bytes")
        for _ in range(length):
            self.skip(depth + 1)

    def _until_end(self, depth: int) -> None:
        while self._peek() != END:
            self.skip(depth + 1)
        self.at += 1

    def _definition(self) -> None:
        self.at += 1
        self._skip_string()
        fields = self.integer()
        if not 0 <= fields <= len(self.data) - self.at or len(self._definitions) >= MAX_DEFINITIONS:
            raise FrameError(f"a class of {fields} fields after {len(self._definitions)} other classes")
        for _ in range(fields):
            self._skip_string()
        self._definitions.append(fields)

    def _skip_object(self, code: int, depth: int) -> None:
        self.places.append(self.at)
        self.at += 1
        number = self.integer() if code == 0x4F else code - 0x60
        if not 0 <= number < len(self._definitions):
            raise FrameError(f"an object of class {number} of {len(self._definitions)}")
        for _ in range(self._definitions[number]):
            self.skip(depth + 1)


def _size_behind(code: int, at: int) -> int:
    """Bytes behind the code of a number, date, truth value or null."""
    if 0x80 <= code <= 0xBF or 0xD8 <= code <= 0xEF or code in (NULL, TRUE, FALSE, 0x5B, 0x5C):
        return 0
    if 0xC0 <= code <= 0xCF or 0xF0 <= code <= 0xFF:
        return 1
    if 0xD0 <= code <= 0xD7 or 0x38 <= code <= 0x3F:
        return 2
    try:
        return _FIXED[code]
    except KeyError:
        raise FrameError(f"code {code:#04x} at {at} is no Hessian 2") from None


def _number(code: int, raw: bytes) -> int | float | None:
    """The number that `raw`, one value, stands for; None when it is none."""
    if 0x80 <= code <= 0xBF:
        return code - 0x90
    if 0xC0 <= code <= 0xCF:
        return (code - 0xC8 << 8) + raw[1]
    if 0xD0 <= code <= 0xD7:
        return (code - 0xD4 << 16) + (raw[1] << 8) + raw[2]
    if 0xD8 <= code <= 0xEF:
        return code - 0xE0
    if code >= 0xF0:
        return (code - 0xF8 << 8) + raw[1]
    if 0x38 <= code <= 0x3F:
        return (code - 0x3C << 16) + (raw[1] << 8) + raw[2]
    if code in (0x49, 0x59):
        return int(_INT.unpack_from(raw, 1)[0])
    if code == 0x4C:
        return int(_LONG.unpack_from(raw, 1)[0])
    return _double(code, raw)


def _double(code: int, raw: bytes) -> float | None:
    if code in (0x5B, 0x5C):
        return float(code - 0x5B)
    if code in (0x5D, 0x5E):
        return float(int.from_bytes(raw[1:], "big", signed=True))
    if code == 0x5F:
        return float(_INT.unpack_from(raw, 1)[0]) * 0.001
    return float(_DOUBLE.unpack_from(raw, 1)[0]) if code == 0x44 else None


def _decoded(data: bytes) -> str:
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise FrameError(f"a string that is no UTF-8: {error.reason}") from error
    if any("\ud800" <= unit <= "\udfff" for unit in text):
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def write_string(text: str) -> bytes:
    """A string as Java reads it: chunks of at most 32767 units, characters beyond U+FFFF as two groups."""
    if text.isascii():
        units = text.encode()
        if len(units) <= 0x1F:
            return bytes((len(units),)) + units
    wide = text.encode("utf-16-be", "surrogatepass")
    pieces = [wide[at : at + 0xFFFE] for at in range(0, len(wide), 0xFFFE)] or [b""]
    out = bytearray()
    for index, piece in enumerate(pieces):
        length = len(piece) // 2
        if index + 1 < len(pieces):
            out += b"R" + length.to_bytes(2, "big")
        elif length <= 0x1F:
            out.append(length)
        elif length <= 0x3FF:
            out += bytes((0x30 + (length >> 8), length & 0xFF))
        else:
            out += b"S" + length.to_bytes(2, "big")
        for at in range(0, len(piece), 2):
            out += chr(piece[at] << 8 | piece[at + 1]).encode("utf-8", "surrogatepass")
    return bytes(out)
