"""
What an answer says of things that no broker was asked for: it is put into the broker's own.

    broker's     Groups [ billing: [ orders: 5 ] ]
    refused      Groups [ billing: [ secret: TOPIC_AUTHORIZATION_FAILED ] ]
    client's     Groups [ billing: [ secret: TOPIC_AUTHORIZATION_FAILED, orders: 5 ] ]

Lives here: `Refusal`. Does not: what is refused (`partly`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from metaproxy.codecs.kafka import wire
from metaproxy.codecs.kafka.levels import Array, Level, levels, read
from metaproxy.codecs.kafka.metadata import has_tags
from metaproxy.codecs.kafka.schema import Field, Form
from metaproxy.codecs.kafka.topic_ids import NO_ID
from metaproxy.codecs.kafka.values import Values, encode_element
from metaproxy.codecs.kafka.walk import Place, Plan, end_of, plan
from metaproxy.message import FrameError


class Refusal:
    """form: of the answer; depth: the level of what is refused; elements: of the outermost array."""

    def __init__(self, form: Form, depth: int, elements: Sequence[Values]) -> None:
        self.form = form
        self._depth = depth
        self._elements = elements

    @property
    def needs_all(self) -> bool:
        """
        Whether the answer has to be whole for it. Clients of Fetch take a topic that comes twice; of a group or a
        transaction that does they see one.
        """
        return self._depth > 0 and not any(map(_has_records, self.form.fields))

    def put(self, frame: bytes, form: Form) -> bytes:
        """The answer, or its head, with these in front of the broker's own. Raises FrameError."""
        if self._depth == 0 or wire.total(frame) > len(frame):
            return self._in_front(frame, form)
        top = read(frame, wire.answer_body(frame, has_tags(form)), form, self._depth)
        if top is None:
            raise FrameError(f"a {form.api} that ends before what was asked for")
        edits: list[wire.Edit] = []
        _merge(levels(form), form.flexible, top, self._elements, 0, self._depth, edits)
        return wire.edited(frame, sorted(edits))

    def _in_front(self, frame: bytes, form: Form) -> bytes:
        places: list[Place] = []
        start = end_of(frame, wire.answer_body(frame, has_tags(form)), _before(form), places)
        count, stop = wire.count(frame, start, form.flexible)
        if stop > len(frame):
            raise FrameError(f"a {form.api} that ends before what was asked for")
        text = _written(levels(form)[0].field, form.flexible, count, self._elements)
        return wire.edited(frame, [(start, stop, text)])


def _merge(
    about: Sequence[Level], flexible: bool, array: Array, values: Sequence[Values], level: int, depth: int,
    edits: list[wire.Edit],
) -> None:  # fmt: skip
    """What changes: each goes into its like of the broker's answer, as deep as there is one."""
    there = {element.same: element.inner for element in array.elements} if level < depth else {}
    new: list[Values] = []
    for value in values:
        inner = there.get(_same(value, about[level]))
        if inner is None:
            new.append(value)
        else:
            below: Any = value[about[level + 1].field.name]
            _merge(about, flexible, inner, below, level + 1, depth, edits)
    if new:
        edits.append((array.start, array.stop, _written(about[level].field, flexible, array.count, new)))


def _same(value: Values, level: Level) -> tuple[object, object]:
    id = value.get(level.id) or b""
    return value.get(level.text) or b"", b"" if id == NO_ID else id


def _written(field: Field, flexible: bool, count: int, new: Sequence[Values]) -> bytes:
    """The count of an array with these more in it, and they."""
    elements = b"".join(encode_element(field, flexible, one) for one in new)
    return wire.write_count(max(count, 0) + len(new), flexible) + elements


def _has_records(field: Field) -> bool:
    return field.kind == "records" or any(map(_has_records, field.fields))


@cache
def _before(answered: Form) -> Plan:
    """How an answer is walked up to its outermost array."""
    first = levels(answered)[0].field
    place = next(number for number, field in enumerate(answered.fields) if field is first)
    fields = answered.fields[:place]
    top = Form(answered.api, answered.key, answered.version, answered.flexible, fields)
    return plan(top, lambda field, beside: "before" if fields and field is fields[-1] else "")
