"""
Records that are to be moved exactly once. argv: a job; prints JSON. The program that moves them is in Java.

job: bootstrap; do: `fill` (count numbers into `input`), `check` (what of them is committed in `output`).
"""

import json
import sys
import time
from collections import Counter

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

job = json.loads(sys.argv[1])
base = {"bootstrap.servers": job["bootstrap"], "socket.timeout.ms": 10000, "reconnect.backoff.max.ms": 500}
count, source, target = job["count"], job["input"], job["output"]
deadline = time.monotonic() + job.get("seconds", 120)


def partitions(topic):
    found = AdminClient(base).list_topics(topic, timeout=30).topics[topic].partitions
    return [TopicPartition(topic, number, 0) for number in found]


def fill():
    admin = AdminClient(base)
    created = admin.create_topics([NewTopic(source, 3, 3), NewTopic(target, 3, 3)])
    for future in created.values():
        future.result(30)
    failed = []
    producer = Producer({**base, "enable.idempotence": True, "linger.ms": 5})
    for number in range(count):
        while True:
            try:
                producer.produce(
                    source, b"%d" % number, b"%d" % number, on_delivery=lambda error, _: error and failed.append(error)
                )
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)
    return {"failed": len(failed)}


def check():
    consumer = Consumer(
        {**base, "group.id": "check", "isolation.level": "read_committed", "enable.partition.eof": True}
    )
    places = partitions(target)
    consumer.assign(places)
    seen, ended = Counter(), set()
    while len(ended) < len(places) and time.monotonic() < deadline:
        for message in consumer.consume(500, 1.0):
            if message.error() is None:
                seen[int(message.value())] += 1
            else:
                ended.add(message.partition())
    consumer.close()
    lost = count - len(seen)
    return {"lost": lost, "twice": sum(times > 1 for times in seen.values()), "ended": len(ended)}


print(json.dumps({"fill": fill, "check": check}[job["do"]]()))
