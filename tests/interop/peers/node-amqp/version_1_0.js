// What an application that speaks AMQP 1.0 gets: `version_1_0.js PORT [USER PASSWORD]`. Prints one line of JSON.
"use strict";
const rhea = require("rhea");
const [port, username, password] = process.argv.slice(2);
const container = rhea.create_container();
const said = { opened: false, error: "" };

container.on("connection_open", (context) => {
  said.opened = true;
  context.connection.close();
});
for (const name of ["protocol_error", "connection_error", "error"])
  container.on(name, (context) => {
    said.error = said.error || `${name}: ${(context.error || context.message || context).toString()}`;
  });
container.on("disconnected", () => {
  console.log(JSON.stringify(said));
});
container.connect({ host: "127.0.0.1", port: Number(port), username, password, reconnect: false });
