"""Produces more than its quota through confluent-kafka, in large batches, and reads it. argv: a job; prints JSON."""

import json
import sys

from confluent_kafka import Consumer, Producer, TopicPartition

job = json.loads(sys.argv[1])
told = []
common = {"bootstrap.servers": job["bootstrap"], "client.id": "eager"}
large = {"message.max.bytes": 8 << 20, "fetch.message.max.bytes": 8 << 20, "receive.message.max.bytes": 100 << 20}
producer = Producer(
    {**common, "message.max.bytes": 8 << 20, "throttle_cb": lambda event: told.append(event.throttle_time)}
)
delivered = []
for number in range(4):
    value = bytes([number]) * (3 << 20)
    producer.produce(job["topic"], value, partition=0, on_delivery=lambda error, message: delivered.append(error))
producer.flush(60)
consumer = Consumer({**common, **large, "group.id": "eager", "enable.auto.commit": False})
consumer.assign([TopicPartition(job["topic"], 0, 0)])
sizes = []
while len(sizes) < 4:
    message = consumer.poll(30)
    assert message is not None and not message.error(), message and message.error()
    value = message.value()
    assert value == value[:1] * len(value)
    sizes.append(len(value))
consumer.close()
print(json.dumps({"delivered": delivered.count(None), "told": bool(told) and max(told) > 0, "sizes": sizes}))
