// A Dubbo consumer, sofa-rpc-node with dubbo-remoting. Job: {port, calls: [{method, args, attachments, timeout}]}
'use strict';
const { RpcClient } = require('sofa-rpc-node').client;
const protocol = require('dubbo-remoting');
const { serve, one } = require('../jobs.js');
const { typed } = require('./arguments.js');

const quiet = { info() {}, debug() {}, warn() {}, error() {} };

serve(async job => {
  const client = new RpcClient({ logger: quiet, protocol });
  const consumer = client.createConsumer({
    interfaceName: job.interface || 'org.example.HelloService', version: '1.0.0', group: '', serverHost: 'dubbo://127.0.0.1:' + job.port,
  });
  consumer.on('error', () => {}); // a connection that breaks is told by the calls on it
  await consumer.ready();
  const call = ({ method, args = [], attachments = {}, timeout = 5000 }) => one(() =>
    consumer.invoke(method, typed(method, args), { responseTimeout: timeout, requestProps: attachments }));
  const results = [];
  if (job.together) {
    results.push(...await Promise.all(job.calls.map(call)));
  } else {
    for (const each of job.calls) results.push(await call(each));
  }
  consumer.close();
  await client.close();
  return results;
});
