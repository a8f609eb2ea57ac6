// The Java types of HelloService's arguments, as hessian.js wants them.
'use strict';
const TYPES = {
  sayHello: ['java.lang.String'], add: ['int', 'int'], slow: ['int'], fail: ['java.lang.String'],
  crash: ['java.lang.String'], note: ['java.lang.String'],
};

const long = value => ({ $class: 'java.lang.Long', $: value });
const person = value => ({
  $class: 'org.example.Person',
  $: Object.assign({}, value, {
    address: { $class: 'org.example.Address', $: value.address },
    sums: { $class: 'java.util.HashMap', $: Object.fromEntries(Object.entries(value.sums).map(([k, v]) => [k, long(v)])) },
  }),
});

exports.typed = (method, values) => values.map((value, i) => {
  if (method === 'promote') return person(value);
  if (method === 'echo') return { $class: 'java.lang.Object', $: value };
  return { $class: (TYPES[method] || [])[i] || 'java.lang.String', $: value };
});
