"""Topics that are refused by themselves: brokers are asked for the others, and the answer speaks of all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest
from harness import Stage
from kafka_samples import sample
from kafka_words import METADATA, PRODUCE, answer, cluster, metadata, produce, produced, request, short

from metaproxy.codecs.kafka import Kafka, schema, wire
from metaproxy.codecs.kafka import metadata as md
from metaproxy.codecs.kafka.schema import Form
from metaproxy.codecs.kafka.values import Values, decode, encode
from metaproxy.filters.rbac import Rbac
from metaproxy.message import ErrorKind, Kind, Message, Side
from metaproxy.proxy.doors import ClientDoors, PortDoors
from metaproxy.support import addresses as address
from metaproxy.testing.stage import Wire

DENIED = schema.ERRORS["TOPIC_AUTHORIZATION_FAILED"]
SECRET = {"topics": ["secret"]}
MAX = 1 << 22
ARRAYS = {
    "Produce": "TopicData", "Metadata": "Topics", "ListOffsets": "Topics", "OffsetCommit": "Topics",
    "DeleteRecords": "Topics", "OffsetForLeaderEpoch": "Topics", "TxnOffsetCommit": "Topics",
    "CreateTopics": "Topics", "CreatePartitions": "Topics", "DescribeProducers": "Topics",
    "DescribeTopicPartitions": "Topics",
}  # fmt: skip
"""Of requests of some APIs, that have names and no ids of topics."""


def forms(api: str) -> list[tuple[Form, Form]]:
    key = schema.KEYS[api]
    both = ((schema.request(key, version), schema.response(key, version)) for version in range(20))
    return [(asked, answered) for asked, answered in both if asked is not None and answered is not None]


def named(form: Form, array: str, *names: str) -> Values:
    """A body with these topics."""
    values = sample(form.fields)
    elements: list[Any] = [sample(field.fields) for field in form.fields if field.name == array] * len(names)
    values[array] = [
        {**element, "TopicId": bytes(16), **{key: name.encode() for key in element.keys() & {"Name", "Topic"}}}
        for element, name in zip(elements, names, strict=True)
    ]
    return values


def framed(form: Form, values: Values) -> bytes:
    return request(form.key, form.version, 7, encode(form, values), tags=b"\0" if form.flexible else b"")


def names_in(values: Values, array: str) -> list[bytes]:
    listed: Any = values[array]
    return [one.get("Name", one.get("Topic", one.get("TopicName"))) for one in listed]


@pytest.mark.parametrize(("api", "array"), list(ARRAYS.items()))
def test_the_rest_is_asked_for_and_the_answer_has_the_error_for_what_was_left_out(api: str, array: str) -> None:
    tried = 0
    for asked, answered in forms(api):
        if names_in(named(asked, array, "orders"), array) == [None]:
            continue  # by their ids alone
        codec = Kafka()
        client, server = codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)
        (message,) = client.receive(framed(asked, named(asked, array, "orders", "secret", "bills")))
        rest = rest_of(message, SECRET, codec)
        server.send(rest, 9)
        body = decode(rest.frame, wire.request_body(rest.frame, asked.flexible), asked)
        assert names_in(body, array) == [b"orders", b"bills"]
        assert {**body, array: None} == {**named(asked, array), array: None}, "all else is as it was"
        of_answer = next(field.name for field in answered.fields if field.repeated and "topicName" in str(field.fields))
        said = encode(answered, named(answered, of_answer, "orders", "bills"))
        (heard,) = server.receive(answer(9, said, b"\0" if answered.flexible else b""))
        got = client.send(heard, 7)
        found = decode(got, wire.answer_body(got, md.has_tags(answered)), answered)
        assert names_in(found, of_answer) == [b"secret", b"orders", b"bills"]
        assert f": {DENIED}" in str(found[of_answer][0]), "its own error, or that of its partitions"  # type: ignore[index]
        assert len(got) == wire.total(got)
        tried += 1
    assert tried


def test_topics_that_are_named_by_their_ids_are_told_apart_as_well() -> None:
    codec = Kafka()
    client, server = codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)
    (message,) = client.receive(metadata(6))
    server.send(message, 8)
    (heard,) = server.receive(cluster(8, [], [("secret", b"s" * 16), ("orders", b"o" * 16)]))
    client.send(heard, 6)
    form = schema.request(PRODUCE, 13)
    assert form is not None
    partitions: Any = [{"Index": 0, "Records": b"r"}]
    listed: Any = [{"TopicId": id * 16, "PartitionData": partitions} for id in (b"s", b"o")]
    (message,) = client.receive(framed(form, {"Acks": -1, "TopicData": listed}))
    rest = rest_of(message, SECRET, codec)
    assert rest.get("topics") == "orders"
    assert b"o" * 16 in rest.frame and b"s" * 16 not in rest.frame


def rest_of(message: Message, names: Mapping[str, Collection[str]], codec: Kafka | None = None) -> Message:
    """What is sent on of a request of which these are refused."""
    rest = (codec or Kafka()).without(message, names, ErrorKind.DENIED, "no")
    assert isinstance(rest, Message)
    return rest


def call(data: bytes) -> Message:
    (message,) = Kafka().session(Side.CLIENT, MAX).receive(data)
    return message


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (produce(7, {"secret": [b"r"]}), SECRET),
        (produce(7, {"orders": [b"r"]}), SECRET),
        (produce(7, {"orders": [b"r"], "secret": [b"r"]}), {"groups": ["secret"]}),
        (produce(7, {"orders": [b"r"], "secret": [b"r"]})[:-1] + b"\1", SECRET),
    ],
    ids=["nothing is left", "it is not there", "groups", "no body"],
)
def test_where_that_cannot_be_all_of_it_is_refused(data: bytes, names: dict[str, list[str]]) -> None:
    codec = Kafka()
    (message,) = codec.session(Side.CLIENT, MAX).receive(data)
    try:
        assert codec.without(message, names, ErrorKind.DENIED, "no") is None
    except ValueError:
        raise
    except Exception as error:
        assert type(error).__name__ == "FrameError"


def test_two_filters_refuse_a_topic_each() -> None:
    codec = Kafka()
    client, server = codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)
    (message,) = client.receive(produce(7, {name: [b"r"] for name in ("a", "b", "c")}))
    second = rest_of(rest_of(message, {"topics": ["a"]}, codec), {"topics": ["c"]}, codec)
    assert second.get("topics") == "b"
    server.send(second, 9)
    (heard,) = server.receive(produced(9, {"b": [0]}))
    form = schema.response(PRODUCE, 9)
    assert form is not None
    got = client.send(heard, 7)
    assert names_in(decode(got, wire.answer_body(got, True), form), "Responses") == [b"c", b"a", b"b"]


class Guarded(Stage):
    def __init__(self) -> None:
        policies: dict[str, object] = {"secret": {"action": "deny", "permissions": [{"topics": "secret"}]}}
        super().__init__(Kafka(), hooks={"on_request": (Rbac(policies=policies).on_request,)})

    def ask(self, client: Wire, data: bytes) -> bytes:
        self.say(client, data)
        return self.server.take() if self.network.upstreams else b""


def test_rbac_refuses_the_topics_that_a_client_may_not_have_and_no_others() -> None:
    stage = Guarded()
    client = stage.client()
    asked = stage.ask(client, produce(7, {"orders": [b"r"], "secret": [b"r"]}))
    assert asked == produce(1, {"orders": [b"r"]})
    stage.say(stage.server, produced(1, {"orders": [0]}))
    said = client.take()
    assert b"orders" in said and b"secret" in said and short(DENIED) in said
    assert stage.ask(client, metadata(8, ["secret", "orders"])) == metadata(2, ["orders"])
    assert stage.ask(client, produce(9, {"secret": [b"r"]})) == b"", "of which nothing is left"


def test_what_was_left_out_of_a_request_that_no_broker_answered_is_in_no_later_answer() -> None:
    stage = Guarded()
    client = stage.client()
    stage.ask(client, produce(7, {"orders": [b"r"], "secret": [b"r"]}))
    stage.clock.advance(100.0)  # it is answered by the proxy: no broker did in time
    assert client.closed or b"secret" not in client.take()


def test_a_known_message_says_what_is_sent() -> None:
    message = call(metadata(7, ["orders", "secret"]))
    rest = rest_of(message, SECRET)
    assert rest.kind is Kind.REQUEST
    assert (rest.get("api"), rest.get("topics")) == (schema.APIS[METADATA].name, "orders")


def test_doors_and_a_prefix_hold_for_what_was_left_out_as_well() -> None:
    codec = Kafka(prefix="blue.")
    client, server = codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)
    client.doors = ClientDoors(PortDoors([address.parse("127.0.0.1:80")], range(9100, 9110), "proxy.example"), {})
    (message,) = client.receive(metadata(7, ["orders", "secret"]))
    rest = rest_of(message, {"topics": ["blue.secret"]}, codec)
    assert rest.get("topics") == "blue.orders"
    server.send(rest, 9)
    (heard,) = server.receive(cluster(9, [(1, "10.0.0.1", 9092)], [("blue.orders", b"o" * 16)]))
    form = schema.response(METADATA, 12)
    assert form is not None
    got = client.send(heard, 7)
    found: Any = decode(got, wire.answer_body(got, True), form)
    assert names_in(found, "Topics") == [b"secret", b"orders"]
    assert (found["Brokers"][0]["Host"], found["Brokers"][0]["Port"]) == (b"proxy.example", 9101)


@pytest.mark.parametrize(("number", "served"), [(9_000, True), (11_000, False)])
def test_of_very_many_topics_all_are_refused_where_one_is(number: int, served: bool) -> None:
    """Each would be judged by itself, on the time of all clients."""
    names = [f"t{place}" for place in range(number)]
    stage = Guarded()
    assert bool(stage.ask(stage.client(), metadata(7, [*names, "secret"]))) is served
