"""What real clients and Apache Kafka said to each other (tests/golden/kafka) is read to its end, and as what it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from metaproxy.codecs.kafka import Kafka, metadata, schema, wire
from metaproxy.codecs.kafka.names import Prefix
from metaproxy.codecs.kafka.values import decode, encode
from metaproxy.codecs.kafka.walk import end_of, whole
from metaproxy.message import ErrorKind, FinalFrame, Message, Side

CODEC = Kafka()
"""One for all, that knows topics by the ids that answers told."""
GOLDEN = Path(__file__).parents[2] / "golden" / "kafka"


class Call(NamedTuple):
    client: str
    what: str
    asked: bytes
    answered: bytes


CALLS = [
    Call(path.stem, exchange["what"], *(bytes.fromhex(frame["hex"]) for frame in exchange["frames"]))
    for path in sorted(GOLDEN.glob("*.json"))
    for exchange in json.loads(path.read_text())["exchanges"]
]


def read(call: Call) -> tuple[Message, Message]:
    client, server = CODEC.session(Side.CLIENT, 1 << 20), CODEC.session(Side.SERVER, 1 << 20)
    (asked,) = client.receive(call.asked)
    server.send(asked, asked.id)
    (answered,) = server.receive(call.answered)
    return asked, answered


@pytest.fixture(autouse=True, scope="module")
def told() -> None:
    """Answers have told which topics the ids of later requests stand for."""
    for call in CALLS:
        _, answered = read(call)
        CODEC.session(Side.CLIENT, 1 << 20).send(answered, 7)


def test_calls_of_several_clients_are_there() -> None:
    assert {call.client for call in CALLS} >= {"kafka-java", "franz-go", "aiokafka"}
    assert len(CALLS) > 50


@pytest.mark.parametrize("call", [pytest.param(call, id=f"{call.client} {call.what}") for call in CALLS])
def test_a_call_is_read_to_its_end_and_written_as_it_was(call: Call) -> None:
    asked, answered = read(call)
    key, version = wire.SHORT.unpack_from(call.asked, 4)[0], wire.SHORT.unpack_from(call.asked, 6)[0]
    forms = schema.request(key, version), schema.response(key, version)
    assert forms[0] is not None and forms[1] is not None
    ats = (
        wire.request_body(call.asked, forms[0].flexible),
        wire.answer_body(call.answered, metadata.has_tags(forms[1])),
    )
    for form, at, frame in zip(forms, ats, (call.asked, call.answered), strict=True):
        assert form is not None
        assert end_of(frame, at, whole(form, lambda field, beside: ""), []) == len(frame)
        assert encode(form, decode(frame, at, form)) == frame[at:]
    asked.read()
    assert asked.get("api") == answered.get("api")
    prefix = Prefix("blue.")
    with_prefix = prefix.put(call.asked, forms[0])
    assert end_of(with_prefix, ats[0], whole(forms[0], lambda field, beside: ""), []) == len(with_prefix)


def test_each_call_could_be_answered_with_an_error() -> None:
    for call in CALLS:
        asked, _ = read(call)
        said = Kafka().reply(asked, ErrorKind.INTERNAL, "no")
        if isinstance(said, FinalFrame):  # a Metadata of no topics, or of all, has no place for an error
            assert (asked.get("api"), asked.get("topics")) == ("Metadata", None)
            continue
        codec = Kafka()
        server = codec.session(Side.SERVER, 1 << 20)
        server.send(asked, asked.id)
        (answered,) = server.receive(said)
        assert answered.get("error") == "UNKNOWN_SERVER_ERROR", call


def test_a_clients_requests_say_who_it_is_and_what_they_name() -> None:
    found: dict[str, set[str]] = {}
    for call in CALLS:
        asked, _ = read(call)
        if call.client == "kafka-java":
            for key in ("topics", "groups", "transactional_ids"):
                found.setdefault(key, set()).update((asked.get(key) or "").split(","))
    assert found["topics"] >= {"kafka-java-orders", "kafka-java-done"}
    assert found["groups"] >= {"kafka-java-group", "kafka-java-offsets"}
    assert "kafka-java-tx" in found["transactional_ids"]
