// A WebSocket server, `ws` (npm): ws_server.js PORT [certificate key]. Its paths: see py_server.py.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const zlib = require('./crc32.js');
const { WebSocketServer } = require('ws');

const [port, certificate, key] = process.argv.slice(2);
const server = certificate
  ? https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) })
  : http.createServer();
const sockets = new WebSocketServer({
  noServer: true, maxPayload: 0, perMessageDeflate: true,
  handleProtocols: offered => (offered.has('chat') ? 'chat' : false),
});

const send = (socket, data, options) => new Promise((done, failed) =>
  socket.send(data, options, error => (error ? failed(error) : done())));

const pairs = flat => Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);

async function source(socket, total, size, whole) {
  const fill = Buffer.alloc(size, 0xa5);
  for (let start = 0; start < total; start += size) {
    const last = start + size >= total;
    await send(socket, fill.subarray(0, Math.min(size, total - start)), { binary: true, fin: !whole || last });
  }
  socket.close();
}

function sink(socket) {
  let bytes = 0, messages = 0, crc32 = 0;
  socket.on('message', (data, binary) => {
    if (!binary && data.toString() === 'end') {
      socket.send(JSON.stringify({ bytes, messages, crc32 }));
      return socket.close();
    }
    messages += 1;
    if (binary) {
      bytes += data.length;
      crc32 = zlib.crc32(data, crc32);
    }
  });
}

function fragments(socket, text, count) {
  const size = Math.ceil(text.length / count);
  for (let start = 0; start < text.length; start += size) {
    socket.send(text.slice(start, start + size), { fin: start + size >= text.length });
  }
}

const PATHS = {
  '/echo': socket => socket.on('message', (data, binary) => socket.send(data, { binary })),
  '/headers': (socket, query, request) => {
    socket.send(JSON.stringify(pairs(request.rawHeaders)));
    socket.close();
  },
  '/close': (socket, query) => socket.close(+query.get('code'), query.get('reason') || ''),
  '/ping': socket => {
    socket.on('pong', data => socket.send(data.toString() === 'hello' ? 'pong' : 'another pong'));
    socket.ping('hello');
  },
  '/fragments': (socket, query) => fragments(socket, query.get('text'), +query.get('n')),
  '/sink': sink,
  '/source': (socket, query) => source(socket, +query.get('bytes'), +query.get('chunk'), query.has('whole')),
};

server.on('request', (request, response) => response.writeHead(404).end('no such path\n'));
server.on('upgrade', (request, socket, head) => {
  const url = new URL(request.url, 'ws://127.0.0.1');
  const behave = PATHS[url.pathname];
  if (!behave) return socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  sockets.handleUpgrade(request, socket, head, connection => {
    connection.on('error', error => console.error(String(error)));
    behave(connection, url.searchParams, request);
  });
});
server.listen(+port, '127.0.0.1', () => console.log('ready'));
