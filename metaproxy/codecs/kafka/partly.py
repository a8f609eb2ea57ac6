"""
A request without some of the topics that it names, and what its answer says of these in the end.

    client      orders, secret                          secret: TOPIC_AUTHORIZATION_FAILED, orders: what the broker said
    broker      orders                 orders

A broker refuses the topics that a client may not see by themselves; so does this. Only requests whose topics stand in
one array of the request itself: in those of groups or transactions (OffsetFetch from version 8) they don't.

Lives here: `without`, `Refusal`. Does not: what the errors look like (`errors`); who is refused what.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Final, NamedTuple

from metaproxy.codecs.kafka import errors, schema, wire
from metaproxy.codecs.kafka.metadata import has_tags
from metaproxy.codecs.kafka.schema import Field, Form
from metaproxy.codecs.kafka.splice import Splice
from metaproxy.codecs.kafka.topic_ids import NO_ID, TOPICS
from metaproxy.codecs.kafka.walk import ARRAY, ELEMENT, Place, Plan, end_of, plan, walk
from metaproxy.message import FrameError

_TOPICS, _NAME, _ID, _BEFORE = "topics", "name", "id", "before"
_NOT_ANSWERED: Final = "ForgottenTopicsData"
"""Topics that a Fetch wants no more of, which its answer says nothing of."""


class Refusal(NamedTuple):
    """What answers for the topics that no broker was asked for: elements of the answer's array of topics."""

    number: int
    elements: bytes

    def put(self, frame: bytes, form: Form) -> bytes:
        """The answer, or its head, with these in front of the broker's own. Raises FrameError."""
        at = wire.answer_body(frame, has_tags(form))
        places: list[Place] = []
        start = end_of(frame, at, _before_topics(form), places)
        if form.flexible:
            count, stop = wire.varint(frame, start)
            text = wire.write_varint(max(count, 1) + self.number)
        else:
            stop = start + wire.INT.size
            text = wire.INT.pack(max(int.from_bytes(frame[start:stop], "big", signed=True), 0) + self.number)
        if stop > len(frame):
            raise FrameError(f"a {form.api} that ends before its topics")
        return wire.edited(frame, [(start, stop, text + self.elements)])


def without(frame: bytes, form: Form, topics: Collection[bytes], error: str, text: str) -> tuple[bytes, Refusal] | None:
    """
    The request without these topics, and what stands for them in the answer. None where that can't be: one of them is
    named elsewhere, or nothing would be left. Raises FrameError.
    """
    steps, answered = _plan(form), schema.response(form.key, form.version)
    if not steps or answered is None or _array(answered) is None:
        return None
    rest, refused = Splice(frame, form.flexible), Splice(frame, form.flexible)
    found: set[bytes] = set()
    kept = 0
    name = b""
    for place in walk(frame, wire.request_body(frame, form.flexible), steps):
        label, start, stop = place
        if label == ARRAY + _TOPICS:
            rest.see(place)
            refused.see(place)
        elif label == ELEMENT + _TOPICS:
            if name in topics:
                rest.drop(_TOPICS, start, stop)
                found.add(name)
            else:
                refused.drop(_TOPICS, start, stop)
                kept += 1
            name = b""
        elif label == _ID:
            name = name or (TOPICS.name(frame[start:stop]) or b"" if frame[start:stop] != NO_ID else b"")
        else:
            name = wire.read_text(frame, start, stop, form.flexible) or name
    if not kept or found != set(topics):
        return None
    elements = errors.elements(refused.done(), form, error, text, _array(answered))
    return (rest.done(), Refusal(*elements)) if elements is not None else None


def _names_topics(field: Field) -> bool:
    """Whether an array has topics, each by its name or its id."""
    if not field.repeated:
        return False
    return field.entity == "topicName" or any(map(_is_name, field.fields))


def _is_name(field: Field) -> bool:
    return not field.repeated and (field.entity == "topicName" or (field.name == "TopicId" and field.kind == "uuid"))


@cache
def _plan(form: Form) -> Plan:
    """Where a request names topics; () unless that is in one array of its own."""
    arrays = [field for field in form.fields if _names_topics(field) and field.name != _NOT_ANSWERED]
    others = [field for field in form.fields if field not in arrays and field.name != _NOT_ANSWERED]
    if len(arrays) != 1 or any(map(_has_topics, others)) or any(map(_has_topics, arrays[0].fields)):
        return ()
    (array,) = arrays

    def wanted(field: Field, beside: tuple[Field, ...]) -> str:
        if field is array:
            return _TOPICS
        if beside is not array.fields or not _is_name(field):
            return ""
        return _ID if field.kind == "uuid" else _NAME

    return plan(form, wanted)


def _has_topics(field: Field) -> bool:
    return _names_topics(field) or any(map(_has_topics, field.fields))


@cache
def _array(answered: Form) -> Field | None:
    """The array of an answer that has topics; None where there is not one."""
    arrays = [field for field in answered.fields if field.tag < 0 and field.fields and _names_topics(field)]
    return arrays[0] if len(arrays) == 1 else None


@cache
def _before_topics(answered: Form) -> Plan:
    """How an answer is walked up to that array."""
    array = _array(answered)
    fields = answered.fields[: answered.fields.index(array)] if array is not None else ()
    top = Form(answered.api, answered.key, answered.version, answered.flexible, fields)
    return plan(top, lambda field, beside: _BEFORE if fields and field is fields[-1] else "")
