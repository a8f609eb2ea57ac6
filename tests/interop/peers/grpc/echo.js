// example.v1.Echo for the client and the server in JavaScript, loaded from echo.proto as they start.
'use strict';
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const definition = loader.loadSync(path.join(__dirname, 'example/v1/echo.proto'), { keepCase: true, defaults: true });

exports.Echo = grpc.loadPackageDefinition(definition).example.v1.Echo;
exports.Echo.defaults = () => definition['example.v1.EchoRequest'].deserialize(Buffer.alloc(0));
