package org.example.brpc;

import com.baidu.brpc.RpcContext;
import com.baidu.brpc.client.BrpcProxy;
import com.baidu.brpc.client.RpcClient;
import com.baidu.brpc.client.RpcClientOptions;
import com.baidu.brpc.client.channel.ChannelType;
import com.baidu.brpc.client.channel.Endpoint;
import com.baidu.brpc.exceptions.RpcException;
import com.baidu.brpc.protocol.Options.CompressType;
import com.baidu.brpc.protocol.Options.ProtocolType;
import com.google.gson.JsonObject;
import io.netty.buffer.ByteBuf;
import java.util.LinkedHashMap;
import java.util.Map;
import org.example.Jobs;

/**
 * A client on brpc-java, baidu_std, on one connection.
 *
 * job: {"port", "compress": "none" | "snappy" | "gzip" | "zlib", "timeout": ms, "calls": [...], "together": bool}
 * call: {"method": "echo" | "fail" | "slow" | "nope" | "nowhere", "message", "attachment": Latin-1, "kv": {}, "log_id"}
 * value: {"message", "served_by", "kv", "attachment"}; an error has "code" too
 */
public class BrpcClient implements Jobs.Client {
    private final RpcClient client;
    private final EchoClient proxy;

    BrpcClient(JsonObject job) {
        RpcClientOptions options = new RpcClientOptions();
        options.setProtocolType(ProtocolType.PROTOCOL_BAIDU_STD_VALUE);
        options.setReadTimeoutMillis(Jobs.number(job, "timeout", 5000));
        options.setMaxTryTimes(1);
        options.setIoThreadNum(1);
        options.setWorkThreadNum(4);
        options.setMaxTotalConnections(1);
        options.setMinIdleConnections(1);
        options.setChannelType(ChannelType.SINGLE_CONNECTION);
        options.setCompressType(
                CompressType.valueOf("COMPRESS_TYPE_" + Jobs.text(job, "compress", "none").toUpperCase()));
        client = new RpcClient(new Endpoint("127.0.0.1", job.get("port").getAsInt()), options);
        proxy = BrpcProxy.getProxy(client, EchoClient.class);
    }

    @Override
    public Object run(JsonObject call) {
        RpcContext context = RpcContext.getContext();
        context.reset();
        if (call.has("attachment")) {
            context.setRequestBinaryAttachment(Jobs.bytes(call.get("attachment").getAsString()));
        }
        if (call.has("log_id")) {
            context.setLogId(call.get("log_id").getAsLong());
        }
        Jobs.texts(call, "kv").forEach(context::setRequestKvAttachment);
        EchoRequest request = EchoRequest.newBuilder().setMessage(Jobs.text(call, "message", "")).build();
        EchoResponse answer = ask(Jobs.text(call, "method", "echo"), request);
        Map<String, Object> value = new LinkedHashMap<>();
        value.put("message", answer.getMessage());
        value.put("served_by", answer.getServedBy());
        value.put("kv", answer.getKvMap());
        value.put("attachment", attachment(context.getResponseBinaryAttachment()));
        return value;
    }

    private EchoResponse ask(String method, EchoRequest request) {
        switch (method) {
            case "echo": return proxy.echo(request);
            case "fail": return proxy.fail(request);
            case "slow": return proxy.slow(request);
            case "nope": return proxy.nope(request);
            case "nowhere": return proxy.nowhere(request);
            default: throw new IllegalArgumentException("no method " + method);
        }
    }

    private static String attachment(ByteBuf buffer) {
        if (buffer == null) {
            return "";
        }
        byte[] bytes = new byte[buffer.readableBytes()];
        buffer.readBytes(bytes);
        return Jobs.text(bytes);
    }

    @Override
    public Map<String, Object> details(Throwable error) {
        for (Throwable each = error; each != null; each = each.getCause()) { // the library wraps what a server says
            if (each instanceof RpcException rpc && rpc.getCode() != 0) {
                return Map.of("code", rpc.getCode());
            }
        }
        return Map.of("code", 0);
    }

    @Override
    public void close() {
        client.stop();
    }

    public static void main(String[] arguments) throws Exception {
        Jobs.serve(BrpcClient::new);
    }
}
