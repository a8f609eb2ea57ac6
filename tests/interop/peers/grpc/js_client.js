// A gRPC client, @grpc/grpc-js, of example.v1.Echo. Jobs, calls and results: see py_client.py; no "Health".
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const { serve } = require('../jobs.js');
const { crc32 } = require('../websocket/crc32.js');
const { Echo } = require('./echo.js');

const TIMEOUT = 20;
const COMPRESSION = { gzip: 2, deflate: 1 };
const UP = ['ClientStream', 'BidiStream'];
const DOWN = ['ServerStream', 'BidiStream'];

function request({ payload_bytes: fill = 0, ...fields }) {
  return fill ? { ...fields, payload: Buffer.alloc(fill, 0xa5) } : fields;
}

function described({ payload, ...fields }) {
  return { ...fields, payload_bytes: payload.length, payload_crc32: crc32(payload) };
}

function pairs(metadata) {
  const map = metadata ? metadata.getMap() : {};
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, Buffer.isBuffer(value) ? value.toString('latin1') : value]));
}

function metadata(given = {}) {
  const made = new grpc.Metadata();
  for (const [key, value] of Object.entries(given)) made.set(key, key.endsWith('-bin') ? Buffer.from(value, 'latin1') : value);
  return made;
}

// One call; done is told once, with its result.
function run(client, given) {
  const seen = { replies: [], count: 0, bytes: 0, initial: {}, trailing: {} };
  let answered = () => {};
  const keep = reply => {
    seen.count += 1;
    seen.bytes += reply.payload.length;
    if (!given.summary) seen.replies.push(described(reply));
    answered();
  };
  const result = status => {
    seen.trailing = pairs(status.metadata);
    return status.code === grpc.status.OK
      ? { value: seen } : { error: { class: grpc.status[status.code], message: status.details, ...seen } };
  };
  return new Promise(done => {
    const meta = metadata(given.metadata);
    if (given.ready) meta.setOptions({ waitForReady: true });
    const options = { deadline: Date.now() + 1000 * (given.timeout ?? TIMEOUT) };
    const requests = (given.requests || [given.request || {}]).map(request);
    const replied = (error, reply) => { if (reply) keep(reply); };
    const argument = UP.includes(given.method) ? [] : [requests[0]];
    const callback = DOWN.includes(given.method) ? [] : [replied];
    const call = client[given.method](...argument, meta, options, ...callback);
    call.on('metadata', initial => { seen.initial = pairs(initial); });
    call.on('status', status => done(result(status)));
    call.on('error', () => {}); // its status follows
    if (DOWN.includes(given.method)) {
      call.on('data', reply => {
        keep(reply);
        if (seen.count === given.cancel_after) call.cancel();
      });
    }
    if (argument.length === 0) send(call, given, requests, wait => { answered = wait; });
  });
}

async function send(call, given, requests, onAnswer) {
  for (let turn = 0; turn < (given.repeat || 1); turn++) {
    for (let n = 0; n < requests.length; n++) {
      const answer = given.turns ? new Promise(done => onAnswer(done)) : null;
      if (!call.write(requests[n])) await new Promise(done => call.once('drain', done));
      if (answer && !(turn === (given.repeat || 1) - 1 && n === requests.length - 1)) await answer;
    }
  }
  call.end();
}

serve(async job => {
  const credentials = job.ca ? grpc.credentials.createSsl(fs.readFileSync(job.ca)) : grpc.credentials.createInsecure();
  const compressed = job.calls.find(each => each.compression);
  const client = new Echo(`${job.ca ? 'localhost' : '127.0.0.1'}:${job.port}`, credentials, {
    'grpc.max_receive_message_length': -1, 'grpc.enable_retries': 0, 'grpc.use_local_subchannel_pool': 1,
    ...(compressed ? { 'grpc.default_compression_algorithm': COMPRESSION[compressed.compression] } : {}), // of the channel
  });
  const results = [];
  if (job.together) results.push(...await Promise.all(job.calls.map(each => run(client, each))));
  else for (const each of job.calls) results.push(await run(client, each));
  client.close();
  return results;
});
