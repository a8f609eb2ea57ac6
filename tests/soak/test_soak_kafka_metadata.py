"""
Kafka's Metadata of 1,000 topics with 10 partitions each, `make soak`: how long it takes to give it other addresses.

Lives here: the codec's own work, as CPU time. Does not: clients and brokers (test_soak_kafka.py).
"""

from __future__ import annotations

import sys
import time

import pytest
from long_streams import ROOT
from zope.interface import implementer

sys.path.insert(0, str(ROOT / "tests" / "shared"))
from kafka_words import METADATA, answer, request

from metaproxy.codecs.kafka import Kafka, schema
from metaproxy.codecs.kafka.values import Values, encode
from metaproxy.interfaces import IDoors
from metaproxy.message import Side

TOPICS, PARTITIONS, ROUNDS = 1000, 10, 15
SECONDS = 0.02
_EVERYTHING = {9: b"\0\1\0\0", 12: b"\0\1\0", 13: b"\0\1\0"}


@implementer(IDoors)
class Doors:
    def address(self, node: str) -> tuple[str, int] | None:
        return "proxy.example", 9100 + int(node)


def told(version: int) -> bytes:
    form = schema.response(METADATA, version)
    assert form is not None
    nodes = [1, 2, 3]
    partitions: list[Values] = [
        {"PartitionIndex": number, "LeaderId": number % 3 + 1, "ReplicaNodes": nodes, "IsrNodes": nodes}
        for number in range(PARTITIONS)
    ]
    topics = [
        {"Name": b"orders-%04d" % number, "TopicId": number.to_bytes(16, "big"), "Partitions": partitions}
        for number in range(TOPICS)
    ]
    brokers = [{"NodeId": node, "Host": b"broker-%d.example" % node, "Port": 9092} for node in nodes]
    return answer(1, encode(form, {"Brokers": brokers, "Topics": topics}), b"\0")


@pytest.mark.parametrize("prefix", ["", "orders-"])
@pytest.mark.parametrize("version", [9, 12, 13])
def test_an_answer_about_ten_thousand_partitions_is_rewritten_in_20_ms(
    version: int, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    codec, data, taken = Kafka(prefix=prefix), told(version), []
    for _ in range(ROUNDS):
        client, broker = codec.session(Side.CLIENT, 1 << 24), codec.session(Side.SERVER, 1 << 24)
        client.doors = Doors()
        (asked,) = client.receive(request(METADATA, version, 7, _EVERYTHING[version], tags=b"\0"))
        broker.send(asked, 1)
        began = time.process_time()
        (said,) = broker.receive(data)
        shown = client.send(said, 7)
        taken.append(time.process_time() - began)
        assert shown.count(b"proxy.example") == 3 and b"broker-1.example" not in shown
    median = sorted(taken)[ROUNDS // 2]
    with capsys.disabled():
        print(f"\nMetadata, version {version}, prefix {prefix!r}: {len(data) / 1024:.0f} KiB in {median * 1000:.1f} ms")
    assert median < SECONDS
