"""
Where a message without a length in front ends: found by walking its struct, however its bytes trickle in.

Lives here: a walk for each encoding. It stops at the last whole token when bytes are missing and goes on from there, so
that no byte is looked at more than a few times; it is bounded in nesting, in counts and in bytes.
Does not: values. Names, sequence numbers and fields are the encodings' business once the message is whole.
"""

from __future__ import annotations

import re
import struct

from metaproxy.codecs.thrift.encodings import check_name, varint
from metaproxy.codecs.thrift.heads import Data
from metaproxy.codecs.thrift.json_walk import JsonWalk
from metaproxy.codecs.thrift.kinds import (
    BAD,
    BINARY,
    COMPACT,
    COMPACT_FIELD,
    LIST,
    MAP,
    NONE,
    RECORD,
    STRING,
    VARINT,
    with_float,
)
from metaproxy.codecs.thrift.runs import LEVELS, BinaryRuns, CompactRuns, Runs
from metaproxy.codecs.thrift.walking import BYTES_A_STEP, MAX_DEPTH, MAX_STEPS, PAUSES, WORTH, Walk, too_many
from metaproxy.message import FrameError

__all__ = ["MAX_DEPTH", "OTHER_WALKS", "WALKS", "BinaryWalk", "CompactWalk", "FbthriftCompactWalk", "JsonWalk", "Walk"]

_DEEP = MAX_DEPTH - LEVELS - 2
"""From so many on the stack, what a leap skips could be nested too deep."""

_I32 = struct.Struct(">i")

_Group = list[int]
_STRUCT: _Group = []
"""On the stack: [] is a struct; [n, a, b] a container, n values left, the next of them an a if n is even, else a b."""


class _StructWalk(Walk):
    """What binary and compact have in common: structs of typed fields, containers of counted values."""

    __slots__ = ("_stack",)
    _runs: Runs

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
        field, sized, leap = self._field, self._sized, self._leap
        misses = pause = 0
        steps, most = self._steps, MAX_STEPS + (stop - top + self._limit) // BYTES_A_STEP
        while stack:
            group = stack[-1]
            if group and not group[0]:
                stack.pop()
                continue
            if at < stop and not pause and (group or data[at]):
                # Where leaps lead nowhere they are made ever less often.
                at, before = leap(group, data, at, stop), at
                misses = min(misses + 1, len(PAUSES) - 1) if at - before < WORTH else 0
                pause = PAUSES[misses]
            if not group:
                if at >= stop:
                    break
                if not data[at]:
                    at += 1
                    stack.pop()
                    continue
                size, after = field(data, at, stop)
            elif group[0]:
                size, after = group[1 + (group[0] & 1)], at
            else:
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
            steps += 1
            if steps > most:
                raise too_many(most)
            if pause:
                pause -= 1
            if group:
                group[0] -= 1
            if inner is not None:
                stack.append(inner)
                if len(stack) > MAX_DEPTH:
                    raise FrameError(f"structs and containers nested more than {MAX_DEPTH} deep")
        self._steps = steps
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

    def _leap(self, group: _Group, data: Data, at: int, stop: int) -> int:
        """Skips at once as many of the struct's or container's next values as are simple and there."""
        if len(self._stack) > _DEEP:
            return at
        if not group:
            fields = self._runs.fields()(data, at, stop)
            return fields.end() if fields is not None else at
        left, first, second = group
        if first == second:
            if first == VARINT:
                return _skip_varints(group, data, at, stop)
            second, each = NONE, 1
        elif left & 1:
            return at
        else:
            left, each = left >> 1, 2
        for count, match in self._runs.values(first, second):
            while left >= count and (found := match(data, at, stop)) is not None:
                at = found.end()
                left -= count
        group[0] = left * each
        return at

    def _values(self, at: int, count: int, first: int, second: int) -> tuple[int, _Group | None]:
        """`count` values, or if there is a `second` type, pairs; all begin at `at`."""
        if BAD in (first, second):
            raise FrameError("container of a type that does not exist")
        pair = second != NONE
        if first > 0 and (second > 0 or not pair):
            return at + count * (first + second if pair else first), None
        if count > self._limit:  # every value has at least a byte
            raise self._too_big(count)
        return at, [count * 2, first, second] if pair else [count, first, first]


class BinaryWalk(_StructWalk):
    """Strict and old."""

    __slots__ = ()
    _runs = BinaryRuns()

    def _begin(self, data: Data, start: int, stop: int) -> int:
        if stop - start < 8:
            return -1
        if data[start] < 0x80:
            return start + 9 + check_name(_I32.unpack_from(data, start)[0])
        if data[start] != 0x80 or data[start + 1] != 1:
            raise FrameError(f"a binary message begins with 80 01, not with {data[start : start + 2].hex(' ')}")
        return start + 12 + check_name(_I32.unpack_from(data, start + 4)[0])

    def _field(self, data: Data, at: int, stop: int) -> tuple[int, int]:
        return BINARY[data[at]], at + 3

    def _sized(self, data: Data, at: int, stop: int, size: int) -> tuple[int, _Group | None]:
        if size == RECORD:
            return at, _STRUCT
        if size == BAD:
            raise FrameError("a field of a type that does not exist")
        after = at + (4 if size == STRING else 6 if size == MAP else 5)
        if after > stop:
            return after, None
        (count,) = _I32.unpack_from(data, after - 4)
        if count < 0:
            raise FrameError(f"string or container of {count} elements")
        if size == STRING or not count:
            return after + count, None
        return self._values(after, count, BINARY[data[at]], BINARY[data[at + 1]] if size == MAP else NONE)


_CONTINUED = bytes(range(0x80, 0x100))
_varints = re.compile(b"(?:[\x80-\xff]{0,9}+[\x00-\x7f])*+").match


def _skip_varints(group: _Group, data: Data, at: int, stop: int) -> int:
    """Skips as many of the container's varints as are whole, without a look at each; one that is too long stays."""
    while group[0]:
        found = _varints(data, at, min(at + group[0], stop))
        if found is None or found.end() == at:
            break
        group[0] -= len(found[0].translate(None, _CONTINUED))  # the last byte of each is below 0x80
        at = found.end()
    return at


class CompactWalk(_StructWalk):
    """As Apache's libraries write it."""

    __slots__ = ()
    _runs = CompactRuns()
    _types: tuple[int, ...] = COMPACT
    _field_types: tuple[int, ...] = COMPACT_FIELD

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
        return self._field_types[first] if after >= 0 else VARINT, after

    def _sized(self, data: Data, at: int, stop: int, size: int) -> tuple[int, _Group | None]:
        if size == RECORD:
            return at, _STRUCT
        if size == BAD:
            raise FrameError("a field of a type that does not exist")
        if size == LIST:
            return self._list(data, at, stop)
        number, after = varint(data, at, stop)
        if size == VARINT or after < 0:
            return after, None
        if size == STRING:
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
        return self._values(after, count, self._types[kind], NONE) if count else (after, None)


class FbthriftCompactWalk(CompactWalk):
    """As fbthrift writes it: type 13, a UUID of 16 bytes to Apache's libraries, is a float of four."""

    __slots__ = ()
    _types = with_float(COMPACT)
    _field_types = with_float(COMPACT_FIELD)
    _runs = CompactRuns(_types, _field_types)


OTHER_WALKS: dict[str, type[Walk]] = {"compact": FbthriftCompactWalk}
"""What else may be right of an encoding. Only where a frame shows its end: of the first that fits the walk is taken."""

WALKS: dict[str, type[Walk]] = {"binary": BinaryWalk, "compact": CompactWalk, "json": JsonWalk}
