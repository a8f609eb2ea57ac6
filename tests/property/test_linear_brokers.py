"""
What clients and servers of message brokers send costs work in proportion to its bytes: see test_linear_databases.

Lives here: sessions that are open, and what is said to them: many messages in one read, one in each, byte by byte, and
large ones whose names are asked for, or whose brokers get other addresses. Does not: how work is counted (linear).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import amqp_words as amqp
import kafka_words as kafka
import linear
import pytest
from kafka_words import compact, int32, packed, short, varint
from zope.interface import implementer

from metaproxy.codecs.amqp import Amqp, wire
from metaproxy.codecs.kafka import Kafka, schema
from metaproxy.codecs.kafka.topic_ids import TopicIds
from metaproxy.interfaces import IDoors
from metaproxy.message import ErrorKind, Message, Side
from metaproxy.testing.work import CountedBytes
from metaproxy.units import Bytes

MEBI = 1 << 20
BROKERS = [(1, "10.0.0.1", 9092), (2, "10.0.0.2", 9092)]


@implementer(IDoors)
class Doors:
    def address(self, node: str) -> tuple[str, int] | None:
        return ("proxy.example", 9100 + int(node)) if int(node) < 10 else None


def kafka_client(**options: Any) -> Any:
    session = Kafka(**options).session(Side.CLIENT, 4 * MEBI)
    session.doors = Doors()
    return session


def kafka_server(asked: bytes, count: int = 1) -> Any:
    """It was asked this under the ids 1 and up."""
    session = Kafka(stream_over=Bytes(1 << 16)).session(Side.SERVER, 4 * MEBI)
    (message,) = kafka_client().receive(asked)
    for id in range(1, count + 1):
        session.send(message, id)
    return session


AMQP_BEGUN = amqp.HEADER + amqp.start_ok() + amqp.tune_ok() + amqp.open_vhost()
AMQP_CHANNELS = b"".join(amqp.method("channel.open", channel, b"\0") for channel in range(1, 401))
PUBLISH = amqp.method("basic.publish", 1, b"\0\0" + amqp.short("orders") + amqp.short("new") + b"\0")


def amqp_client() -> Any:
    session = Amqp().session(Side.CLIENT, 4 * MEBI)
    session.receive(AMQP_BEGUN + AMQP_CHANNELS)
    return session


def amqp_server(asked: bytes = b"", count: int = 0) -> Any:
    session = Amqp().session(Side.SERVER, 4 * MEBI)
    client = Amqp().session(Side.CLIENT, 4 * MEBI)
    for message in client.receive(AMQP_BEGUN):
        session.send(message, message.id)
    session.receive(amqp.START + amqp.tune() + amqp.OPEN_OK)
    for message in client.receive(asked * count):
        session.send(message, message.id)
    return session


def _frames(channel: int, size: int) -> list[bytes]:
    head, *bodies = (wire.content_frame(channel, 60, size, b"\0\0"), *[b"\3\0%c\0\0\0\1x\xce" % channel] * size)
    return [head, *bodies]


def between(size: int) -> list[bytes]:
    """Frame by frame from one and the other."""
    one, two = _frames(1, size), _frames(2, size)
    frames = [frame for pair in zip(one, two, strict=True) for frame in pair]
    return [PUBLISH, amqp.method("basic.publish", 2, PUBLISH[11:-1]), *frames]


SAID: dict[str, tuple[linear.Make, Callable[[int], Sequence[bytes]]]] = {
    "kafka fetches": (kafka_client, lambda size: [kafka.fetch(one) for one in range(size)]),
    "kafka produces": (kafka_client, lambda size: [kafka.produce(one, {"orders": [b"r"]}) for one in range(size)]),
    "kafka questions for versions": (kafka_client, lambda size: [kafka.api_versions(one) for one in range(size)]),
    "kafka refused versions": (kafka_client, lambda size: [kafka.api_versions(one, 99) for one in range(size)]),
    "kafka answers": (
        partial(kafka_server, kafka.fetch(1), 2000),
        lambda size: [kafka.fetched(one, b"records") for one in range(1, size + 1)],
    ),
    "kafka answers to nothing": (
        partial(kafka_server, kafka.fetch(1)), lambda size: [kafka.fetched(7, b"records")] * size,
    ),
    "amqp publishes": (amqp_client, lambda size: [amqp.published()] * size),
    "amqp publishes of nothing": (amqp_client, lambda size: [amqp.published(b"")] * size),
    "amqp acknowledgements": (amqp_client, lambda size: [amqp.method("basic.ack", 1, bytes(9))] * size),
    "amqp queues without a name": (amqp_client, lambda size: [amqp.queue_declare("")] * size),
    "amqp channels": (
        amqp_client, lambda size: [amqp.method("channel.open", 401 + one, b"\0") for one in range(size)]
    ),
    "amqp heartbeats": (amqp_client, lambda size: [wire.BEAT] * size),
    "amqp contents in pieces": (amqp_client, lambda size: [PUBLISH, *_frames(1, size)]),
    "amqp contents of two channels": (amqp_client, between),
    "amqp contents that never come": (
        amqp_client,
        lambda size: [amqp.method("basic.publish", 1 + one, PUBLISH[11:-1]) for one in range(size)],
    ),
    "amqp deliveries": (amqp_server, lambda size: [amqp.delivered()] * size),
    "amqp answers": (partial(amqp_server, amqp.get(), 2000), lambda size: [amqp.got()] * size),
    "amqp answers to nothing": (amqp_server, lambda size: [amqp.GET_EMPTY] * size),
    "amqp closed channels": (amqp_server, lambda size: [amqp.channel_close(channel=1 + one) for one in range(size)]),
    "amqp the same channel closed": (amqp_server, lambda size: [amqp.channel_close()] * size),
    "amqp the connection closed": (
        partial(amqp_server, amqp.get(), 200), lambda size: [amqp.connection_close()] * size,
    ),
}  # fmt: skip
"""Sessions, and messages for them."""


@pytest.mark.parametrize("way", linear.WAYS)
@pytest.mark.parametrize("name", SAID)
def test_messages_cost_what_they_are(name: str, way: str) -> None:
    make, frames = SAID[name]
    linear.WAYS[way](make, frames(linear.MANY))


# -- large ones


def metadata_of(size: int) -> bytes:
    return kafka.metadata(7, [f"t{one}" for one in range(size)])


def fetch_of(size: int) -> bytes:
    return kafka.fetch(7, [b"t%d" % one for one in range(size)])


def produce_of(size: int) -> bytes:
    return kafka.produce(7, {f"t{one}": [b"r"] for one in range(size)})


def offered_of(size: int) -> bytes:
    return kafka.offered(1, [(0, 0, 99), (99, 0, 1)] * (size // 2))


def published_of(size: int) -> bytes:
    return amqp.published(properties=amqp.headers({f"a{one}": one for one in range(size)}))


def bound_of(size: int) -> bytes:
    arguments = amqp.table({f"a{one}": "b" for one in range(size)})
    return amqp.queue_declare(arguments=arguments)


HUGE: dict[str, tuple[linear.Make, Callable[[int], bytes], int]] = {
    "kafka topics asked for": (kafka_client, metadata_of, 2000),
    "kafka topics fetched": (kafka_client, fetch_of, 2000),
    "kafka topics produced to": (kafka_client, produce_of, 2000),
    "kafka topics produced to in pieces": (partial(kafka_client, stream_over=Bytes(1 << 13)), produce_of, 3000),
    "kafka batch": (
        partial(kafka_client, stream_over=Bytes(1 << 16)),
        lambda size: kafka.produce(7, {"orders": [bytes(size)]}),
        1 << 20,
    ),
    "kafka batch fetched": (
        partial(kafka_server, kafka.fetch(7)), lambda size: kafka.fetched(1, bytes(size)), 1 << 20,
    ),
    "kafka versions": (partial(kafka_server, kafka.api_versions(7)), offered_of, 2000),
    "amqp headers": (amqp_client, published_of, 2000),
    "amqp arguments": (amqp_client, bound_of, 2000),
    "amqp body": (amqp_client, lambda size: amqp.published(bytes(size)), 1 << 20),
    "amqp body in small frames": (amqp_client, lambda size: amqp.published(bytes(size), frame_max=64), 1 << 18),
    "amqp delivery": (amqp_server, lambda size: amqp.delivered(bytes(size)), 1 << 20),
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("cut", ["whole", "in pieces"])
def test_one_large_message_costs_what_it_is_and_so_do_its_metadata(name: str, cut: str) -> None:
    linear.check_large(*HUGE[name], cut == "whole", ("operation", "topics", "headers.a1", "error", "absent"))


def cluster_of(size: int) -> bytes:
    topics = [(f"t{one}", one.to_bytes(16, "big")) for one in range(1, size)]
    return kafka.cluster(9, BROKERS, topics)


def brokers_of(size: int) -> bytes:
    return kafka.cluster(9, [(one, f"10.0.0.{one}", 9092) for one in range(size)])


def coordinators_of(size: int) -> bytes:
    return kafka.coordinators(9, [(f"g{one}", one % 20, "10.0.0.2", 9092) for one in range(size)])


LEADER = int32(2) + compact("10.0.0.2") + int32(9092) + compact(None) + b"\0"
TAG = b"\0" + varint(len(packed([LEADER]))) + packed([LEADER])
PRODUCED_TO = kafka.request(kafka.PRODUCE, 10, 7, b"\0" + short(-1) + int32(0) + b"\1\0", tags=b"\0")


def leaders_of(size: int) -> bytes:
    return kafka.answer(9, b"\1" + int32(0) + b"\1\0" + _sized(packed([LEADER] * size)), tags=b"\0")


def leaders_again_of(size: int) -> bytes:
    return kafka.answer(9, b"\1" + int32(0) + varint(size) + TAG * size, tags=b"\0")


def _sized(data: bytes) -> bytes:
    return varint(len(data)) + data


ANSWERED: dict[str, tuple[bytes, Callable[[int], bytes], int]] = {
    "topics": (kafka.metadata(7), cluster_of, 1000),
    "brokers": (kafka.metadata(7), brokers_of, 2000),
    "coordinators": (kafka.find_coordinator(7, ["g"]), coordinators_of, 2000),
    "new leaders": (PRODUCED_TO, leaders_of, 2000),
    "new leaders, in tag after tag": (PRODUCED_TO, leaders_again_of, 1000),
    "versions": (kafka.api_versions(7), lambda size: kafka.offered(9, [(0, 0, 99), (99, 0, 1)] * size), 1000),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_answers_that_are_rewritten_cost_what_they_are(name: str) -> None:
    asked, answer, size = ANSWERED[name]

    def job(size: int) -> Iterator[Callable[[], object]]:
        client = kafka_client()
        server = Kafka().session(Side.SERVER, 4 * MEBI)
        (message,) = client.receive(asked)
        server.send(message, 9)
        (told,) = server.receive(answer(size))
        told = told.with_frame(CountedBytes(told.frame))
        yield partial(client.send, told, 7)

    linear.check_linear(job, size, True)


@pytest.mark.parametrize("name", ["partitions", "tags", "tags that are hidden"])
def test_pieces_of_an_answer_cost_what_they_are_behind_which_leaders_are_named(name: str) -> None:
    partition = int32(0) + short(6) + bytes(24) + b"\0" + int32(-1) + compact(b"records") + b"\0"

    def answer(size: int) -> bytes:
        partitions = size if name == "partitions" else 2000
        tags = {"partitions": b"", "tags": b"\7\1x" * size, "tags that are hidden": b"\0\1x" * size}[name]
        topic = kafka.ORDERS + packed([partition] * partitions) + b"\0"
        return kafka.answer(9, bytes(10) + packed([topic]) + varint(len(tags) // 3) + tags, tags=b"\0")

    def job(size: int) -> Iterator[Callable[[], object]]:
        client = kafka_client()
        server = Kafka(stream_over=Bytes(1 << 16)).session(Side.SERVER, 4 * MEBI)
        (message,) = client.receive(kafka.request(kafka.FETCH, 16, 9, b"", tags=b"\0"))
        server.send(message, 9)
        for one in server.receive(answer(size)):
            yield partial(client.send, one, 9)

    linear.check_linear(job, 8000)


def test_topics_that_are_forgotten_for_others_cost_what_they_are() -> None:
    form = schema.response(kafka.METADATA, 12)
    assert form is not None

    def job(size: int) -> Iterator[Callable[[], object]]:
        ids = TopicIds(100)
        yield partial(ids.read, CountedBytes(cluster_of(size)), 9, form)

    linear.check_linear(job, 1000, True)


@pytest.mark.parametrize("make", [metadata_of, fetch_of, produce_of])
def test_errors_that_repeat_a_request_cost_what_it_is(make: Callable[[int], bytes]) -> None:
    def job(size: int) -> Iterator[Callable[[], object]]:
        (message,) = kafka_client().receive(CountedBytes(make(size)))
        yield partial(Kafka().reply, message, ErrorKind.DENIED, "no")

    linear.check_linear(job, 500, True)


def test_what_waits_on_a_channel_for_the_end_of_a_content_costs_what_it_is() -> None:
    """A filter still has the content: what follows it is sent behind it."""

    def job(size: int) -> Iterator[Callable[[], object]]:
        client, server = amqp_client(), amqp_server()
        head, *chunks = client.receive(amqp.published(bytes(200_000)))
        server.send(head, head.id)
        waiting: list[Message] = client.receive(amqp.published() * size)
        for message in waiting:
            yield partial(server.send, message, message.id)
        for chunk in chunks:
            yield partial(server.send, chunk, head.id)

    linear.check_linear(job, 400, True)
