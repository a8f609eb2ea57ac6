// A client of mysql2. Job: {port, user, password, steps: [[what, text, values]...]}, one connection, a result each.
'use strict';
const mysql = require('mysql2/promise');
const { serve, one } = require('../jobs.js');

const ACTIONS = {
  query: async (c, text) => (await c.query(text))[0],
  execute: async (c, text, values) => (await c.execute(text, values))[0],
  prepare: async (c, text, rows) => {
    const statement = await c.prepare(text);
    const found = [];
    for (const values of rows) found.push((await statement.execute(values))[0]);
    await statement.close();
    return found;
  },
  many: async (c, text, count) =>
    Promise.all([...Array(count).keys()].map(async i => (await c.execute(text, [i]))[0])),
  changeUser: (c, options) => c.changeUser(options),
  ping: async c => { await c.ping(); return 'pong'; },
};

serve(async job => {
  const c = await mysql.createConnection({
    host: '127.0.0.1', port: job.port, user: job.user || 'app', password: job.password || 'secret', database: 'd',
    multipleStatements: true, ...(job.options || {}),
  });
  const results = [];
  for (const [what, ...rest] of job.steps) results.push(await one(() => ACTIONS[what](c, ...rest)));
  await c.end();
  return results;
});
