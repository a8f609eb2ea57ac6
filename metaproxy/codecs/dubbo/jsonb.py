"""
JSONB, the bytes of fastjson2, as far as a proxy needs it: strings, numbers and plain maps.

Source: codes 0x49..0x7e, 0xa5, 0xa6, 0xaf..0xb1, 0xbc..0xff of com.alibaba.fastjson2.JSONB. Lives here: reading one
string or attachment map, writing strings. Does not: objects; the layout of a Dubbo body (`body`).
"""

from __future__ import annotations

from metaproxy.codecs.dubbo.hessian2 import MAX_DEPTH, Opaque, Scalar
from metaproxy.message import FrameError

MAP, MAP_END = 0xA6, 0xA5
_CHARSETS = {0x79: "ascii", 0x7A: "utf-8", 0x7B: "utf-16", 0x7C: "utf-16-le", 0x7D: "utf-16-be", 0x7E: "gb18030"}
_WORDS: dict[int, Scalar] = {0xAF: None, 0xB0: False, 0xB1: True}


class Reader:
    """Reads one item from `at` on. Every method raises FrameError for what it does not know."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def string(self) -> str:
        value = self.scalar()
        if not isinstance(value, str):
            raise FrameError(f"a string expected, {value!r} read")
        return value

    def scalar(self, depth: int = 0) -> Scalar:
        """A string, number, truth value or null; Opaque for a list or map."""
        start = self.at
        code = self._byte()
        if 0x49 <= code <= 0x78:
            return self._text(code - 0x49, "ascii")
        if code in _CHARSETS:
            return self._text(self._length(), _CHARSETS[code])
        if code in _WORDS:
            return _WORDS[code]
        if code == MAP or 0x94 <= code <= 0xA4:
            self._skip_nested(code, depth)
            return Opaque(self.data[start : self.at])
        return self._number(code)

    def entries(self) -> list[tuple[str, Scalar, bytes]]:
        """A map, or null, which has none: key, value, and the value as it was written."""
        code = self._byte()
        if code == 0xAF:
            return []
        if code != MAP:
            raise FrameError(f"a map expected, code {code:#04x} read")
        found: list[tuple[str, Scalar, bytes]] = []
        while self._peek() != MAP_END:
            key = self.string()
            start = self.at
            value = self.scalar()
            found.append((key, value, self.data[start : self.at]))
        self.at += 1
        return found

    def _skip_nested(self, code: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise FrameError(f"values nested deeper than {MAX_DEPTH}")
        if code == MAP:
            while self._peek() != MAP_END:
                self.scalar(depth + 1)
            self.at += 1
            return
        for _ in range(self._length() if code == 0xA4 else code - 0x94):
            self.scalar(depth + 1)

    def _number(self, code: int) -> int:
        if code >= 0xF0:
            return code - 0x100
        if code <= 0x2F:
            return code
        if 0x30 <= code <= 0x3F:
            return (code - 0x38 << 8) + self._byte()
        if 0x40 <= code <= 0x47:
            return (code - 0x44 << 16) + int.from_bytes(self._take(2), "big")
        if 0xD8 <= code <= 0xEF:
            return code - 0xD8 - 8
        if 0xC8 <= code <= 0xD7:
            return (code - 0xD0 << 8) + self._byte()
        if 0xC0 <= code <= 0xC7:
            return (code - 0xC4 << 16) + int.from_bytes(self._take(2), "big")
        widths = {0x48: 4, 0xBD: 1, 0xBC: 2, 0xBF: 4, 0xBE: 8}
        if code not in widths:
            raise FrameError(f"JSONB code {code:#04x} at {self.at - 1} is not known here")
        return int.from_bytes(self._take(widths[code]), "big", signed=True)

    def _length(self) -> int:
        length = self._number(self._byte())
        if not 0 <= length <= len(self.data) - self.at:
            raise FrameError(f"a length of {length} with {len(self.data) - self.at} bytes left")
        return length

    def _text(self, length: int, charset: str) -> str:
        try:
            return self._take(length).decode(charset)
        except UnicodeDecodeError as error:
            raise FrameError(f"a string that is no {charset}: {error.reason}") from error

    def _take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size]
        if len(piece) < size:
            raise FrameError(f"{size} bytes expected, {len(piece)} left")
        self.at += size
        return piece

    def _peek(self) -> int:
        try:
            return self.data[self.at]
        except IndexError:
            raise FrameError(f"the item ends at {self.at}, in the middle of a value") from None

    def _byte(self) -> int:
        value = self._peek()
        self.at += 1
        return value


def write_string(text: str) -> bytes:
    if text.isascii() and len(text) <= 0x78 - 0x49:
        return bytes((0x49 + len(text),)) + text.encode()
    data = text.encode("utf-8", "replace")
    return b"\x7a" + _write_int(len(data)) + data


def _write_int(value: int) -> bytes:
    return bytes((value,)) if value <= 47 else b"\x48" + value.to_bytes(4, "big")
