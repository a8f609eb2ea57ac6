"""
Kafka's largest messages through a real process, `make soak`: an answer to a Fetch of 1 GiB, a Produce of 95 MiB.

Lives here: both, and what the proxy's memory grows by. Does not: what clients do otherwise (tests/interop/test_kafka).
"""

from __future__ import annotations

import hashlib
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from long_streams import MIB, ROOT, need

sys.path.insert(0, str(ROOT / "tests" / "shared"))
from authority import Authority
from kafka_peers import Brokers, ports_in_a_row
from proxied import Proxy, listener
from running import PEERS

sys.path.append(str(PEERS / "python" / "kafka"))
PARTITIONS, EACH = 16, 64
"""Of the topic that is fetched, and records of a MiB in each."""
LARGEST = 95 * MIB
ROOM = 64 * MIB
_FETCH, _VERSION = 1, 4


class Stage(NamedTuple):
    """first: the listener's port; the brokers' are behind it. base: the proxy's memory before it has done anything."""

    proxy: Proxy
    first: int
    base: int

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.first}"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    need("kafka", "confluent-kafka")
    folder = tmp_path_factory.mktemp("kafka")
    brokers = Brokers(folder, Authority(folder), heap=768)
    first = ports_in_a_row(5)
    nodes = {"ports": f"{first + 1}-{first + 4}"}
    behind = {"name": "kafka", "endpoints": brokers.bootstrap().split(","), "topology": "brokers"}
    before = listener("kafka", first, "kafka", [{"cluster": "kafka", "timeout": "120s"}], nodes=nodes)
    try:
        proxy = Proxy({"listeners": [before], "clusters": [behind]}, tmp_path_factory.mktemp("proxy"))
        try:
            yield Stage(proxy, first, proxy.memory())
        finally:
            proxy.stop()
    finally:
        brokers.stop()


def created(stage: Stage, topic: str, partitions: int) -> None:
    """A topic that broker 1 alone has."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": stage.bootstrap})
    about = {"min.insync.replicas": "1"}
    admin.create_topics([NewTopic(topic, partitions, replica_assignment=[[1]] * partitions, config=about)])[
        topic
    ].result(30)


def producer(stage: Stage, **options: object) -> Any:
    from confluent_kafka import Producer

    largest = {"message.max.bytes": 100 * MIB, "queue.buffering.max.kbytes": 1 << 20}
    return Producer({"bootstrap.servers": stage.bootstrap, **largest, **options})


def measured(
    name: str, size: int, stage: Stage, passes: Callable[[], object], capsys: pytest.CaptureFixture[str]
) -> object:
    """What `passes` gives, while the proxy's memory grows by less than ROOM."""
    stage.proxy.forget_peak()
    began = time.monotonic()
    found = passes()
    seconds, taken = time.monotonic() - began, stage.proxy.peak() - stage.base
    with capsys.disabled():
        rate = f"{size / MIB / seconds:.0f} MiB/s, {taken / MIB:.1f} MiB above the base"
        print(f"\n{size / MIB:.0f} MiB of {name}: {rate}")
    assert taken < ROOM
    return found


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def fetched(port: int, topic: str) -> int:
    """Bytes of one answer with all that the topic's partitions have."""
    most = (1 << 31) - 1
    wanted = b"".join(struct.pack(">iqi", partition, 0, most) for partition in range(PARTITIONS))
    body = struct.pack(">iiiib", -1, 1000, 1, most, 0) + struct.pack(">i", 1) + text(topic)
    body += struct.pack(">i", PARTITIONS) + wanted
    request = struct.pack(">hhi", _FETCH, _VERSION, 1) + text("soak") + body
    with socket.create_connection(("127.0.0.1", port), 120) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        size = int(struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0])
        buffer, left = bytearray(MIB), size
        while left:
            read = connection.recv_into(buffer, min(left, MIB))
            assert read, f"{left} bytes of {size} are missing"
            left -= read
    return size


def test_an_answer_of_a_gib_over_many_partitions_takes_little_memory(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    created(stage, "large", PARTITIONS)
    out = producer(stage, acks=1)
    failed: list[object] = []

    def delivered(error: object, message: object) -> None:
        if error is not None:
            failed.append(error)

    for number in range(PARTITIONS * EACH):
        out.produce("large", b"x" * MIB, partition=number % PARTITIONS, on_delivery=delivered)
        if number % 100 == 99:
            out.flush(60)
    assert out.flush(60) == 0 and not failed
    size = PARTITIONS * EACH * MIB
    port = stage.first + 2  # the door of broker 1
    found = measured("one answer to a Fetch", size, stage, lambda: fetched(port, "large"), capsys)
    assert isinstance(found, int) and found > size


def test_a_produce_of_95_mib_takes_little_memory(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    created(stage, "largest", 1)
    value = hashlib.sha256(b"seed").digest() * (LARGEST // 32)
    out, written = producer(stage, acks=1), []

    def produce() -> None:
        out.produce("largest", value, on_delivery=lambda error, message: written.append(error or message.offset()))
        out.flush(120)

    measured("one Produce", LARGEST, stage, produce, capsys)
    assert written == [0]

    def consume() -> bytes:
        from confluent_kafka import Consumer, TopicPartition

        room = {
            "fetch.message.max.bytes": 100 * MIB,
            "fetch.max.bytes": 100 * MIB,
            "receive.message.max.bytes": 101 * MIB,
        }
        reader = Consumer({"bootstrap.servers": stage.bootstrap, "group.id": "soak", **room})
        reader.assign([TopicPartition("largest", 0, 0)])
        (message,) = reader.consume(1, 60)
        reader.close()
        return bytes(message.value())

    assert measured("the same in a Fetch", LARGEST, stage, consume, capsys) == value
