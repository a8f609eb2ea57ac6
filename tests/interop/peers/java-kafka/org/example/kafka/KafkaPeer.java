package org.example.kafka;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** What a Java application does with Kafka, once: argument JOB. Prints one line of JSON. */
public final class KafkaPeer {
  private final Map<String, Object> base = new HashMap<>();
  private final String prefix;
  private final String orders;
  private final String done;
  private final long deadline = System.nanoTime() + 60_000_000_000L;

  private KafkaPeer(JsonNode job) {
    prefix = job.get("prefix").asText();
    orders = prefix + "-orders";
    done = prefix + "-done";
    base.put("bootstrap.servers", job.get("bootstrap").asText());
    base.put("client.id", prefix);
    if (job.has("user")) {
      base.put("security.protocol", job.has("ca") ? "SASL_SSL" : "SASL_PLAINTEXT");
      String mechanism = job.get("mechanism").asText();
      String module = mechanism.equals("PLAIN") ? "plain.Plain" : "scram.Scram";
      base.put("sasl.mechanism", mechanism);
      base.put(
          "sasl.jaas.config",
          String.format(
              "org.apache.kafka.common.security.%sLoginModule required username=\"%s\" password=\"%s\";",
              module, job.get("user").asText(), job.get("password").asText()));
    } else if (job.has("ca")) {
      base.put("security.protocol", "SSL");
    }
    if (job.has("ca")) {
      base.put("ssl.truststore.type", "PEM");
      base.put("ssl.truststore.location", job.get("ca").asText());
    }
  }

  private Map<String, Object> with(Object... more) {
    Map<String, Object> all = new HashMap<>(base);
    for (int at = 0; at < more.length; at += 2) {
      all.put((String) more[at], more[at + 1]);
    }
    return all;
  }

  private KafkaProducer<String, String> producer(Object... more) {
    return new KafkaProducer<>(with(more), new StringSerializer(), new StringSerializer());
  }

  private KafkaConsumer<String, String> consumer(String group, Object... more) {
    Map<String, Object> about = with(more);
    about.put("group.id", group);
    about.put("auto.offset.reset", "earliest");
    about.put("enable.auto.commit", "false");
    about.put("isolation.level", "read_committed");
    if (!"consumer".equals(about.get("group.protocol"))) {
      about.put("session.timeout.ms", "6000");
      about.put("heartbeat.interval.ms", "300");
    }
    return new KafkaConsumer<>(about, new StringDeserializer(), new StringDeserializer());
  }

  private boolean early() {
    return System.nanoTime() < deadline;
  }

  /** How many records two members of a group read, and how many members had partitions. */
  private int[] drained(String group, Object... more) {
    Set<String> seen = new HashSet<>();
    Set<Integer> had = new HashSet<>();
    List<KafkaConsumer<String, String>> members = List.of(consumer(group, more), consumer(group, more));
    members.forEach(each -> each.subscribe(List.of(orders)));
    while ((seen.size() < 300 || had.size() < 2) && early()) {
      for (int number = 0; number < 2; number++) {
        for (ConsumerRecord<String, String> record : members.get(number).poll(Duration.ofMillis(50))) {
          seen.add(record.partition() + " " + record.offset());
        }
        if (!members.get(number).assignment().isEmpty()) {
          had.add(number);
        }
      }
    }
    members.forEach(KafkaConsumer::close);
    return new int[] {seen.size(), had.size()};
  }

  private int shared(Admin admin, String group) throws Exception {
    ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, group);
    ConfigEntry earliest = new ConfigEntry("share.auto.offset.reset", "earliest");
    AlterConfigOp set = new AlterConfigOp(earliest, AlterConfigOp.OpType.SET);
    admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get();
    Set<String> seen = new HashSet<>();
    try (KafkaShareConsumer<String, String> member =
        new KafkaShareConsumer<>(with("group.id", group), new StringDeserializer(), new StringDeserializer())) {
      member.subscribe(List.of(orders));
      while (seen.size() < 300 && early()) {
        member.poll(Duration.ofMillis(200)).forEach(record -> seen.add(record.partition() + " " + record.offset()));
      }
    }
    return seen.size();
  }

  private int transactions(Map<String, Object> result) {
    int count = 0;
    try (KafkaProducer<String, String> out = producer("transactional.id", prefix + "-tx");
        KafkaConsumer<String, String> reader = consumer(prefix + "-offsets")) {
      out.initTransactions();
      TopicPartition first = new TopicPartition(orders, 0);
      for (boolean commit : new boolean[] {true, false}) {
        out.beginTransaction();
        for (int number = 0; number < 10; number++) {
          out.send(new ProducerRecord<>(done, String.valueOf(number)));
        }
        ConsumerGroupMetadata group = reader.groupMetadata();
        out.sendOffsetsToTransaction(Map.of(first, new OffsetAndMetadata(5)), group);
        if (commit) {
          out.commitTransaction();
        } else {
          out.abortTransaction();
        }
      }
      result.put("offset", reader.committed(Set.of(first)).get(first).offset());
      TopicPartition only = new TopicPartition(done, 0);
      reader.assign(List.of(only));
      reader.seekToBeginning(List.of(only));
      while (count < 10 && early()) {
        count += reader.poll(Duration.ofMillis(200)).count();
      }
      count += reader.poll(Duration.ofMillis(500)).count();
    }
    return count;
  }

  private Map<String, Object> run() throws Exception {
    Map<String, Object> result = new LinkedHashMap<>();
    try (Admin admin = Admin.create(base)) {
      admin.createTopics(List.of(new NewTopic(orders, 6, (short) 3), new NewTopic(done, 1, (short) 3))).all().get();
      List<java.util.concurrent.Future<?>> sent = new ArrayList<>();
      for (String compression : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
        try (KafkaProducer<String, String> out = producer("compression.type", compression, "linger.ms", "5")) {
          for (int number = 0; number < 60; number++) {
            ProducerRecord<String, String> record =
                new ProducerRecord<>(orders, "k" + number, number + " " + "x".repeat(200));
            record.headers().add("tenant", "t1".getBytes(StandardCharsets.UTF_8));
            sent.add(out.send(record));
          }
        }
      }
      for (java.util.concurrent.Future<?> each : sent) {
        each.get();
      }
      result.put("produced", sent.size());
      int[] classic = drained(prefix + "-group");
      result.put("consumed", classic[0]);
      result.put("members", classic[1]);
      int[] next = drained(prefix + "-848", "group.protocol", "consumer");
      int shared = shared(admin, prefix + "-share");
      result.put("next_generation", next[0] == 300 && next[1] == 2 && shared == 300);
      result.put("committed", transactions(result));
      try {
        admin.createTopics(List.of(new NewTopic("denied-" + prefix, 1, (short) 3))).all().get();
        result.put("denied", "");
      } catch (ExecutionException error) {
        result.put("denied", Errors.forException((ApiException) error.getCause()).name());
      }
      result.put("brokers", admin.describeCluster().nodes().get().size());
      admin.deleteTopics(List.of(orders, done)).all().get();
    }
    return result;
  }

  public static void main(String[] arguments) throws Exception {
    System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "error");
    ObjectMapper mapper = new ObjectMapper();
    System.out.println(mapper.writeValueAsString(new KafkaPeer(mapper.readTree(arguments[0])).run()));
    System.exit(0);
  }
}
