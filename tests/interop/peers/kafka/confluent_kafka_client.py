"""What an application does with Kafka through confluent-kafka (librdkafka), once. argv: a job; prints JSON."""

import json
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

job = json.loads(sys.argv[1])
prefix, deadline = job["prefix"], time.monotonic() + 60
base = {"bootstrap.servers": job["bootstrap"], "client.id": prefix}
if "user" in job:
    tls = "SASL_SSL" if "ca" in job else "SASL_PLAINTEXT"
    login = {"sasl.mechanism": job["mechanism"], "sasl.username": job["user"], "sasl.password": job["password"]}
    base |= {"security.protocol": tls, **login}
elif "ca" in job:
    base["security.protocol"] = "SSL"
if "ca" in job:
    base["ssl.ca.location"] = job["ca"]
orders, done = f"{prefix}-orders", f"{prefix}-done"
result = {}

admin = AdminClient(base)
for future in admin.create_topics([NewTopic(orders, 6, 3), NewTopic(done, 1, 3)]).values():
    future.result(20)

produced = []
for compression in ("none", "gzip", "snappy", "lz4", "zstd"):
    producer = Producer({**base, "enable.idempotence": True, "compression.type": compression, "linger.ms": 5})
    for number in range(60):
        value = f"{compression} {number} {'x' * 200}"
        delivered = lambda error, message: produced.append(error)  # noqa: E731
        producer.produce(
            orders, value.encode(), f"k{number}".encode(), headers={"tenant": b"t1"}, on_delivery=delivered
        )
    producer.flush(20)
result["produced"] = produced.count(None)


def consumer(group, **more):
    classic = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300}
    about = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    return Consumer({**base, **about, **({} if "group.protocol" in more else classic), **more})


def drained(group, **more):
    """How many records two members of a group read, and how many members had partitions."""
    members, seen, had = [consumer(group, **more) for _ in range(2)], set(), set()
    for each in members:
        each.subscribe([orders])
    while (len(seen) < 300 or len(had) < 2) and time.monotonic() < deadline:
        for number, each in enumerate(members):
            for message in each.consume(100, 0.05):
                assert message.error() is None, message.error()
                seen.add((message.partition(), message.offset()))
            if each.assignment():
                had.add(number)
    for each in members:
        each.close()
    return len(seen), len(had)


result["consumed"], result["members"] = drained(f"{prefix}-group")
result["next_generation"] = drained(f"{prefix}-848", **{"group.protocol": "consumer"}) == (300, 2)

producer = Producer({**base, "transactional.id": f"{prefix}-tx"})
producer.init_transactions(20)
reader = consumer(f"{prefix}-offsets")
for commit in (True, False):
    producer.begin_transaction()
    for number in range(10):
        producer.produce(done, b"%d" % number)
    offsets = [TopicPartition(orders, 0, 5)]
    producer.send_offsets_to_transaction(offsets, reader.consumer_group_metadata(), 20)
    producer.commit_transaction(20) if commit else producer.abort_transaction(20)
committed = reader.committed([TopicPartition(orders, 0)], 20)[0].offset
reader.assign([TopicPartition(done, 0, 0)])
count = 0
while count < 10 and time.monotonic() < deadline:
    count += sum(message.error() is None for message in reader.consume(100, 0.2))
count += sum(message.error() is None for message in reader.consume(100, 0.5))
reader.close()
result["committed"], result["offset"] = count, committed

try:
    admin.create_topics([NewTopic(f"denied-{prefix}", 1, 3)])[f"denied-{prefix}"].result(20)
    result["denied"] = ""
except KafkaException as error:
    result["denied"] = error.args[0].name()
result["brokers"] = len(admin.list_topics(timeout=20).brokers)
for future in admin.delete_topics([orders, done]).values():
    future.result(20)
print(json.dumps(result))
