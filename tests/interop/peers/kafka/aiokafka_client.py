"""What an application does with Kafka through aiokafka, once. argv: a job; prints JSON."""

import asyncio
import json
import ssl
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

job = json.loads(sys.argv[1])
prefix = job["prefix"]
base = {"bootstrap_servers": job["bootstrap"], "client_id": prefix}
if "user" in job:
    tls = "SASL_SSL" if "ca" in job else "SASL_PLAINTEXT"
    login = {"sasl_plain_username": job["user"], "sasl_plain_password": job["password"]}
    base |= {"security_protocol": tls, "sasl_mechanism": job["mechanism"], **login}
elif "ca" in job:
    base["security_protocol"] = "SSL"
if "ca" in job:
    base["ssl_context"] = ssl.create_default_context(cafile=job["ca"])
orders, done = f"{prefix}-orders", f"{prefix}-done"


async def drained(group):
    """How many records two members of a group read, and how many members had partitions."""
    about = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    quick = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 300, "metadata_max_age_ms": 2000}
    members = [AIOKafkaConsumer(orders, group_id=group, **base, **about, **quick) for _ in range(2)]
    await asyncio.gather(*(each.start() for each in members))
    seen, had = set(), set()
    async with asyncio.timeout(60):
        while len(seen) < 300 or len(had) < 2:
            for number, each in enumerate(members):
                for batch in (await each.getmany(timeout_ms=50)).values():
                    seen |= {(record.partition, record.offset) for record in batch}
                if each.assignment():
                    had.add(number)
    await asyncio.gather(*(each.stop() for each in members))
    return len(seen), len(had)


async def main():
    result = {"produced": 0}
    admin = AIOKafkaAdminClient(**base)
    await admin.start()
    created = await admin.create_topics([NewTopic(orders, 6, 3), NewTopic(done, 1, 3)])
    assert all(topic[1] == 0 for topic in created.topic_errors), created
    for compression in (None, "gzip", "snappy", "lz4", "zstd"):
        async with AIOKafkaProducer(enable_idempotence=True, compression_type=compression, linger_ms=5, **base) as out:
            values = [f"{compression} {number} {'x' * 200}".encode() for number in range(60)]
            key = [("tenant", b"t1")]
            waiting = [await out.send(orders, value, key=b"k%d" % n, headers=key) for n, value in enumerate(values)]
            result["produced"] += len(await asyncio.gather(*waiting))
    result["consumed"], result["members"] = await drained(f"{prefix}-group")
    result["next_generation"] = True  # aiokafka has the classic protocol alone
    async with AIOKafkaProducer(transactional_id=f"{prefix}-tx", **base) as out:
        for commit in (True, False):
            await out.begin_transaction()
            await asyncio.gather(*[await out.send(done, b"%d" % number) for number in range(10)])
            await out.send_offsets_to_transaction({TopicPartition(orders, 0): 5}, f"{prefix}-offsets")
            await (out.commit_transaction() if commit else out.abort_transaction())
    reader = AIOKafkaConsumer(group_id=f"{prefix}-offsets", isolation_level="read_committed", **base)
    await reader.start()
    result["offset"] = await reader.committed(TopicPartition(orders, 0))
    reader.assign([TopicPartition(done, 0)])
    await reader.seek_to_beginning()
    count = 0
    async with asyncio.timeout(20):
        while count < 10:
            count += sum(map(len, (await reader.getmany(timeout_ms=200)).values()))
    count += sum(map(len, (await reader.getmany(timeout_ms=500)).values()))
    await reader.stop()
    result["committed"] = count
    denied = await admin.create_topics([NewTopic(f"denied-{prefix}", 1, 3)])
    result["denied"] = {0: "", 29: "TOPIC_AUTHORIZATION_FAILED"}.get(denied.topic_errors[0][1], str(denied))
    result["brokers"] = len((await admin.describe_cluster())["brokers"])
    await admin.delete_topics([orders, done])
    await admin.close()
    print(json.dumps(result))


asyncio.run(main())
