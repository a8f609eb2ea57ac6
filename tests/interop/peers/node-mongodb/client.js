// What a Node application does with MongoDB, once: `client.js URI SET`. Prints one line of JSON; SET: "set" for a replica set.
"use strict";
const { MongoClient } = require("mongodb");

async function main(uri, set) {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 5000, appName: "node" });
  const orders = client.db("shop").collection("node");
  await orders.drop().catch(() => {});
  await orders.insertMany(Array.from({ length: 300 }, (_, number) => ({ _id: number, item: "x".repeat(100) })));
  const found = (await orders.find({}, { batchSize: 50 }).toArray()).length;
  const updated = (await orders.updateMany({ _id: { $lt: 10 } }, { $set: { item: "y" } })).modifiedCount;
  const unknown = await client.db("shop").command({ nope: 1 }).catch((error) => error.codeName);
  const denied = await client.db("shop").collection("kept").drop().catch((error) => error.codeName);
  const large = (await orders.insertOne({ _id: 1000, data: "x".repeat(3000000) })).insertedId;
  const read = (await orders.findOne({ _id: 1000 })).data.length;
  let committed = false;
  if (set) {
    await client.withSession((session) => session.withTransaction(() => orders.insertOne({ _id: 2000 }, { session })));
    committed = (await orders.countDocuments({ _id: 2000 })) === 1;
  }
  await client.close();
  console.log(JSON.stringify({ found, updated, unknown, denied, large, read, committed }));
}

main(process.argv[2], process.argv[3] === "set").catch((error) => {
  console.error(error);
  process.exit(1);
});
