package org.example.trpc;

import com.google.protobuf.ByteString;
import com.tencent.trpc.core.common.ConfigManager;
import com.tencent.trpc.core.common.config.ProviderConfig;
import com.tencent.trpc.core.common.config.ServiceConfig;
import com.tencent.trpc.core.exception.TRpcException;
import com.tencent.trpc.core.rpc.RpcContext;
import com.tencent.trpc.core.utils.RpcContextUtils;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.reactivestreams.Publisher;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * A server on trpc-java: TrpcServer NAME PORT STREAMS_PORT. Say gives back the message, the trans_info and the attachment;
 * every unary answer has the trans_info served-by: NAME.
 */
public class TrpcServer implements Echo, Streams {
    private final String name;
    private final List<String> notes = new CopyOnWriteArrayList<>();

    TrpcServer(String name) {
        this.name = name;
    }

    private EchoReply.Builder reply(RpcContext context, String message) {
        EchoReply.Builder reply = EchoReply.newBuilder().setMessage(message).setServedBy(name);
        context.getReqAttachMap().forEach((key, value) ->
                reply.putTransInfo(key, value instanceof byte[] raw ? new String(raw) : String.valueOf(value)));
        return reply;
    }

    private EchoReply filled(RpcContext context, EchoRequest request, String message) {
        return reply(context, message).setPayload(ByteString.copyFrom(new byte[request.getSize()])).build();
    }

    @Override
    public EchoReply say(RpcContext context, EchoRequest request) {
        if (context.isOneWay()) {
            notes.add(request.getMessage());
        }
        RpcContextUtils.putResponseAttachValue(context, "served-by", name);
        byte[] attachment = context.getRequestUncodecDataSegment();
        if (attachment != null) {
            context.setResponseUncodecDataSegment(attachment);
        }
        return filled(context, request, request.getMessage());
    }

    @Override
    public EchoReply fail(RpcContext context, EchoRequest request) {
        if (request.getMessage().equals("business")) {
            throw TRpcException.newBizException(4711, request.getMessage());
        }
        throw new IllegalStateException(request.getMessage());
    }

    @Override
    public EchoReply slow(RpcContext context, EchoRequest request) {
        try {
            Thread.sleep(Long.parseLong(request.getMessage()));
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
        return reply(context, "slept").build();
    }

    @Override
    public EchoReply noted(RpcContext context, EchoRequest request) {
        return reply(context, String.join(",", notes)).build();
    }

    private static String checked(String message) {
        if (message.equals("fail")) {
            throw TRpcException.newBizException(4711, message);
        }
        return message;
    }

    @Override
    public Flux<EchoReply> server(RpcContext context, EchoRequest request) {
        return Flux.range(0, request.getCount())
                .map(index -> filled(context, request, checked(request.getMessage()) + index));
    }

    @Override
    public Mono<EchoReply> client(RpcContext context, Publisher<EchoRequest> requests) {
        return Flux.from(requests).map(each -> checked(each.getMessage())).collectList()
                .map(all -> reply(context, String.join("+", all)).build());
    }

    @Override
    public Flux<EchoReply> both(RpcContext context, Publisher<EchoRequest> requests) {
        return Flux.from(requests).map(each -> filled(context, each, checked(each.getMessage())));
    }

    private static <T> void export(int port, String service, Class<T> type, T provider) {
        ProviderConfig<T> exported = new ProviderConfig<>();
        exported.setServiceInterface(type);
        exported.setRef(provider);
        ServiceConfig config = new ServiceConfig();
        config.setName(service);
        config.setIp("127.0.0.1");
        config.setPort(port);
        config.setNetwork("tcp");
        config.setProtocol("trpc");
        config.setTransporter("netty");
        config.setIoThreads(1);
        config.setBossThreads(1);
        config.setRequestTimeout(30000);
        config.getProviderConfigs().add(exported);
        config.setDefault();
        config.export();
    }

    public static void main(String[] arguments) throws InterruptedException {
        ConfigManager.startTest();
        TrpcServer server = new TrpcServer(arguments[0]);
        export(Integer.parseInt(arguments[1]), "trpc.example.echo.Echo", Echo.class, server);
        export(Integer.parseInt(arguments[2]), "trpc.example.echo.Stream", Streams.class, server);
        System.out.println("ready");
        Thread.currentThread().join();
    }
}
