// A Dubbo consumer, the Apache project's own client for JavaScript (apache-dubbo-js). Job: as npm_client.js.
'use strict';
const { DirectlyDubbo } = require('apache-dubbo-js');
const { serve, one, within } = require('../jobs.js');
const { typed } = require('./arguments.js');

const CONNECTED = 200; // milliseconds; the library does not say when its connection stands

serve(async job => {
  const client = DirectlyDubbo.from({ dubboAddress: '127.0.0.1:' + job.port, dubboVersion: '2.0.2', dubboInvokeTimeout: 5 });
  await new Promise(done => setTimeout(done, CONNECTED));
  const results = [];
  for (const { method, args = [], timeout = 5000 } of job.calls) {
    const service = client.proxyService({
      dubboInterface: job.interface || 'org.example.HelloService', version: '1.0.0',
      methods: { [method]: (...values) => typed(method, values) },
    });
    results.push(await one(async () => {
      const { err, res } = await within(timeout, service[method](...args));
      if (err) throw err;
      return res;
    }));
  }
  client._socketWorker._retry = 0; // or it would connect again, for ever
  client._socketWorker._socket.destroy();
  return results;
});
