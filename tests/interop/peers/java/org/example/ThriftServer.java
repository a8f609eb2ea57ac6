package org.example;

import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.thrift.TException;
import org.apache.thrift.TMultiplexedProcessor;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;
import org.example.thrift.Hello;
import org.example.thrift.Item;
import org.example.thrift.Rejected;

/** Thrift servers, one a port: ThriftServer NAME PORT:TRANSPORT:PROTOCOL ... as thrift/server.py, without header. */
public class ThriftServer implements Hello.Iface {
    private final String name;
    private final List<String> notes = new CopyOnWriteArrayList<>();

    ThriftServer(String name) {
        this.name = name;
    }

    @Override
    public String sayHello(String who) {
        return "hello " + who + " from " + name;
    }

    @Override
    public int add(int a, int b) {
        return a + b;
    }

    @Override
    public Item echo(Item item) {
        return item;
    }

    @Override
    public void ping() {}

    @Override
    public String reject(String why) throws Rejected {
        throw new Rejected(why, 7);
    }

    @Override
    public String crash(String why) throws TException {
        throw new IllegalStateException(why);
    }

    @Override
    public int slow(int milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return milliseconds;
    }

    @Override
    public void note(String text) {
        notes.add(text);
    }

    @Override
    public List<String> noted() {
        return notes;
    }

    @Override
    public Map<String, String> headers() {
        return Map.of();
    }

    public static void main(String[] arguments) throws Exception {
        Hello.Processor<ThriftServer> plain = new Hello.Processor<>(new ThriftServer(arguments[0]));
        TMultiplexedProcessor processor = new TMultiplexedProcessor();
        processor.registerDefault(plain);
        processor.registerProcessor("Hello", plain);
        for (int i = 1; i < arguments.length; i++) {
            String[] spec = arguments[i].split(":");
            TServerSocket socket = new TServerSocket(new InetSocketAddress("127.0.0.1", Integer.parseInt(spec[0])));
            TThreadPoolServer server = new TThreadPoolServer(new TThreadPoolServer.Args(socket)
                    .minWorkerThreads(1)
                    .processor(processor)
                    .transportFactory(ThriftWire.transport(spec[1]))
                    .protocolFactory(ThriftWire.protocol(spec[2])));
            new Thread(server::serve).start();
        }
        System.out.println("ready");
    }
}
