"""
Hessian 2 as the values of JSON: what a proxy shows of an answer.

Lives here: `Values`. Objects and maps become dicts, dates texts, bytes base64. Does not: writing (`hessian2`), stepping
over values (`hessian2_reader`, whose bounds hold here too).

A value that is referred to is there again wherever it is; one within itself (the cause of an exception without one) is
null there. All that is read, repetitions counted, is bounded: some bytes can else mean any number of values.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from metaproxy.codecs.dubbo.body import well_formed
from metaproxy.codecs.dubbo.hessian2_codes import (
    DEFINITION,
    END,
    FALSE,
    NULL,
    OBJECT,
    REFERENCE,
    TRUE,
    TYPED_MAP,
    UNTYPED_MAP,
    is_string,
)
from metaproxy.codecs.dubbo.hessian2_reader import MAX_DEFINITIONS, MAX_DEPTH, Reader
from metaproxy.message import FrameError

MAX_VALUES: Final = 1 << 18
"""Values of one body, those that are there by reference counted each time."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Values(Reader):
    """Reads values of a body from `at` on. Raises FrameError."""

    __slots__ = ("_classes", "_known", "_left", "_sizes")

    def __init__(self, data: bytes, at: int = 0, wide: int = 1) -> None:
        super().__init__(data, at, wide)
        self._classes: list[tuple[str, list[str]]] = []
        self._known: list[object] = []  # lists, maps and objects, as references number them
        self._sizes: list[int] = []  # how many values each holds, 0 while it is read
        self._left = MAX_VALUES

    def value(self, depth: int = 0) -> object:
        """The next value."""
        self._take(1)
        code = self.peek()
        if code == NULL:
            self.at += 1
            return None
        if code in (TRUE, FALSE):
            self.at += 1
            return code == TRUE
        if is_string(code):
            return self.string()
        number = self._number(code)
        if number is not None:
            self.skip()
            return number
        if code in (0x4A, 0x4B):
            return self._date(code)
        if code in (0x41, 0x42) or 0x20 <= code <= 0x2F or 0x34 <= code <= 0x37:
            return self._bytes()
        if depth >= MAX_DEPTH:
            raise FrameError(f"Hessian 2: values nested deeper than {MAX_DEPTH}")
        if code == REFERENCE:
            return self._referred()
        if code == DEFINITION:
            self._define()
            return self.value(depth + 1)
        if code in (UNTYPED_MAP, TYPED_MAP):
            return self._map(code, depth + 1)
        if code == OBJECT or 0x60 <= code <= 0x6F:
            return self._object(code, depth + 1)
        if 0x55 <= code <= 0x58 or 0x70 <= code <= 0x7F:
            return self._list(code, depth + 1)
        raise FrameError(f"Hessian 2: code {code:#04x} at {self.at} begins no value")

    def _take(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise FrameError(f"Hessian 2: more than {MAX_VALUES} values")

    def _date(self, code: int) -> str:
        size, unit = (9, 1) if code == 0x4A else (5, 60_000)
        raw = self.data[self.at + 1 : self.at + size]
        self._step(size)
        try:
            moment = _EPOCH + timedelta(milliseconds=int.from_bytes(raw, "big", signed=True) * unit)
        except OverflowError:
            raise FrameError("Hessian 2: a date beyond the year 9999") from None
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _bytes(self) -> str:
        pieces = []
        code = 0x41
        while code == 0x41:
            code = self._byte()
            if not (0x20 <= code <= 0x2F or 0x34 <= code <= 0x37 or code in (0x41, 0x42)):
                raise FrameError(f"Hessian 2: a binary goes on at {self.at - 1} with code {code:#04x}")
            size = self._length(code, 0x20, 0x34)
            pieces.append(self.data[self.at : self.at + size])
            self._step(size)
        return base64.b64encode(b"".join(pieces)).decode()

    def _referred(self) -> object:
        start = self.at
        self.at += 1
        number = self.integer()
        if not 0 <= number < len(self._known):
            raise FrameError(f"Hessian 2: a reference to value {number} of {len(self._known)} at {start}")
        size = self._sizes[number]
        self._take(size)
        return self._known[number] if size else None

    def _begin(self, made: object) -> int:
        self._known.append(made)
        self._sizes.append(0)
        return len(self._known) - 1

    def _list(self, code: int, depth: int) -> list[object]:
        found: list[object] = []
        number, before = self._begin(found), self._left
        self.at += 1
        if code in (0x55, 0x56) or 0x70 <= code <= 0x77:
            self._type()
        if code in (0x55, 0x57):
            while self.peek() != END:
                found.append(self.value(depth))
            self.at += 1
        else:
            count = self._count() if code in (0x56, 0x58) else code & 7
            for _ in range(count):
                found.append(self.value(depth))
        self._sizes[number] = 1 + before - self._left
        return found

    def _map(self, code: int, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        number, before = self._begin(found), self._left
        self.at += 1
        if code == TYPED_MAP:
            self._type()
        while self.peek() != END:
            key = self.value(depth)
            found[_key(key)] = self.value(depth)
        self.at += 1
        self._sizes[number] = 1 + before - self._left
        return found

    def _define(self) -> None:
        if len(self._classes) >= MAX_DEFINITIONS:
            raise FrameError(f"Hessian 2: more than {MAX_DEFINITIONS} classes")
        self.at += 1
        name = self.string()
        count = self._count()
        self._take(count)
        self._classes.append((name, [self.string() for _ in range(count)]))

    def _object(self, code: int, depth: int) -> dict[str, object]:
        start = self.at
        self.at += 1
        number = self.integer() if code == OBJECT else code - 0x60
        if not 0 <= number < len(self._classes):
            raise FrameError(f"Hessian 2: an object of class {number} of {len(self._classes)} at {start}")
        name, names = self._classes[number]
        found: dict[str, object] = {"class": name}
        place, before = self._begin(found), self._left
        for each in names:
            found[each] = self.value(depth)
        self._sizes[place] = 1 + before - self._left
        return found


def _key(key: object) -> str:
    """The key of a map as that of an object in JSON."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key) if isinstance(key, (int, float)) else well_formed(repr(key)[:200])


def read(data: bytes, at: int, take: Callable[[Values], object]) -> object:
    """What `take` reads, whichever way the writer counts characters beyond U+FFFF; see `hessian2_reader`."""
    try:
        return take(Values(data, at))
    except FrameError as error:
        try:
            return take(Values(data, at, wide=2))
        except FrameError:
            raise error from None
