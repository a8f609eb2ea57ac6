package org.example.mongodb;

import com.mongodb.ConnectionString;
import com.mongodb.MongoClientSettings;
import com.mongodb.MongoCommandException;
import com.mongodb.client.ClientSession;
import com.mongodb.client.MongoClient;
import com.mongodb.client.MongoClients;
import com.mongodb.client.MongoCollection;
import com.mongodb.client.MongoDatabase;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.Updates;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.bson.Document;

/** What a Java application does with MongoDB, once: arguments URI and "set" for a replica set. Prints one line of JSON. */
public final class MongoPeer {
  private MongoPeer() {}

  private static String nameOf(Runnable call) {
    try {
      call.run();
      return "";
    } catch (MongoCommandException error) {
      return error.getErrorCodeName();
    }
  }

  public static void main(String[] arguments) {
    MongoClientSettings settings =
        MongoClientSettings.builder()
            .applyConnectionString(new ConnectionString(arguments[0]))
            .applicationName("java")
            .applyToClusterSettings(cluster -> cluster.serverSelectionTimeout(5, TimeUnit.SECONDS))
            .build();
    try (MongoClient client = MongoClients.create(settings)) {
      MongoDatabase shop = client.getDatabase("shop");
      MongoCollection<Document> orders = shop.getCollection("java");
      orders.drop();
      List<Document> documents = new ArrayList<>();
      for (int number = 0; number < 300; number++) {
        documents.add(new Document("_id", number).append("item", "x".repeat(100)));
      }
      orders.insertMany(documents);
      int found = orders.find().batchSize(50).into(new ArrayList<>()).size();
      long updated = orders.updateMany(Filters.lt("_id", 10), Updates.set("item", "y")).getModifiedCount();
      String unknown = nameOf(() -> shop.runCommand(new Document("nope", 1)));
      String denied = nameOf(() -> shop.getCollection("kept").drop());
      orders.insertOne(new Document("_id", 1000).append("data", "x".repeat(3000000)));
      int read = orders.find(Filters.eq("_id", 1000)).first().getString("data").length();
      boolean committed = false;
      if (arguments[1].equals("set")) {
        try (ClientSession session = client.startSession()) {
          session.withTransaction(() -> orders.insertOne(session, new Document("_id", 2000)));
        }
        committed = orders.countDocuments(Filters.eq("_id", 2000)) == 1;
      }
      Document result =
          new Document("found", found)
              .append("updated", (int) updated)
              .append("unknown", unknown)
              .append("denied", denied)
              .append("large", 1000)
              .append("read", read)
              .append("committed", committed);
      System.out.println(result.toJson());
    }
  }
}
