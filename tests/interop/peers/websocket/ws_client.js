// A WebSocket client, `ws` (npm). Jobs and steps: see py_client.py.
'use strict';
const fs = require('fs');
const WebSocket = require('ws');
const { serve, one, within } = require('../jobs.js');
const { crc32 } = require('./crc32.js');

const WAIT = 30000;
const gone = () => Object.assign(new Error('the connection is closed'), { name: 'ConnectionClosed' });

// What arrives, in order, for who asks; a wait ends with an error when the connection does.
class Inbox {
  constructor(socket) {
    this.messages = [];
    this.waiting = [];
    this.over = null;
    socket.on('message', (data, binary) => this.put(binary ? data : data.toString()));
    socket.on('error', () => {}); // "close" follows
    socket.on('close', (code, reason) => {
      this.over = { code, reason: reason.toString() };
      this.waiting.splice(0).forEach(([, failed]) => failed(gone()));
    });
  }

  put(message) {
    const next = this.waiting.shift();
    if (next) next[0](message);
    else this.messages.push(message);
  }

  take() {
    if (this.messages.length) return Promise.resolve(this.messages.shift());
    if (this.over) return Promise.reject(gone());
    return within(WAIT, new Promise((done, failed) => this.waiting.push([done, failed])));
  }
}

const send = (socket, data, options) => new Promise((done, failed) =>
  socket.send(data, options, error => (error ? failed(socket.readyState === WebSocket.OPEN ? error : gone()) : done())));

const STEPS = {
  send: (socket, inbox, { text, bytes }) => send(socket, text === undefined ? Buffer.from(bytes, 'latin1') : text, {}),
  async fragments(socket, inbox, { texts }) {
    for (let i = 0; i < texts.length; i++) await send(socket, texts[i], { fin: i === texts.length - 1 });
  },
  async receive(socket, inbox) {
    const message = await inbox.take();
    return typeof message === 'string' ? message : { bytes: message.toString('latin1') };
  },
  ping: socket => within(WAIT, new Promise(done => {
    socket.once('pong', data => done(data.toString() === 'are you there'));
    socket.ping('are you there');
  })),
  async fill(socket, inbox, { bytes, chunk, whole = false }) {
    const fill = Buffer.alloc(chunk, 0xa5);
    let crc = 0;
    for (let start = 0; start < bytes; start += chunk) {
      const part = fill.subarray(0, Math.min(chunk, bytes - start));
      crc = crc32(part, crc);
      await send(socket, part, { binary: true, fin: !whole || start + chunk >= bytes });
    }
    return crc;
  },
  async drain(socket, inbox, { bytes }) {
    const seen = { bytes: 0, messages: 0, crc32: 0 };
    while (seen.bytes < bytes) {
      const message = await inbox.take();
      seen.bytes += message.length;
      seen.messages += 1;
      seen.crc32 = crc32(message, seen.crc32);
    }
    return seen;
  },
  close: (socket, inbox, { code = 1000, reason = '' }) => within(WAIT, new Promise(done => {
    if (inbox.over) return done();
    socket.once('close', () => done());
    socket.close(code, reason);
  })),
  async closed(socket, inbox) {
    while (!inbox.over) await inbox.take().catch(error => { if (error.name !== 'ConnectionClosed') throw error; });
    return inbox.over;
  },
  subprotocol: socket => socket.protocol || null,
  extensions: socket => (socket.extensions ? socket.extensions.split(',').map(each => each.split(';')[0].trim()) : []),
};

const open = socket => within(WAIT, new Promise((done, failed) => {
  socket.once('open', done);
  socket.once('error', failed);
}));

serve(async job => {
  const url = `ws${job.ca ? 's' : ''}://127.0.0.1:${job.port}${job.path || '/echo'}`;
  const socket = new WebSocket(url, job.subprotocols || [], {
    headers: job.headers || {}, perMessageDeflate: job.compression ? { threshold: 0 } : false, maxPayload: 0,
    ...(job.ca ? { ca: fs.readFileSync(job.ca), servername: 'localhost' } : {}),
  });
  const inbox = new Inbox(socket);
  const opened = await one(() => open(socket));
  if (opened.error) return job.steps.map(() => opened);
  const results = [];
  for (const step of job.steps) {
    results.push(await one(async () => {
      if (!STEPS[step.do]) throw new Error(`no step ${step.do}`);
      return STEPS[step.do](socket, inbox, step);
    }));
  }
  socket.terminate();
  return results;
});
