"""Kafka through the data path: brokers that one of them tells of, doors, errors, quotas."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Stage
from kafka_words import (
    METADATA,
    answer,
    array,
    cluster,
    coordinators,
    fetch,
    find_coordinator,
    int32,
    int64,
    metadata,
    produce,
    produced,
    request,
    short,
    text,
)

from metaproxy.codecs.kafka import Kafka, schema
from metaproxy.filters.fault.filter import fault
from metaproxy.filters.rate_limit.quota import Quota
from metaproxy.filters.rbac import Rbac
from metaproxy.message import ErrorKind, Reply
from metaproxy.proxy.doors import PortDoors
from metaproxy.proxy.layout import LayoutMonitor
from metaproxy.support import addresses as address
from metaproxy.support.compiled import running
from metaproxy.testing.stage import Wire
from metaproxy.units import Bytes

SEED, ONE, TWO = "127.0.0.1:1000", "10.0.0.1:9092", "10.0.0.2:9092"
BROKERS = [(1, "10.0.0.1", 9092), (2, "10.0.0.2", 9092)]
DOORS = PortDoors([address.parse("127.0.0.1:80")], range(9100, 9110), "proxy.example")
QUESTION = request(METADATA, 1, 1, array([]), client=b"metaproxy")


class Town(Stage):
    """Two brokers, of which a third address tells."""

    def __init__(self, **hooks: Any) -> None:
        super().__init__(Kafka(), doors=DOORS, hooks=hooks)
        self.monitor = LayoutMonitor("brokers", "", 10.0, 100, (SEED,), self.clock)
        self.monitor.start(self.cluster, self.network)
        self.clock.advance(0)
        (seed,) = self.network.upstreams
        assert (seed.peer, seed.take()) == (SEED, QUESTION)
        brokers = [int32(node) + text(host) + int32(port) + short(-1) for node, host, port in BROKERS]
        self.say(seed, answer(1, array(brokers) + int32(1) + array([])))

    def come(self, host: str) -> Wire:
        wire = Wire(host, "127.0.0.9:4321")
        wire.protocol = self.listener.accepted(wire)
        wire.protocol.makeConnection(wire)
        return wire

    def broker(self) -> Wire:
        """The one that was asked last."""
        return self.network.upstreams[-1]


def test_a_client_gets_to_know_brokers_by_their_doors_and_is_served_by_them() -> None:
    town = Town()
    first = town.come("127.0.0.1:80")
    town.say(first, metadata(7))
    assert town.broker().peer in (ONE, TWO)
    town.say(town.broker(), cluster(1, BROKERS))
    assert first.take() == cluster(7, [(1, "proxy.example", 9101), (2, "proxy.example", 9102)])
    for door, peer in ((9101, ONE), (9102, TWO)):
        town.say(town.come(f"127.0.0.1:{door}"), fetch(8))
        assert (town.broker().peer, town.broker().take()) == (peer, fetch(1))


def test_the_door_of_a_broker_that_is_not_there_closes_as_a_lost_broker_does() -> None:
    town = Town()
    client = town.come("127.0.0.1:9105")
    town.say(client, fetch(8))
    assert (client.take(), client.closed) == (b"", True)


def test_a_lost_broker_closes_its_clients_connections() -> None:
    town = Town()
    client = town.come("127.0.0.1:9101")
    town.say(client, fetch(8))
    town.broker().end()
    town.clock.advance(0)
    assert (client.take(), client.closed) == (b"", True)


def test_who_is_refused_hears_it_in_the_order_of_what_was_asked() -> None:
    def deny(exchange: Any) -> Reply | None:
        return Reply(ErrorKind.DENIED, "no") if exchange.get("topics") == "secret" else None

    town = Town(on_request=(deny,))
    client = town.come("127.0.0.1:9101")
    town.say(client, produce(7, {"orders": [b"r"]}) + produce(8, {"secret": [b"r"]}))
    assert client.take() == b""
    town.say(town.broker(), produced(1, {"orders": [0]}))
    said = client.take()
    ours = produced(7, {"orders": [0]})
    assert said.startswith(ours) and short(29) in said[len(ours) :]


def test_who_is_over_its_quota_is_told_so_and_waits() -> None:
    stage = Town()
    quota = Quota(stage.clock, bytes=Bytes(200), per=1.0, of="requests", delay_key="throttle_time_ms")  # type: ignore[arg-type]
    hooks = {name: (getattr(quota, name),) for name in ("on_request", "on_response", "on_complete")}
    town = Town(**hooks)
    quota_clock = stage.clock
    client = town.come("127.0.0.1:9101")
    first = produce(7, {"orders": [bytes(300)]})
    town.say(client, first)
    town.say(town.broker(), produced(1, {"orders": [0]}))
    owed = (len(first) - 200) * 5
    assert client.take() == produced(7, {"orders": [0]}, throttle=owed)
    town.broker().take()
    town.say(client, fetch(8))
    assert town.broker().take() == b""
    quota_clock.advance(owed / 1000)
    town.clock.advance(0)
    assert town.broker().take() == fetch(2)


@pytest.mark.skipif(running() == "compiled", reason="a method of what is compiled can not be replaced")
def test_the_log_calls_brokers_by_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[Any] = []
    monkeypatch.setattr("metaproxy.cluster.cluster.Cluster.tell", lambda cluster, text: lines.append(text))
    Town()
    assert lines == [f"2 servers: {ONE} is node 1, {TWO} is node 2"]


# -- what is refused in part


SECRET = Rbac(policies={"secret": {"action": "deny", "permissions": [{"topics": "secret"}, {"groups": "secret"}]}})


def guarded(*, over: int = 1 << 20, hook: Any = SECRET.on_request) -> Stage:
    return Stage(Kafka(stream_over=Bytes(over)), hooks={"on_request": (hook,)})


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("acks", [-1, 0])
def test_a_large_produce_goes_on_without_the_topic_that_is_refused(place: int, acks: int) -> None:
    stage = guarded(over=65536)
    names = ["orders", "bills"]
    names.insert(place, "secret")
    topics = {name: [name.encode() * (20_000 if name == names[-1] else 1)] for name in names}
    client = stage.client()
    sent = produce(7, topics, acks=acks)
    assert len(sent) > 65536
    for at in range(0, len(sent), 30_000):
        stage.say(client, sent[at : at + 30_000])
    del topics["secret"]
    assert stage.server.take() == produce(1, topics, acks=acks)
    if acks:
        stage.say(stage.server, produced(1, {"orders": [0], "bills": [0]}))
        said = client.take()
        assert b"secret" in said and short(schema.ERRORS["TOPIC_AUTHORIZATION_FAILED"]) in said and b"orders" in said
    stage.say(client, produce(8, {"orders": [b"next"]}))
    assert stage.server.take() == produce(2, {"orders": [b"next"]}), "and the connection goes on"


def test_a_client_of_two_groups_is_told_of_the_one_that_it_may_not_have() -> None:
    stage = guarded()
    client = stage.client()
    stage.say(client, find_coordinator(7, ["billing", "secret"]))
    assert stage.server.take() == find_coordinator(1, ["billing"])
    stage.say(stage.server, coordinators(1, [("billing", 1, "h", 9092)]))
    said = client.take()
    assert (
        said.index(b"secret") < said.index(short(schema.ERRORS["GROUP_AUTHORIZATION_FAILED"])) < said.index(b"billing")
    )


def test_a_transaction_that_gets_nothing_is_answered_by_the_proxy() -> None:
    ends: list[tuple[str, str]] = []
    stage = guarded()
    stage.route.on_complete = (lambda exchange: ends.append((exchange.outcome, exchange.details)),)
    client = stage.client()
    body = text("tx") + int64(1) + short(0) + array([text(name) + array([int32(0)]) for name in ("orders", "secret")])
    stage.say(client, request(24, 0, 7, body))
    denied, beside = (schema.ERRORS[name] for name in ("TOPIC_AUTHORIZATION_FAILED", "OPERATION_NOT_ATTEMPTED"))
    assert client.take() == answer(
        7,
        int32(0)
        + array(
            [
                text("orders") + array([int32(0) + short(beside)]),
                text("secret") + array([int32(0) + short(denied)]),
            ]
        ),
    )
    assert not stage.network.upstreams or stage.server.take() == b""
    assert ends == [("denied", "rbac_access_denied_matched_policy[secret]")]


def test_a_fault_hits_some_partitions_and_the_others_are_written() -> None:
    stage = Stage(Kafka())
    entry = {"percentage": 50, "each": "partitions", "error": {"name": "NOT_LEADER_OR_FOLLOWER"}}
    stage.route.on_request = (fault([entry], stage.clock, seed=3).on_request,)
    client = stage.client()
    stage.say(client, produce(7, {"orders": [b"%d" % number for number in range(8)]}))
    asked = stage.server.take()
    left = [number for number in range(8) if b"\2%d\0" % number in asked]
    assert 0 < len(left) < 8
    stage.say(stage.server, produced(1, {"orders": [0]}))
    said = client.take()
    assert said.count(short(schema.ERRORS["NOT_LEADER_OR_FOLLOWER"]) + int64(0)) == 8 - len(left)


def list_offsets(id: int, topics: dict[str, range]) -> bytes:
    """Version 1."""
    listed = [text(name) + array([int32(one) + int64(-1) for one in numbers]) for name, numbers in topics.items()]
    return request(2, 1, id, int32(-1) + array(listed))


def test_a_rule_on_partitions_refuses_these_alone() -> None:
    rule = Rbac(policies={"one": {"action": "deny", "permissions": [{"partitions": {"in": ["orders-1", "bills-0"]}}]}})
    stage = guarded(hook=rule.on_request)
    stage.say(stage.client(), list_offsets(7, {"orders": range(3), "bills": range(1)}))
    assert stage.server.take() == request(2, 1, 1, int32(-1) + array([text("orders") + array([
        int32(0) + int64(-1), int32(2) + int64(-1)
    ])]))  # fmt: skip


def large(bills: list[bytes], orders: list[bytes], acks: int) -> bytes:
    """What is sent of a large Produce where a rule refuses bills-0 and orders-1; b"" where the client is closed."""
    denied = {"action": "deny", "permissions": [{"partitions": {"in": ["bills-0", "orders-1"]}}]}
    stage = guarded(over=65536, hook=Rbac(policies={"two": denied}).on_request)
    topics = {name: records for name, records in (("bills", bills), ("orders", orders)) if records}
    client = stage.client()
    stage.say(client, produce(7, topics, acks=acks))
    assert client.closed != bool(stage.network.upstreams)
    return b"" if client.closed else stage.server.take()


@pytest.mark.parametrize("acks", [-1, 0])
def test_a_rule_on_partitions_refuses_those_of_a_large_produce_whose_head_names_all(acks: int) -> None:
    most = bytes(100_000)
    assert large([], [most], acks) == produce(1, {"orders": [most]}, acks=acks), "it may have all of it"
    assert large([b"r"], [most], acks) == produce(1, {"orders": [most]}, acks=acks)
    assert large([], [b"r", most], acks) == produce(1, {"orders": [b"r"]}, acks=acks)


@pytest.mark.parametrize("acks", [-1, 0])
@pytest.mark.parametrize("orders", [[bytes(100_000), b"r"], [bytes(100_000), bytes(100_000), b"r"]])
def test_a_rule_on_partitions_refuses_all_of_a_large_produce_whose_head_does_not_name_them_all(
    orders: list[bytes], acks: int
) -> None:
    for bills in ([], [b"r"]):
        assert large(bills, orders, acks) == b""


def test_of_a_rule_on_topics_partitions_are_no_matter_however_many_there_are() -> None:
    """What is judged one by one is bounded: by topics here."""
    stage = guarded()
    many = {f"t{number}": range(300) for number in range(90)}
    stage.say(stage.client(), list_offsets(7, {**many, "secret": range(1)}))
    assert stage.server.take() == list_offsets(1, many)


def test_a_broker_cannot_answer_before_all_came_of_what_is_left_out() -> None:
    """What is refused comes last: but for a byte the broker has all that it gets with the head."""
    stage = guarded(over=65536)
    client = stage.client()
    sent, left = produce(7, {"orders": [b"r"], "secret": [bytes(300_000)]}), produce(1, {"orders": [b"r"]})
    stage.say(client, sent[:100_000])
    assert stage.server.take() == left[:-1]
    stage.say(client, sent[100_000:200_000])
    assert stage.server.take() == b""
    stage.say(client, sent[200_000:])
    assert stage.server.take() == left[-1:]
    stage.say(stage.server, produced(1, {"orders": [0]}))
    said = client.take()
    assert b"secret" in said and b"orders" in said and not client.closed
    stage.say(client, produce(8, {"orders": [b"next"]}))
    assert stage.server.take() == produce(2, {"orders": [b"next"]})


def test_a_client_that_leaves_amid_what_is_left_out_takes_its_request_with_it() -> None:
    stage = guarded(over=65536)
    client = stage.client()
    stage.say(client, produce(7, {"orders": [b"r"], "secret": [bytes(300_000)]})[:100_000])
    client.end()
    assert stage.server.take() == produce(1, {"orders": [b"r"]})[:-1] and stage.server.closed
