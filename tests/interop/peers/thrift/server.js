// Thrift servers of Apache Thrift for JavaScript: server.js NAME PORT:TRANSPORT:PROTOCOL[:mux] ... (see server.py).
//
// A port answers either plain or multiplexed calls: the library has no default service.
'use strict';
const path = require('path');
const thrift = require('thrift');
const gen = process.env.HELLO_JS;
const Hello = require(path.join(gen, 'Hello.js'));
const { Rejected } = require(path.join(gen, 'hello_types.js'));
const { TRANSPORTS, PROTOCOLS } = require('./wire.js');

const [name, ...specs] = process.argv.slice(2);
const notes = [];
let seen = null; // the protocol of the call that is being handled; handlers start before another call is read

// Patched, not subclassed: the server asks for this very class before it answers over the transport that it reads.
const { readMessageBegin } = thrift.THeaderProtocol.prototype;
thrift.THeaderProtocol.prototype.readMessageBegin = function () {
  const begin = readMessageBegin.call(this);
  seen = this.trans;
  seen.setWriteHeader('served-by', name);
  return begin;
};

// Handlers that call back at once: a header server that is answered later has lost the headers' state by then.
const handler = {
  sayHello: (who, done) => done(null, `hello ${who} from ${name}`),
  add: (a, b, done) => done(null, a + b),
  echo: (item, done) => done(null, item),
  ping: done => done(null),
  reject: (why, done) => done(new Rejected({ why, code: 7 })),
  crash: (why, done) => done(new Error(why)),
  slow: (milliseconds, done) => setTimeout(() => done(null, milliseconds), milliseconds),
  note: text => { notes.push(text); },
  noted: done => done(null, notes),
  headers: done => done(null, seen ? Object.assign({}, seen.getReadHeaders()) : {}),
};

Promise.all(specs.map(spec => new Promise(done => {
  const [port, transport, protocol, mux] = spec.split(':');
  const options = { transport: TRANSPORTS[transport], protocol: transport === 'header' ? thrift.THeaderProtocol : PROTOCOLS[protocol] };
  let server;
  if (mux) {
    const processor = new thrift.MultiplexedProcessor();
    processor.registerProcessor('Hello', new Hello.Processor(handler));
    server = thrift.createMultiplexServer(processor, options);
  } else {
    server = thrift.createServer(Hello, handler, options);
  }
  server.on('error', error => console.error(spec, error));
  server.listen(+port, '127.0.0.1', done);
}))).then(() => console.log('ready'));
