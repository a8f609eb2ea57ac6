"""Clients and brokers of Kafka that mean harm: what they say ends with an error, soon, and is not kept."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from kafka_words import (
    FETCH,
    METADATA,
    ORDERS,
    PRODUCE,
    answer,
    api_versions,
    array,
    cluster,
    compact,
    fetch,
    int32,
    metadata,
    offered,
    packed,
    produce,
    request,
    short,
    text,
    varint,
)  # fmt: skip
from zope.interface import implementer

from metaproxy.codecs.framing import Session
from metaproxy.codecs.kafka import Kafka, schema, walk
from metaproxy.codecs.kafka.topic_ids import TopicIds
from metaproxy.interfaces import IDoors
from metaproxy.message import ErrorKind, FinalFrame, FrameError, Message, Side
from metaproxy.testing.stage import Stage
from metaproxy.units import Bytes

MAX = 1 << 22
ENDLESS = b"\xff\xff\xff\xff\x0f"
"""An unsigned varint of 2^32 - 1."""
MANY = b"\x7f\xff\xff\xff"


@implementer(IDoors)
class Doors:
    def address(self, node: str) -> tuple[str, int] | None:
        return ("proxy.example", 9100 + int(node)) if int(node) < 10 else None


def sessions() -> tuple[Session, Session]:
    codec = Kafka(stream_over=Bytes(1 << 16))
    client, server = codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)
    client.doors = Doors()
    return client, server


def said(asked: bytes, answered: bytes) -> tuple[Session, list[Message], FrameError | None]:
    """What comes of an answer to a request: the client's session, messages, an error."""
    client, server = sessions()
    (message,) = client.receive(asked)
    server.send(message, 9)
    return client, server.receive(answered), server.error


def flexible(key: int, version: int, body: bytes) -> bytes:
    return request(key, version, 7, body, tags=b"\0")


def known(data: bytes) -> Message:
    client, _ = sessions()
    (message,) = client.receive(data)
    return message


NAMES: Mapping[str, bytes] = {
    "2^31 topics": request(METADATA, 4, 7, MANY + text("orders")),
    "2^32 topics": flexible(METADATA, 12, ENDLESS + bytes(16) + compact("orders") + b"\0"),
    "a name that is longer than its message": request(METADATA, 4, 7, int32(1) + b"\x7f\xffa"),
    "a compact name of 4 GiB": flexible(METADATA, 12, b"\2" + bytes(16) + ENDLESS),
    "a varint without end in a name's place": flexible(METADATA, 12, b"\2" + bytes(16) + b"\xff" * 9),
    "2^31 partitions": request(FETCH, 11, 7, bytes(21) + int32(1) + text("orders") + MANY + bytes(64)),
    "2^32 tags": flexible(METADATA, 12, b"\2" + bytes(16) + compact("orders") + ENDLESS + b"\1\0"),
    "a tag of 4 GiB": flexible(METADATA, 12, b"\2" + bytes(16) + compact("orders") + b"\1\1" + ENDLESS),
    "nothing": request(METADATA, 4, 7, b""),
}
"""Requests whose names can't be read. They are whole, so others behind them are answered."""


@pytest.mark.parametrize("row", NAMES)
def test_a_request_whose_names_cannot_be_read_is_refused_and_its_connection_goes_on(row: str) -> None:
    client, _ = sessions()
    message, other = client.receive(NAMES[row] + fetch(8))
    with pytest.raises(FrameError):
        message.get("topics")
    assert message.values("topics") == ()
    assert isinstance(Kafka().reply(message, ErrorKind.BAD_REQUEST, "no"), bytes)
    assert (other.get("topics"), client.error) == ("orders", None)


ENDS: Mapping[str, bytes] = {
    "a negative size": b"\xff\xff\xff\xff" + bytes(20),
    "2 GiB that are needed whole": MANY + short(METADATA) + short(12) + bytes(20),
    "2 GiB of tags in the head of a large request": MANY + short(PRODUCE) + short(9) + int32(1) + short(0) + ENDLESS,
    "a client's id that is longer than its request": int32(10) + short(PRODUCE) + short(9) + int32(1) + b"\x7f\xff",
    "a varint without end where acks stand": flexible(PRODUCE, 9, b"\xff" * 9),
    "acks that are not there": request(PRODUCE, 3, 7, short(-1)),
    "the name of a library that is longer than its request": flexible(18, 3, ENDLESS),
}


@pytest.mark.parametrize("row", ENDS)
def test_what_is_no_request_ends_the_connection_at_once(row: str) -> None:
    client, _ = sessions()
    data = ENDS[row]
    found = [one for at in range(len(data)) for one in client.receive(data[at : at + 1])]
    found += client.receive(bytes(1 << 17)) if client.error is None else []
    assert found == []
    assert isinstance(client.error, FrameError)
    assert client.buffered <= 1 << 17


PRODUCED = flexible(PRODUCE, 10, b"\0" + short(-1) + int32(0) + b"\1\0")
ANSWERS: Mapping[str, tuple[bytes, bytes]] = {
    "2^32 brokers": (metadata(7), answer(9, int32(0) + ENDLESS + bytes(30), tags=b"\0")),
    "a host of 4 GiB": (metadata(7), answer(9, int32(0) + b"\2" + int32(1) + ENDLESS + bytes(30), tags=b"\0")),
    "brokers that are not there": (metadata(7), answer(9, int32(0) + b"\3", tags=b"\0")),
    "an answer that ends within its head": (metadata(7), answer(9, b"", tags=ENDLESS)),
    "2^32 APIs": (api_versions(7), answer(9, short(0) + ENDLESS + bytes(7))),
    "APIs that are not there": (api_versions(7), answer(9, b"")),
    "new leaders in a tag that is longer": (
        PRODUCED, answer(9, b"\1" + int32(0) + b"\1\0\x7f\2" + int32(2) + bytes(40), tags=b"\0")
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ANSWERS)
def test_an_answer_that_cannot_be_read_is_none(row: str) -> None:
    asked, answered = ANSWERS[row]
    client, messages, error = said(asked, answered)
    assert messages or error is not None
    if messages:
        with pytest.raises(FrameError):
            client.send(messages[0], 7)


def test_tags_without_end_cost_no_broker_its_address() -> None:
    leader = int32(2) + compact("10.0.0.2") + int32(9092) + compact(None) + b"\0"
    tag = b"\0" + varint(len(packed([leader]))) + packed([leader])
    renamed = packed([int32(2) + compact("proxy.example") + int32(9102) + compact(None) + b"\0"])
    client, (message,), _ = said(PRODUCED, answer(9, b"\1" + int32(0) + varint(300) + tag * 300, tags=b"\0"))
    changed = b"\0" + varint(len(renamed)) + renamed
    assert client.send(message, 7) == answer(7, b"\1" + int32(0) + varint(300) + changed * 300, tags=b"\0")


def test_of_what_has_more_elements_than_anybody_goes_through_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MOST_ELEMENTS", 10)
    keys = packed([b"\1"] * 12)
    asked = flexible(32, 4, packed([b"\2" + compact("orders") + keys + b"\0"]) + b"\0\0\0")
    tagged = flexible(METADATA, 12, b"\2" + bytes(16) + compact("orders") + b"\x0c" + b"\5\1x" * 12 + b"\0\0\0")
    for message in (known(asked), known(tagged)):
        with pytest.raises(FrameError, match="more than 10 elements"):
            message.get("topics")


def test_a_header_of_more_than_a_thousand_tags_is_none() -> None:
    client, _ = sessions()
    assert client.receive(request(18, 3, 7, b"\1\1\0", tags=varint(1001) + b"\5\1x" * 1001)) == []
    assert "1001 tags in a header" in str(client.error)


def test_an_error_repeats_no_request_of_tags_without_end() -> None:
    message = known(
        flexible(METADATA, 12, b"\2" + bytes(16) + compact("orders") + b"\0\1\0" + varint(50_001) + b"\5\0" * 50_001)
    )
    assert isinstance(Kafka().reply(message, ErrorKind.DENIED, "no"), FinalFrame)


# -- what is kept


def test_of_the_name_of_a_client_s_library_only_its_beginning_is_kept() -> None:
    client, _ = sessions()
    _, later = client.receive(flexible(18, 3, compact("a" * 100_000) + compact("b" * 100_000) + b"\0") + fetch(8))
    assert later.get("software") == "a" * 255 + "/" + "b" * 255


def test_no_name_is_kept_that_is_longer_than_a_topic_s() -> None:
    ids = TopicIds()
    ids.learn(ORDERS, b"o" * 250)
    assert ids.name(ORDERS) is None


def test_of_an_answer_with_too_many_topics_the_first_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MOST", 10)
    topics = [("orders", ORDERS), *[("x", bytes(15) + bytes((number,))) for number in range(1, 9)]]
    form = schema.response(METADATA, 12)
    assert form is not None
    ids = TopicIds()
    ids.read(cluster(9, [(1, "a", 1)], topics), 9, form)
    assert (ids.name(ORDERS), ids.name(topics[-1][1])) == (b"orders", None)


def test_of_what_has_more_names_than_anybody_remembers_none_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MOST", 10)
    message = known(flexible(METADATA, 12, varint(13) + (bytes(16) + b"\2a\0") * 12 + b"\0\0\0"))
    with pytest.raises(FrameError, match="more than 10 things"):
        message.get("topics")
    assert message.values("topics") == ()
    client, (told,), _ = said(metadata(7), cluster(9, [(1, "a", 1)] * 9))
    with pytest.raises(FrameError, match="more than 10 things"):
        client.send(told, 7)


def test_a_topic_that_was_learnt_first_is_forgotten_first() -> None:
    ids = TopicIds(2)
    for number in range(3):
        ids.learn(bytes(15) + bytes((number + 1,)), b"t%d" % number)
    assert [ids.name(bytes(15) + bytes((number + 1,))) for number in range(3)] == [None, b"t1", b"t2"]


@pytest.mark.parametrize(
    "broker",
    [int32(1) + short(-1) + int32(9092) + short(-1), int32(1) + b"\x7f\xff" + int32(9092), int32(1) + text("a")],
)
def test_brokers_that_cannot_be_read_are_none(broker: bytes) -> None:
    codec = Kafka()
    (question,) = codec.layout_questions("brokers", "")
    server = codec.session(Side.SERVER, MAX)
    server.send(question, 1)
    told = server.receive(answer(1, array([broker]) + int32(2) + array([])))
    assert told or server.error is not None
    if told:
        with pytest.raises(FrameError):
            codec.layout("brokers", told, "10.0.0.1:9092")


def test_answers_to_what_nobody_asked_are_answers_to_nothing() -> None:
    _, server = sessions()
    assert [message.id for message in server.receive(offered(5, []) + offered(-1, []))] == [5, -1]


def test_a_request_with_more_in_it_than_an_error_can_repeat_ends_its_connection() -> None:
    client, _ = sessions()
    (message,) = client.receive(request(METADATA, 4, 7, array([text("a")] * 60_000) + b"\0"))
    assert isinstance(Kafka().reply(message, ErrorKind.DENIED, "no"), FinalFrame)


def test_a_large_request_to_a_broker_that_reads_no_more_ends_with_its_connection_when_the_proxy_ends() -> None:
    stage = Stage(Kafka(stream_over=Bytes(1 << 16)), drain_timeout=5.0)
    client = stage.client()
    data = produce(7, {"orders": [bytes(1 << 20)]})
    stage.say(client, data[:70_000])
    stage.server.protocol.pauseProducing()
    for at in range(70_000, len(data), 70_000):
        if not client.paused:
            stage.say(client, data[at : at + 70_000])
    assert client.paused
    stage.listener.drain()
    stage.clock.advance(6)
    assert (client.closed, stage.listener.counts.active_exchanges) == (True, 0)
