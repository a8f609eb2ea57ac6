// A client of ioredis. Job: {port, username, password, db, resp, cluster, calls: [[command, arg, ...]], mode: "each" | "pipeline" | "multi"}
//
// "each" sends one by one, "pipeline" all at once, "multi" all inside MULTI/EXEC. {"subscribe": [channels], "publish":
// [[channel, text]...]} instead of calls gives the messages in the order of their arrival.
'use strict';
const Redis = require('ioredis');
const { serve, describe, one, within } = require('../jobs.js');

const TIMEOUT = 10000; // milliseconds

const connect = job => (job.cluster ? new Redis.Cluster([{ host: '127.0.0.1', port: job.port }], { lazyConnect: true }) : plain(job));

const plain = job => new Redis({
  host: '127.0.0.1', port: job.port, username: job.username, password: job.password, db: job.db || 0, maxRetriesPerRequest: 0,
  retryStrategy: null, lazyConnect: true, enableReadyCheck: job.ready || false, connectTimeout: TIMEOUT,
});

async function together(redis, job) {
  const batch = job.mode === 'multi' ? redis.multi() : redis.pipeline();
  for (const call of job.calls) batch.call(...call);
  return (await batch.exec()).map(([error, value]) => (error ? describe(error) : { value }));
}

async function pubsub(redis, job) {
  const other = connect(job);
  const seen = [];
  const all = new Promise(done => {
    redis.on('message', (channel, text) => {
      seen.push({ value: [channel, text] });
      if (seen.length === job.publish.length) done();
    });
  });
  await redis.subscribe(...job.subscribe);
  await other.connect();
  for (const [channel, text] of job.publish) await other.publish(channel, text);
  await within(TIMEOUT, all);
  await redis.unsubscribe(...job.subscribe);
  seen.push({ value: await redis.ping() }); // an ordinary command again
  await other.quit();
  return seen;
}

serve(async job => {
  const redis = connect(job);
  redis.on('error', () => {}); // told by the calls
  const connected = await one(() => redis.connect());
  if (connected.error) return [connected];
  let results = [];
  try {
    if (job.subscribe) results = await pubsub(redis, job);
    else if (job.mode === 'pipeline' || job.mode === 'multi') results = await together(redis, job);
    else for (const call of job.calls) results.push(await one(() => within(TIMEOUT, redis.call(...call))));
  } catch (error) {
    results.push(describe(error));
  }
  redis.disconnect();
  return results;
});
