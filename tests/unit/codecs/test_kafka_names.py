"""Names of topics, groups and transactions have a prefix that clients do not see."""

from __future__ import annotations

import pytest
from kafka_words import (
    ORDERS,
    answer,
    array,
    cluster,
    compact,
    coordinators,
    fetch,
    fetched,
    find_coordinator,
    int32,
    join_group,
    metadata,
    produce,
    request,
    short,
    text,
)  # fmt: skip

from metaproxy.codecs.framing import Session
from metaproxy.codecs.kafka import Kafka, schema
from metaproxy.codecs.kafka import metadata as read
from metaproxy.codecs.kafka.names import Prefix
from metaproxy.codecs.kafka.schema import APIS, Field
from metaproxy.codecs.kafka.values import Values, encode
from metaproxy.codecs.kafka.walk import SIZES
from metaproxy.message import ErrorKind, Side
from metaproxy.testing import check_relay
from metaproxy.units import Bytes

MAX = 1 << 22
ENTITIES = ("topicName", "groupId", "transactionalId", "coordinatorKey")
BROKERS = [(1, "10.0.0.1", 9092)]


def codec() -> Kafka:
    return Kafka(stream_over=Bytes(1 << 16), prefix="blue.")


def session() -> Session:
    return codec().session(Side.CLIENT, MAX)


def sent(data: bytes) -> bytes:
    """What a broker gets."""
    (message,) = session().receive(data)
    return message.frame


def got(asked: bytes, answered: bytes) -> bytes:
    """What a client gets."""
    client, server = session(), codec().session(Side.SERVER, MAX)
    (message,) = client.receive(asked)
    server.send(message, 9)
    return b"".join(client.send(one, message.id) for one in server.receive(answered))


def test_a_broker_gets_the_names_of_the_tenant() -> None:
    assert sent(fetch(7, [b"orders", b"bills"])) == fetch(7, [b"blue.orders", b"blue.bills"])
    assert sent(metadata(7, ["orders"])) == metadata(7, ["blue.orders"])
    assert sent(metadata(7)) == metadata(7)
    assert sent(join_group(7, "billing")) == join_group(7, "blue.billing")
    assert sent(find_coordinator(7, ["billing"])) == find_coordinator(7, ["blue.billing"])
    assert sent(produce(7, {"orders": [b"r"]}, transaction=b"t1")) == produce(
        7, {"blue.orders": [b"r"]}, transaction=b"blue.t1"
    )


def test_of_configurations_those_of_topics_and_groups_are_the_tenants() -> None:
    def asked(topic: str) -> bytes:
        listed = [b"\2" + text(topic) + int32(-1), b"\4" + text("1") + int32(-1)]
        return request(32, 1, 7, array(listed) + b"\0")

    assert sent(asked("orders")) == asked("blue.orders")


def test_a_pattern_of_topics_is_one_of_the_tenants_topics() -> None:
    form = schema.request(schema.KEYS["ConsumerGroupHeartbeat"], 1)
    assert form is not None
    frame = request(form.key, 1, 7, encode(form, {"SubscribedTopicRegex": b"^ord.*"}), tags=b"\0")
    assert compact(rb"blue\.(?:ord.*)") in sent(frame)


def test_a_client_sees_its_own_names_and_no_others() -> None:
    every = [("blue.orders", ORDERS), ("red.orders", b"r" * 16), ("blue.bills", b"b" * 16)]
    said = got(metadata(7), cluster(9, BROKERS, every))
    assert said == cluster(7, BROKERS, [("orders", ORDERS), ("bills", b"b" * 16)])


def test_a_coordinator_is_told_by_the_clients_own_name() -> None:
    said = got(find_coordinator(7, ["billing"]), coordinators(9, [("blue.billing", 1, "10.0.0.1", 9092)]))
    assert said == coordinators(7, [("billing", 1, "10.0.0.1", 9092)])


def test_the_proxys_own_errors_have_the_clients_names() -> None:
    (message,) = session().receive(produce(7, {"orders": [b"r"]}))
    assert message.get("topics") == "blue.orders"
    (plain,) = Kafka().session(Side.CLIENT, MAX).receive(produce(7, {"orders": [b"r"]}))
    assert codec().reply(message, ErrorKind.DENIED, "no") == Kafka().reply(plain, ErrorKind.DENIED, "no")


def test_large_messages_have_the_tenants_names_too() -> None:
    records = bytes(200_000)
    answered = fetched(2, records).replace(text("orders"), text("blue.orders"))
    answered = int32(len(answered) - 4) + answered[4:]
    check_relay(
        codec(),
        [
            (Side.CLIENT, produce(7, {"orders": [records]})), (Side.SERVER, answer(1, b"\1" + int32(0) + b"\0", b"\0")),
            (Side.CLIENT, fetch(8)), (Side.SERVER, answered),
        ],
        server_gets=produce(1, {"blue.orders": [records]}) + fetch(2, [b"blue.orders"]),
        client_gets=answer(7, b"\1" + int32(0) + b"\0", b"\0") + fetched(8, records),
    )  # fmt: skip


def test_versions_whose_names_are_not_known_can_not_be_spoken() -> None:
    client = session()
    assert client.receive(request(0, 2, 7, short(1))) == []
    assert "from 3 on" in str(client.error)


@pytest.mark.parametrize("prefix", ["a b", "blue/", "ö"])
def test_a_prefix_is_one_that_topics_can_have(prefix: str) -> None:
    with pytest.raises(ValueError, match="write letters"):
        Kafka(prefix=prefix)


# -- all forms


def sample(fields: tuple[Field, ...], prefix: bytes) -> Values:
    return {field.name: [one(field, prefix)] * 2 if field.repeated else one(field, prefix) for field in fields}


def one(field: Field, prefix: bytes) -> object:
    if field.kind == "struct":
        return sample(field.fields, prefix)
    if field.kind == "uuid":
        return b"u" * 16
    if field.kind == "bool":
        return False
    if field.entity == "topicRegex":
        return rb"blue\.(?:n.*)" if prefix else b"n.*"
    if field.kind == "string" and field.entity in ENTITIES:
        return prefix + b"n" * 125
    if field.entity == "resourceName":
        return prefix + b"resource"
    if field.entity == "resourceType":
        return 2
    return 0 if field.kind in SIZES else b"x"


def test_all_names_in_all_forms_have_the_prefix_on_the_brokers_and_not_with_clients() -> None:
    prefix = Prefix("blue.")
    for api in APIS.values():
        for version in range(api.first, api.last + 1):
            asked, answered = schema.request(api.key, version), schema.response(api.key, version)
            assert asked is not None and answered is not None
            tags = b"\0" if asked.flexible else b""
            frames = [
                request(api.key, version, 7, encode(asked, sample(asked.fields, one)), tags=tags)
                for one in (b"", b"blue.")
            ]
            assert prefix.put(frames[0], asked) == frames[1], f"{api.name} {version}"
            tags = b"\0" if read.has_tags(answered) else b""
            said = [answer(7, encode(answered, sample(answered.fields, one)), tags) for one in (b"", b"blue.")]
            assert prefix.strip(said[1], answered) == said[0], f"{api.name} {version}"


def test_what_is_left_out_is_left_out_whole_with_all_counts_right() -> None:
    form = schema.response(schema.KEYS["OffsetFetch"], 9)
    assert form is not None

    def group(name: bytes, *topics: bytes) -> Values:
        return {
            "GroupId": name,
            "Topics": [{"Name": topic, "Partitions": [{"Metadata": b"m"}] * 2} for topic in topics],
        }

    def said(*groups: Values) -> bytes:
        return answer(7, encode(form, {"Groups": list(groups)}), b"\0")

    before = said(
        group(b"blue.a", b"blue.x", b"red.x", b"blue.y"),
        group(b"red.a", b"blue.x"),
        group(b"blue.b", b"red.y", b"red.z"),
    )
    assert Prefix("blue.").strip(before, form) == said(group(b"a", b"x", b"y"), group(b"b"))
