"""
Where a message without a length in front ends: found by walking its struct, however its bytes trickle in.

Lives here: a walk for each encoding. It stops at the last whole token when bytes are missing and goes on from there, so
that no byte is looked at more than a few times; it is bounded in nesting, in counts and in bytes.
Does not: values. Names, sequence numbers and fields are the encodings' business once the message is whole.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from metaproxy.codecs.thrift.encodings import check_name, varint
from metaproxy.codecs.thrift.heads import Data
from metaproxy.message import FrameError

MAX_DEPTH = 64
"""Structs and containers in each other. Apache's libraries allow 64 too."""

_I32 = struct.Struct(">i")

_STRING, _RECORD, _MAP, _LIST, _VARINT, _BAD = -1, -2, -3, -4, -5, -6
"""How a type's values are skipped; a number that is not negative: by as many bytes."""

_Group = list[int]
_STRUCT: _Group = []
"""On the stack: [] is a struct; [n, a, b] a container, n values left, the next of them an a if n is even, else a b."""


class Walk:
    """
    Finds the ends of the messages of one connection, one after the other. limit: bytes allowed a message.

    `walk` sees to the bounds; a subclass knows the encoding and keeps `_at`, how far it is from the message's begin.
    """

    __slots__ = ("_at", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._at = 0

    def begin(self) -> None:
        """Forgets a message that was not walked to its end."""
        self._at = 0

    def walk(self, data: Data, start: int) -> int:
        """
        The offset behind the message that begins at `start`; -1: call again when more bytes stand behind the same ones.

        Raises FrameError for what is no message and for one over the bounds; the walk is then of no more use.
        """
        top = start + self._limit
        stop = min(len(data), top)
        at = start + self._at
        if not self._at:
            at = self._begin(data, start, stop)
            if at > top:
                raise self._too_big(at - start)
        if start < at <= stop:
            end = self._run(data, at, stop, top)
            if end >= 0:
                self._at = 0
                return end
            self._at = ~end - start
        if len(data) >= top:
            raise self._too_big(self._limit + 1)
        return -1

    def _begin(self, data: Data, start: int, stop: int) -> int:
        """The offset behind the head: where `_run` begins if it is not beyond `stop`. -1: not known yet."""
        raise NotImplementedError

    def _run(self, data: Data, at: int, stop: int, top: int) -> int:
        """Goes on from `at` to the message's end: its offset; or as far as there are whole tokens: ~offset."""
        raise NotImplementedError

    def _too_big(self, size: int) -> FrameError:
        return FrameError(f"message of at least {size} bytes; allowed are {self._limit}")


class _StructWalk(Walk):
    """What binary and compact have in common: structs of typed fields, containers of counted values."""

    __slots__ = ("_stack",)
    _empties: Mapping[int, tuple[re.Pattern[bytes], int]] = {}
    """How a type's values are skipped -> many empty ones, and the bytes of each."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._stack: list[_Group] = []

    def begin(self) -> None:
        super().begin()
        self._stack.clear()

    def _run(self, data: Data, at: int, stop: int, top: int) -> int:
        stack = self._stack
        if not stack:
            stack.append(_STRUCT)
        field, sized, skip_empty = self._field, self._sized, self._skip_empty
        while stack:
            group = stack[-1]
            if not group:
                if at >= stop:
                    break
                if not data[at]:
                    at += 1
                    stack.pop()
                    continue
                size, after = field(data, at, stop)
            elif not group[0]:
                stack.pop()
                continue
            else:
                size, after = group[1 + (group[0] & 1)], at
                if size < 0 and group[1] == group[2]:
                    if size == _VARINT:
                        at = _skip_varints(group, data, at, stop)
                        if group[0]:
                            break
                        continue
                    at, after = skip_empty(group, data, at, stop), at
                    if at != after:
                        continue
            inner = None
            if size >= 0:
                after += size
            elif after >= 0:
                after, inner = sized(data, after, stop, size)
            if after > top:
                raise self._too_big(after - top + self._limit)
            if not 0 <= after <= stop:
                break
            at = after
            if group:
                group[0] -= 1
            if inner is not None:
                stack.append(inner)
                if len(stack) > MAX_DEPTH:
                    raise FrameError(f"structs and containers nested more than {MAX_DEPTH} deep")
        return ~at if stack else at

    def _field(self, data: Data, at: int, stop: int) -> tuple[int, int]:
        """How the value of the field at `at` is skipped, and where it begins; a negative offset: not known yet."""
        raise NotImplementedError

    def _sized(self, data: Data, at: int, stop: int, size: int) -> tuple[int, _Group | None]:
        """
        A value whose size is not in its type: the offset behind it, negative if it is not known yet; or, for one
        that must be walked, the offset of its first value and what goes on the stack.
        """
        raise NotImplementedError

    def _skip_empty(self, group: _Group, data: Data, at: int, stop: int) -> int:
        """Skips at once as many of the container's values as are empty and there."""
        empty = self._empties.get(group[1])
        if empty is None:
            return at
        expression, size = empty
        end = expression.match(data, at, min(stop, at + group[0] * size)).end()  # type: ignore[union-attr]
        group[0] -= (end - at) // size
        return end

    def _values(self, at: int, count: int, first: int, second: int) -> tuple[int, _Group | None]:
        """`count` values, or if there is a `second` type, pairs; all begin at `at`."""
        if _BAD in (first, second):
            raise FrameError("container of a type that does not exist")
        pair = second != _NONE
        if first > 0 and (second > 0 or not pair):
            return at + count * (first + second if pair else first), None
        if count > self._limit:  # every value has at least a byte
            raise self._too_big(count)
        return at, [count * 2, first, second] if pair else [count, first, first]


_NONE = 0
"""In place of a second type: a list or set has one type."""

_BINARY: tuple[int, ...] = (_BAD, _BAD, 1, 1, 8, _BAD, 2, _BAD, 4, _BAD, 8, _STRING, _RECORD, _MAP, _LIST, _LIST, 16)
_BINARY += (_BAD, _BAD, 4) + (_BAD,) * 236
"""19 is the float of fbthrift."""


class BinaryWalk(_StructWalk):
    """Strict and old."""

    __slots__ = ()
    _empties = {
        _STRING: (re.compile(b"(?:\0{4})*+"), 4),
        _RECORD: (re.compile(b"\0*+"), 1),
        _LIST: (re.compile(b"(?:[\2-\4\6\x08\x0a-\x10\x13]\0{4})*+"), 5),
        _MAP: (re.compile(b"(?:..\0{4})*+", re.DOTALL), 6),
    }

    def _begin(self, data: Data, start: int, stop: int) -> int:
        if stop - start < 8:
            return -1
        if data[start] < 0x80:
            return start + 9 + check_name(_I32.unpack_from(data, start)[0])
        if data[start] != 0x80 or data[start + 1] != 1:
            raise FrameError(f"a binary message begins with 80 01, not with {data[start : start + 2].hex(' ')}")
        return start + 12 + check_name(_I32.unpack_from(data, start + 4)[0])

    def _field(self, data: Data, at: int, stop: int) -> tuple[int, int]:
        return _BINARY[data[at]], at + 3

    def _sized(self, data: Data, at: int, stop: int, size: int) -> tuple[int, _Group | None]:
        if size == _RECORD:
            return at, _STRUCT
        if size == _BAD:
            raise FrameError("a field of a type that does not exist")
        after = at + (4 if size == _STRING else 6 if size == _MAP else 5)
        if after > stop:
            return after, None
        (count,) = _I32.unpack_from(data, after - 4)
        if count < 0:
            raise FrameError(f"string or container of {count} elements")
        if size == _STRING or not count:
            return after + count, None
        return self._values(after, count, _BINARY[data[at]], _BINARY[data[at + 1]] if size == _MAP else _NONE)


_COMPACT = (_BAD, 1, 1, 1, _VARINT, _VARINT, _VARINT, 8, _STRING, _LIST, _LIST, _MAP, _RECORD, 16, _BAD, _BAD)
_COMPACT_FIELD = (_BAD, 0, 0, *_COMPACT[3:])
"""As a field a bool has no bytes: its value is its type."""

_FLOAT = 13


def _with_float(types: tuple[int, ...]) -> tuple[int, ...]:
    return (*types[:_FLOAT], 4, *types[_FLOAT + 1 :])


_CONTINUED = bytes(range(0x80, 0x100))


def _skip_varints(group: _Group, data: Data, at: int, stop: int) -> int:
    """Skips as many of the container's varints as there are, without a look at each: only a last byte is below 0x80."""
    while group[0] and at < stop:
        piece = data[at : min(at + group[0], stop)]
        group[0] -= len(piece.translate(None, _CONTINUED))
        at += len(piece)
    return at


class CompactWalk(_StructWalk):
    """As Apache's libraries write it."""

    __slots__ = ()
    _empties = {
        _STRING: (re.compile(b"\0*+"), 1),
        _RECORD: (re.compile(b"\0*+"), 1),
        _LIST: (re.compile(b"[\0-\x0f]*+"), 1),
        _MAP: (re.compile(b"\0*+"), 1),
    }
    _types: tuple[int, ...] = _COMPACT
    _field_types: tuple[int, ...] = _COMPACT_FIELD

    def _begin(self, data: Data, start: int, stop: int) -> int:
        if stop - start < 4:
            return -1
        if data[start] != 0x82 or data[start + 1] & 0x1F != 1:
            seen = data[start : start + 2].hex(" ")
            raise FrameError(f"a compact message begins with 82 and version 1, not with {seen}")
        _, at = varint(data, start + 2, stop)
        if at < 0:
            return -1
        length, at = varint(data, at, stop)
        return at if at < 0 else at + check_name(length)

    def _field(self, data: Data, at: int, stop: int) -> tuple[int, int]:
        first = data[at]
        if first >= 0x10:
            return self._field_types[first & 15], at + 1
        _, after = varint(data, at + 1, stop)
        return self._field_types[first] if after >= 0 else _VARINT, after

    def _sized(self, data: Data, at: int, stop: int, size: int) -> tuple[int, _Group | None]:
        if size == _RECORD:
            return at, _STRUCT
        if size == _BAD:
            raise FrameError("a field of a type that does not exist")
        if size == _LIST:
            return self._list(data, at, stop)
        number, after = varint(data, at, stop)
        if size == _VARINT or after < 0:
            return after, None
        if size == _STRING:
            return after + number, None
        if not number:
            return after, None
        if after >= stop:
            return -1, None
        return self._values(after + 1, number, self._types[data[after] >> 4], self._types[data[after] & 15])

    def _list(self, data: Data, at: int, stop: int) -> tuple[int, _Group | None]:
        if at >= stop:
            return -1, None
        kind, count, after = data[at] & 15, data[at] >> 4, at + 1
        if count == 15:
            count, after = varint(data, after, stop)
            if after < 0:
                return -1, None
        return self._values(after, count, self._types[kind], _NONE) if count else (after, None)


_JSON_DEPTH = 2 + 3 * MAX_DEPTH
"""Brackets in each other: a level of nesting takes at most three, as in `{"1":{"map":["str","rec",1,{`."""

_NEXT = re.compile(rb'["\[\]{}]')
_QUOTED = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_OPEN, _QUOTE = 0x5B, 0x22
_CLOSES = {_OPEN: 0x5D, 0x7B: 0x7D}


class JsonWalk(Walk):
    """From the first bracket to the one that closes it."""

    __slots__ = ("_closes", "_inside")

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._closes = bytearray()
        self._inside = False

    def begin(self) -> None:
        super().begin()
        self._closes.clear()
        self._inside = False

    def _begin(self, data: Data, start: int, stop: int) -> int:
        if start >= stop:
            return -1
        if data[start] != _OPEN:
            raise FrameError(f"a JSON message begins with [, not with {data[start : start + 1].hex()}")
        return start + 1

    def _run(self, data: Data, at: int, stop: int, top: int) -> int:
        closes = self._closes
        if not closes:
            closes.append(_CLOSES[_OPEN])
        while closes:
            if self._inside:
                quoted = _QUOTED.match(data, at, stop)
                at = quoted.end() if quoted else at
                if at >= stop or data[at] != _QUOTE:
                    return ~at
                self._inside = False
                at += 1
                continue
            found = _NEXT.search(data, at, stop)
            if found is None:
                return ~stop
            at = found.end()
            mark = data[at - 1]
            if mark == _QUOTE:
                self._inside = True
            elif mark in _CLOSES:
                closes.append(_CLOSES[mark])
                if len(closes) > _JSON_DEPTH:
                    raise FrameError(f"JSON nested more than {_JSON_DEPTH} brackets deep")
            elif mark != closes.pop():
                raise FrameError(f"JSON that closes with {chr(mark)} what it did not open so")
        return at


class FbthriftCompactWalk(CompactWalk):
    """As fbthrift writes it: type 13, a UUID of 16 bytes to Apache's libraries, is a float of four."""

    __slots__ = ()
    _types = _with_float(_COMPACT)
    _field_types = _with_float(_COMPACT_FIELD)


OTHER_WALKS: dict[str, type[Walk]] = {"compact": FbthriftCompactWalk}
"""What else may be right of an encoding. Only where a frame shows its end: of the first that fits the walk is taken."""

WALKS: dict[str, type[Walk]] = {"binary": BinaryWalk, "compact": CompactWalk, "json": JsonWalk}
