package org.example.trpc;

import com.google.gson.JsonObject;
import com.tencent.trpc.core.common.ConfigManager;
import com.tencent.trpc.core.common.config.BackendConfig;
import com.tencent.trpc.core.common.config.ConsumerConfig;
import com.tencent.trpc.core.exception.TRpcException;
import com.tencent.trpc.core.rpc.RpcClientContext;
import com.tencent.trpc.core.utils.RpcContextUtils;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.example.Jobs;
import reactor.core.publisher.Flux;

/**
 * A client on trpc-java, on one connection.
 *
 * job: {"port", "compress": "gzip" | "snappy", "timeout": ms, "calls": [...], "together": bool}; of streams: their port,
 * and the timeout is for their opening
 * call: {"method": "say" | "fail" | "slow" | "noted" | "nope", "message", "size", "trans_info": {}, "attachment": Latin-1,
 *        "oneway": bool}; value: {"message", "served_by", "trans_info" (as the server saw it), "size" (of the payload),
 *        "back" (trans_info of the answer), "attachment"}
 * call: {"method": "server" | "client" | "both", "message", "count", "size", or "messages": []}; value: {"messages",
 *        "size" (of all)}
 * An error has "code" (of the framework) and "business" too.
 */
public class TrpcClient implements Jobs.Client {
    private static final AtomicInteger NUMBER = new AtomicInteger();
    private static final Duration WAIT = Duration.ofSeconds(60);

    private final JsonObject job;
    private final Map<Class<?>, BackendConfig> made = new LinkedHashMap<>();
    private final Map<Class<?>, Object> proxies = new LinkedHashMap<>();

    TrpcClient(JsonObject job) {
        this.job = job;
    }

    private synchronized <T> T proxy(Class<T> type) {
        return type.cast(proxies.computeIfAbsent(type, each -> {
            BackendConfig config = new BackendConfig();
            config.setName("job" + NUMBER.incrementAndGet());
            config.setNamingUrl("ip://127.0.0.1:" + job.get("port").getAsInt());
            config.setServiceInterface(type);
            config.setNetwork("tcp");
            config.setProtocol("trpc");
            config.setTransporter("netty");
            config.setRequestTimeout(Jobs.number(job, "timeout", 5000));
            config.setConnsPerAddr(1);
            config.setCharset("utf-8");
            if (job.has("compress")) {
                config.setCompressor(job.get("compress").getAsString());
                config.setCompressMinBytes(1);
            }
            ConsumerConfig<T> consumer = new ConsumerConfig<>();
            consumer.setServiceInterface(type);
            consumer.setBackendConfig(config);
            config.setDefault();
            made.put(type, config);
            return consumer.getProxy();
        }));
    }

    @Override
    public Object run(JsonObject call) {
        RpcClientContext context = new RpcClientContext();
        Jobs.texts(call, "trans_info").forEach((key, value) -> RpcContextUtils.putRequestAttachValue(context, key, value));
        String method = Jobs.text(call, "method", "say");
        if (List.of("server", "client", "both").contains(method)) {
            return streamed(method, call, context);
        }
        if (call.has("attachment")) {
            context.setRequestUncodecDataSegment(Jobs.bytes(call.get("attachment").getAsString()));
        }
        context.setOneWay(Jobs.flag(call, "oneway"));
        EchoReply reply = unary(method, request(call, Jobs.text(call, "message", "")), context);
        if (reply == null) { // of a one-way call
            return null;
        }
        Map<String, Object> value = new LinkedHashMap<>();
        value.put("message", reply.getMessage());
        value.put("served_by", reply.getServedBy());
        value.put("trans_info", reply.getTransInfoMap());
        value.put("size", reply.getPayload().size());
        Map<String, String> back = new LinkedHashMap<>();
        context.getRspAttachMap().keySet().forEach(key -> back.put(key, RpcContextUtils.getResponseAttachValue(context, key)));
        value.put("back", back);
        byte[] attachment = context.getResponseUncodecDataSegment();
        value.put("attachment", attachment == null ? "" : Jobs.text(attachment));
        return value;
    }

    private static EchoRequest request(JsonObject call, String message) {
        int count = Jobs.number(call, "count", 1);
        return EchoRequest.newBuilder().setMessage(message).setCount(count).setSize(Jobs.number(call, "size", 0)).build();
    }

    private EchoReply unary(String method, EchoRequest request, RpcClientContext context) {
        switch (method) {
            case "say": return proxy(Echo.class).say(context, request);
            case "fail": return proxy(Echo.class).fail(context, request);
            case "slow": return proxy(Echo.class).slow(context, request);
            case "noted": return proxy(Echo.class).noted(context, request);
            case "nope": return proxy(Echo.Unknown.class).nope(context, request);
            default: throw new IllegalArgumentException("no method " + method);
        }
    }

    private Object streamed(String method, JsonObject call, RpcClientContext context) {
        Streams streams = proxy(Streams.class);
        // For the answer to INIT: by itself a second, which a JVM may need to begin with.
        context.setTimeoutMills(Jobs.number(job, "timeout", 20000));
        Flux<EchoRequest> requests = Flux.fromIterable(Jobs.list(call, "messages")).map(each -> request(call, each));
        Flux<EchoReply> replies;
        if (method.equals("server")) {
            replies = streams.server(context, request(call, Jobs.text(call, "message", "")));
        } else {
            replies = method.equals("client") ? streams.client(context, requests).flux() : streams.both(context, requests);
        }
        List<EchoReply> all = replies.collectList().block(WAIT);
        Map<String, Object> value = new LinkedHashMap<>();
        value.put("messages", all.stream().map(EchoReply::getMessage).toList());
        value.put("size", all.stream().mapToLong(each -> each.getPayload().size()).sum());
        return value;
    }

    @Override
    public Map<String, Object> details(Throwable error) {
        for (Throwable each = error; each != null; each = each.getCause()) {
            if (each instanceof TRpcException known) {
                return Map.of("code", known.getCode(), "business", known.getBizCode());
            }
        }
        return Map.of();
    }

    @Override
    public void close() {
        made.values().forEach(BackendConfig::stop);
    }

    public static void main(String[] arguments) throws Exception {
        ConfigManager.startTest();
        Jobs.serve(TrpcClient::new);
    }
}
