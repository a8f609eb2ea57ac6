"""
JSONB, the bytes of fastjson2, as far as a proxy needs it: strings, numbers and maps are read, the rest is stepped over.

Source: com.alibaba.fastjson2.JSONB.Constants and the bytes that fastjson2 2.0.56 writes. Lives here: `Reader` of one
document, and the writing of strings. Does not: objects; the layout of a Dubbo body (`fastjson2`).
"""

from __future__ import annotations

import struct
from typing import Final

from metaproxy.codecs.dubbo.body import MAX_PAIRS, Pair
from metaproxy.message import FrameError

MAX_DEPTH: Final = 64
"""Arrays and objects in each other that are followed; what is deeper is refused."""
MAX_STEPS: Final = 1 << 15
"""Values of one document that are stepped over, some 25 ms of work."""

CHAR, BINARY, TYPED, REFERENCE, ARRAY, END, OBJECT, SYMBOL = 0x90, 0x91, 0x92, 0x93, 0xA4, 0xA5, 0xA6, 0x7F
NULL, FALSE, TRUE = 0xAF, 0xB0, 0xB1

# What Java calls ASCII may be Latin-1.
_CHARSETS: Final = {
    0x79: "latin-1",
    0x7A: "utf-8",
    0x7B: "utf-16",
    0x7C: "utf-16-le",
    0x7D: "utf-16-be",
    0x7E: "gb18030",
}
_NESTED: Final = frozenset((SYMBOL, TYPED, REFERENCE, OBJECT, *range(0x94, 0xA5)))
_FLOAT = struct.Struct(">f")
_DOUBLE = struct.Struct(">d")

_FOLLOWED: Final[dict[int, tuple[int, int]]] = {
    CHAR: (0, 1), 0xA7: (3, 1), 0xA8: (7, 1), 0xA9: (4, 0), 0xAA: (7, 2), 0xAB: (8, 0), 0xAC: (4, 0), 0xAD: (4, 0),
    0xAE: (0, 2), 0xB2: (0, 0), 0xB3: (0, 0), 0xB4: (0, 1), 0xB5: (8, 0), 0xB6: (0, 1), 0xB7: (4, 0), 0xB8: (0, 1),
    0xB9: (0, 2), 0xBA: (0, 1), REFERENCE: (0, 1), NULL: (0, 0), FALSE: (0, 0), TRUE: (0, 0),
}  # fmt: skip
"""Code -> the bytes, and then the values, that follow it."""
_INTS: Final = {0x48: 4, 0xBC: 2, 0xBD: 1, 0xBE: 8, 0xBF: 4}
"""Code -> width of the integer that follows it."""


class Reader:
    """Reads one document, which lies in `data` from `at` to `end`. Every method raises FrameError for what is none."""

    __slots__ = ("_steps", "at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = end
        self._steps = 0

    def is_string(self) -> bool:
        """Whether the next value is a string."""
        code = self.peek()
        return 0x49 <= code <= 0x78 or code in _CHARSETS

    def string(self) -> str:
        """A string; null is an empty one."""
        start = self.at
        code = self._byte()
        if code == NULL:
            return ""
        text = self._string(code)
        if text is None:
            raise FrameError(f"JSONB: a string expected at {start}, code {code:#04x} read")
        return text

    def integer(self) -> int:
        start = self.at
        code = self._byte()
        value = self._integer(code)
        if value is None:
            raise FrameError(f"JSONB: an int expected at {start}, code {code:#04x} read")
        return value

    def text(self) -> str | None:
        """The next value as text: of a string, a number, a truth value; None for everything else, stepped over."""
        start = self.at
        code = self._byte()
        text = self._string(code)
        if text is not None:
            return text
        number = self._integer(code)
        if number is not None:
            return str(number)
        fraction = self._float(code)
        if fraction is not None:
            return str(fraction)
        self.at = start
        self.skip()
        return {TRUE: "true", FALSE: "false"}.get(code)

    def pairs(self) -> list[Pair]:
        """What follows the code of a map, to its end."""
        found: list[Pair] = []
        data = self.data
        while (code := self.peek()) != END:
            start = self.at
            self.at += 1
            key = self._string(code)
            if key is None:
                self.at = start
                self.skip()
            nested = code in _NESTED or self.peek() in _NESTED
            text = self.text()
            if len(found) >= MAX_PAIRS:
                raise FrameError(f"JSONB: a map of more than {MAX_PAIRS} attachments")
            found.append((key, text, data[start : self.at], nested))
        self.at += 1
        return found

    def begin_map(self) -> bytes:
        """The type of a map, if it says one, and its code; afterwards `pairs` reads the rest."""
        start = self.at
        code = self._byte()
        if code == TYPED:
            self._type()
            code = self._byte()
        if code != OBJECT:
            raise FrameError(f"JSONB: a map expected at {start}, code {code:#04x} read")
        return self.data[start : self.at]

    def skip(self, depth: int = 0) -> None:
        """Steps over one value that lies in `depth` others."""
        if depth > MAX_DEPTH:
            raise FrameError(f"JSONB: values nested deeper than {MAX_DEPTH}")
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise FrameError(f"JSONB: more than {MAX_STEPS} values that are stepped over")
        start = self.at
        code = self._byte()
        if self._step_over_text(code) or self._integer(code) is not None:
            return
        if code in _FOLLOWED:
            size, values = _FOLLOWED[code]
            self._step(size)
            for _ in range(values):
                self.skip(depth + 1)
        elif code in (BINARY, 0xBB):
            self._step(self._length())
        elif code == OBJECT:
            self._skip_to_end(depth + 1)
        elif 0x94 <= code <= ARRAY:
            for _ in range(self._length() if code == ARRAY else code - 0x94):
                self.skip(depth + 1)
        elif code == TYPED:
            self._type()
            self.skip(depth + 1)
        elif code == SYMBOL:
            self._type()
        else:
            raise FrameError(f"JSONB: code {code:#04x} at {start} begins no value")

    def peek(self) -> int:
        """The code of the next value."""
        if self.at >= self.end:
            raise FrameError(f"JSONB: a document ends at {self.end}, where a value is missing")
        return self.data[self.at]

    # -- pieces

    def _byte(self) -> int:
        value = self.peek()
        self.at += 1
        return value

    def _step(self, size: int) -> None:
        self.at += size
        if self.at > self.end:
            raise FrameError(f"JSONB: a value reaches {self.at - self.end} bytes beyond its document")

    def _take(self, size: int) -> bytes:
        start = self.at
        self._step(size)
        return self.data[start : self.at]

    def _skip_to_end(self, depth: int) -> None:
        while self.peek() != END:
            self.skip(depth)
        self.at += 1

    def _type(self) -> None:
        """A name and the number that it gets, or just the number of a name that was there before."""
        code = self._byte()
        if self._step_over_text(code):
            code = self._byte()
        if self._integer(code) is None:
            raise FrameError(f"JSONB: a name's number expected at {self.at - 1}, code {code:#04x} read")

    def _step_over_text(self, code: int) -> bool:
        """Whether the code that was read is a string's; what follows it is stepped over then."""
        if 0x49 <= code <= 0x78:
            self._step(code - 0x49)
        elif code in _CHARSETS:
            self._step(self._length())
        else:
            return False
        return True

    def _string(self, code: int) -> str | None:
        """The string whose code was read; None when it is no string's."""
        if 0x49 <= code <= 0x78:
            return self._take(code - 0x49).decode("latin-1")
        charset = _CHARSETS.get(code)
        if charset is None:
            return None
        # Java puts U+FFFD for what it cannot read.
        return self._take(self._length()).decode(charset, "replace")

    def _integer(self, code: int) -> int | None:
        """The integer whose code was read; None when it is no integer's."""
        if code <= 0x2F or code >= 0xF0:
            return code if code <= 0x2F else code - 0x100
        if 0xD8 <= code <= 0xEF:
            return code - 0xE0
        for first, size, zero in ((0x30, 0x10, 0x38), (0xC8, 0x10, 0xD0)):
            if first <= code < first + size:
                return (code - zero << 8) + self._byte()
        for first, size, zero in ((0x40, 8, 0x44), (0xC0, 8, 0xC4)):
            if first <= code < first + size:
                return (code - zero << 16) + int.from_bytes(self._take(2), "big")
        width = _INTS.get(code)
        return None if width is None else int.from_bytes(self._take(width), "big", signed=True)

    def _float(self, code: int) -> float | None:
        """The float or double whose code was read; None when it is neither's."""
        if code in (0xB2, 0xB3):
            return float(code - 0xB2)
        if code in (0xB4, 0xB6):
            return float(self.integer())
        if code == 0xB5:
            return float(_DOUBLE.unpack(self._take(8))[0])
        return float(_FLOAT.unpack(self._take(4))[0]) if code == 0xB7 else None

    def _length(self) -> int:
        """A length in bytes, or a number of values of a byte at least."""
        length = self.integer()
        if not 0 <= length <= self.end - self.at:
            raise FrameError(f"JSONB: a length of {length} with {self.end - self.at} bytes left")
        return length


def write_string(text: str) -> bytes:
    """A string as fastjson2 reads it."""
    data = text.encode("utf-8", "replace")
    size = len(data)
    if size <= 0x78 - 0x49 and size == len(text):
        return bytes((0x49 + size,)) + data
    return b"\x7a" + (bytes((size,)) if size <= 0x2F else b"\x48" + size.to_bytes(4, "big")) + data
