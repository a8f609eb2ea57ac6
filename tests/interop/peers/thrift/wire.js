// The transports and protocols of Apache Thrift for JavaScript, by the names that server.py explains.
'use strict';
const thrift = require('thrift');

function Old(transport) { // a function, as the multiplexer calls it on an object of its own
  thrift.TBinaryProtocol.call(this, transport, false, false);
}
Object.setPrototypeOf(Old.prototype, thrift.TBinaryProtocol.prototype);

exports.TRANSPORTS = { buffered: thrift.TBufferedTransport, framed: thrift.TFramedTransport, header: thrift.TBufferedTransport };
exports.PROTOCOLS = { binary: thrift.TBinaryProtocol, old: Old, compact: thrift.TCompactProtocol, json: thrift.TJSONProtocol };
