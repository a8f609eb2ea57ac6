"""
Requests to Kafka of which some is refused, or fails on purpose: the rest of them is served.

Lives here: Java's consumer, producer and admin client through rules and faults. Does not: whole requests
(test_kafka.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from catalogue import kafka_java
from kafka_peers import Brokers, ports_in_a_row
from proxied import Proxy, listener
from running import PEERS, eventually

pytestmark = pytest.mark.peer("kafka", "kafka-java", "confluent-kafka")
sys.path.append(str(PEERS / "python" / "kafka"))
UNWRITTEN = ["parts-unwritten", "parts-and-not"]
POLICIES = {
    "topics": {"action": "deny", "permissions": [{"topics": {"prefix": "parts-denied"}}]},
    "reads": {"action": "deny", "permissions": [{"api": "Fetch", "topics": {"prefix": "parts-unread"}}]},
    "writes": {
        "action": "deny",
        "permissions": [{"api": "Produce", "topics": {"in": ["parts-unwritten", "parts-and-not"]}}],
    },
    "groups": {"action": "deny", "permissions": [{"groups": {"prefix": "parts-denied"}}]},
    "offsets": {"action": "deny", "permissions": [{"api": "OffsetFetch", "groups": {"prefix": "parts-unread"}}]},
}
HALF = {
    "match": {"api": {"in": ["Produce", "Fetch", "ListOffsets"]}, "topics": "parts-shaky"}, "percentage": 50,
    "each": "partitions", "error": {"name": "NOT_LEADER_OR_FOLLOWER", "message": "fault"},
}  # fmt: skip

LARGE = ("parts-and-not", "parts-large", "parts-unwritten")
"""Topics that one broker leads, so that a producer writes to them in one request."""


class Site:
    def __init__(self, brokers: Brokers, proxy: Proxy, first: int) -> None:
        self.brokers, self.proxy = brokers, proxy
        self.bootstrap = f"127.0.0.1:{first}"

    def java(self, do: str, **about: object) -> dict[str, Any]:
        """What our program in Java says."""
        words = json.dumps({"bootstrap": self.bootstrap, "do": do, **about})
        command = kafka_java("org.example.kafka.Parts", words)
        ran = subprocess.run(command.argv, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr[-3000:]
        found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
        return found

    def size(self, topic: str) -> int:
        """How many records its partition 0 has."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.brokers.bootstrap(), "group.id": "looks"})
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
        consumer.close()
        return int(end)

    def events(self, event: str) -> int:
        """How often a filter did this."""
        return sum(
            int(value)
            for name, value in self.proxy.stats().items()
            if name.startswith("metaproxy_filter_events_total{") and f'event="{event}"' in name
        )


@pytest.fixture(scope="module")
def site(kafka_brokers: Brokers, shared_proxy: Callable[..., Proxy]) -> Site:
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic

    first = ports_in_a_row(5)
    proxy = shared_proxy(
        {
            "listeners": [
                listener(
                    "kafka", first, "kafka", [{"cluster": "kafka"}], nodes={"ports": f"{first + 1}-{first + 4}"},
                    filters=[{"rbac": {"policies": POLICIES}}, {"fault": {"faults": [HALF], "seed": 7}}],
                )
            ],
            "clusters": [
                {"name": "kafka", "endpoints": kafka_brokers.bootstrap().split(","), "topology": "brokers"}
            ],
        }
    )  # fmt: skip
    direct = kafka_brokers.bootstrap()
    admin = AdminClient({"bootstrap.servers": direct})
    topics = {"parts-orders": 1, "parts-denied": 1, "parts-unread": 1, "parts-shaky": 6}
    for made in admin.create_topics([NewTopic(name, count, 3) for name, count in topics.items()]).values():
        made.result(20)
    together = [NewTopic(name, 1, replica_assignment=[[1, 2, 3]]) for name in LARGE]
    for made in admin.create_topics(together).values():
        made.result(20)
    producer = Producer({"bootstrap.servers": direct})
    for name in ("parts-orders", "parts-denied", "parts-unread"):
        for number in range(50):
            producer.produce(name, b"%d" % number, partition=0)
    assert producer.flush(30) == 0
    for group in ("parts-billing", "parts-denied", "parts-unread", "parts-mail"):
        consumer = Consumer({"bootstrap.servers": direct, "group.id": group})
        consumer.commit(offsets=[TopicPartition("parts-orders", 0, 5)], asynchronous=False)
        consumer.close()
    return Site(kafka_brokers, proxy, first)


@pytest.mark.parametrize("group", ["", "parts-readers"])
@pytest.mark.parametrize("denied", ["parts-denied", "parts-unread"])
def test_a_consumer_of_two_topics_reads_one_and_is_told_of_the_other_each_time(
    site: Site, denied: str, group: str
) -> None:
    """As a broker tells it; with parts-unread it is Fetch alone, and its sessions, that is refused."""
    topics = ["parts-orders", denied]
    # A member that was told by Metadata asks again when that is old, minutes later.
    refusals = 1 if group and denied == "parts-denied" else 3
    found = site.java("read", topics=topics, group=group and f"{group}-{denied[6:]}", count=50, refusals=refusals)
    assert found == {"seen": 50, "refused": [denied], "often": True}


@pytest.mark.parametrize("denied", ["parts-denied", "parts-unread"])
def test_of_several_groups_the_offsets_of_the_others_are_there(site: Site, denied: str) -> None:
    found = site.java("groups", groups=["parts-billing", denied, "parts-mail"])["groups"]
    assert found == {"parts-billing": 1, denied: "GROUP_AUTHORIZATION_FAILED", "parts-mail": 1}


def test_of_half_the_partitions_of_each_request_that_fail_no_record_is_lost_or_twice(site: Site) -> None:
    before = site.events("errors")
    found = site.java("write", topics=["parts-shaky"], partitions=6, count=1000)
    assert found == {"written": 1000, "different": 1000, "records": 1000, "ordered": True}
    assert site.events("errors") - before > 20


@pytest.mark.parametrize("acks", ["all", "0"])
@pytest.mark.parametrize("denied", ["parts-unwritten", "parts-and-not"])
def test_of_large_records_in_one_request_those_of_the_other_topic_are_written(
    site: Site, denied: str, acks: str
) -> None:
    """More than `stream_over` together: they pass piece by piece; the head names both topics."""
    before = site.size("parts-large")
    found = site.java("large", topics=["parts-large", denied], count=1, acks=acks)
    assert found == {"parts-large": 1, denied: 1 if acks == "0" else "TOPIC_AUTHORIZATION_FAILED"}
    assert eventually(lambda: site.size("parts-large") == before + 1, 20)
    assert site.size(denied) == 0
