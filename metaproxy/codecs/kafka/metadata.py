"""
What requests and answers say of themselves.

Lives here: metadata keys, and reading them: of a request first what its header says, then what its body names. Does
not: sessions; rewriting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import Final

from metaproxy.codecs.kafka import records, schema, wire
from metaproxy.codecs.kafka.levels import (
    COORDINATORS,
    KEY_OF,
    OF_TYPE,
    PARTITIONS,
    RESOURCES,
    begins_all,
    depth_of,
    partitions_of,
)
from metaproxy.codecs.kafka.levels import read as read_tree
from metaproxy.codecs.kafka.schema import Field, Form
from metaproxy.codecs.kafka.topic_ids import NO_ID, TopicIds
from metaproxy.codecs.kafka.walk import ARRAY, ELEMENT, Place, Plan, TooMany, end_of, plan, walk
from metaproxy.codecs.kafka.walk import begun as places_of_beginning
from metaproxy.message import FrameError, Message, Several

KEYS: Final = {
    "api": "the API, as Kafka calls it: Produce, Fetch, Metadata ...",
    "version": "version of the API that the client speaks",
    "operation": "the same as `api`",
    "client_id": "what the client calls itself (client.id)",
    "software": "name and version of the client's library, as it said when it connected: apache-kafka-java/4.4.0",
    "user": "who has logged in: at the proxy, or by PLAIN or SCRAM at the broker",
    "topics": "topics that a request names, joined by commas: a condition holds when one of them meets it",
    "groups": "the same of groups: of consumers, of share and streams groups",
    "transactional_ids": "the same of transactional ids",
    "partitions": "the same of partitions that a request names, each as TOPIC-NUMBER; at most 10,000",
    "acks": "of a Produce: 0, 1 or -1",
    "records": "of a Produce: how many records its first batch has",
    "compression": "of a Produce, how its first batch is packed: none, gzip, snappy, lz4 or zstd",
    "headers.<name>": "of a Produce: this header of the first record, where that is not packed",
    "traceparent": "the trace that the header of this name has",
    "tracestate": "as traceparent",
    "error": "of answers: the first error in it, such as NOT_LEADER_OR_FOLLOWER",
    "throttle_time_ms": "of answers: for how long the broker asks its client to wait, if it does",
    "kind": "request, oneway, response, error, stream_open ...",
}
HEADERS: Final = "headers."
_TRACE: Final = ("traceparent", "tracestate")
_NUMBERS: Final = ("coordinatorType", "resourceType")
_LONGEST: Final = 255
"""Bytes of the name of a client's library, and of its version: they are kept as long as its connection."""
_TOPIC_ID: Final = "topic id"
_ERROR: Final = "error"
_THROTTLE: Final = "throttle"
THROTTLE: Final = "throttle_time_ms"
_MOST_PARTITIONS: Final = 10_000
"""Partitions that a request is said to name; of one with more it is not said which."""


class UnknownTopicId(FrameError):
    """A request names a topic by an id that has come in no answer yet. Clients that get this error ask for Metadata."""


# -- requests


def read_header(frame: bytes, form: Form | None, software: str) -> dict[str, str]:
    """What the header of a request says. Raises FrameError."""
    key, version = wire.SHORT.unpack_from(frame, 4)[0], wire.SHORT.unpack_from(frame, 6)[0]
    name = schema.APIS[key].name
    found = {"api": name, "version": str(version), "operation": name}
    client = wire.client_id(frame)
    if client is not None:
        found["client_id"] = client.decode("utf-8", "replace")
    if software:
        found["software"] = software
    if name == "Produce":
        found["acks"] = str(acks(frame, form))
    return found


def software(frame: bytes, form: Form) -> str:
    """What an ApiVersions says of the client's library, '' for nothing. Raises FrameError."""
    places = walk(frame, wire.request_body(frame, form.flexible), _software_plan(form))
    texts = (wire.read_text(frame, start, stop, form.flexible) or b"" for _, start, stop in places)
    return "/".join(text[:_LONGEST].decode("utf-8", "replace") for text in texts)


@cache
def _software_plan(form: Form) -> Plan:
    return plan(form, lambda field, beside: "software" if field.name.startswith("ClientSoftware") else "")


def begun(head: bytes, form: Form, plan: Plan) -> list[Place]:
    """What the plan finds in the beginning of a request."""
    return places_of_beginning(head, wire.request_body(head, form.flexible), plan)


def acks(frame: bytes, form: Form | None) -> int:
    """What a Produce waits for; in versions of old its body begins with that. Raises FrameError."""
    if form is None:
        at = wire.request_body(frame, False)
        return int.from_bytes(frame[at : at + 2], "big", signed=True)
    at = wire.request_body(frame, form.flexible)
    places: list[Place] = []
    end = end_of(frame, at, _acks_plan(form), places)
    return int(wire.SHORT.unpack_from(frame, end - 2)[0])


@cache
def _acks_plan(form: Form) -> Plan:
    return plan(form, lambda field, beside: "acks" if field.name == "Acks" else "")


def read_names(message: Message, form: Form, known: TopicIds, complete: bool = True, certain: bool = True) -> None:
    """
    Add to the metadata what the body names. complete: whether all of it is there; certain: whether it names no topics
    behind what is there. Raises FrameError.
    """
    names = named(message.frame, form, known, complete)
    if message.metadata is not None:
        for key, found in names.items():
            texts = [text.decode("utf-8", "replace") for text in found]
            message.metadata[key] = texts[0] if len(texts) == 1 else Several(",".join(texts))
    if certain and all(len(found) == 1 for found in names.values()):
        return

    def unclear(key: str) -> tuple[str | None, ...] | None:
        if key == "topics" and not certain:
            return ()
        found = names.get(key)
        return tuple(text.decode("utf-8", "replace") for text in found) if found and len(found) > 1 else None

    message.unclear = unclear


def read_partitions(message: Message, form: Form, known: TopicIds, complete: bool = True) -> None:
    """Add to the metadata which partitions the body names, if that are not too many. Raises FrameError."""
    found, certain = partitions(message.frame, form, known, complete)
    texts = tuple(text.decode("utf-8", "replace") for text in found)
    if texts and message.metadata is not None:
        message.metadata[PARTITIONS] = texts[0] if len(texts) == 1 else Several(",".join(texts))
    if not certain or len(texts) > 1:
        _make_unclear(message, lambda key: key == PARTITIONS, texts if certain else ())


def partitions(frame: bytes, form: Form, known: TopicIds, complete: bool = True) -> tuple[list[bytes], bool]:
    """
    Those that a request names, and its answer too; whether it names no others: not where that are too many, or where
    the head of a large one ends before the last of them. Raises FrameError.
    """
    answered = schema.response(form.key, form.version)
    depth = depth_of(form, answered, PARTITIONS) if answered is not None else None
    if depth is None:
        return [], complete
    try:
        top = read_tree(frame, wire.request_body(frame, form.flexible), form, depth, not complete)
    except TooMany:
        return [], False
    if top is None:
        return [], complete
    found = list(islice(partitions_of(top, form, known.name), _MOST_PARTITIONS + 1))
    if len(found) > _MOST_PARTITIONS:
        return [], False
    return found, complete or begins_all(top, depth)


def read_records(message: Message, form: Form, complete: bool = True) -> None:
    """Add to the metadata what the first batch of records says. Raises FrameError."""
    frame, steps = message.frame, _records_plan(form)
    places: list[Place] = []
    with suppress(FrameError):
        end_of(frame, wire.request_body(frame, form.flexible), steps, places)
    batch = None
    if places:
        _, start, stop = places[0]
        at = wire.varint(frame, start)[1] if form.flexible else start + 4
        batch = records.read_batch(frame, at, min(stop, len(frame)))
    headers = batch.headers if batch is not None else None
    if batch is not None and message.metadata is not None:
        message.metadata["records"] = str(batch.records)
        message.metadata["compression"] = batch.compression
        for name, value in (headers or {}).items():
            message.metadata[HEADERS + name] = value
            if name in _TRACE:
                message.metadata[name] = value
    if headers is None or not complete or len(places) > 1 or batch is None or batch.records != 1:
        # There are records of which nothing was read: any of them may have any header.
        _make_unclear(message, lambda key: key.startswith(HEADERS) or key in _TRACE, ())


def _make_unclear(message: Message, about: Callable[[str], bool], values: tuple[str, ...]) -> None:
    """What these keys are about may have any of these values; any at all if there are none."""
    before = getattr(message, "unclear", None)

    def unclear(key: str) -> tuple[str | None, ...] | None:
        if about(key):
            return values
        known: tuple[str | None, ...] | None = before(key) if before is not None else None
        return known

    message.unclear = unclear


@cache
def _records_plan(form: Form) -> Plan:
    return plan(form, lambda field, beside: "records" if field.kind == "records" else "")


def of_old(key: str) -> tuple[str | None, ...] | None:
    """What is clear of a request in a version that is not known: nothing that its body names."""
    return () if key in ("topics", "groups", "transactional_ids") or key.startswith(HEADERS) else None


def named(frame: bytes, form: Form, known: TopicIds, complete: bool = True) -> dict[str, dict[bytes, None]]:
    """What a request names, by metadata key. complete: whether it is there to its end. Raises FrameError."""
    steps = names_plan(form)
    names: dict[str, dict[bytes, None]] = {}
    if not steps:
        return names
    places = walk(frame, wire.request_body(frame, form.flexible), steps) if complete else begun(frame, form, steps)
    kind = next((frame[start] for label, start, _ in places if label in _NUMBERS), 0)
    for label, start, stop in places:
        if label == _TOPIC_ID:
            if (id := frame[start:stop]) == NO_ID:
                continue
            text = known.name(id)
            if text is None:
                raise UnknownTopicId("the request names a topic by an id that is not known yet")
            key = "topics"
        elif label in _NUMBERS:
            kind = frame[start]
            continue
        elif label.startswith((ARRAY, ELEMENT)):
            continue
        else:
            text = wire.read_text(frame, start, stop, form.flexible)
            key = label
            if label == "coordinatorKey":
                key = OF_TYPE[COORDINATORS].get(kind, "groups")
                text = text.partition(b":")[0] if kind == 2 and text else text
            elif label == "resourceName":
                key = OF_TYPE[RESOURCES].get(kind, "")
        if text and key:
            names.setdefault(key, {})[text] = None
    return names


@cache
def names_plan(form: Form) -> Plan:
    return plan(form, _named)


def _named(field: Field, beside: tuple[Field, ...]) -> str:
    if field.kind == "uuid":
        return _TOPIC_ID if field.name == "TopicId" and not field.repeated else ""
    if field.entity in KEY_OF and field.kind == "string":
        return KEY_OF[field.entity]
    return field.entity if field.entity.startswith(("coordinator", "resource")) else ""


# -- answers


def read_answer(frame: bytes, form: Form, plan: Plan) -> dict[str, str]:
    """Of an answer its throttle time and its first error, as far as the plan goes. Raises FrameError."""
    found: dict[str, str] = {"api": form.api, "version": str(form.version), "operation": form.api}
    for label, start, stop in walk(frame, wire.answer_body(frame, has_tags(form)), plan):
        value = int.from_bytes(frame[start:stop], "big", signed=True)
        if value and label == _THROTTLE:
            found[THROTTLE] = str(value)
        elif value and "error" not in found:
            found["error"] = schema.ERROR_NAMES.get(value, str(value))
    return found


def throttled(frame: bytes, form: Form, milliseconds: int) -> bytes:
    """
    The answer whose client is asked to wait for at least so long; as it is where it has no place for that, or that is
    not in what is there of it.
    """
    places: list[Place] = []
    with suppress(FrameError):
        end_of(frame, wire.answer_body(frame, has_tags(form)), _throttle_plan(form), places)
    for _, start, stop in places:
        if stop <= len(frame) and int.from_bytes(frame[start:stop], "big", signed=True) < milliseconds:
            return frame[:start] + wire.INT.pack(min(milliseconds, wire.LARGEST)) + frame[stop:]
    return frame


@cache
def _throttle_plan(form: Form) -> Plan:
    return plan(form, lambda field, beside: _THROTTLE if field.name == "ThrottleTimeMs" else "")


def fails(frame: bytes, form: Form, plan: Plan) -> bool:
    """Whether an answer has an error of those that the plan finds. Raises FrameError."""
    for label, start, stop in walk(frame, wire.answer_body(frame, has_tags(form)), plan):
        if label == _ERROR and frame[start:stop] != b"\0\0":
            return True
    return False


def has_tags(form: Form) -> bool:
    """Whether the header of answers has tags."""
    return wire.answer_has_tags(form.key, form.flexible)


@cache
def answer_plan(form: Form) -> Plan:
    return plan(form, _answered)


@cache
def top_plan(form: Form) -> Plan:
    """Of an answer only the error that stands for all of it."""
    top = Form(form.api, form.key, form.version, form.flexible, _up_to_error(form.fields))
    return plan(top, _answered)


def _up_to_error(fields: Sequence[Field]) -> tuple[Field, ...]:
    for place, field in enumerate(fields):
        if field.repeated or field.fields:
            return ()
        if is_error(field):
            return tuple(fields[: place + 1])
    return ()


def is_error(field: Field) -> bool:
    return field.kind == "int16" and field.name.endswith("ErrorCode")


def _answered(field: Field, beside: tuple[Field, ...]) -> str:
    if is_error(field):
        return _ERROR
    return _THROTTLE if field.name == "ThrottleTimeMs" else ""
