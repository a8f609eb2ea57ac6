"""Copies of what clients produce: what another cluster gets, and how its leaders are found."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from harness import Stage
from kafka_words import (
    METADATA,
    PRODUCE,
    answer,
    api_versions,
    array,
    batch,
    cluster,
    compact,
    fetch,
    int32,
    int64,
    metadata,
    packed,
    produce,
    produce_by_id,
    produced,
    record,
    request,
    short,
    text,
)

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.codecs.kafka import Kafka
from metaproxy.codecs.kafka.copies import KafkaCopies
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Reply, Side
from metaproxy.proxy.layout import LayoutMonitor
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.mirror_target import MirrorTarget
from metaproxy.testing.stage import Wire

MAX = 1 << 20
PLAIN = batch(record(b"one"), record(b"two"))


def asked(frame: bytes, codec: Kafka | None = None) -> Message:
    """The request that a client's bytes are."""
    (message,) = (codec or Kafka()).session(Side.CLIENT, MAX).receive(frame)
    return message


def copied(frame: bytes, codec: Kafka | None = None) -> list[tuple[bytes, object]]:
    """The copies of what a client sends: their bytes, and the partition that each is for."""
    codec = codec or Kafka()
    return [(one.frame, one.override_key) for one in codec.mirror.copied(asked(frame, codec))]


def copy(id: int, topic: str, partition: int, records: bytes, client: bytes | None = b"app") -> bytes:
    """Version 10."""
    topics = packed([compact(topic) + packed([int32(partition) + compact(records) + b"\0"]) + b"\0"])
    return request(PRODUCE, 10, id, b"\0" + short(1) + int32(30000) + topics + b"\0", client, tags=b"\0")


def of_a_producer(records: bytes, attributes: int = 0, id: int = 5, epoch: int = 1, sequence: int = 7) -> bytes:
    """A batch of a producer that has an id."""
    head = short(attributes) + records[23:43] + int64(id) + short(epoch) + int32(sequence)
    return records[:21] + head + records[57:]


def test_each_partition_is_a_copy_of_its_own() -> None:
    frame = produce(7, {"orders": [PLAIN, PLAIN + PLAIN], "bills": [PLAIN]}, acks=-1)
    assert copied(frame) == [
        (copy(1, "orders", 0, PLAIN), (b"orders", 0)),
        (copy(1, "orders", 1, PLAIN + PLAIN), (b"orders", 1)),
        (copy(1, "bills", 0, PLAIN), (b"bills", 0)),
    ]


def test_a_copy_is_answered_whatever_its_client_wants() -> None:
    message = asked(produce(7, {"orders": [PLAIN]}, acks=0))
    (made,) = KafkaCopies(MAX).copied(message)
    assert (message.kind, made.kind) == (Kind.ONEWAY, Kind.REQUEST)
    assert made.frame == copy(1, "orders", 0, PLAIN)
    assert made.get("topics") == "orders"


@pytest.mark.parametrize("compression", [0, 1, 4])
def test_a_copy_is_of_no_producer_and_no_transaction(compression: int) -> None:
    ours = batch(record(b"one"), compression=compression)
    theirs = of_a_producer(ours, compression | 16)
    ((frame, _),) = copied(produce(7, {"orders": [theirs]}, transaction=b"move"))
    (found,) = [frame[at:] for at in [frame.index(ours[:12])]]
    assert (found[:17], found[21 : len(ours)]) == (ours[:17], ours[21:])
    assert found[17:21] != theirs[17:21], "the sum is another one"


def test_topics_that_are_named_by_ids_have_their_names() -> None:
    id = bytes(range(100, 116))
    codec = Kafka()
    with pytest.raises(FrameError, match=r"the topic with the id 6465.* is not known"):
        copied(produce_by_id(7, id, PLAIN), codec)
    client, server = codec.session(Side.CLIENT, MAX), codec.session(Side.SERVER, MAX)
    (message,) = client.receive(metadata(6))
    server.send(message, 8)
    (told,) = server.receive(cluster(8, [], [("orders", id)]))
    client.send(told, 6)
    assert copied(produce_by_id(7, id, PLAIN), codec) == [(copy(1, "orders", 0, PLAIN), (b"orders", 0))]


def test_a_tenants_topics_have_the_names_that_brokers_know() -> None:
    ((frame, key),) = copied(produce(7, {"orders": [PLAIN]}), Kafka(prefix="blue."))
    assert (frame, key) == (copy(1, "blue.orders", 0, PLAIN), (b"blue.orders", 0))


def test_what_is_no_produce_is_not_copied() -> None:
    for frame in (fetch(7), api_versions(7)):
        assert copied(frame) == []


def test_control_batches_and_partitions_without_records_are_not_copied() -> None:
    control = of_a_producer(batch(record(b"commit")), 32 | 16)
    assert copied(produce(7, {"orders": [control, b"", control + PLAIN]})) == [
        (copy(1, "orders", 2, PLAIN), (b"orders", 2))
    ]


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (PLAIN[:60], "a batch of 60 bytes; it has 61 at least"),
        (PLAIN[:-1], f"a batch of {len(PLAIN)} bytes in {len(PLAIN) - 1}"),
        (PLAIN[:8] + int32(-5) + PLAIN[12:], "a batch of 7 bytes in"),
        (PLAIN[:16] + b"\1" + PLAIN[17:], "records of the format 1, which is not copied; 2 is"),
        (batch() * 1001, "more than 1000 batches"),
    ],
)
def test_records_that_no_broker_would_take_are_not_copied(records: bytes, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        copied(produce(7, {"orders": [records]}))


def test_what_passes_piece_by_piece_is_not_copied() -> None:
    codec = Kafka(stream_over=65536)  # type: ignore[arg-type]
    large = produce(7, {"orders": [batch(record(bytes(1 << 17)))]})
    head = codec.session(Side.CLIENT, MAX).receive(large[:70000])[0]
    assert head.kind is Kind.STREAM_OPEN
    with pytest.raises(FrameError, match="which passes piece by piece"):
        KafkaCopies(65536).copied(head)
    many = produce(7, {"orders": [PLAIN[:61]] * 1001})
    with pytest.raises(FrameError, match="a Produce for 1001 partitions; 1000 are copied"):
        KafkaCopies(65536).copied(asked(many))
    with pytest.raises(FrameError, match="Produce in version 2, which is not copied"):
        KafkaCopies(65536).copied(Message(Kind.REQUEST, request(PRODUCE, 2, 7, b"")))


def test_its_sessions_are_those_of_brokers_alone() -> None:
    codec = KafkaCopies(MAX)
    with pytest.raises(ValueError, match="to brokers alone"):
        codec.session(Side.CLIENT, MAX)
    assert codec.probe().get("api") == "ApiVersions"
    assert codec.reply(codec.probe(), ErrorKind.DENIED, "") == b""


# -- leaders

BROKERS = [(1, "10.0.0.1", 9092), (2, "10.0.0.2", 9092)]
ONE, TWO = (f"{host}:{port}" for _, host, port in BROKERS)
NOT_LEADER, TOO_LARGE, UNKNOWN = 6, 10, 3


def led_elsewhere(id: int, error: int, leader: int, nodes: Sequence[tuple[int, str, int]] = BROKERS) -> bytes:
    """The answer to a copy, in version 10, that names the leader."""
    named = int32(leader) + int32(3) + b"\0"
    tags = b"\1\0" + bytes([len(named)]) + named
    one = int32(0) + short(error) + int64(-1) * 2 + int64(-1) + packed([]) + compact(None) + tags
    listed = packed([int32(node) + compact(host) + int32(port) + compact(None) + b"\0" for node, host, port in nodes])
    ends = b"\1\0" + bytes([len(listed)]) + listed
    return answer(id, packed([compact("orders") + packed([one]) + b"\0"]) + int32(0) + ends, tags=b"\0")


class Mirrored(Stage):
    """A broker, whose listener's produced records are copied to two others, of which a third address tells."""

    def __init__(self, **hooks: Any) -> None:
        super().__init__(Kafka(), hooks=hooks)
        assert isinstance(self.codec, Kafka)
        self.shadow = Cluster("shadow", self.codec.mirror, [Endpoint("10.0.0.9:1")], RoundRobin, request_timeout=5.0)
        self.target = MirrorTarget(self.shadow)
        self.snapshot.routes.routes[0].mirror = Mirror([self.target], lambda: 0.0)
        self.monitor = LayoutMonitor("brokers", "", 10.0, 100, ("10.0.0.9:1",), self.clock)
        self.monitor.start(self.shadow, self.network)
        self.clock.advance(0)
        seed = self.network.upstreams[-1]
        assert seed.take() == request(METADATA, 1, 1, array([]), client=b"metaproxy")
        brokers = [int32(node) + text(host) + int32(port) + short(-1) for node, host, port in BROKERS]
        self.say(seed, answer(1, array(brokers) + int32(1) + array([])))

    def at(self, peer: str) -> Wire:
        """The last connection to that broker of the mirror's."""
        return [one for one in self.network.upstreams if one.peer == peer][-1]

    def asked(self) -> str:
        """Which of them has got something to answer; it is taken."""
        (found,) = [one.peer for one in self.network.upstreams if one.peer in (ONE, TWO) and one.take()]
        return found

    @property
    def counts(self) -> dict[str, int]:
        found = {name: getattr(self.target.counts, name) for name in type(self.target.counts).__slots__}
        return {name: number for name, number in found.items() if number}


def test_a_copy_follows_to_the_leader_and_the_next_ones_go_there_at_once() -> None:
    town = Mirrored()
    client = town.client()
    town.say(client, produce(7, {"orders": [PLAIN]}))
    first = town.asked()
    leader, number = (TWO, 2) if first == ONE else (ONE, 1)
    town.say(town.at(first), led_elsewhere(1, NOT_LEADER, number))
    assert town.at(leader).take() == copy(1, "orders", 0, PLAIN)
    town.say(town.at(leader), produced(1, {"orders": [0]}))
    for id in range(2, 6):
        town.say(client, produce(7 + id, {"orders": [PLAIN]}))
        assert town.asked() == leader
        town.say(town.at(leader), produced(id, {"orders": [0]}))
    assert town.counts == {"requests": 5}
    assert (town.target.copies, town.shadow.breaker.requests) == (0, 0)


def test_a_leader_that_leads_no_more_is_looked_for_again() -> None:
    town = Mirrored()
    client = town.client()
    town.say(client, produce(7, {"orders": [PLAIN]}))
    first = town.asked()
    town.say(town.at(first), produced(1, {"orders": [0]}))
    town.say(client, produce(8, {"orders": [PLAIN]}))
    assert town.asked() == first
    other, number = (TWO, 2) if first == ONE else (ONE, 1)
    town.say(town.at(first), led_elsewhere(2, NOT_LEADER, number))
    town.say(town.at(other), produced(1, {"orders": [0]}))
    assert town.at(other).take() == copy(1, "orders", 0, PLAIN)
    town.say(client, produce(9, {"orders": [PLAIN]}))
    assert town.asked() == other


@pytest.mark.parametrize(
    "said",
    [
        led_elsewhere(1, NOT_LEADER, 2, BROKERS[:1]),
        led_elsewhere(1, NOT_LEADER, -1),
        produced(1, {"orders": [UNKNOWN]}),
        led_elsewhere(1, TOO_LARGE, 2),
    ],
)
def test_an_error_that_leads_nowhere_is_a_failure(said: bytes) -> None:
    town = Mirrored()
    town.say(town.client(), produce(7, {"orders": [PLAIN]}))
    town.say(town.at(town.asked()), said)
    assert town.counts == {"requests": 1, "failures": 1}
    assert town.target.copies == 0


def test_brokers_that_send_a_copy_to_and_fro_get_it_a_few_times() -> None:
    town = Mirrored()
    town.say(town.client(), produce(7, {"orders": [PLAIN]}))
    sent = 1
    here = town.asked()
    for id in (1, 1, 2, 2, 3, 3):
        town.say(town.at(here), led_elsewhere(id, NOT_LEADER, 2 if here == ONE else 1))
        if town.target.copies == 0:
            break
        sent, here = sent + 1, town.asked()
    assert (sent, town.counts) == (6, {"requests": 1, "failures": 1})


def test_a_lost_leader_costs_the_copies_that_it_had_and_no_more() -> None:
    town = Mirrored()
    client = town.client()
    town.say(client, produce(7, {"orders": [PLAIN]}))
    leader = town.asked()
    town.say(town.at(leader), produced(1, {"orders": [0]}))
    town.say(client, produce(8, {"orders": [PLAIN]}))
    assert town.asked() == leader
    town.at(leader).end()
    assert town.counts == {"requests": 2, "failures": 1}
    other = ONE if leader == TWO else TWO
    town.shadow.update([one for one in town.shadow.endpoints if one.address == other])
    town.say(client, produce(9, {"orders": [PLAIN]}))
    assert town.asked() == other


def test_a_leader_that_left_the_cluster_is_asked_no_more() -> None:
    town = Mirrored()
    client = town.client()
    town.say(client, produce(7, {"orders": [PLAIN]}))
    leader = town.asked()
    town.say(town.at(leader), produced(1, {"orders": [0]}))
    other = ONE if leader == TWO else TWO
    town.shadow.update([one for one in town.shadow.endpoints if one.address == other])
    town.say(client, produce(8, {"orders": [PLAIN]}))
    assert (town.asked(), town.counts) == (other, {"requests": 2})


def test_the_client_hears_its_own_broker_alone() -> None:
    town = Mirrored()
    client = town.client()
    town.say(client, produce(7, {"orders": [PLAIN]}))
    town.say(town.at(town.asked()), produced(1, {"orders": [UNKNOWN]}))
    assert client.take() == b""
    (main,) = [one for one in town.network.upstreams if one.peer == "127.0.0.1:1000"]
    town.say(main, produced(1, {"orders": [0]}))
    assert client.take() == produced(7, {"orders": [0]})
    assert struct.unpack_from(">i", main.take(), 8) == (1,)


def test_what_a_filter_refuses_is_not_copied_and_the_rest_is() -> None:
    def deny(exchange: Any) -> Reply:
        return Reply(ErrorKind.DENIED, "no", only={"topics": ["secret"]})

    town = Mirrored(on_request=(deny,))
    client = town.client()
    town.say(client, produce(7, {"orders": [PLAIN], "secret": [PLAIN]}))
    assert town.at(ONE if town.shadow.endpoints[0].active else TWO).take() == copy(1, "orders", 0, PLAIN)
    town.say(client, produce(8, {"secret": [PLAIN]}))
    assert town.counts == {"requests": 1}
