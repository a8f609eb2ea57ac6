package org.example.starlight;

import com.baidu.cloud.starlight.api.exception.RpcException;
import com.baidu.cloud.starlight.api.rpc.RpcContext;
import com.baidu.cloud.starlight.api.rpc.config.ServiceConfig;
import com.baidu.cloud.starlight.core.rpc.SingleStarlightClient;
import com.baidu.cloud.starlight.core.rpc.proxy.JDKProxyFactory;
import com.google.gson.JsonObject;
import java.util.LinkedHashMap;
import java.util.Map;
import org.example.Jobs;

/** A client on Starlight. Jobs are those of BrpcClient, without attachments, "nope" and "nowhere". */
public class StarlightClient implements Jobs.Client {
    private final SingleStarlightClient client;
    private final Echo proxy;

    StarlightClient(JsonObject job) {
        client = new SingleStarlightClient("127.0.0.1", job.get("port").getAsInt(), Configs.transport());
        client.init();
        ServiceConfig config = Configs.service(Jobs.text(job, "compress", "none"), Jobs.number(job, "timeout", 5000));
        client.refer(Echo.class, config);
        proxy = new JDKProxyFactory().getProxy(Echo.class, config, client);
    }

    @Override
    public Object run(JsonObject call) {
        Jobs.texts(call, "kv").forEach((key, value) -> RpcContext.getContext().set(key, value));
        Echo.Message answer = ask(Jobs.text(call, "method", "echo"), new Echo.Message(Jobs.text(call, "message", ""), null));
        Map<String, Object> value = new LinkedHashMap<>();
        value.put("message", answer.getMessage());
        value.put("served_by", answer.getServedBy());
        return value;
    }

    private Echo.Message ask(String method, Echo.Message message) {
        switch (method) {
            case "echo": return proxy.Echo(message);
            case "fail": return proxy.Fail(message);
            case "slow": return proxy.Slow(message);
            default: throw new IllegalArgumentException("no method " + method);
        }
    }

    @Override
    public Map<String, Object> details(Throwable error) {
        return error instanceof RpcException rpc ? Map.of("code", rpc.getCode()) : Map.of();
    }

    @Override
    public void close() {
        client.destroy();
    }

    public static void main(String[] arguments) throws Exception {
        Jobs.serve(StarlightClient::new);
    }
}
