// A client of MariaDB's own connector. Job: {port, user, password, steps: [[what, text, values]...]}, one connection, a
// result each. batch: one statement for many rows, by bulk execution where the server offers it.
'use strict';
const mariadb = require('mariadb');
const { serve, one } = require('../jobs.js');

const count = result => (result && result.affectedRows !== undefined ? result.affectedRows : result);
const ACTIONS = {
  query: async (c, text) => c.query(text),
  execute: async (c, text, values) => c.execute(text, values),
  batch: async (c, text, rows) => count(await c.batch(text, rows)),
};

serve(async job => {
  const c = await mariadb.createConnection({
    host: '127.0.0.1', port: job.port, user: job.user || 'app', password: job.password || 'secret', database: 'd',
    bigIntAsNumber: true, insertIdAsNumber: true, ...(job.options || {}),
  });
  const results = [];
  for (const [what, ...rest] of job.steps) results.push(await one(() => ACTIONS[what](c, ...rest)));
  await c.end();
  return results;
});
