package org.example.starlight;

import com.baidu.cloud.starlight.api.rpc.RpcContext;
import com.baidu.cloud.starlight.core.rpc.DefaultStarlightServer;

/**
 * A server on Starlight: StarlightServer NAME PORT. Echo answers with the message, and "|KEY=VALUE" for the key-value
 * attachment that the message names after a "?".
 */
public class StarlightServer implements Echo {
    private final String name;

    StarlightServer(String name) {
        this.name = name;
    }

    @Override
    public Message Echo(Message message) {
        String[] parts = message.getMessage().split("\\?", 2);
        String more = parts.length < 2 ? "" : "|" + parts[1] + "=" + RpcContext.getContext().get(parts[1]);
        return new Message(parts[0] + more, name);
    }

    @Override
    public Message Fail(Message message) {
        throw new IllegalStateException(message.getMessage());
    }

    @Override
    public Message Slow(Message message) {
        try {
            Thread.sleep(Long.parseLong(message.getMessage()));
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
        return new Message("slept", name);
    }

    public static void main(String[] arguments) throws InterruptedException {
        int port = Integer.parseInt(arguments[1]);
        DefaultStarlightServer server = new DefaultStarlightServer("brpc", "127.0.0.1", port, Configs.transport());
        server.init();
        server.export(Echo.class, new StarlightServer(arguments[0]), Configs.service("none", 5000));
        server.serve();
        System.out.println("ready");
        Thread.currentThread().join();
    }
}
