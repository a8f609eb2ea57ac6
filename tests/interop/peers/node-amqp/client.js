// What a Node application does with RabbitMQ, once: `client.js URI`. Prints one line of JSON.
"use strict";
const amqp = require("amqplib");
const NAME = "node";

// The reply code with which a channel of its own is closed; 0 for none.
async function code(connection, act) {
  const channel = await connection.createChannel();
  channel.on("error", () => {});
  return act(channel).then(
    () => channel.close().then(() => 0),
    (error) => error.code,
  );
}

async function main(uri) {
  const connection = await amqp.connect(uri);
  const channel = await connection.createConfirmChannel();
  await channel.assertExchange(`${NAME}-x`, "topic", { autoDelete: true });
  await channel.assertQueue(`${NAME}-q`, { durable: false });
  await channel.purgeQueue(`${NAME}-q`);
  await channel.bindQueue(`${NAME}-q`, `${NAME}-x`, "order.*");
  let confirmed = 0;
  for (let number = 0; number < 100; number++)
    channel.publish(`${NAME}-x`, "order.new", Buffer.from(`${number}`), { headers: { tenant: "t1" }, persistent: true }, (error) => {
      if (!error) confirmed += 1;
    });
  let returned = 0;
  channel.on("return", (message) => (returned = message.fields.replyCode));
  channel.sendToQueue("nowhere", Buffer.from("x"), { mandatory: true });
  await channel.waitForConfirms();
  await channel.prefetch(10);
  let consumed = 0, header = "";
  await new Promise((resolve) => {
    channel.consume(
      `${NAME}-q`,
      (message) => {
        channel.ack(message);
        header = message.properties.headers.tenant;
        if (++consumed === 100) resolve();
      },
      { consumerTag: "all" },
    );
  });
  await channel.cancel("all");
  const empty = (await channel.get(`${NAME}-q`)) === false;
  channel.sendToQueue(`${NAME}-q`, Buffer.alloc(3000000, "x"));
  await channel.waitForConfirms();
  const large = (await channel.get(`${NAME}-q`, { noAck: true })).content.length;
  const committed = -1; // amqplib has no transactions

  const server = await connection.createChannel();
  const caller = await connection.createChannel();
  await server.consume(`${NAME}-q`, (message) => {
    server.sendToQueue(message.properties.replyTo, Buffer.from("pong"));
    server.ack(message);
  });
  const reply = await new Promise((resolve) => {
    caller.consume("amq.rabbitmq.reply-to", (message) => resolve(message.content.toString()), { noAck: true }).then(() =>
      caller.sendToQueue(`${NAME}-q`, Buffer.from("ping"), { replyTo: "amq.rabbitmq.reply-to" }),
    );
  });
  const missing = await code(connection, (which) => which.checkQueue("missing"));
  const denied = await code(connection, (which) => which.deleteQueue("kept"));
  await connection.close();
  console.log(JSON.stringify({ confirmed, returned, consumed, header, empty, large, committed, reply, missing, denied }));
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
