"""
Answers of the proxy's own: an error in the form of the answer that the client waits for.

Every API has its errors in a place of its own: one for all, one for each topic, one for each partition. Answers repeat
what requests name: so an answer's arrays are filled from the request's arrays that have the same things in them (a
topic, a partition, a group), and wherever the answer has an ErrorCode it gets it. No API is written by hand.

Lives here: which error stands for what, `answer`, `elements`. Does not: who decides that there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from metaproxy.codecs.kafka import metadata, schema, wire
from metaproxy.codecs.kafka.levels import is_partition, levels
from metaproxy.codecs.kafka.schema import Field, Form
from metaproxy.codecs.kafka.topic_ids import TopicIds
from metaproxy.codecs.kafka.values import Value, Values, decode, encode
from metaproxy.message import ErrorKind, FrameError

NAMES: Final = {
    ErrorKind.NOT_FOUND: "UNKNOWN_TOPIC_OR_PARTITION", ErrorKind.NO_CLUSTER: "UNKNOWN_SERVER_ERROR",
    ErrorKind.NO_ENDPOINT: "BROKER_NOT_AVAILABLE", ErrorKind.CONNECT: "BROKER_NOT_AVAILABLE",
    ErrorKind.RESET: "NETWORK_EXCEPTION", ErrorKind.TIMEOUT: "REQUEST_TIMED_OUT",
    ErrorKind.OVERLOAD: "THROTTLING_QUOTA_EXCEEDED", ErrorKind.LIMITED: "THROTTLING_QUOTA_EXCEEDED",
    ErrorKind.DENIED: "CLUSTER_AUTHORIZATION_FAILED", ErrorKind.BAD_REQUEST: "INVALID_REQUEST",
    ErrorKind.BAD_RESPONSE: "UNKNOWN_SERVER_ERROR", ErrorKind.UNSUPPORTED: "UNSUPPORTED_VERSION",
    ErrorKind.DRAINING: "BROKER_NOT_AVAILABLE", ErrorKind.INTERNAL: "UNKNOWN_SERVER_ERROR",
}  # fmt: skip
"""The error of each kind. Of DENIED it depends on what the request names, see `_DENIED`."""
_DENIED: Final = {
    "topics": "TOPIC_AUTHORIZATION_FAILED",
    "partitions": "TOPIC_AUTHORIZATION_FAILED",
    "groups": "GROUP_AUTHORIZATION_FAILED",
    "transactional_ids": "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
}
"""The first of these that the request names."""
CLOSES: Final = frozenset((ErrorKind.RESET, ErrorKind.CONNECT, ErrorKind.NO_ENDPOINT, ErrorKind.DRAINING))
"""As without a proxy: the connection ends, and clients look for the broker that is there now."""
_OF_TOPICS: Final = frozenset(
    schema.ERRORS[name]
    for name in ("UNKNOWN_TOPIC_OR_PARTITION", "TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_ID",
                 "INVALID_TOPIC_EXCEPTION", "NOT_LEADER_OR_FOLLOWER", "LEADER_NOT_AVAILABLE", "MESSAGE_TOO_LARGE")
)  # fmt: skip
"""Errors that no client expects to stand for a whole answer, where topics or partitions have errors of their own."""
_ALSO: Final = {"User": "Name"}
"""Of a credential the name is called like this in answers."""


def name_for(kind: ErrorKind, key: str) -> str:
    """The error that stands for this kind with something that is named under this metadata key."""
    return _DENIED.get(key, NAMES[kind]) if kind is ErrorKind.DENIED else NAMES[kind]


def name_of(frame: bytes, form: Form, kind: ErrorKind, known: TopicIds) -> str:
    """The error that a request gets for this kind."""
    if kind is not ErrorKind.DENIED and kind is not ErrorKind.BAD_REQUEST:
        return NAMES[kind]
    try:
        names = metadata.named(frame, form, known, complete=wire.total(frame) == len(frame))
    except metadata.UnknownTopicId:
        return "UNKNOWN_TOPIC_ID" if kind is ErrorKind.BAD_REQUEST else _DENIED["topics"]
    except FrameError:
        return NAMES[kind]
    if kind is ErrorKind.DENIED:
        return next((name for key, name in _DENIED.items() if key in names), NAMES[kind])
    return NAMES[kind]


def answer(frame: bytes, form: Form, name: str, text: str) -> bytes | None:
    """The answer to a request. None where it has no place for an error, or the request can't be read."""
    answered = schema.response(form.key, form.version)
    made = _made(frame, form, answered, name, text)
    if made is None or answered is None:
        return None
    making, values = made
    if "ErrorCode" in values and making.below and making.code in _OF_TOPICS:
        values["ErrorCode"] = 0
    tags = b"\0" if metadata.has_tags(answered) else b""
    return wire.framed(wire.INT.pack(wire.correlation_id(frame)) + tags + encode(answered, values))


def elements(frame: bytes, form: Form, name: str, text: str, depth: int) -> list[Values] | None:
    """
    Those of the outermost array of the answer to a request, with the error in it for what the array at this depth
    names. None as with `answer`.
    """
    answered = schema.response(form.key, form.version)
    made = _made(frame, form, answered, name, text, depth + 1)
    listed = made[1].get(levels(answered)[0].field.name) if made is not None and answered is not None else None
    return listed if isinstance(listed, list) and listed else None


def _made(
    frame: bytes, form: Form, answered: Form | None, name: str, text: str, least: int = 0
) -> tuple[_Making, Values] | None:
    """The values of an answer with the error, None where it has no place for that, or the request can't be read."""
    if answered is None:
        return None
    try:
        cut = wire.total(frame) > len(frame)
        asked = decode(frame, wire.request_body(frame, form.flexible), form, cut)
    except FrameError:
        return None
    making = _Making(schema.ERRORS[name], text.encode("utf-8", "replace"), least)
    values = making.struct(answered.fields, _Asked(form.fields, asked))
    return (making, values) if making.placed else None


class _Asked:
    """A struct of the request, and what each of its fields is about."""

    def __init__(self, fields: Sequence[Field], values: Values) -> None:
        self.fields, self.values = fields, values

    def value(self, about: str) -> Value:
        for field in self.fields:
            if not field.fields and not field.repeated and _about(field) == about:
                return self.values.get(field.name)
        return None

    def elements(self, abouts: set[str]) -> list[_Asked] | None:
        """The elements of the arrays with the most of these things in them; None where there are none."""
        common = {
            field: len(abouts & {_about(inner) for inner in field.fields or (field,)})
            for field in self.fields
            if field.repeated
        }
        if most := max(common.values(), default=0):
            return [element for field, number in common.items() if number == most for element in self._each(field)]
        deeper = [
            found
            for field in self.fields
            if field.repeated and field.fields
            for element in self._each(field)
            for found in element.elements(abouts) or ()
        ]
        return deeper or None

    def all_of(self, name: str) -> list[_Asked]:
        """The elements of the array of this name, or of the only one there is."""
        arrays = [field for field in self.fields if field.repeated and field.fields]
        chosen = next((field for field in arrays if field.name == name), arrays[0] if len(arrays) == 1 else None)
        return list(self._each(chosen)) if chosen is not None else []

    def _each(self, field: Field) -> Iterator[_Asked]:
        listed = self.values.get(field.name)
        for item in listed if isinstance(listed, list) else ():
            if field.fields:
                yield _Asked(field.fields, item if isinstance(item, dict) else {})
            else:
                yield _Asked((field._replace(repeated=False),), {field.name: item})


class _Making:
    """
    least: how deep the error stands at least; placed: whether it has found a place; below: whether one that is not the
    top of the answer.
    """

    def __init__(self, code: int, text: bytes, least: int) -> None:
        self.code, self.text = code, text
        self._least = least
        self.placed = self.below = False
        self._depth = 0

    def struct(self, fields: Sequence[Field], asked: _Asked) -> Values:
        made: Values = {}
        for field in fields:
            if field.tag >= 0:
                continue
            if _is_of_error(field) and self._depth < self._least:
                continue
            if metadata.is_error(field):
                made[field.name] = self.code
                self.placed = True
                self.below = self.below or self._depth > 0
            elif field.name == "ErrorMessage":
                made[field.name] = self.text or None
            elif field.repeated and field.fields:
                made[field.name] = self._array(field, asked)
            elif not field.repeated:
                made[field.name] = asked.value(_about(field))
        return made

    def _array(self, field: Field, asked: _Asked) -> list[Values]:
        abouts = {_about(inner) for inner in field.fields if not inner.fields and not _is_of_error(inner)}
        elements = asked.elements(abouts)
        if elements is None:
            has_error = any(map(metadata.is_error, field.fields))
            elements = asked.all_of(field.name) if has_error else []
        self._depth += 1
        made = [self.struct(field.fields, element) for element in elements]
        self._depth -= 1
        return made


def _is_of_error(field: Field) -> bool:
    return metadata.is_error(field) or field.name == "ErrorMessage"


def _about(field: Field) -> str:
    """What a field is about, however it is called in requests and in answers."""
    if is_partition(field):
        return "partition"
    return field.entity or _ALSO.get(field.name, field.name)
