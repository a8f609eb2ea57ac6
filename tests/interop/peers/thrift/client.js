// A client of Apache Thrift for JavaScript. Job: as in client.py.
'use strict';
const path = require('path');
const thrift = require('thrift');
const gen = process.env.HELLO_JS;
const Hello = require(path.join(gen, 'Hello.js'));
const { Inner, Item } = require(path.join(gen, 'hello_types.js'));
const { serve, describe, within } = require('../jobs.js');
const { TRANSPORTS, PROTOCOLS } = require('./wire.js');

const TIMEOUT = 5000; // milliseconds

function item(fields) {
  const given = Object.assign({}, fields);
  if (given.raw !== undefined) given.raw = Buffer.from(given.raw, 'latin1');
  if (given.inner) given.inner = new Inner(given.inner);
  return new Item(given);
}

// Int64 objects as numbers, buffers as Latin-1 text, nothing for fields that are not there.
function plain(value) {
  if (value === null || value === undefined) return null;
  if (Buffer.isBuffer(value)) return value.toString('latin1');
  if (typeof value === 'bigint') return Number(value);
  if (typeof value.toNumber === 'function') return value.toNumber();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== null && v !== undefined).map(([k, v]) => [k, plain(v)]));
}

serve(async job => {
  const header = job.transport === 'header';
  const connection = thrift.createConnection('127.0.0.1', job.port, {
    transport: TRANSPORTS[job.transport], protocol: header ? thrift.THeaderProtocol : PROTOCOLS[job.protocol],
  });
  // An error of the connection ends the calls that wait on it; the library itself would leave them waiting.
  const broken = new Promise((_, reject) => {
    connection.on('error', reject);
    connection.on('close', () => reject(Object.assign(new Error('connection closed'), { name: 'Closed' })));
  });
  broken.catch(() => {});
  const client = job.mux
    ? new thrift.Multiplexer().createClient('Hello', Hello, connection)
    : thrift.createClient(Hello, connection);
  if (header) {
    const { output } = client;
    const flush = output.flush.bind(output);
    output.setProtocolId({ binary: 0, compact: 2 }[job.protocol]);
    // Generated clients flush the transport, and then no header is written at all; servers flush the protocol.
    output.flush = () => { output.writeHeaders(); return flush(); };
  }
  const connected = new Promise(done => connection.on('connect', done));
  await Promise.race([connected, broken]).catch(() => {}); // or a one-way call might end before it was sent
  const results = [];
  for (const { method, args = [], headers = {} } of job.calls) {
    const given = method === 'echo' ? args.map(item) : args;
    if (header) {
      client.output.clearWriteHeaders();
      for (const [key, value] of Object.entries(headers)) client.output.setWriteHeader(key, value);
    }
    try {
      results.push({ value: plain(await within(TIMEOUT, Promise.race([client[method](...given), broken]))) });
    } catch (error) {
      if (error instanceof thrift.Thrift.TApplicationException) error.message = `${error.type}: ${error.message}`;
      if (error.why !== undefined) error.message = error.why;
      results.push(describe(error));
    }
  }
  connection.removeAllListeners('close');
  connection.end();
  return results;
});
