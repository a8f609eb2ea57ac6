"""
Where in a body the fields are that somebody asks for; all others are passed over.

    plan(form, wanted)      how a form is walked, made once: a run of fixed size is one step
    walk(data, at, plan)    the places of what is wanted: (label, from, to), of a text with its length

Lives here: plans and their walk. Does not: what the places are for. A walk does work in the order of the bytes, and
goes no deeper than the form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Final, NamedTuple

from metaproxy.codecs.kafka.schema import Field, Form
from metaproxy.codecs.kafka.wire import varint
from metaproxy.message import FrameError

Place = tuple[str, int, int]
Wanted = Callable[[Field, tuple[Field, ...]], str]
"""The label of a field, '' if it is not wanted; the second: the fields of the struct that it is in."""

SIZES: Final = {
    "bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uuid": 16, "float64": 8,
}  # fmt: skip
SKIP, TEXT, COMPACT, BYTES, FIXED, MANY, TAGS, MAYBE = range(8)
"""Kinds of steps."""
ARRAY: Final = "["
"""Goes in front of the label of an array's count."""
SIZE_OF_TAG: Final = "#"
"""Label of the size of a tag, in which something is wanted. It comes in front of what is in it."""
MOST: Final = 100_000
"""Places that are remembered of one message."""
MOST_ELEMENTS: Final = 500_000
"""Elements and tags of one message that are gone through one by one: half a second of work at most."""
ELEMENT: Final = "{"
"""Goes in front of the label of a struct of an array: from where to where it stands. It comes behind what is in it."""


class TooMany(FrameError):
    """A message with more of what is wanted than anybody remembers, or with more than anybody goes through."""


class Step(NamedTuple):
    """kind: one of the above; size: bytes of it, or of each; label: '' for what is not wanted; steps: of a struct."""

    kind: int
    size: int
    label: str
    compact: bool
    steps: Plan
    tags: Mapping[int, Plan]
    pattern: bytes = b""
    """Of an array in which nothing is wanted: a regular expression of one element, b"" where there can't be one."""


Plan = tuple[Step, ...]


def plan(form: Form, wanted: Wanted) -> Plan:
    """How to walk bodies of the form, up to the last field that is wanted; () if none is."""
    steps = _steps(form.fields, form.flexible, wanted)
    while steps and not _wants(steps[-1]):
        steps.pop()
    return tuple(steps)


def whole(form: Form, wanted: Wanted) -> Plan:
    """The same, up to the end."""
    return tuple(_steps(form.fields, form.flexible, wanted))


def _steps(fields: tuple[Field, ...], flexible: bool, wanted: Wanted) -> list[Step]:
    steps: list[Step] = []
    for field in fields:
        if field.tag < 0:
            _add(steps, _step(field, wanted(field, fields), flexible, wanted))
    if flexible:
        tags = {
            field.tag: (_step(field, wanted(field, fields), flexible, wanted),) for field in fields if field.tag >= 0
        }
        steps.append(Step(TAGS, 0, "", True, (), {tag: one for tag, one in tags.items() if _wants(one[0])}))
    return steps


def _step(field: Field, label: str, flexible: bool, wanted: Wanted) -> Step:
    size = SIZES.get(field.kind, 0)
    if field.repeated:
        if size:
            return Step(FIXED, size, label, flexible, (), {})
        if field.fields:
            inner = tuple(_steps(field.fields, flexible, wanted))
        else:
            inner = (Step(COMPACT if flexible else TEXT, 0, label, flexible, (), {}),)
        made = Step(MANY, 0, label, flexible, inner, {})
        return made if _wants(made) else made._replace(pattern=_pattern(inner))
    if field.kind == "struct":
        inner = tuple(_steps(field.fields, flexible, wanted))
        return Step(MAYBE, 0 if field.nullable else 1, label, flexible, inner, {})
    if size:
        return Step(SKIP, size, label, flexible, (), {})
    if flexible:
        return Step(COMPACT, 0, label, True, (), {})
    return Step(TEXT if field.kind == "string" else BYTES, 0, label, False, (), {})


def _add(steps: list[Step], step: Step) -> None:
    if steps and step.kind == steps[-1].kind == SKIP and not step.label and not steps[-1].label:
        steps[-1] = steps[-1]._replace(size=steps[-1].size + step.size)
    else:
        steps.append(step)


def _wants(step: Step) -> bool:
    return bool(step.label) or any(map(_wants, step.steps)) or any(any(map(_wants, one)) for one in step.tags.values())


# -- arrays of partitions are long, and walked by the regular expressions' machine: several times as fast

_MOST: Final = 16
"""Elements of an array of numbers in an element that is passed over like this."""
_BLOCK: Final = 64
"""Elements that are passed over at a time."""


def _pattern(steps: Plan) -> bytes:
    """One element; b"" where it has texts or arrays of structs."""
    parts = []
    for step in steps:
        if step.kind == SKIP:
            parts.append(b".{%d}" % step.size)
        elif step.kind == FIXED:
            counts = (b"%b.{%d}" % (re.escape(_count(n, step.compact)), n * step.size) for n in range(_MOST + 1))
            null = b"|\0" if step.compact else b""
            parts.append(b"(?>%b%b)" % (b"|".join(counts), null))
        elif step.kind == TAGS:
            parts.append(b"\0")
        else:
            return b""
    return b"".join(parts)


def _count(number: int, compact: bool) -> bytes:
    return bytes((number + 1,)) if compact else number.to_bytes(4, "big")


def _run(data: bytes, at: int, count: int, pattern: bytes) -> int:
    """Where so many elements end that begin there; 0: not all of them are like this."""
    while count > 0:
        block = min(count, _BLOCK)
        found = _elements(pattern, block).match(data, at)
        if found is None:
            return 0
        at = found.end()
        count -= block
    return at


@cache
def _elements(pattern: bytes, count: int) -> re.Pattern[bytes]:
    return re.compile(b"(?:%b){%d}" % (pattern, count), re.DOTALL)


def walk(data: bytes, at: int, plan: Plan) -> list[Place]:
    """The places of what is wanted, in their order. Raises FrameError."""
    places: list[Place] = []
    end_of(data, at, plan, places)
    return places


def begun(data: bytes, at: int, plan: Plan) -> list[Place]:
    """The places of what is wanted in the beginning of a body."""
    places: list[Place] = []
    with suppress(FrameError):
        end_of(data, at, plan, places)
    return [place for place in places if place[2] <= len(data)]


def end_of(data: bytes, at: int, plan: Plan, places: list[Place]) -> int:
    """Where what the plan says ends. Raises FrameError; what was found before is among the places."""
    try:
        end = _walk(data, at, plan, places, [MOST_ELEMENTS])
    except IndexError:
        raise FrameError("a body that ends within a field") from None
    if end > len(data):
        raise FrameError("a field that ends behind its message")
    return end


def _walk(data: bytes, at: int, plan: Plan, places: list[Place], left: list[int]) -> int:
    """left: how many more elements and tags are gone through one by one."""
    for kind, size, label, compact, steps, tags, pattern in plan:
        start = at
        if kind == SKIP:
            at += size
        elif kind == COMPACT:
            length = data[at]
            at += 1
            if length > 0x7F:
                length, at = varint(data, at - 1)
            if length:
                at += length - 1
        elif kind == TAGS:
            if data[at]:
                at = _tags(data, at, tags, places, left)
            else:
                at += 1
        elif kind == TEXT:
            length = data[at] << 8 | data[at + 1]
            at += 2 if length >= 0x8000 else 2 + length
        elif kind == BYTES:
            length = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4 + max(length, 0)
        elif kind == MAYBE:
            if not size:
                at += 1
                if data[at - 1] > 0x7F:
                    continue
            at = _walk(data, at, steps, places, left)
        else:
            if compact:
                count, at = varint(data, at)
                count -= 1
            else:
                if at + 4 > len(data):
                    raise IndexError
                count = int.from_bytes(data[at : at + 4], "big", signed=True)
                at += 4
            if kind == FIXED:
                at += max(count, 0) * size
            else:
                if pattern and (found := _run(data, at, count, pattern)):
                    at = found
                    continue
                at = _many(data, at, count, label, steps, places, start, left)
                continue
        if label:
            places.append((label, start, at))
    return at


def _many(
    data: bytes, at: int, count: int, label: str, steps: Plan, places: list[Place], start: int, left: list[int]
) -> int:
    """The elements of an array whose count stands from `start` to `at`."""
    if label:
        places.append((ARRAY + label, start, at))
    end = len(data)
    if count > 0:
        _spend(left, min(count, end - at))
    for _ in range(count):
        if at >= end:
            raise IndexError
        start = at
        at = _walk(data, at, steps, places, left)
        if label:
            places.append((ELEMENT + label, start, at))
        if len(places) > MOST:
            raise TooMany(f"a message that names more than {MOST} things")
    return at


def _spend(left: list[int], count: int) -> None:
    left[0] -= count
    if left[0] < 0:
        raise TooMany(f"a message with more than {MOST_ELEMENTS} elements in its arrays")


def _tags(data: bytes, at: int, tags: Mapping[int, Plan], places: list[Place], left: list[int]) -> int:
    count, at = varint(data, at)
    _spend(left, min(count, len(data) - at))
    for _ in range(count):
        tag, at = varint(data, at)
        start = at
        size, at = varint(data, at)
        steps = tags.get(tag)
        if steps is not None:
            places.append((SIZE_OF_TAG, start, at))
            if _walk(data, at, steps, places, left) != at + size:
                raise FrameError(f"tag {tag} of {size} bytes has more or less in it")
            if len(places) > MOST:
                raise TooMany(f"a message that names more than {MOST} things")
        at += size
        if at > len(data):
            raise IndexError
    return at
