// What a Node application does with Kafka through kafkajs, once: `client.js JOB`. Prints one line of JSON.
"use strict";
const fs = require("fs");
const { Kafka, CompressionTypes, logLevel } = require("kafkajs");

const job = JSON.parse(process.argv[2]);
const prefix = job.prefix;
const options = { brokers: job.bootstrap.split(","), clientId: prefix, logLevel: logLevel.NOTHING };
if (job.user) options.sasl = { mechanism: job.mechanism.toLowerCase(), username: job.user, password: job.password };
if (job.ca) options.ssl = { ca: [fs.readFileSync(job.ca)] };
const [orders, done] = [`${prefix}-orders`, `${prefix}-done`];

async function until(check, milliseconds = 60000) {
  for (const end = Date.now() + milliseconds; !check() && Date.now() < end; ) await new Promise((go) => setTimeout(go, 20));
}

async function led(admin) {
  const found = await admin.fetchTopicMetadata({ topics: [orders, done] }).catch((error) => {
    if (error.type !== "UNKNOWN_TOPIC_OR_PARTITION" && error.type !== "LEADER_NOT_AVAILABLE") throw error;
  });
  return found && found.topics.every((topic) => topic.partitions.every((one) => one.leader >= 0));
}

async function drained(kafka, group) {
  const seen = new Set();
  const had = new Set();
  const quick = { sessionTimeout: 6000, heartbeatInterval: 300, rebalanceTimeout: 6000, maxWaitTimeInMs: 200 };
  const members = [0, 1].map(() => kafka.consumer({ groupId: group, ...quick }));
  for (const [number, each] of members.entries()) {
    each.on(each.events.GROUP_JOIN, ({ payload }) => Object.keys(payload.memberAssignment).length && had.add(number));
    await each.connect();
    await each.subscribe({ topic: orders, fromBeginning: true });
    await each.run({ eachMessage: async ({ partition, message }) => seen.add(`${partition} ${message.offset}`) });
  }
  await until(() => seen.size >= 120 && had.size === 2);
  await Promise.all(members.map((each) => each.disconnect()));
  return [seen.size, had.size];
}

async function main() {
  const kafka = new Kafka(options);
  const result = { produced: 0 };
  const admin = kafka.admin();
  await admin.connect();
  const topics = [
    { topic: orders, numPartitions: 6, replicationFactor: 3 },
    { topic: done, numPartitions: 1, replicationFactor: 3 },
  ];
  await admin.createTopics({ topics, waitForLeaders: false }); // else it fails where a broker has not heard of them yet
  for (const end = Date.now() + 60000; !(await led(admin)); ) {
    if (Date.now() > end) throw new Error("the topics have no leaders");
    await new Promise((go) => setTimeout(go, 50));
  }
  for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
    const out = kafka.producer({ idempotent: true });
    await out.connect();
    const messages = Array.from({ length: 60 }, (_, number) => ({
      key: `k${number}`, value: `${number} ${"x".repeat(200)}`, headers: { tenant: "t1" },
    }));
    await out.send({ topic: orders, compression, messages });
    result.produced += messages.length;
    await out.disconnect();
  }
  [result.consumed, result.members] = await drained(kafka, `${prefix}-group`);
  result.next_generation = true; // kafkajs has the classic protocol alone
  const out = kafka.producer({ transactionalId: `${prefix}-tx`, idempotent: true, maxInFlightRequests: 1 });
  await out.connect();
  for (const commit of [true, false]) {
    const transaction = await out.transaction();
    await transaction.send({ topic: done, messages: Array.from({ length: 10 }, (_, number) => ({ value: `${number}` })) });
    const offsets = { topics: [{ topic: orders, partitions: [{ partition: 0, offset: "5" }] }] };
    await transaction.sendOffsets({ consumerGroupId: `${prefix}-offsets`, ...offsets });
    await (commit ? transaction.commit() : transaction.abort());
  }
  await out.disconnect();
  const [{ partitions }] = await admin.fetchOffsets({ groupId: `${prefix}-offsets`, topics: [orders] });
  result.offset = Number(partitions.find((one) => one.partition === 0).offset);
  let count = 0;
  const reader = kafka.consumer({ groupId: `${prefix}-done`, maxWaitTimeInMs: 200 });
  await reader.connect();
  await reader.subscribe({ topic: done, fromBeginning: true });
  await reader.run({ eachMessage: async () => (count += 1) });
  await until(() => count >= 10, 20000);
  await new Promise((go) => setTimeout(go, 500));
  await reader.disconnect();
  result.committed = count;
  result.denied = await admin
    .createTopics({ topics: [{ topic: `denied-${prefix}`, numPartitions: 1, replicationFactor: 3 }] })
    .then(() => "", (error) => (error.errors ? error.errors[0].type : error.type));
  result.brokers = (await admin.describeCluster()).brokers.length;
  await admin.deleteTopics({ topics: [orders, done] });
  await admin.disconnect();
  console.log(JSON.stringify(result));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
