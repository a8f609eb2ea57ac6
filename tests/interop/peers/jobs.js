// What every JavaScript client program shares: one JSON job a line on stdin, one JSON list of results a line on stdout.
//
// run(job) returns a promise of the list; one(call) wraps a call's outcome as {value} or {error: {class, message}}.
'use strict';
const readline = require('readline');

exports.serve = async run => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await run(JSON.parse(line))) + '\n');
  }
  process.exit(0);
};

exports.describe = error => ({ error: { class: error.name || error.constructor.name, message: String(error.message) } });

exports.one = async call => {
  try {
    const value = await call();
    return { value: value === undefined ? null : value };
  } catch (error) {
    return exports.describe(error);
  }
};

// The first to come: the promise, or an error after so many milliseconds.
exports.within = (milliseconds, promise) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('no answer'), { name: 'Deadline' })), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};
