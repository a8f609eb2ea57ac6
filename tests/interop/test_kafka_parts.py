"""
Requests to Kafka of which some is refused, or fails on purpose: the rest of them is served.

Lives here: Java's consumer, producer and admin client through rules and faults; aiokafka's producer, whose requests
have partitions in the order in which its application named them. Does not: whole requests (test_kafka.py).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


ONE, MANY, REFUSED, NEXT = "parts-one", "parts-many", 3, 2
"""Topics that one broker leads; of the second the partition that is refused, and the one for what comes next."""
FILTER = """
from zope.interface import implementer
from metaproxy.interfaces import IFilter, IOnRequest
from metaproxy.message import ErrorKind, Reply, Several
from metaproxy.plugins import Declaration

@implementer(IOnRequest)
class Refuses:
    def __init__(self, partition: str):
        self.partition = partition

    def on_request(self, exchange):
        named = exchange.get("partitions")
        if isinstance(named, Several) and self.partition in named.parts:
            return Reply(ErrorKind.DENIED, "not this one", only={"partitions": [self.partition]})

refuses = Declaration(IFilter, "refuses", Refuses)
"""
"""
Refuses a partition that the head of a request names, and takes nothing behind it for refused: so does `fault` with
`each: partitions`, which draws what it hits. `rbac` takes what it does not see for anything.
"""
SPLITTERS: dict[str, dict[str, Any]] = {
    "refuses": {"partition": f"{MANY}-{REFUSED}"},
    "rbac": {"policies": {"one": {"action": "deny", "permissions": [{"partitions": f"{MANY}-{REFUSED}"}]}}},
}


class Said(NamedTuple):
    """A line of the access log about a Produce: whose it was, its connection, what came of it, what its head names."""

    client: str
    address: str
    outcome: str
    partitions: str


class Site:
    """splitters: where clients of these begin."""

    def __init__(self, brokers: Brokers, proxy: Proxy, first: int, splitters: dict[str, str], log: Path) -> None:
        self.brokers, self.proxy = brokers, proxy
        self.bootstrap = f"127.0.0.1:{first}"
        self.splitters, self._log = splitters, log

    def java(self, do: str, **about: object) -> dict[str, Any]:
        """What our program in Java says."""
        words = json.dumps({"bootstrap": self.bootstrap, "do": do, **about})
        command = kafka_java("org.example.kafka.Parts", words)
        ran = subprocess.run(command.argv, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr[-3000:]
        found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
        return found

    def size(self, topic: str, partition: int = 0) -> int:
        """How many records a partition has."""
        return self.sizes((topic, partition))[0]

    def sizes(self, *partitions: tuple[str, int]) -> list[int]:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.brokers.bootstrap(), "group.id": "looks"})
        ends = [int(consumer.get_watermark_offsets(TopicPartition(*one), timeout=20)[1]) for one in partitions]
        consumer.close()
        return ends

    def said(self, client: str) -> list[Said]:
        """What the access log of the splitters has of a client's Produces."""
        lines = [line.split() for line in self._log.read_text().splitlines()]
        return [Said(*line[1:]) for line in lines if line[:2] == ["Produce", client]]

    def events(self, event: str) -> int:
        """How often a filter did this."""
        return sum(
            int(value)
            for name, value in self.proxy.stats().items()
            if name.startswith("metaproxy_filter_events_total{") and f'event="{event}"' in name
        )


@pytest.fixture(scope="module")
def site(kafka_brokers: Brokers, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Site:
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic

    folder = tmp_path_factory.mktemp("plugins")
    (folder / "refuses.py").write_text(FILTER)
    log = tmp_path_factory.mktemp("logs") / "access.log"
    shown = "%OPERATION% %REQ(client_id)% %DOWNSTREAM_REMOTE_ADDRESS% %OUTCOME% %REQ(partitions)%"
    first, *others = (ports_in_a_row(5) for _ in range(1 + len(SPLITTERS)))
    splitters = dict(zip(SPLITTERS, others, strict=True))
    proxy = shared_proxy(
        {
            "plugins": [str(folder)],
            "listeners": [
                *(
                    listener(
                        name, port, {"name": "kafka", "stream_over": "128KiB"}, [{"cluster": "kafka"}],
                        nodes={"ports": f"{port + 1}-{port + 4}"}, filters=[{name: SPLITTERS[name]}],
                        access_log=[{"file": str(log), "format": shown}],
                    )
                    for name, port in splitters.items()
                ),
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
    counts = {**dict.fromkeys((*LARGE, ONE), 1), MANY: 4}
    together = [NewTopic(name, count, replica_assignment=[[1, 2, 3]] * count) for name, count in counts.items()]
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
    return Site(kafka_brokers, proxy, first, {name: f"127.0.0.1:{port}" for name, port in splitters.items()}, log)


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


# -- partitions of a large request that wants no answer


SMALL, BIG = 100, 100_000
"""Bytes of a record. Two big ones are over `stream_over`; the head, 4 KiB here, ends in the first one that there is."""
Sizes = dict[tuple[str, int], int]
"""topic and partition -> bytes of a record, in the order of the request."""
ALL: Sizes = {(ONE, 0): SMALL, (MANY, 0): SMALL, (MANY, 1): 2 * BIG}
AT_THE_END: Sizes = {(ONE, 0): SMALL, (MANY, 0): SMALL, (MANY, REFUSED): 2 * BIG}
WITHIN: Sizes = {(ONE, 0): SMALL, (MANY, REFUSED): SMALL, (MANY, 0): 2 * BIG}
IN_FRONT: Sizes = {(ONE, 0): SMALL, (MANY, REFUSED): BIG, (MANY, 0): BIG, (MANY, 1): SMALL}
BEHIND: Sizes = {(ONE, 0): SMALL, (MANY, 0): BIG, (MANY, 1): BIG}


async def sent(site: Site, splitter: str, client: str, sizes: Sizes) -> None:
    """aiokafka sends them with acks=0 in one request, and goes on until something that it sends later is there."""
    from aiokafka import AIOKafkaProducer  # type: ignore[import-not-found]

    where = {"bootstrap_servers": site.splitters[splitter], "client_id": client}
    before = site.size(MANY, NEXT)
    async with AIOKafkaProducer(acks=0, max_batch_size=1 << 20, max_request_size=1 << 22, **where) as out:
        for topic in (ONE, MANY):
            await out.partitions_for(topic)  # no send waits for it then, so all of them go together
        done = [await out.send(topic, b"x" * size, partition=number) for (topic, number), size in sizes.items()]
        await asyncio.gather(*done)
        async with asyncio.timeout(30):
            # What it sends before it sees that its connection was closed is lost, without an error.
            while site.size(MANY, NEXT) == before:
                await out.send_and_wait(MANY, b"next", partition=NEXT)
                await asyncio.sleep(0.2)


def check_sent(site: Site, splitter: str, sizes: Sizes, arrive: Sequence[tuple[str, int]], shown: str) -> None:
    """
    Sends them, of which these arrive, and the client's connection goes on; or none, and it is closed. shown: what the
    access log says that the head of the request names, or what was left of it.
    """
    every = [(ONE, 0), (MANY, 0), (MANY, 1), (MANY, REFUSED)]
    client = f"{splitter}-{uuid.uuid4().hex}"
    before = site.sizes(*every)
    asyncio.run(sent(site, splitter, client, sizes))
    expected = [count + (one in arrive) for one, count in zip(every, before, strict=True)]
    assert eventually(lambda: site.sizes(*every) == expected), (before, expected, site.sizes(*every))
    assert eventually(lambda: len(site.said(client)) >= 2)
    first, *_, last = site.said(client)
    assert (first.partitions, first.outcome) == (shown, "oneway" if arrive else "denied")
    assert (last.partitions, last.outcome) == (f"{MANY}-{NEXT}", "oneway")
    assert (last.address == first.address) == bool(arrive), "closed where nothing is sent, and only there"


@pytest.mark.peer("aiokafka")
@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize(
    ("sizes", "arrive", "shown"),
    [
        pytest.param(ALL, list(ALL), f"{ONE}-0,{MANY}-0,{MANY}-1", id="none is refused"),
        pytest.param(AT_THE_END, [(ONE, 0), (MANY, 0)], f"{ONE}-0,{MANY}-0", id="the last"),
        pytest.param(WITHIN, [(ONE, 0), (MANY, 0)], f"{ONE}-0,{MANY}-0", id="one within the head"),
        # Those behind it can't be sent without it as they come: how many there are stands in front of it.
        pytest.param(IN_FRONT, [], f"{ONE}-0,{MANY}-{REFUSED}", id="one before others that the head does not name"),
    ],
)
def test_of_a_large_request_without_an_answer_no_partition_is_lost_but_with_all(
    site: Site, splitter: str, sizes: Sizes, arrive: Sequence[tuple[str, int]], shown: str
) -> None:
    check_sent(site, splitter, sizes, arrive, shown)


@pytest.mark.peer("aiokafka")
@pytest.mark.parametrize(("splitter", "arrive"), [("refuses", list(BEHIND)), ("rbac", [])])
def test_partitions_that_the_head_does_not_name_may_be_any_to_a_rule(
    site: Site, splitter: str, arrive: Sequence[tuple[str, int]]
) -> None:
    check_sent(site, splitter, BEHIND, arrive, f"{ONE}-0,{MANY}-0")
