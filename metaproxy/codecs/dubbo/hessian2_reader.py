"""
Hessian 2, as far as a proxy needs it: strings, numbers and maps are read, everything else is stepped over.

Source: the Hessian 2.0 serialization protocol, and what Dubbo's Java implementation (hessian-lite) does where that is
vague. Lives here: `Reader`. Does not: objects; writing, and the layout of a Dubbo body (`hessian2`).

A string's length counts UTF-16 units, each written as UTF-8 on its own: a character beyond U+FFFF is two groups of
three bytes (CESU-8). Java refuses groups of four bytes; dubbo-py writes them and counts each as one, others as two.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from metaproxy.codecs.dubbo.body import MAX_PAIRS, Pair, well_formed
from metaproxy.codecs.dubbo.hessian2_codes import (
    CHUNK,
    DEFINITION,
    END,
    FALSE,
    MANY,
    NESTED,
    NULL,
    NUMBERS,
    OBJECT,
    REFERENCE,
    SIZES,
    SOME,
    SOME_SIMPLE,
    TRUE,
    TYPED_MAP,
    UNTYPED_MAP,
    ZEROS,
    is_string,
    simple_values,
)
from metaproxy.message import FrameError

MAX_DEPTH: Final = 64
"""Lists, maps and objects in each other that are followed; what is deeper is refused."""
MAX_DEFINITIONS: Final = 1024
"""Class definitions in one body."""
MAX_STEPS: Final = 1 << 18
"""Values of one body that are stepped over one by one, some 25 ms of work; a run of simple ones takes no step."""
DEAR: Final = 8
"""Steps that each list, map, object, class, reference, piece of a string and piece of bytes counts as."""

_DOUBLE = struct.Struct(">d")

_FOLLOWING = bytes(range(0x80, 0xC0))
"""The bytes of a UTF-8 group but the first."""
_GROUPS_OF_FOUR = bytes(range(0xF0, 0x100))


class TooMuch(FrameError):
    """A body of more values than are stepped over. That does not change with the way in which they are counted."""


class Reader:
    """
    Reads one body from `at` on. Every method raises FrameError for what is not Hessian 2, and stays within `data`.

    wide: UTF-16 units that a UTF-8 group of four bytes counts as, 1 or 2.
    """

    __slots__ = ("_definitions", "_places", "_steps", "at", "data", "wide")

    def __init__(self, data: bytes, at: int = 0, wide: int = 1) -> None:
        self.data = data
        self.at = at
        self.wide = wide
        # Where each list, map and object began, in the order in which references number them.
        self._places: list[int] = []
        # The number of fields of each class defined.
        self._definitions: list[int] = []
        self._steps = MAX_STEPS

    def string(self) -> str:
        """A string; null is an empty one."""
        code = self.peek()
        if code == NULL:
            self.at += 1
            return ""
        if not is_string(code):
            raise FrameError(f"Hessian 2: a string expected at {self.at}, code {code:#04x} read")
        pieces = [self._chunk(self._byte())]
        while code == CHUNK:
            self._spend(DEAR)
            code = self._byte()
            pieces.append(self._chunk(code))
        return well_formed(pieces[0] if len(pieces) == 1 else "".join(pieces))

    def integer(self) -> int:
        code = self.peek()
        value = self._number(code)
        if not isinstance(value, int):
            raise FrameError(f"Hessian 2: an int expected at {self.at}, code {code:#04x} read")
        self.at += SIZES[code]
        return value

    def text(self) -> str | None:
        """The next value as text: of a string, a number, a truth value; None for everything else, stepped over."""
        code = self.peek()
        if is_string(code):
            return self.string()
        number = self._number(code)
        self.skip()
        if number is not None:
            return str(number)
        return {TRUE: "true", FALSE: "false"}.get(code)

    def pairs(self) -> list[Pair]:
        """What follows the code and type of a map, to its end."""
        found: list[Pair] = []
        data = self.data
        while (code := self.peek()) != END:
            start = self.at
            key = None
            if is_string(code):
                key = self.string()
            else:
                self.skip()
            nested = code in NESTED or self.peek() in NESTED
            text = self.text()
            if len(found) >= MAX_PAIRS:
                raise FrameError(f"Hessian 2: a map of more than {MAX_PAIRS} attachments")
            found.append((key, text, data[start : self.at], nested))
        self.at += 1
        return found

    def begin_map(self) -> bytes:
        """The code of a map and its type, as written; afterwards `pairs` reads the rest."""
        start = self.at
        self._places.append(start)
        code = self._byte()
        if code == TYPED_MAP:
            self._type()
        elif code != UNTYPED_MAP:
            raise FrameError(f"Hessian 2: a map expected at {start}, code {code:#04x} read")
        return self.data[start : self.at]

    def referred(self) -> Reader:
        """A reader at the map that a reference means, which `self` steps over."""
        start = self.at
        self.at += 1
        number = self.integer()
        if not 0 <= number < len(self._places):
            raise FrameError(f"Hessian 2: a reference to value {number} of {len(self._places)} at {start}")
        other = Reader(self.data, self._places[number], self.wide)
        other._definitions = self._definitions
        other._steps = self._steps
        return other

    def skip(self, depth: int = 0) -> None:
        """Steps over one value that lies in `depth` others."""
        code = self.peek()
        if size := SIZES[code]:
            self._step(size)
        elif is_string(code):
            self._skip_string()
        else:
            if depth >= MAX_DEPTH:
                raise FrameError(f"Hessian 2: values nested deeper than {MAX_DEPTH}")
            self._spend(DEAR)
            skip = _SKIPS[code]
            if skip is None:
                raise FrameError(f"Hessian 2: code {code:#04x} at {self.at} begins no value")
            skip(self, depth + 1)

    def skip_values(self, count: int, depth: int = 0) -> None:
        """Steps over so many values."""
        while count > 0:
            size = count if count <= SOME else SOME if count < MANY else MANY
            found = simple_values(size).match(self.data, self.at)
            if found is not None:
                self.at = found.end()
            else:
                self._skip_each(size, depth)
            count -= size

    def peek(self) -> int:
        """The code of the next value."""
        try:
            return self.data[self.at]
        except IndexError:
            raise FrameError(f"Hessian 2: the body ends at {self.at}, where a value is missing") from None

    # -- pieces

    def _skip_each(self, count: int, depth: int) -> None:
        """Steps over so many values, of which not all are simple."""
        self._spend(count)
        data, sizes, at = self.data, SIZES, self.at
        end = len(data)
        for _ in range(count):
            size = sizes[data[at]] if at < end else 0
            if size:
                at += size
            else:
                self.at = at
                self.skip(depth)
                at = self.at
        self.at = at
        self._step(0)

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise TooMuch(f"Hessian 2: more than {MAX_STEPS // DEAR} lists, maps, objects and strings to step over")

    def _byte(self) -> int:
        value = self.peek()
        self.at += 1
        return value

    def _step(self, size: int) -> None:
        self.at += size
        if self.at > len(self.data):
            raise FrameError(f"Hessian 2: a value reaches {self.at - len(self.data)} bytes beyond the body")

    def _length(self, code: int, fixed: int, short: int) -> int:
        """The length behind a code of a string or binary: `fixed` is the code of length 0, `short` that of 10 bits."""
        if fixed <= code <= fixed + 0x1F and code < short:
            return code - fixed
        if short <= code <= short + 3:
            return (code - short) << 8 | self._byte()
        return self._byte() << 8 | self._byte()

    def _chunk(self, code: int) -> str:
        """One chunk of a string, of which the code was read. Surrogates stay as they are."""
        if not is_string(code):
            raise FrameError(f"Hessian 2: a string goes on at {self.at - 1} with code {code:#04x}")
        units = self._length(code, 0, 0x30)
        data, start = self.data, self.at
        end = self.at = start + units
        piece = data[start:end]
        if len(piece) == units and piece.isascii():
            return piece.decode("ascii")
        end = self.at = self._end_of(units, start)
        try:
            # It must be well-formed, or a reader that trusts each group's first byte would see another end.
            return data[start:end].decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise FrameError(f"Hessian 2: the string at {start} is no UTF-8: {error.reason}") from error

    def _end_of(self, units: int, at: int) -> int:
        """Where so many UTF-16 units end: counted are the first bytes of groups, a block at a time."""
        data, left = self.data, units
        while left > 0:
            block = data[at : at + left]
            firsts = block.translate(None, _FOLLOWING)
            left -= len(firsts)
            if self.wide == 2:
                left -= len(firsts) - len(firsts.translate(None, _GROUPS_OF_FOUR))
            if left < 0 or not firsts:
                raise FrameError(f"Hessian 2: a string of {units} units at {self.at} is no UTF-8, or beyond the body")
            at = self._group_end(at + len(block) - 1)
        return at

    def _group_end(self, at: int) -> int:
        """Where the UTF-8 group ends that the byte at `at` belongs to."""
        for first in range(at, at - 4, -1):
            lead = self.data[first]
            if lead & 0xC0 != 0x80:
                return first + (1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)
        raise FrameError(f"Hessian 2: no UTF-8 at {at}")

    def _number(self, code: int) -> int | float | None:
        """The number at `at`, which stays; None when there is none."""
        if code not in NUMBERS:
            return None
        raw = self.data[self.at + 1 : self.at + SIZES[code]]
        if len(raw) < SIZES[code] - 1:
            raise FrameError(f"Hessian 2: the number at {self.at} reaches beyond the body")
        if code in ZEROS:
            return (code - ZEROS[code] << 8 * len(raw)) + int.from_bytes(raw, "big")
        if code in (0x5B, 0x5C):
            return float(code - 0x5B)
        if code == 0x44:
            return float(_DOUBLE.unpack(raw)[0])
        value = int.from_bytes(raw, "big", signed=True)
        if code in (0x49, 0x59, 0x4C):
            return value
        return value / 1000 if code == 0x5F else float(value)

    def _skip_string(self) -> None:
        self._spend(DEAR)
        code = self._byte()
        self._chunk(code)
        while code == CHUNK:
            self._spend(DEAR)
            code = self._byte()
            self._chunk(code)

    def _type(self) -> None:
        """A type's name, or the number of one that was named before."""
        if is_string(self.peek()):
            self._skip_string()
        else:
            self.integer()

    def _skip_binary(self, depth: int) -> None:
        code = 0x41
        while code == 0x41:
            self._spend(DEAR)
            code = self._byte()
            if not (0x20 <= code <= 0x2F or 0x34 <= code <= 0x37 or code in (0x41, 0x42)):
                raise FrameError(f"Hessian 2: a binary goes on at {self.at - 1} with code {code:#04x}")
            self._step(self._length(code, 0x20, 0x34))

    def _skip_list(self, depth: int) -> None:
        self._places.append(self.at)
        code = self._byte()
        if code in (0x55, 0x56) or 0x70 <= code <= 0x77:
            self._type()
        if code in (0x55, 0x57):
            self._skip_to_end(depth)
        else:
            self.skip_values(self._count() if code in (0x56, 0x58) else code & 7, depth)

    def _skip_map(self, depth: int) -> None:
        self.begin_map()
        self._skip_to_end(depth)

    def _skip_to_end(self, depth: int) -> None:
        while self.peek() != END:
            found = SOME_SIMPLE.match(self.data, self.at)
            if found is not None:
                self.at = found.end()
            else:
                self.skip(depth)
        self.at += 1

    def _skip_definition(self, depth: int) -> None:
        """Class definitions, and the value that they stand in front of."""
        while self.peek() == DEFINITION:
            self._spend(DEAR)
            if len(self._definitions) >= MAX_DEFINITIONS:
                raise FrameError(f"Hessian 2: more than {MAX_DEFINITIONS} classes")
            self.at += 1
            self._skip_string()
            fields = self._count()
            for _ in range(fields):
                self._skip_string()
            self._definitions.append(fields)
        self.skip(depth - 1)

    def _skip_object(self, depth: int) -> None:
        start = self.at
        self._places.append(start)
        code = self._byte()
        number = self.integer() if code == OBJECT else code - 0x60
        if not 0 <= number < len(self._definitions):
            raise FrameError(f"Hessian 2: an object of class {number} of {len(self._definitions)} at {start}")
        self.skip_values(self._definitions[number], depth)

    def _skip_reference(self, depth: int) -> None:
        self.at += 1
        self.integer()

    def _count(self) -> int:
        """A number of values that follow; each takes a byte at least."""
        count, left = self.integer(), len(self.data) - self.at
        if not 0 <= count <= left:
            raise FrameError(f"Hessian 2: {count} values announced in {left} bytes")
        return count


def _skips() -> tuple[Callable[[Reader, int], None] | None, ...]:
    skips: list[Callable[[Reader, int], None] | None] = [None] * 256
    for skip, codes in (
        (Reader._skip_binary, (0x41, 0x42, *range(0x20, 0x30), *range(0x34, 0x38))),
        (Reader._skip_list, (*range(0x55, 0x59), *range(0x70, 0x80))),
        (Reader._skip_map, (UNTYPED_MAP, TYPED_MAP)),
        (Reader._skip_definition, (DEFINITION,)),
        (Reader._skip_object, (OBJECT, *range(0x60, 0x70))),
        (Reader._skip_reference, (REFERENCE,)),
    ):
        for code in codes:
            skips[code] = skip
    return tuple(skips)


_SKIPS: Final = _skips()
