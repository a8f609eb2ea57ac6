package org.example.brpc;

import com.baidu.brpc.RpcContext;
import com.baidu.brpc.server.RpcServer;
import com.baidu.brpc.server.RpcServerOptions;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.Map;

/**
 * A server on brpc-java: BrpcServer NAME PORT. It answers baidu_std, sofa_pbrpc and HTTP with protobuf on one port.
 * Echo gives back the message, the attachment and the key-value attachments.
 */
public class BrpcServer implements EchoService {
    private final String name;

    BrpcServer(String name) {
        this.name = name;
    }

    private EchoResponse.Builder answer(String message) {
        return EchoResponse.newBuilder().setMessage(message).setServedBy(name);
    }

    @Override
    public EchoResponse echo(EchoRequest request) {
        RpcContext context = RpcContext.getContext();
        EchoResponse.Builder answer = answer(request.getMessage());
        Map<String, Object> pairs = context.getRequestKvAttachment();
        if (pairs != null) {
            pairs.forEach((key, value) -> answer.putKv(key, String.valueOf(value)));
        }
        ByteBuf attachment = context.getRequestBinaryAttachment();
        if (attachment != null && attachment.readableBytes() > 0) {
            context.setResponseBinaryAttachment(Unpooled.copiedBuffer(attachment));
        }
        return answer.build();
    }

    @Override
    public EchoResponse fail(EchoRequest request) {
        throw new IllegalStateException(request.getMessage());
    }

    @Override
    public EchoResponse slow(EchoRequest request) {
        try {
            Thread.sleep(Long.parseLong(request.getMessage()));
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
        return answer("slept").build();
    }

    public static void main(String[] arguments) throws InterruptedException {
        RpcServerOptions options = new RpcServerOptions();
        options.setIoThreadNum(1);
        options.setWorkThreadNum(8);
        options.setAcceptorThreadNum(1);
        RpcServer server = new RpcServer("127.0.0.1", Integer.parseInt(arguments[1]), options);
        server.registerService(new BrpcServer(arguments[0]));
        server.start();
        System.out.println("ready");
        Thread.currentThread().join();
    }
}
