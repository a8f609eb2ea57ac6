// A client of pg. Job: {port, user, password, steps: [[what, ...]...]}, one connection, a result each.
'use strict';
const { Client } = require('pg');
const { serve, one } = require('../jobs.js');

const ACTIONS = {
  query: async (c, text, values) => (await c.query(text, values)).rows,
  several: async (c, text) => (await c.query(text)).map(each => each.rows),
  named: async (c, text, rows) => {
    const found = [];
    for (const values of rows) found.push((await c.query({ name: 'statement', text, values })).rows);
    return found;
  },
  many: async (c, text, count) =>
    Promise.all([...Array(count).keys()].map(async i => (await c.query(text, [i])).rows)),
};

serve(async job => {
  const c = new Client({
    host: '127.0.0.1', port: job.port, user: job.user || 'app', password: job.password || 'secret',
    database: 'postgres', ...(job.options || {}),
  });
  await c.connect();
  const results = [];
  for (const [what, ...rest] of job.steps) results.push(await one(() => ACTIONS[what](c, ...rest)));
  await c.end();
  return results;
});
