package org.example.triple;

import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import example.v1.Echo;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import org.apache.dubbo.common.stream.StreamObserver;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.rpc.RpcContext;
import org.apache.dubbo.rpc.RpcException;
import org.apache.dubbo.rpc.StatusRpcException;
import org.example.Jobs;
import org.example.grpc.EchoReply;
import org.example.grpc.EchoRequest;

/**
 * A Triple consumer.
 *
 * job: {"port", "timeout": ms, "serialization": "hessian2" | "fastjson2" (of Greeter), "calls": [...], "together": bool}
 * call of example.v1.Echo: {"method": "unary" | "serverStream" | "clientStream" | "bidiStream", "request": {"text", "size",
 *        "count", "delay_ms", "code", "message", "payload_bytes"} or "requests": [...], "attachments": {}}
 * value: {"replies": [texts], "bytes" (of all payloads), "served_by", "metadata" (of the last, as the server saw it),
 *        "attachments" (of the answer)}
 * call of Greeter: {"method": "hello" | "crash" | "count", "text", "times"} or {"method": "talk", "texts": []}
 * value: {"replies": [...]}. An error has "code" too, the status of gRPC, or "dubbo", Dubbo's own.
 */
public class TripleClient implements Jobs.Client {
    private static final int WAIT = 60;

    private final List<ReferenceConfig<?>> made = new ArrayList<>();
    private final Echo echo;
    private final Greeter greeter;

    TripleClient(JsonObject job) {
        echo = refer(job, Echo.class);
        greeter = refer(job, Greeter.class);
    }

    private <T> T refer(JsonObject job, Class<T> type) {
        ReferenceConfig<T> reference = new ReferenceConfig<>();
        reference.setInterface(type);
        String address = "tri://" + TripleServer.LOOPBACK + ":" + job.get("port").getAsInt() + "/" + type.getName();
        String serialization = Jobs.text(job, "serialization", "hessian2");
        reference.setUrl(address + "?serialization=" + serialization + "&prefer.serialization=" + serialization);
        reference.setRetries(0);
        reference.setTimeout(Jobs.number(job, "timeout", 5000));
        reference.setCheck(false);
        made.add(reference);
        return reference.get();
    }

    /** What a stream brings, and how it ends. */
    private static final class Replies<T> implements StreamObserver<T> {
        private final List<T> all = new ArrayList<>();
        private final CountDownLatch over = new CountDownLatch(1);
        private Throwable error;

        @Override
        public void onNext(T reply) {
            all.add(reply);
        }

        @Override
        public void onError(Throwable why) {
            error = why;
            over.countDown();
        }

        @Override
        public void onCompleted() {
            over.countDown();
        }

        List<T> await() throws Throwable {
            if (!over.await(WAIT, TimeUnit.SECONDS)) {
                throw new TimeoutException("the stream did not end");
            }
            if (error != null) {
                throw error;
            }
            return all;
        }
    }

    /** Sends all requests, then reads. */
    private static <Q, R> List<R> stream(List<Q> requests, Function<StreamObserver<R>, StreamObserver<Q>> call)
            throws Throwable {
        Replies<R> replies = new Replies<>();
        StreamObserver<Q> sender = call.apply(replies);
        requests.forEach(sender::onNext);
        sender.onCompleted();
        return replies.await();
    }

    private static EchoRequest request(JsonObject from) {
        return EchoRequest.newBuilder()
                .setText(Jobs.text(from, "text", ""))
                .setSize(Jobs.number(from, "size", 0))
                .setCount(Jobs.number(from, "count", 0))
                .setDelayMs(Jobs.number(from, "delay_ms", 0))
                .setCode(Jobs.number(from, "code", 0))
                .setMessage(Jobs.text(from, "message", ""))
                .setPayload(ByteString.copyFrom(new byte[Jobs.number(from, "payload_bytes", 0)]))
                .putAllTrailing(Jobs.texts(from, "trailing"))
                .build();
    }

    private static List<EchoRequest> requests(JsonObject call) {
        List<EchoRequest> all = new ArrayList<>();
        if (call.has("requests")) {
            call.getAsJsonArray("requests").forEach(each -> all.add(request(each.getAsJsonObject())));
        } else {
            all.add(request(call.has("request") ? call.getAsJsonObject("request") : new JsonObject()));
        }
        return all;
    }

    @Override
    public Object run(JsonObject call) throws Throwable {
        RpcContext.removeContext();
        Jobs.texts(call, "attachments").forEach((key, value) -> RpcContext.getClientAttachment().setAttachment(key, value));
        Map<String, Object> value = new LinkedHashMap<>();
        switch (Jobs.text(call, "method", "unary")) {
            case "unary": return described(List.of(echo.unary(requests(call).get(0))));
            case "serverStream": {
                Replies<EchoReply> replies = new Replies<>();
                echo.serverStream(requests(call).get(0), replies);
                return described(replies.await());
            }
            case "clientStream": return described(stream(requests(call), echo::clientStream));
            case "bidiStream": return described(stream(requests(call), echo::bidiStream));
            case "hello":
                value.put("replies", List.of(greeter.hello(Jobs.text(call, "text", ""), Jobs.number(call, "times", 1))));
                return value;
            case "crash":
                value.put("replies", List.of(greeter.crash(Jobs.text(call, "text", ""))));
                return value;
            case "count": {
                Replies<String> replies = new Replies<>();
                greeter.count(Jobs.text(call, "text", ""), replies);
                value.put("replies", replies.await());
                return value;
            }
            case "talk":
                value.put("replies", stream(Jobs.list(call, "texts"), greeter::talk));
                return value;
            default: throw new IllegalArgumentException("no method " + call.get("method"));
        }
    }

    private static Map<String, Object> described(List<EchoReply> replies) {
        Map<String, Object> value = new LinkedHashMap<>();
        value.put("replies", replies.stream().map(EchoReply::getText).toList());
        value.put("bytes", replies.stream().mapToLong(each -> each.getPayload().size()).sum());
        if (!replies.isEmpty()) {
            EchoReply last = replies.get(replies.size() - 1);
            value.put("served_by", last.getServedBy());
            value.put("metadata", last.getMetadataMap());
        }
        Map<String, String> attachments = new HashMap<>();
        RpcContext.getClientResponseContext().getObjectAttachments()
                .forEach((key, each) -> attachments.put(key, String.valueOf(each)));
        value.put("attachments", attachments);
        return value;
    }

    @Override
    public Map<String, Object> details(Throwable error) {
        for (Throwable each = error; each != null; each = each.getCause()) {
            if (each instanceof StatusRpcException known) {
                return Map.of("code", known.getStatus().code.code);
            }
        }
        return error instanceof RpcException known ? Map.of("dubbo", known.getCode()) : Map.of();
    }

    @Override
    public void close() {
        made.forEach(ReferenceConfig::destroy);
    }

    public static void main(String[] arguments) throws Exception {
        ApplicationConfig application = new ApplicationConfig("peers-client");
        application.setQosEnable(false);
        DubboBootstrap.getInstance().application(application).registry(new RegistryConfig("N/A")).start();
        Jobs.serve(TripleClient::new);
    }
}
