"""
What is produced to one Kafka is copied to another one: three brokers that get what one broker is sent.

Lives here: what the mirror's consumers read; partitions whose leaders have to be found; a mirror that is lost. Does
not: the bytes of copies (tests/unit/codecs/test_kafka_copies.py).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from authority import Authority
from catalogue import kafka_java
from kafka_peers import Brokers, ports_in_a_row
from proxied import Proxy, listener
from running import PEERS, eventually

pytestmark = pytest.mark.peer("kafka", "confluent-kafka")
sys.path.append(str(PEERS / "python" / "kafka"))
PARTITIONS = 6


class Mesh(NamedTuple):
    """address: of a listener before `one`, whose produced records are copied to `three`."""

    proxy: Proxy
    address: str
    one: Brokers
    three: Brokers

    def copies(self, name: str = "requests") -> int:
        return self.proxy.counted(f"metaproxy_mirror_{name}_total")


def config(first: int, one: Brokers, three: Brokers, **mirror: Any) -> dict[str, Any]:
    route = {"cluster": "one", "mirror": {"cluster": "three"}}
    layout = {"topology": "brokers", "topology_interval": "500ms"}
    return {
        "listeners": [listener("kafka", first, "kafka", [route], nodes={"ports": f"{first + 1}-{first + 4}"})],
        "clusters": [
            {"name": "one", "endpoints": one.bootstrap().split(","), **layout},
            {"name": "three", "endpoints": three.bootstrap().split(",")[:1], **layout, **mirror},
        ],
    }


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """A broker of its own."""
    folder = tmp_path_factory.mktemp("kafka-one")
    brokers = Brokers(folder, Authority(folder), count=1)
    yield brokers
    brokers.stop()


@pytest.fixture(scope="module")
def mesh(one: Brokers, kafka_brokers: Brokers, shared_proxy: Callable[..., Proxy]) -> Mesh:
    first = ports_in_a_row(5)
    return Mesh(shared_proxy(config(first, one, kafka_brokers)), f"127.0.0.1:{first}", one, kafka_brokers)


def created(topic: str, *clusters: Brokers) -> None:
    """A topic that these have."""
    from confluent_kafka.admin import AdminClient, NewTopic

    for brokers in clusters:
        addresses = brokers.bootstrap().split(",")
        admin = AdminClient({"bootstrap.servers": addresses[0]})
        admin.create_topics([NewTopic(topic, PARTITIONS, len(addresses))])[topic].result(30)
        for address in addresses:
            assert eventually(partial(_knows, AdminClient({"bootstrap.servers": address}), topic), 20)


def _knows(admin: Any, topic: str, leaders: Collection[int] = (1, 2, 3)) -> bool:
    """Whether the broker that is asked knows the leaders of all partitions, and they are some of these."""
    partitions = admin.list_topics(topic, timeout=20).topics[topic].partitions.values()
    return len(partitions) == PARTITIONS and all(one.leader in leaders for one in partitions)


def produced(bootstrap: str, topic: str, count: int, **options: Any) -> list[object]:
    """The errors of so many records, over all partitions; of one transaction, where there is an id of one."""
    from confluent_kafka import Producer

    errors: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, **options})
    if "transactional.id" in options:
        producer.init_transactions(30)
        producer.begin_transaction()
    for number in range(count):
        value, place = f"{number:06}".encode() * 20, number % PARTITIONS
        told = lambda error, _: errors.append(error) if error else None  # noqa: E731
        producer.produce(topic, value, str(number).encode(), place, told, headers={"number": str(number)})
        producer.poll(0)
    left = producer.flush(60)
    if "transactional.id" in options:
        producer.commit_transaction(30)
    return [*errors, *["not sent"] * left]


def consumed(bootstrap: str, topic: str, count: int, seconds: float = 30) -> list[int]:
    """The numbers of the records of a topic, in the order of keys; until so many are there."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "looks", "check.crcs": True})
    consumer.assign([TopicPartition(topic, place, 0) for place in range(PARTITIONS)])
    found: list[int] = []

    def read() -> bool:
        for one in consumer.consume(1000, 0.2):
            assert one.error() is None, one.error()
            assert one.value() == f"{int(one.key()):06}".encode() * 20
            assert one.headers() == [("number", one.key())]
            found.append(int(one.key()))
        return len(found) >= count

    eventually(read, seconds)
    consumer.close()
    return sorted(found)


def ends(bootstrap: str, topic: str) -> int:
    """How many records its partitions have, once their leaders know."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "looks"})
    places = [TopicPartition(topic, place) for place in range(PARTITIONS)]
    found: list[int] = []

    def read() -> bool:
        try:
            found[:] = [consumer.get_watermark_offsets(place, timeout=20)[1] for place in places]
        except KafkaException:  # of a leader that has just become one
            return False
        return True

    assert eventually(read, 30, 0.2)
    consumer.close()
    return sum(found)


KINDS: dict[str, dict[str, Any]] = {
    "idempotent": {"enable.idempotence": True},
    "without-answers": {"acks": 0},
    "gzip": {"compression.type": "gzip"},
    "zstd": {"compression.type": "zstd", "enable.idempotence": True},
    "transaction": {"transactional.id": "copied", "compression.type": "lz4"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_produced_to_one_cluster_is_read_from_the_other(mesh: Mesh, kind: str) -> None:
    topic, count = f"copied-{kind}", 600
    created(topic, mesh.one, mesh.three)
    assert produced(mesh.address, topic, count, **KINDS[kind]) == []
    assert consumed(mesh.one.bootstrap(), topic, count) == list(range(count))
    assert consumed(mesh.three.bootstrap(), topic, count) == list(range(count)), mesh.proxy.log()[-2000:]
    assert mesh.copies("failures") == mesh.copies("dropped") == 0


def test_leaders_are_found_and_what_was_learnt_is_used(mesh: Mesh) -> None:
    """Each partition costs as many redirects as it takes to find its leader, and no more later on."""
    created("learnt", mesh.one, mesh.three)
    assert produced(mesh.address, "learnt", PARTITIONS) == []
    assert consumed(mesh.three.bootstrap(), "learnt", PARTITIONS) == list(range(PARTITIONS))
    before = mesh.proxy.counted("metaproxy_cluster_redirects_total")
    assert before > 0
    assert produced(mesh.address, "learnt", 300, **{"linger.ms": 0}) == []
    assert len(consumed(mesh.three.bootstrap(), "learnt", PARTITIONS + 300)) == PARTITIONS + 300
    assert mesh.proxy.counted("metaproxy_cluster_redirects_total") == before


def test_the_proxy_logs_in_at_the_mirror(mesh: Mesh, proxy: Callable[..., Proxy]) -> None:
    created("logged-in", mesh.one, mesh.three)
    first = ports_in_a_row(5)
    login = {"user": "app", "password": "pencil", "mechanism": "SCRAM-SHA-256"}
    seeds = mesh.three.bootstrap("SASL_PLAINTEXT").split(",")
    here = proxy(config(first, mesh.one, mesh.three, endpoints=seeds, credentials=login))
    assert produced(f"127.0.0.1:{first}", "logged-in", 120) == []
    assert consumed(mesh.three.bootstrap(), "logged-in", 120) == list(range(120)), here.log()[-2000:]


@pytest.mark.peer("aiokafka")
def test_aiokafkas_records_are_copied(mesh: Mesh) -> None:
    created("aio", mesh.one, mesh.three)

    async def produce() -> None:
        from aiokafka import AIOKafkaProducer  # type: ignore[import-not-found]

        producer = AIOKafkaProducer(bootstrap_servers=mesh.address, enable_idempotence=True, compression_type="gzip")
        await producer.start()
        for number in range(200):
            value, key = f"{number:06}".encode() * 20, str(number).encode()
            await producer.send("aio", value, key, headers=[("number", key)])
        await producer.stop()

    asyncio.run(produce())
    assert consumed(mesh.three.bootstrap(), "aio", 200) == list(range(200))


@pytest.mark.peer("kafka-java")
def test_the_java_clients_records_are_copied_whose_requests_have_ids_of_topics(mesh: Mesh) -> None:
    created("java", mesh.one, mesh.three)
    about = ["--topic", "java", "--num-records", "1000", "--record-size", "200", "--throughput", "-1"]
    options = [f"bootstrap.servers={mesh.address}", "compression.type=snappy", "enable.idempotence=true"]
    run = kafka_java("org.apache.kafka.tools.ProducerPerformance", *about, "--producer-props", *options)
    done = subprocess.run(run.argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert eventually(lambda: ends(mesh.three.bootstrap(), "java") == 1000, 20)
    assert ends(mesh.one.bootstrap(), "java") == 1000


def test_a_topic_that_the_mirror_has_not_costs_copies_and_the_client_nothing(mesh: Mesh) -> None:
    created("only-here", mesh.one)
    before = mesh.copies("failures")
    assert produced(mesh.address, "only-here", 60) == []
    assert eventually(lambda: mesh.copies("failures") > before)
    assert "takes no copy of Produce: UNKNOWN_TOPIC_OR_PARTITION" in mesh.proxy.log()


def test_copies_go_on_when_a_broker_of_the_mirror_is_lost_and_others_lead(mesh: Mesh) -> None:
    from confluent_kafka.admin import AdminClient

    created("moved", mesh.one, mesh.three)
    assert produced(mesh.address, "moved", PARTITIONS) == []
    assert consumed(mesh.three.bootstrap(), "moved", PARTITIONS) == list(range(PARTITIONS))
    first = mesh.three.bootstrap().split(",")[0]

    def copied() -> bool:
        """Whether each partition gets the record that is produced for it."""
        before = ends(first, "moved")
        assert produced(mesh.address, "moved", PARTITIONS) == []
        return bool(eventually(lambda: ends(first, "moved") >= before + PARTITIONS, 2))

    mesh.three.kill(2)
    try:
        assert eventually(partial(_knows, AdminClient({"bootstrap.servers": first}), "moved", {1, 3}), 60, 0.5)
        assert eventually(copied, 60, 0.5), mesh.proxy.log()[-3000:]
    finally:
        mesh.three.start_again(2)


def test_the_original_goes_on_when_the_mirror_is_lost(
    mesh: Mesh, tmp_path: Path, one: Brokers, proxy: Callable[..., Proxy]
) -> None:
    lost = Brokers(tmp_path, Authority(tmp_path), count=1)
    try:
        first = ports_in_a_row(5)
        here = Mesh(proxy(config(first, one, lost)), f"127.0.0.1:{first}", one, lost)
        created("lost", here.one, here.three)
        assert produced(here.address, "lost", 60) == []
        assert consumed(lost.bootstrap(), "lost", 60) == list(range(60))
        lost.kill(1)
        assert produced(here.address, "lost", 600) == []
        assert len(consumed(one.bootstrap(), "lost", 660)) == 660
        assert here.copies("failures") + here.copies("dropped") > 0
    finally:
        lost.stop()
