// A Dubbo provider, sofa-rpc-node with dubbo-remoting: node -r loopback.js npm_server.js NAME PORT [PARAMETER=VALUE ...]
// It heeds registry=zookeeper://ADDRESS.
//
// fail(why) answers status 20 with an exception, crash(why) status 80 with a text: the two ways this library has.
'use strict';
const { RpcServer } = require('sofa-rpc-node').server;
const { ZookeeperRegistry } = require('sofa-rpc-node').registry;
const protocol = require('dubbo-remoting');

const [name, port, ...parameters] = process.argv.slice(2);
const place = parameters.find(one => one.startsWith('registry='));
const notes = [];
const quiet = { info() {}, debug() {}, warn: console.warn, error() {} };
const registry = place && new ZookeeperRegistry({ logger: quiet, address: `${place.replace('registry=zookeeper://', '')}/dubbo` });
const server = new RpcServer({ registry, logger: quiet, port: +port, publishAddress: '127.0.0.1', autoServe: false, protocol, codecType: 'hessian2' });

server.createContext = request => request; // `this` in the methods below
server.addService({ interfaceName: 'org.example.HelloService', version: '1.0.0' }, {
  async whoami() { return name; },
  async sayHello(who) { return `hello ${who} from ${name}`; },
  async add(a, b) { return a + b; },
  async echo(value) { return value; },
  async slow(milliseconds) { await new Promise(done => setTimeout(done, milliseconds)); return milliseconds; },
  async fail(why) { return Object.assign(new Error(why), { stack: `Error: ${why}\n    at Object.fail (peer.js:1:1)` }); },
  async crash(why) { throw new Error(why); },
  async attachments() { return this.data.requestProps; },
  async promote(person) { person.name = 'Dr. ' + person.name; return { $class: 'org.example.Person', $: person }; },
  async note(text) { notes.push(text); return true; }, // answered even when the call was one-way
  async nothing() { return null; }, // written as the result type itself: most clients cannot read that
  async noted() { return notes; },
});
Promise.resolve(registry && registry.ready())
  .then(() => server.start())
  .then(() => registry && server.publish())
  .then(() => console.log('ready'));
