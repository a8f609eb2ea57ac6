package org.example.kafka;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsResult;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Asks for several things of which some are refused: argument JOB, whose `do` is read, groups, write or large. Prints one line of
 * JSON.
 */
public final class Parts {
  private final JsonNode job;
  private final Map<String, Object> result = new LinkedHashMap<>();
  private final long deadline = System.nanoTime() + 60_000_000_000L;

  private Parts(JsonNode job) {
    this.job = job;
  }

  private Map<String, Object> with(Object... more) {
    Map<String, Object> all = new HashMap<>();
    all.put("bootstrap.servers", job.get("bootstrap").asText());
    for (int at = 0; at < more.length; at += 2) {
      all.put((String) more[at], more[at + 1]);
    }
    return all;
  }

  private boolean early() {
    return System.nanoTime() < deadline;
  }

  private List<String> names(String key) {
    List<String> names = new ArrayList<>();
    job.get(key).forEach(each -> names.add(each.asText()));
    return names;
  }

  private KafkaConsumer<String, String> consumer(Object... more) {
    return new KafkaConsumer<>(with(more), new StringDeserializer(), new StringDeserializer());
  }

  /** Reads `count` records of the topics, and goes on until it was refused `refusals` times. */
  private void read() {
    Set<String> seen = new TreeSet<>();
    Set<String> refused = new TreeSet<>();
    int refusals = 0;
    String group = job.path("group").asText();
    try (KafkaConsumer<String, String> reader = group.isEmpty()
        ? consumer("auto.offset.reset", "earliest")
        : consumer("auto.offset.reset", "earliest", "group.id", group)) {
      if (group.isEmpty()) {
        List<TopicPartition> all = new ArrayList<>();
        names("topics").forEach(topic -> all.add(new TopicPartition(topic, 0)));
        reader.assign(all);
        all.forEach(each -> reader.seek(each, 0));
      } else {
        reader.subscribe(names("topics"));
      }
      while ((seen.size() < job.get("count").asInt() || refusals < job.get("refusals").asInt()) && early()) {
        try {
          for (ConsumerRecord<String, String> record : reader.poll(Duration.ofMillis(200))) {
            seen.add(record.topic() + " " + record.partition() + " " + record.offset());
          }
        } catch (TopicAuthorizationException error) {
          refused.addAll(error.unauthorizedTopics());
          refusals++;
        }
      }
    }
    result.put("seen", seen.size());
    result.put("refused", refused);
    result.put("often", refusals >= job.get("refusals").asInt());
  }

  /** The offsets of several groups: how many each has, or its error. */
  private void groups() throws Exception {
    Map<String, Object> found = new TreeMap<>();
    try (Admin admin = Admin.create(with())) {
      Map<String, ListConsumerGroupOffsetsSpec> asked = new HashMap<>();
      names("groups").forEach(group -> asked.put(group, new ListConsumerGroupOffsetsSpec()));
      ListConsumerGroupOffsetsResult offsets = admin.listConsumerGroupOffsets(asked);
      for (String group : names("groups")) {
        try {
          Map<TopicPartition, OffsetAndMetadata> each = offsets.partitionsToOffsetAndMetadata(group).get();
          found.put(group, each.size());
        } catch (ExecutionException error) {
          found.put(group, Errors.forException((ApiException) error.getCause()).name());
        }
      }
    }
    result.put("groups", found);
  }

  /** Writes `count` records to partitions in turn, and reads all that there is. */
  private void write() throws Exception {
    int count = job.get("count").asInt();
    int partitions = job.get("partitions").asInt();
    String topic = names("topics").get(0);
    List<Future<?>> sent = new ArrayList<>();
    // One request at a time: a broker takes any number from a producer that it does not know, so the second batch of a
    // partition whose first one failed would be taken, and then the first one never.
    Map<String, Object> about =
        with("linger.ms", "5", "retry.backoff.ms", "20", "max.in.flight.requests.per.connection", "1");
    try (KafkaProducer<String, String> out =
        new KafkaProducer<>(about, new StringSerializer(), new StringSerializer())) {
      for (int number = 0; number < count; number++) {
        sent.add(out.send(new ProducerRecord<>(topic, number % partitions, null, String.valueOf(number))));
        if (number % 100 == 99) {
          out.flush();
        }
      }
      for (Future<?> each : sent) {
        each.get();
      }
    }
    Set<String> values = new HashSet<>();
    int records = 0;
    boolean ordered = true;
    Map<Integer, Integer> last = new HashMap<>();
    try (KafkaConsumer<String, String> reader = consumer("max.poll.records", "100", "fetch.max.wait.ms", "50")) {
      List<TopicPartition> all = new ArrayList<>();
      for (int number = 0; number < partitions; number++) {
        all.add(new TopicPartition(topic, number));
      }
      reader.assign(all);
      all.forEach(each -> reader.seek(each, 0));
      while (values.size() < count && early()) {
        for (ConsumerRecord<String, String> record : reader.poll(Duration.ofMillis(200))) {
          int number = Integer.parseInt(record.value());
          Integer before = last.put(record.partition(), number);
          ordered = ordered && (before == null || before < number);
          values.add(record.value());
          records++;
        }
      }
    }
    result.put("written", sent.size());
    result.put("different", values.size());
    result.put("records", records);
    result.put("ordered", ordered);
  }

  /** Writes `count` large records to each topic, in one request where it can: how many were written, or why not. */
  private void large() throws Exception {
    Map<String, Object> about =
        with("linger.ms", "1000", "batch.size", "4000000", "max.request.size", "16000000", "acks",
            job.get("acks").asText(), "enable.idempotence", "false");
    Map<String, List<Future<?>>> sent = new TreeMap<>();
    String value = "x".repeat(700_000);
    try (KafkaProducer<String, String> out =
        new KafkaProducer<>(about, new StringSerializer(), new StringSerializer())) {
      names("topics").forEach(out::partitionsFor);
      for (int number = 0; number < job.get("count").asInt(); number++) {
        for (String topic : names("topics")) {
          sent.computeIfAbsent(topic, each -> new ArrayList<>()).add(out.send(new ProducerRecord<>(topic, value)));
        }
      }
      for (Map.Entry<String, List<Future<?>>> each : sent.entrySet()) {
        try {
          for (Future<?> one : each.getValue()) {
            one.get();
          }
          result.put(each.getKey(), each.getValue().size());
        } catch (ExecutionException error) {
          result.put(each.getKey(), Errors.forException((ApiException) error.getCause()).name());
        }
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "error");
    ObjectMapper mapper = new ObjectMapper();
    Parts parts = new Parts(mapper.readTree(arguments[0]));
    switch (parts.job.get("do").asText()) {
      case "read" -> parts.read();
      case "groups" -> parts.groups();
      case "large" -> parts.large();
      default -> parts.write();
    }
    System.out.println(mapper.writeValueAsString(parts.result));
    System.exit(0);
  }
}
