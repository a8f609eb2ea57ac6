package org.example.kafka;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Reads each record of a topic and writes it to another, in transactions, until `count` are committed: argument JOB.
 * Prints a line for each transaction that was committed: how many records it had. What fails for good begins again, as a
 * process that crashed would.
 */
public final class Mover {
  private final JsonNode job;
  private final Map<String, Object> base;
  private final long deadline;

  private Mover(JsonNode job) {
    this.job = job;
    base = Map.of("bootstrap.servers", job.get("bootstrap").asText(), "reconnect.backoff.max.ms", "500");
    deadline = System.nanoTime() + job.get("seconds").asLong() * 1_000_000_000L;
  }

  private KafkaConsumer<byte[], byte[]> consumer() {
    Map<String, Object> about = new HashMap<>(base);
    about.put("group.id", job.get("output").asText() + "-group");
    about.put("auto.offset.reset", "earliest");
    about.put("enable.auto.commit", "false");
    about.put("isolation.level", "read_committed");
    about.put("session.timeout.ms", "6000");
    about.put("heartbeat.interval.ms", "500");
    about.put("max.poll.records", job.get("batch").asText());
    return new KafkaConsumer<>(about, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  private KafkaProducer<byte[], byte[]> producer() {
    Map<String, Object> about = new HashMap<>(base);
    about.put("transactional.id", job.get("output").asText() + "-mover");
    about.put("transaction.timeout.ms", "20000");
    return new KafkaProducer<>(about, new ByteArraySerializer(), new ByteArraySerializer());
  }

  private boolean move() {
    String source = job.get("input").asText();
    String target = job.get("output").asText();
    try (KafkaConsumer<byte[], byte[]> in = consumer(); KafkaProducer<byte[], byte[]> out = producer()) {
      Set<TopicPartition> all =
          in.partitionsFor(source).stream()
              .map(one -> new TopicPartition(source, one.partition()))
              .collect(Collectors.toSet());
      out.initTransactions();
      in.subscribe(List.of(source));
      while (committed(in, all) < job.get("count").asLong()) {
        if (System.nanoTime() > deadline) {
          throw new IllegalStateException("too late");
        }
        ConsumerRecords<byte[], byte[]> records = in.poll(Duration.ofMillis(500));
        if (records.isEmpty()) {
          continue;
        }
        out.beginTransaction();
        records.forEach(record -> out.send(new ProducerRecord<>(target, record.key(), record.value())));
        out.sendOffsetsToTransaction(records.nextOffsets(), in.groupMetadata());
        out.commitTransaction();
        System.out.println(records.count());
      }
      return true;
    } catch (KafkaException error) {
      System.err.println("begins again: " + error);
      return false;
    }
  }

  private static long committed(KafkaConsumer<byte[], byte[]> in, Set<TopicPartition> all) {
    return in.committed(all).values().stream().mapToLong(one -> one == null ? 0 : one.offset()).sum();
  }

  public static void main(String[] arguments) throws Exception {
    System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "error");
    Mover mover = new Mover(new ObjectMapper().readTree(arguments[0]));
    while (!mover.move()) {
      if (System.nanoTime() > mover.deadline) {
        System.exit(1);
      }
    }
    System.exit(0);
  }
}
