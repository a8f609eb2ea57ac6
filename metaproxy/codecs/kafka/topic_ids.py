"""
Which topic an id stands for: newer requests name topics by an id that brokers have given them.

Lives here: `TopicIds`, what answers have said so far, and how an answer is read for that. An id is unique everywhere
and for ever, and topics can't be renamed; so what one connection learns holds for all of its listener. Others have
tables of their own: a broker of one cluster could otherwise give ids of another's topics other names.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from functools import cache
from typing import Final

from metaproxy.codecs.kafka import schema, wire
from metaproxy.codecs.kafka.schema import Field
from metaproxy.codecs.kafka.walk import Place, Plan, TooMany, end_of, plan

MOST: Final = 100_000
"""Topics that are known by their ids; then the one is forgotten that was learnt first."""
LONGEST: Final = 249
"""Bytes of a topic's name: Kafka has no longer ones."""
NO_ID: Final = bytes(16)
_ID, _NAME = "id", "name"


class TopicIds:
    """id -> name, both as bytes."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._names: OrderedDict[bytes, bytes] = OrderedDict()

    def name(self, id: bytes) -> bytes | None:
        return self._names.get(id)

    def learn(self, id: bytes, name: bytes) -> None:
        names = self._names
        if id == NO_ID or id in names or len(name) > LONGEST:
            return
        if len(names) >= self._most:
            names.popitem(last=False)
        names[id] = name

    def read(self, frame: bytes, at: int, form: schema.Form) -> None:
        """What an answer tells, whose body begins there: of the first topics, if it has too many. Raises FrameError."""
        steps = _plan(form)
        if not steps:
            return
        places: list[Place] = []
        with suppress(TooMany):
            end_of(frame, at, steps, places)
        last = b""
        for label, start, stop in places:
            if label == _NAME:
                last = wire.read_text(frame, start, stop, form.flexible) or b""
            elif last:
                self.learn(frame[start:stop], last)
                last = b""


def tells(form: schema.Form) -> bool:
    """Whether answers of this form have names of topics beside their ids."""
    return bool(_plan(form))


@cache
def _plan(form: schema.Form) -> Plan:
    return plan(form, _wanted)


def _wanted(field: Field, beside: tuple[Field, ...]) -> str:
    if field.name == "TopicId" and any(other.entity == "topicName" for other in beside):
        return _ID
    if field.entity == "topicName" and any(other.name == "TopicId" for other in beside):
        return _NAME
    return ""
