"""
What a regular expression costs, in characters that were looked at: what C code does there can't be counted otherwise.

Lives here: `Steps`, which matches as `re` does, by going back, and counts. Does not: the whole syntax of `re`; what is
not known is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

Ends = Callable[[str, int], Iterator[int]]
"""Of a part of a pattern: where it may end in a text when it begins at a place, the preferred end first."""

_UNIT = re.compile(r"\\x[0-9a-fA-F]{2}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\()|*+?{}\[]", re.DOTALL)
_GROUP = re.compile(r"\((?:\?(?:P<(\w+)>|(:)|(=)|(<!)))?")
_REPEAT = re.compile(r"(?:[*+?]\+|\?)?")


class Found(NamedTuple):
    """A match. group: the outermost named group that took part, as `lastgroup` of re; "" where none did."""

    start: int
    end: int
    group: str


class Steps:
    """count: characters that were looked at so far, several times those that were looked at several times."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.count = 0
        self._flags = pattern.flags
        self._text = pattern.pattern
        self._at = 0
        self._group = ""
        self._match = self._alternatives(True)
        assert self._at == len(self._text), f"not known: {self._text[self._at :]}"

    def match(self, text: str, at: int = 0) -> Found | None:
        self._group = ""
        end = next(self._match(text, at), None)
        return None if end is None else Found(at, end, self._group)

    def find_all(self, text: str) -> Iterator[Found]:
        """As `re.finditer`, for a pattern that never matches nothing."""
        at = 0
        while at < len(text):
            found = self.match(text, at)
            if found is not None:
                yield found
            at = found.end if found is not None else at + 1

    # -- the pattern is read

    def _alternatives(self, outermost: bool = False) -> Ends:
        parts = [self._sequence(outermost)]
        while self._text[self._at : self._at + 1] == "|":
            self._at += 1
            parts.append(self._sequence(outermost))
        return parts[0] if len(parts) == 1 else _any_of(parts)

    def _sequence(self, outermost: bool) -> Ends:
        parts: list[Ends] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            part = self._one(outermost)
            repeat = _REPEAT.match(self._text, self._at)
            assert repeat is not None
            self._at = repeat.end()
            parts.append(_REPEATED[repeat[0]](part))
        return _one_after_the_other(parts)

    def _one(self, outermost: bool) -> Ends:
        group = _GROUP.match(self._text, self._at)
        if group is None:
            unit = _UNIT.match(self._text, self._at)
            assert unit is not None, f"not known: {self._text[self._at :]}"
            self._at = unit.end()
            return _at_the_end if unit[0] == r"\Z" else self._character(unit[0])
        self._at = group.end()
        inner = self._alternatives()
        assert self._text[self._at] == ")"
        self._at += 1
        if group[3]:
            return _ahead(inner)
        if group[4]:
            return _not_behind(inner)
        return self._named(group[1], inner) if group[1] and outermost else inner

    def _character(self, unit: str) -> Ends:
        fits = re.compile(unit, self._flags).fullmatch

        def ends(text: str, at: int) -> Iterator[int]:
            self.count += 1
            if at < len(text) and fits(text[at]):
                yield at + 1

        return ends

    def _named(self, name: str, inner: Ends) -> Ends:
        def ends(text: str, at: int) -> Iterator[int]:
            for end in inner(text, at):
                self._group = name
                yield end

        return ends


# -- how the parts are put together


def _any_of(parts: list[Ends]) -> Ends:
    def ends(text: str, at: int) -> Iterator[int]:
        for part in parts:
            yield from part(text, at)

    return ends


def _one_after_the_other(parts: list[Ends]) -> Ends:
    def ends(text: str, at: int, place: int = 0) -> Iterator[int]:
        if place == len(parts):
            yield at
            return
        for end in parts[place](text, at):
            yield from ends(text, end, place + 1)

    return ends


def _once_or_not(part: Ends) -> Ends:
    def ends(text: str, at: int) -> Iterator[int]:
        yield from part(text, at)
        yield at

    return ends


def _as_often_as_possible(part: Ends, least: int, most: float) -> Ends:
    """Possessive: it never goes back."""

    def ends(text: str, at: int) -> Iterator[int]:
        number, stop = 0, at
        while number < most and (end := next(part(text, stop), stop)) > stop:
            number, stop = number + 1, end
        if number >= least:
            yield stop

    return ends


def _ahead(part: Ends) -> Ends:
    def ends(text: str, at: int) -> Iterator[int]:
        if next(part(text, at), None) is not None:
            yield at

    return ends


def _not_behind(part: Ends) -> Ends:
    """Of one character."""

    def ends(text: str, at: int) -> Iterator[int]:
        if not at or next(part(text, at - 1), None) is None:
            yield at

    return ends


def _at_the_end(text: str, at: int) -> Iterator[int]:
    if at == len(text):
        yield at


_REPEATED: dict[str, Callable[[Ends], Ends]] = {
    "": lambda part: part,
    "?": _once_or_not,
    "?+": lambda part: _as_often_as_possible(part, 0, 1),
    "*+": lambda part: _as_often_as_possible(part, 0, float("inf")),
    "++": lambda part: _as_often_as_possible(part, 1, float("inf")),
}
