"""
Apache Kafka behind the proxy: clients in five ways reach its three brokers by the proxy alone.

Lives here: what applications do with Kafka, through ports of the proxy that stand for brokers; rules that act on it.
Does not: logins at the proxy and TLS (test_kafka_users.py); a broker that is lost (test_kafka_exactly_once.py).
"""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
from catalogue import KAFKA_CLIENTS
from kafka_peers import Brokers, Run, done, ports_in_a_row
from kafka_words import FETCH, array, int32, int64, request, text
from proxied import Proxy, listener
from running import PEERS, eventually, free_port

pytestmark = pytest.mark.peer("kafka")
sys.path.append(str(PEERS / "python" / "kafka"))
DENIED = {
    "action": "deny",
    "permissions": [
        *({"topics": {"prefix": f"{tenant}denied-"}} for tenant in ("", "blue.")),
        {"groups": {"prefix": "denied-"}},
        {"transactional_ids": {"prefix": "denied-"}},
    ],
}
"""Rules see names as the brokers have them."""
LOST = {
    "match": {"api": "Produce", "topics": {"prefix": "lost-"}}, "every": 3, "percentage": 100,
    "error": {"name": "NOT_LEADER_OR_FOLLOWER", "message": "fault"},
}  # fmt: skip
UNPAID = {
    "match": {"headers.tenant": "unpaid"}, "percentage": 100, "error": {"name": "POLICY_VIOLATION", "message": "fault"},
}  # fmt: skip
FEW = {
    "bytes": "100KiB", "of": "requests", "key": "client_id", "delay_key": "throttle_time_ms",
    "match": {"api": "Produce", "topics": {"prefix": "few-"}},
}  # fmt: skip
FEW_READ = {**FEW, "of": "answers", "match": {"api": "Fetch", "topics": {"prefix": "few-"}}}


class Mesh(NamedTuple):
    """
    hidden: a listener before brokers that give addresses that do not exist; told: before such as give their own; blue,
    red: tenants of these.
    """

    brokers: Brokers
    proxy: Proxy
    hidden: str
    told: str
    blue: str
    red: str


@pytest.fixture(scope="module")
def mesh(kafka_brokers: Brokers, shared_proxy: Callable[..., Proxy]) -> Mesh:
    brokers = kafka_brokers
    ports = {name: ports_in_a_row(5) for name in ("hidden", "told", "blue", "red")}
    spoken = {name: {"name": "kafka", "prefix": f"{name}."} for name in ("blue", "red")}
    endpoints = [
        {"address": f"127.0.0.1:{port}", "metadata": {"node": str(number)}}
        for number, port in enumerate(brokers.ports["HIDDEN"], 1)
    ]
    told = brokers.bootstrap().split(",")
    filters: list[dict[str, Any]] = [{"rbac": {"policies": {"denied": DENIED}}}, {"fault": {"faults": [LOST, UNPAID]}}]
    filters += [{"quota": FEW}, {"quota": FEW_READ}]
    proxy = shared_proxy(
        {
            "listeners": [
                listener(
                    name, first, spoken.get(name, "kafka"), [{"cluster": "hidden" if name == "hidden" else "told"}],
                    nodes={"ports": f"{first + 1}-{first + 4}"},
                    filters=filters,
                )
                for name, first in ports.items()
            ],
            "clusters": [
                {"name": "hidden", "endpoints": endpoints, "health_check": {"kind": "codec", "interval": "500ms"}},
                {"name": "told", "endpoints": told[:1], "topology": "brokers", "topology_interval": "500ms"},
            ],
        }
    )  # fmt: skip
    return Mesh(brokers, proxy, *(f"127.0.0.1:{first}" for first in ports.values()))


@pytest.fixture(scope="module")
def runs(mesh: Mesh) -> Iterator[Mapping[str, Run]]:
    """All clients at once, each with names of its own."""
    found = [name for name in KAFKA_CLIENTS if not catalogue.missing(name)]
    started = {name: Run(name, bootstrap=mesh.hidden, prefix=name) for name in found}
    yield started
    for each in started.values():
        each.stop()


@pytest.mark.parametrize("client", [pytest.param(name, marks=pytest.mark.peer(name)) for name in KAFKA_CLIENTS])
def test_clients_do_what_they_do_with_brokers_and_see_no_address_of_one(runs: Mapping[str, Run], client: str) -> None:
    assert runs[client].result() == done(client)


# -- rules; librdkafka tells what it sees


def produced(bootstrap: str, topic: str, *values: bytes, **options: Any) -> int:
    """How many of the records were written, one request each."""
    from confluent_kafka import Producer

    written: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, **options})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: written.append(error))
        producer.flush(30)
    return written.count(None)


def consumed(bootstrap: str, topic: str, count: int, **options: Any) -> list[bytes]:
    """The first records of a topic's partition 0, at most so many."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "looks", **options})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[bytes] = []

    def read() -> bool:
        found.extend(one.value() for one in consumer.consume(count, 0.3))
        return len(found) >= count

    eventually(read, 20)
    consumer.close()
    return found


def created(bootstrap: str, topic: str) -> None:
    """A topic with one partition."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 3)])[topic].result(20)


def topics(bootstrap: str) -> set[str]:
    from confluent_kafka.admin import AdminClient

    return set(AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=20).topics)


@pytest.mark.peer("confluent-kafka")
def test_each_third_produce_fails_and_none_is_lost(mesh: Mesh) -> None:
    created(mesh.told, "lost-orders")
    values = [b"%d" % number for number in range(20)]
    assert produced(mesh.told, "lost-orders", *values, **{"enable.idempotence": True}) == 20
    assert consumed(mesh.told, "lost-orders", 20) == values
    assert mesh.proxy.counted("metaproxy_filter_events_total") >= 6


@pytest.mark.peer("confluent-kafka")
def test_a_client_of_two_topics_goes_on_with_the_one_that_it_may_have(mesh: Mesh) -> None:
    from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

    created(mesh.told, "allowed")
    created(mesh.brokers.bootstrap(), "denied-beside")
    both = ("denied-beside", "allowed")
    ended: dict[str, int | None] = {}
    once = {"enable.idempotence": True}  # a broker that has just got the topic may have to be asked twice
    producer = Producer({"bootstrap.servers": mesh.told, "linger.ms": 50, **once})
    for topic in both:
        producer.produce(
            topic, b"x", on_delivery=lambda error, one: ended.update({one.topic(): error.code() if error else None})
        )
    producer.flush(30)
    assert ended == {"allowed": None, "denied-beside": KafkaError.TOPIC_AUTHORIZATION_FAILED}
    consumer = Consumer({"bootstrap.servers": mesh.told, "group.id": "looks"})
    consumer.assign([TopicPartition(topic, 0, 0) for topic in both])
    seen: list[bytes] = []

    def read() -> bool:
        seen.extend(one.value() for one in consumer.consume(5, 0.3) if not one.error())
        return bool(seen)

    eventually(read, 20)
    consumer.close()
    assert seen == [b"x"]


@pytest.mark.peer("confluent-kafka")
def test_groups_and_transactions_that_are_denied_have_errors_of_their_own(mesh: Mesh) -> None:
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

    consumer = Consumer({"bootstrap.servers": mesh.told, "group.id": "denied-group"})
    consumer.subscribe(["any"])
    errors: list[int] = []

    def told() -> bool:
        found = consumer.poll(0.3)
        errors.extend([found.error().code()] if found is not None and found.error() is not None else [])
        return KafkaError.GROUP_AUTHORIZATION_FAILED in errors

    assert eventually(told, 20), errors
    consumer.close()
    producer = Producer({"bootstrap.servers": mesh.told, "transactional.id": "denied-writer"})
    with pytest.raises(KafkaException) as caught:
        producer.init_transactions(20)
    assert caught.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


@pytest.mark.peer("confluent-kafka")
def test_rules_look_at_the_headers_of_a_record(mesh: Mesh) -> None:
    from confluent_kafka import KafkaError, Producer

    created(mesh.told, "paid-orders")
    ended: list[int | None] = []
    producer = Producer({"bootstrap.servers": mesh.told, "linger.ms": 0})
    for tenant in (b"paid", b"unpaid", b"paid"):
        producer.produce(
            "paid-orders", tenant, headers={"tenant": tenant},
            on_delivery=lambda error, _: ended.append(error.code() if error else None),
        )  # fmt: skip
        producer.flush(30)
    assert ended == [None, KafkaError.POLICY_VIOLATION, None]
    assert consumed(mesh.brokers.bootstrap(), "paid-orders", 2) == [b"paid", b"paid"]


@pytest.mark.peer("confluent-kafka")
def test_a_record_s_trace_goes_on(
    mesh: Mesh, start_here: catalogue.Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    from confluent_kafka import Producer

    first, sink, file = ports_in_a_row(5), free_port(), tmp_path / "spans"
    start_here(catalogue.otlp_sink(sink, file))
    exported = {"exporter": "otlp", "url": f"http://127.0.0.1:{sink}/v1/traces", "interval": "50ms"}
    doors = {"nodes": {"ports": f"{first + 1}-{first + 4}"}}
    traced = listener("kafka", first, "kafka", [{"cluster": "kafka"}], tracing={"direction": "outbound"}, **doors)
    behind = {"name": "kafka", "endpoints": mesh.brokers.bootstrap().split(","), "topology": "brokers"}
    proxy({"tracing": exported, "listeners": [traced], "clusters": [behind]})
    created(mesh.told, "traced-orders")
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    producer = Producer({"bootstrap.servers": f"127.0.0.1:{first}"})
    producer.produce("traced-orders", b"x", headers={"traceparent": f"00-{trace}-{parent}-01"})
    assert producer.flush(30) == 0

    def spans() -> list[dict[str, Any]]:
        lines = file.read_text().splitlines() if file.exists() else []
        return [span for span in (json.loads(line)["span"] for line in lines) if span["traceId"] == trace]

    assert eventually(spans, 10)
    assert [(span["name"], span["parentSpanId"]) for span in spans()] == [("egress Produce", parent)]


@pytest.mark.peer("confluent-kafka")
def test_metrics_of_a_client_come_to_the_broker_that_wants_them(
    start_here: catalogue.Start, proxy: Callable[..., Proxy]
) -> None:
    from confluent_kafka import Producer

    broker = start_here(catalogue.python_command("kafka/telemetry_broker.py", "kafka"), ready=lambda: True)
    assert eventually(lambda: re.search(r"^broker (127\.0\.0\.1:\d+)$", broker.text(), re.M), 20), broker.text()
    found = re.search(r"^broker (.*)$", broker.text(), re.M)
    assert found is not None
    first = ports_in_a_row(3)
    doors = {"nodes": {"ports": f"{first + 1}-{first + 2}"}}
    behind = {"name": "kafka", "endpoints": [{"address": found[1], "metadata": {"node": "1"}}]}
    proxy({"listeners": [listener("kafka", first, "kafka", [{"cluster": "kafka"}], **doors)], "clusters": [behind]})
    producer = Producer({"bootstrap.servers": f"127.0.0.1:{first}"})
    producer.produce("any", b"x")
    assert producer.flush(30) == 0
    assert eventually(lambda: "org.apache.kafka.producer.connection.creation.total" in broker.text(), 20)


def fetched(address: str, session: int, epoch: int, *topics: str) -> tuple[int, int]:
    """The error of a Fetch on a connection of its own, and the session that it is told."""
    host, _, port = address.rpartition(":")
    wanted = [text(one) + array([int32(0) + int32(-1) + int64(0) + int64(-1) + int32(1 << 20)]) for one in topics]
    head = int32(-1) + int32(500) + int32(1) + int32(1 << 20) + b"\0" + int32(session) + int32(epoch)
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.sendall(request(FETCH, 11, 1, head + array(wanted) + array([]) + text("")))
        size, _, _, error, told = struct.unpack(">iiihi", connection.recv(18, socket.MSG_WAITALL))
        connection.recv(size - 14, socket.MSG_WAITALL)
    return error, told


@pytest.mark.peer("confluent-kafka")
def test_a_session_that_another_client_has_begun_gives_no_records(mesh: Mesh) -> None:
    from confluent_kafka.admin import AdminClient

    created(mesh.told, "sessions")
    assert produced(mesh.told, "sessions", b"x") == 1
    leader = AdminClient({"bootstrap.servers": mesh.told}).list_topics("sessions", 20).topics["sessions"].partitions[0]
    host, _, first = mesh.told.rpartition(":")
    door = f"{host}:{int(first) + 1 + leader.leader}"
    error, session = fetched(door, 0, 0, "sessions")
    assert (error, session != 0) == (0, True)
    assert fetched(door, session, 1)[0] == 70, "FETCH_SESSION_ID_NOT_FOUND"
    direct = mesh.brokers.bootstrap().split(",")[leader.leader - 1]
    assert fetched(direct, session, 1) == (0, session), "a broker itself asks who it is, and not whose session"


def test_brokers_are_asked_for_their_versions_to_see_whether_they_serve(mesh: Mesh) -> None:
    stats = mesh.proxy.stats()
    assert stats['metaproxy_cluster_health_checks_total{cluster="hidden"}'] >= 3
    assert stats['metaproxy_cluster_health_check_failures_total{cluster="hidden"}'] == 0


@pytest.mark.peer("confluent-kafka")
def test_who_produces_or_fetches_more_than_its_quota_is_asked_to_wait(mesh: Mesh) -> None:
    created(mesh.told, "few-orders")
    told: list[float] = []
    about = {"client.id": "busy", "throttle_cb": lambda event: told.append(event.throttle_time)}
    assert produced(mesh.told, "few-orders", *[b"x" * 60_000] * 4, **about) == 4
    assert max(told) > 0
    told.clear()
    assert len(consumed(mesh.told, "few-orders", 4, **about)) == 4
    assert max(told) > 0


@pytest.mark.peer("confluent-kafka")
def test_records_that_nobody_acknowledges_arrive(mesh: Mesh) -> None:
    created(mesh.hidden, "unasked")
    assert produced(mesh.hidden, "unasked", b"1", b"2", b"3", acks=0) == 3
    assert consumed(mesh.hidden, "unasked", 3) == [b"1", b"2", b"3"]


@pytest.mark.peer("confluent-kafka")
def test_tenants_have_names_of_their_own(mesh: Mesh) -> None:
    for tenant, bootstrap in (("blue", mesh.blue), ("red", mesh.red)):
        created(bootstrap, "orders")
        assert produced(bootstrap, "orders", tenant.encode()) == 1
    assert topics(mesh.blue) == topics(mesh.red) == {"orders"}
    assert topics(mesh.brokers.bootstrap()) >= {"blue.orders", "red.orders"}
    assert consumed(mesh.blue, "orders", 1) == [b"blue"]
    assert consumed(mesh.brokers.bootstrap(), "red.orders", 1) == [b"red"]


@pytest.mark.peer("franz-go")
def test_a_tenant_does_what_it_does_with_brokers_of_its_own(mesh: Mesh) -> None:
    assert Run("franz-go", bootstrap=mesh.blue, prefix="tenant").result() == done("franz-go")
