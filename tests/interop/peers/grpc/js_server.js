// A gRPC server, @grpc/grpc-js, of example.v1.Echo: js_server.js NAME PORT [certificate key]. See echo.proto, py_server.py.
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const { Echo } = require('./echo.js');

const [name, port, certificate, key] = process.argv.slice(2);
const attempts = new Map();
const sleep = milliseconds => new Promise(done => setTimeout(done, milliseconds));

function metadata(pairs, own = {}) {
  const made = new grpc.Metadata();
  for (const [each, value] of Object.entries({ ...own, ...pairs })) {
    made.set(each, each.endsWith('-bin') ? Buffer.from(value) : value);
  }
  return made;
}

const begin = (call, request) => call.sendMetadata(metadata(request.initial, { 'served-by': name }));
const failure = request => ({ code: request.code, details: request.message, metadata: metadata(request.trailing) });

async function reply(call, request, index) {
  await sleep(request.delay_ms);
  const pairs = Object.entries(call.metadata.getMap()).filter(([each]) => !each.endsWith('-bin'));
  const deadline = call.getDeadline();
  return {
    text: request.text, index, served_by: name, metadata: Object.fromEntries(pairs),
    payload: request.size ? Buffer.alloc(request.size, 0xa5) : request.payload,
    deadline_ms: deadline === Infinity ? -1 : Math.trunc(deadline - Date.now()),
  };
}

const write = (call, message) => (call.write(message) ? null : new Promise(done => call.once('drain', done)));

function finish(call, request) {
  if (request.code) call.emit('error', failure(request));
  else call.end(metadata(request.trailing));
}

function told(method, call, text) {
  call.on('cancelled', () => console.log('cancelled', method, text()));
}

async function unary(call, done) {
  const request = call.request;
  told('Unary', call, () => request.text);
  begin(call, request);
  let index = 0;
  if (request.key) {
    index = (attempts.get(request.key) || 0) + 1;
    attempts.set(request.key, index);
  }
  if (request.code && (!request.key || index <= request.fail_first)) {
    await sleep(request.delay_ms);
    return done(failure(request));
  }
  done(null, await reply(call, request, index), metadata(request.trailing));
}

async function serverStream(call) {
  const request = call.request;
  told('ServerStream', call, () => request.text);
  begin(call, request);
  for (let index = 0; index < request.count && !call.cancelled; index++) {
    await write(call, await reply(call, request, index));
  }
  finish(call, request);
}

async function clientStream(call, done) {
  const texts = [];
  let last = Echo.defaults(), size = 0;
  told('ClientStream', call, () => last.text);
  for await (const request of call.iterator({ destroyOnReturn: false })) {
    last = request;
    texts.push(request.text);
    size += request.payload.length;
  }
  begin(call, last);
  if (last.code) return done(failure(last));
  const answer = await reply(call, last, texts.length);
  done(null, { ...answer, text: texts.join('+'), payload: Buffer.from(String(size)) }, metadata(last.trailing));
}

async function bidiStream(call) {
  let index = 0, request = Echo.defaults();
  told('BidiStream', call, () => request.text);
  for await (request of call.iterator({ destroyOnReturn: false })) { // or it could not be written to any more
    if (!index) begin(call, request);
    for (let n = 0; n < Math.max(1, request.count); n++) await write(call, await reply(call, request, index++));
    if (request.code) break;
  }
  finish(call, request);
}

const guarded = handler => (call, done) => {
  handler(call, done).catch(error => { if (!call.cancelled) console.error(error); });
};

const server = new grpc.Server({ 'grpc.max_receive_message_length': -1 });
server.addService(Echo.service, {
  Unary: guarded(unary), ServerStream: guarded(serverStream), ClientStream: guarded(clientStream), BidiStream: guarded(bidiStream),
});
const credentials = certificate
  ? grpc.ServerCredentials.createSsl(null, [{ cert_chain: fs.readFileSync(certificate), private_key: fs.readFileSync(key) }])
  : grpc.ServerCredentials.createInsecure();
server.bindAsync(`127.0.0.1:${port}`, credentials, error => {
  if (error) throw error;
  console.log('ready');
});
