"""
Expressions that step over many values of a message at once: a tenth of the time that a look at each takes.

What they match is what the walk would skip: values of fixed size, short strings, and structs, lists and maps with few
of them, nested a little. What they don't match is left where it begins, for the walk. They never go back over what
they matched, and never match a part of a value: so the work stays linear, also when bytes trickle in.

Lives here: `BinaryRuns`, `CompactRuns`, `json_run`. Does not: bounds and errors (`walk`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import product

from metaproxy.codecs.thrift.heads import Data
from metaproxy.codecs.thrift.kinds import BAD, BINARY, COMPACT, COMPACT_FIELD, LIST, NONE, RECORD, STRING, VARINT

LEVELS = 3
"""How deep what is matched may be nested in the struct or container that it stands in."""

Match = Callable[[Data, int, int], "re.Match[bytes] | None"]

_AT_ONCE = (64, 8, 1)
"""So many values are looked for at once: the most first."""
_LONGEST, _SHORT = 31, 15
"""Bytes of strings: of a field or value, and of an element of one."""
_PLAIN_COUNT, _STRINGS, _PAIRS = 14, 4, 2
"""Elements of a list or map that is itself an element or field, by what they are."""


def _one(codes: Iterable[int]) -> bytes:
    """One byte of those."""
    return b"[" + b"".join(b"\\x%02x" % code for code in codes) + b"]"


def _any(count: int) -> bytes:
    """So many bytes, whatever they are."""
    return b"." * count if count < 4 else b".{%d}+" % count


def _times(value: bytes, count: int) -> bytes:
    return value if count == 1 else b"(?:" + value + b"){%d}+" % count


def _or(choices: Iterable[bytes]) -> bytes:
    return b"(?:" + b"|".join(choices) + b")"


def _short_strings(longest: int) -> bytes:
    """A byte with the length, and the string."""
    return _or(b"\\x%02x" % length + _any(length) for length in range(longest + 1))


def _compiled(expression: bytes) -> Match:
    return re.compile(expression, re.DOTALL).match


_VARINT = b"[\\x80-\\xff]{0,9}+[\\x00-\\x7f]"


class Runs:
    """One encoding's expressions. Each is made when it is first asked for, which takes some milliseconds."""

    def __init__(self, types: tuple[int, ...]) -> None:
        self._codes: dict[int, list[int]] = {}
        for code, kind in enumerate(types):
            if kind != BAD:
                self._codes.setdefault(kind, []).append(code)
        self.fields = cache(self._fields)
        self.values = cache(self._values)

    def _fields(self) -> Match:
        """Matches the fields of a struct from one of them on, as many as it can."""
        return _compiled(self._simple_fields(LEVELS))

    def _values(self, first: int, second: int) -> tuple[tuple[int, Match], ...]:
        """(n, what matches just n values of a kind, or with a second kind n pairs), most first."""
        value = self._value(first, LEVELS - 1)
        if second != NONE:
            value += self._value(second, LEVELS - 1)
        return tuple((count, _compiled(_times(value, count))) for count in _AT_ONCE)

    def _value(self, kind: int, level: int, longest: int = _LONGEST) -> bytes:
        """One value of a kind, in which others stand `level` deep."""
        if kind >= 0:
            return _any(kind)
        if kind == STRING:
            return self._string(longest)
        if kind == VARINT:
            return _VARINT
        if kind == RECORD:
            return (self._simple_fields(level) if level >= 0 else b"") + b"\\x00"
        return self._list(level) if kind == LIST else self._map(level)

    def _elements(self, kind: int, level: int) -> Iterable[tuple[int, bytes]]:
        """(n, n values of a kind), of a list that is itself a value."""
        if kind > 0:
            return [(count, _any(count * kind)) for count in range(1, 1 + _PLAIN_COUNT)]
        if kind == VARINT:
            return [(count, _times(_VARINT, count)) for count in range(1, 1 + _PLAIN_COUNT)]
        if kind == STRING:
            return [(count, _times(self._string(_SHORT), count)) for count in range(1, 1 + _STRINGS)]
        return [(1, self._value(kind, level - 1)), (2, _times(self._value(kind, -1), 2))]

    def _pairs(self) -> Iterable[tuple[int, int, list[tuple[int, bytes]]]]:
        """(kind, kind, [(n, n pairs of those)]), of a map that is itself a value."""
        kinds = [kind for kind in self._codes if kind > 0 or kind in (STRING, VARINT)]
        for first, second in product(kinds, kinds):
            pair = self._value(first, 0, _SHORT) + self._value(second, 0, _SHORT)
            yield first, second, [(count, _times(pair, count)) for count in range(1, 1 + _PAIRS)]

    def _simple_fields(self, level: int) -> bytes:
        raise NotImplementedError

    def _string(self, longest: int) -> bytes:
        raise NotImplementedError

    def _list(self, level: int) -> bytes:
        """A list or set; with a level below 0 one that is empty."""
        raise NotImplementedError

    def _map(self, level: int) -> bytes:
        """A map; with a level below 1 one that is empty."""
        raise NotImplementedError


class BinaryRuns(Runs):
    """type 1 | id 2 | value; counts and lengths are four bytes."""

    def __init__(self) -> None:
        super().__init__(BINARY)

    def _simple_fields(self, level: int) -> bytes:
        fields = (_one(codes) + b".." + self._value(kind, level - 1) for kind, codes in self._codes.items())
        return _or(fields) + b"*+"

    def _string(self, longest: int) -> bytes:
        return rb"\x00\x00\x00" + _short_strings(longest)

    def _list(self, level: int) -> bytes:
        choices = [rb".\x00\x00\x00\x00"]
        if level >= 0:
            for kind, codes in self._codes.items():
                counts = [b"\\x%02x" % count + values for count, values in self._elements(kind, level)]
                choices.append(_one(codes) + rb"\x00\x00\x00" + _or(counts))
        return _or(choices)

    def _map(self, level: int) -> bytes:
        choices = [rb"..\x00\x00\x00\x00"]
        if level > 0:
            for first, second, counted in self._pairs():
                counts = [b"\\x%02x" % count + pairs for count, pairs in counted]
                choices.append(_one(self._codes[first]) + _one(self._codes[second]) + rb"\x00\x00\x00" + _or(counts))
        return _or(choices)


class CompactRuns(Runs):
    """delta << 4 | type, or type and a varint for the id; counts and lengths are varints."""

    def __init__(self, types: tuple[int, ...] = COMPACT, field_types: tuple[int, ...] = COMPACT_FIELD) -> None:
        super().__init__(types)
        self._field_codes: dict[int, list[int]] = {}
        for code, kind in enumerate(field_types):
            if kind != BAD:
                self._field_codes.setdefault(kind, []).append(code)

    def _simple_fields(self, level: int) -> bytes:
        short, long = [], []
        for kind, codes in self._field_codes.items():
            value = self._value(kind, level - 1)
            short.append(_one(delta << 4 | code for delta in range(1, 16) for code in codes) + value)
            if kind >= 0 or kind in (STRING, VARINT):
                long.append(_one(codes) + _VARINT + value)
        return _or(short + long) + b"*+"

    def _string(self, longest: int) -> bytes:
        return _short_strings(longest)

    def _list(self, level: int) -> bytes:
        choices = [rb"[\x00-\x0f]"]
        if level >= 0:
            for kind, codes in self._codes.items():
                for count, values in self._elements(kind, level):
                    choices.append(_one(count << 4 | code for code in codes) + values)
        return _or(choices)

    def _map(self, level: int) -> bytes:
        choices = [rb"\x00"]
        if level > 0:
            for first, second, counted in self._pairs():
                types = _one(one << 4 | other for one in self._codes[first] for other in self._codes[second])
                choices += [b"\\x%02x" % count + types + pairs for count, pairs in counted]
        return _or(choices)


JSON_LEVELS = 5
"""As LEVELS, in brackets."""


def json_run() -> Match:
    """Matches JSON up to a bracket that closes what was open before, or to one in which others stand too deep."""
    plain = rb'[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+"'
    inside = _or((plain,)) + b"*+"
    for _ in range(JSON_LEVELS):
        inside = _or((plain, rb"\[" + inside + rb"\]", rb"\{" + inside + rb"\}")) + b"*+"
    return _compiled(inside)
