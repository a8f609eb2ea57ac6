package org.example.amqp;

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.CancelCallback;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Method;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/** What a Java application does with RabbitMQ, once: argument URI. Prints one line of JSON. */
public final class AmqpPeer {
  private static final String EXCHANGE = "java-x";
  private static final String QUEUE = "java-q";

  private AmqpPeer() {}

  private interface Act {
    void on(Channel channel) throws IOException;
  }

  /** The reply code with which a channel of its own is closed; 0 for none. */
  private static int code(Connection connection, Act act) throws Exception {
    Channel channel = connection.createChannel();
    try {
      act.on(channel);
    } catch (IOException error) {
      Method reason = ((ShutdownSignalException) error.getCause()).getReason();
      return ((com.rabbitmq.client.AMQP.Channel.Close) reason).getReplyCode();
    }
    channel.close();
    return 0;
  }

  public static void main(String[] arguments) throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(arguments[0]);
    factory.setAutomaticRecoveryEnabled(false);
    Connection connection = factory.newConnection();
    Channel channel = connection.createChannel();
    channel.exchangeDeclare(EXCHANGE, "topic", false, true, null);
    channel.queueDeclare(QUEUE, false, false, false, null);
    channel.queuePurge(QUEUE);
    channel.queueBind(QUEUE, EXCHANGE, "order.*");
    channel.confirmSelect();
    BasicProperties about = new BasicProperties.Builder().headers(Map.of("tenant", "t1")).deliveryMode(2).build();
    int confirmed = 0;
    for (int number = 0; number < 100; number++) {
      channel.basicPublish(EXCHANGE, "order.new", about, Integer.toString(number).getBytes());
      confirmed += channel.waitForConfirms(5000) ? 1 : 0;
    }
    BlockingQueue<Integer> returns = new ArrayBlockingQueue<>(1);
    channel.addReturnListener(back -> returns.add(back.getReplyCode()));
    channel.basicPublish("", "nowhere", true, null, "x".getBytes());
    int returned = returns.poll(5, TimeUnit.SECONDS);
    channel.basicQos(10);
    CountDownLatch consumed = new CountDownLatch(100);
    AtomicReference<String> header = new AtomicReference<>();
    CancelCallback ignored = tag -> {};
    String tag =
        channel.basicConsume(
            QUEUE,
            false,
            (unused, message) -> {
              channel.basicAck(message.getEnvelope().getDeliveryTag(), false);
              header.set(message.getProperties().getHeaders().get("tenant").toString());
              consumed.countDown();
            },
            ignored);
    consumed.await(20, TimeUnit.SECONDS);
    channel.basicCancel(tag);
    boolean empty = channel.basicGet(QUEUE, false) == null;
    channel.basicPublish("", QUEUE, null, "x".repeat(3000000).getBytes());
    channel.waitForConfirms(5000);
    int large = channel.basicGet(QUEUE, true).getBody().length;
    Channel transaction = connection.createChannel();
    transaction.txSelect();
    transaction.basicPublish("", QUEUE, null, "kept".getBytes());
    transaction.txCommit();
    transaction.basicPublish("", QUEUE, null, "dropped".getBytes());
    transaction.txRollback();
    int committed = channel.queueDeclarePassive(QUEUE).getMessageCount();
    channel.queuePurge(QUEUE);

    Channel server = connection.createChannel();
    Channel caller = connection.createChannel();
    BlockingQueue<String> answers = new ArrayBlockingQueue<>(1);
    server.basicConsume(
        QUEUE,
        false,
        (unused, message) -> {
          server.basicPublish("", message.getProperties().getReplyTo(), null, "pong".getBytes());
          server.basicAck(message.getEnvelope().getDeliveryTag(), false);
        },
        ignored);
    String replies = "amq.rabbitmq.reply-to";
    caller.basicConsume(replies, true, (unused, message) -> answers.add(new String(message.getBody())), ignored);
    caller.basicPublish("", QUEUE, new BasicProperties.Builder().replyTo(replies).build(), "ping".getBytes());
    String reply = answers.poll(5, TimeUnit.SECONDS);
    int missing = code(connection, which -> which.queueDeclarePassive("missing"));
    int denied = code(connection, which -> which.queueDelete("kept"));
    connection.close();
    System.out.printf(
        "{\"confirmed\": %d, \"returned\": %d, \"consumed\": %d, \"header\": \"%s\", \"empty\": %b, \"large\": %d, "
            + "\"committed\": %d, \"reply\": \"%s\", \"missing\": %d, \"denied\": %d}%n",
        confirmed, returned, 100 - consumed.getCount(), header.get(), empty, large, committed, reply, missing, denied);
  }
}
