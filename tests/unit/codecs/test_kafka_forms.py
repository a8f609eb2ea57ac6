"""All versions of all of Kafka's APIs: bodies are walked, read, written, and answered with errors."""

from __future__ import annotations

import pytest
from kafka_samples import sample
from kafka_words import request

from metaproxy.codecs.kafka import Kafka, metadata, schema, wire
from metaproxy.codecs.kafka.names import Prefix
from metaproxy.codecs.kafka.scan import TagHider
from metaproxy.codecs.kafka.schema import APIS, Field, Form
from metaproxy.codecs.kafka.topic_ids import TopicIds
from metaproxy.codecs.kafka.values import Values, decode, encode
from metaproxy.codecs.kafka.walk import Place, end_of, whole
from metaproxy.message import ErrorKind, FinalFrame, FrameError, Kind, Message

FORMS = [
    (api.key, version, answer)
    for api in APIS.values()
    for version in range(api.first, api.last + 1)
    for answer in (False, True)
]
NO_PLACE = {"Envelope", "Vote"}
"""Between brokers and controllers."""


def form_of(key: int, version: int, answer: bool) -> Form:
    form = schema.response(key, version) if answer else schema.request(key, version)
    assert form is not None
    return form


def test_each_form_is_walked_to_the_end_of_what_was_written_and_read_as_it_was() -> None:
    for key, version, answer in FORMS:
        form = form_of(key, version, answer)
        values = sample(form.fields)
        body = encode(form, values)
        places: list[Place] = []
        assert end_of(body, 0, whole(form, lambda field, beside: ""), places) == len(body), form.api
        assert decode(body, 0, form) == values, form.api
        for cut in {len(body) // 2, max(len(body) - 1, 0)} - {len(body)}:
            with pytest.raises(FrameError):
                end_of(body[:cut], 0, whole(form, lambda field, beside: ""), places)
            with pytest.raises(FrameError):
                decode(body[:cut], 0, form)


def test_no_element_of_an_array_is_empty_so_that_a_count_costs_bytes() -> None:
    def check(fields: tuple[Field, ...], form: Form) -> None:
        for field in fields:
            if field.repeated and field.kind == "struct":
                assert form.flexible or field.fields, f"{form.api} {form.version} {field.name}"
            check(field.fields, form)

    for key, version, answer in FORMS:
        form = form_of(key, version, answer)
        check(form.fields, form)


@pytest.mark.parametrize("name", [api.name for api in APIS.values() if api.name not in NO_PLACE])
def test_each_api_has_an_answer_that_says_the_error(name: str) -> None:
    api = APIS[schema.KEYS[name]]
    for version in range(api.first, api.last + 1):
        asked, answered = form_of(api.key, version, False), form_of(api.key, version, True)
        tags = b"\0" if asked.flexible else b""
        frame = request(api.key, version, 7, encode(asked, sample(asked.fields)), tags=tags)
        said = Kafka().reply(Message(Kind.REQUEST, frame, 7), ErrorKind.INTERNAL, "no", "POLICY_VIOLATION")
        assert not isinstance(said, FinalFrame), f"{name} {version}"
        at = wire.answer_body(said, metadata.has_tags(answered))
        assert end_of(said, at, whole(answered, lambda field, beside: ""), []) == len(said)
        assert metadata.read_answer(said, answered, metadata.answer_plan(answered))["error"] == "POLICY_VIOLATION"


def test_an_answer_names_what_the_request_named() -> None:
    """Of some APIs whose requests and answers call the same by other names."""
    for name, array, key, values in [
        ("DescribeGroups", "Groups", "GroupId", [b"Groups" * 30] * 2),
        ("DeleteTopics", "Responses", "Name", [b"Name" * 30] * 2),
        ("OffsetFetch", "Groups", "GroupId", [b"GroupId" * 30] * 2),
        ("ListOffsets", "Topics", "Name", [b"Name" * 30] * 2),
        ("AlterReplicaLogDirs", "Results", "TopicName", [b"Name" * 30] * 4),
        ("DescribeConfigs", "Results", "ResourceName", [b"ResourceName" * 30] * 2),
    ]:
        api = APIS[schema.KEYS[name]]
        asked, answered = form_of(api.key, api.last, False), form_of(api.key, api.last, True)
        frame = request(api.key, api.last, 7, encode(asked, sample(asked.fields)), tags=b"\0")
        said = Kafka().reply(Message(Kind.REQUEST, frame, 7), ErrorKind.INTERNAL, "")
        read = decode(said, wire.answer_body(said, metadata.has_tags(answered)), answered)
        listed = read[array]
        assert isinstance(listed, list) and [one[key] for one in listed] == values, name


def test_a_tag_behind_records_is_found_however_the_answer_is_cut() -> None:
    form = form_of(schema.KEYS["Fetch"], 18, True)
    values = sample(form.fields)
    body = encode(form, values)
    for step in (1, 2, 5, len(body)):
        hider = TagHider(form)
        said = b"".join(hider.feed(body[at : at + step]) for at in range(0, len(body), step))
        found = decode(said, 0, form)
        assert "NodeEndpoints" not in found
        assert {**found, "NodeEndpoints": values["NodeEndpoints"]} == values


@pytest.mark.parametrize(("partitions", "replicas"), [(0, 0), (1, 3), (64, 16), (65, 17), (200, 20)])
def test_many_partitions_are_passed_over_as_a_few_are(partitions: int, replicas: int) -> None:
    form = form_of(schema.KEYS["Metadata"], 12, True)
    partition: Values = {"ReplicaNodes": list(range(replicas)), "IsrNodes": [1], "OfflineReplicas": []}
    topic: Values = {"Name": b"orders", "Partitions": [partition] * partitions}
    body = encode(form, {"Topics": [topic, topic]})
    places: list[Place] = []
    steps = whole(form, lambda field, beside: "name" if field.entity == "topicName" else "")
    assert end_of(body, 0, steps, places) == len(body)
    assert [body[start:stop] for _, start, stop in places] == [b"\x07orders"] * 2


def test_names_of_configurations_are_no_topics() -> None:
    for version in range(2, 8):
        form = form_of(schema.KEYS["CreateTopics"], version, False)
        config = {"Name": b"retention.ms", "Value": b"1000"}
        body = encode(form, {"Topics": [{"Name": b"orders", "Configs": [config]}]})
        frame = request(form.key, version, 7, body, tags=b"\0" if form.flexible else b"")
        assert metadata.named(frame, form, TopicIds()) == {"topics": {b"orders": None}}
        put = Prefix("blue.").put(frame, form)
        assert b"blue.orders" in put and b"blue.ret" not in put
