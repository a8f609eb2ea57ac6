package org.example;

import com.alibaba.fastjson2.JSON;
import com.alibaba.fastjson2.JSONArray;
import com.alibaba.fastjson2.JSONObject;
import com.alibaba.fastjson2.JSONWriter;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.MethodConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.rpc.RpcContext;
import org.apache.dubbo.rpc.service.EchoService;
import org.apache.dubbo.rpc.service.GenericService;

/**
 * A Dubbo consumer: one JSON job a line on stdin, one JSON list of results a line on stdout, until stdin ends.
 *
 * job: {"port", "calls": [...], "serialization": "hessian2", "parameters": {URL parameters}}
 * call: {"method", "args": [], "attachments": {}, "timeout": ms, "generic": bool}; method "$echo" is Dubbo's echo test.
 */
public class DubboClient {
    private static final int TIMEOUT = 5000;

    public static void main(String[] arguments) throws Exception {
        ApplicationConfig application = new ApplicationConfig("peers-client");
        application.setQosEnable(false);
        DubboBootstrap.getInstance().application(application).registry(new RegistryConfig("N/A")).start();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            System.out.println(JSON.toJSONString(run(JSON.parseObject(line)), JSONWriter.Feature.WriteNulls));
        }
        System.exit(0);
    }

    private static List<Object> run(JSONObject job) {
        List<ReferenceConfig<?>> made = new ArrayList<>();
        List<Object> results = new ArrayList<>();
        Map<String, Object> proxies = new HashMap<>();
        for (Object each : job.getJSONArray("calls")) {
            JSONObject call = (JSONObject) each;
            boolean generic = call.getBooleanValue("generic");
            try {
                Object proxy = proxies.get(String.valueOf(generic));
                if (proxy == null) {
                    ReferenceConfig<?> reference = reference(job, generic);
                    made.add(reference);
                    proxy = reference.get();
                    proxies.put(String.valueOf(generic), proxy);
                }
                results.add(invoke(proxy, call, generic));
            } catch (Throwable error) {
                results.add(Map.of("error", describe(error)));
            }
        }
        made.forEach(ReferenceConfig::destroy);
        return results;
    }

    private static ReferenceConfig<Object> reference(JSONObject job, boolean generic) {
        String serialization = job.getString("serialization") == null ? "hessian2" : job.getString("serialization");
        StringBuilder url = new StringBuilder("dubbo://" + DubboServer.LOOPBACK + ":" + job.getIntValue("port"));
        url.append("/org.example.HelloService?serialization=").append(serialization);
        url.append("&prefer.serialization=").append(serialization);
        JSONObject parameters = job.getJSONObject("parameters");
        if (parameters != null) {
            parameters.forEach((key, value) -> url.append('&').append(key).append('=').append(value));
        }
        ReferenceConfig<Object> reference = new ReferenceConfig<>();
        reference.setInterface("org.example.HelloService");
        reference.setVersion("1.0.0");
        reference.setUrl(url.toString());
        reference.setRetries(0);
        reference.setTimeout(TIMEOUT);
        reference.setConnections(1); // of its own: references to one address would share a connection
        if (generic) {
            reference.setGeneric("true");
        }
        MethodConfig note = new MethodConfig();
        note.setName("note");
        note.setReturn(false);
        reference.setMethods(List.of(note));
        return reference;
    }

    private static Object invoke(Object proxy, JSONObject call, boolean generic) throws Throwable {
        RpcContext.removeContext();
        JSONObject attachments = call.getJSONObject("attachments");
        if (attachments != null) {
            attachments.forEach((key, value) -> RpcContext.getClientAttachment().setObjectAttachment(key, value));
        }
        if (call.containsKey("timeout")) {
            RpcContext.getClientAttachment().setObjectAttachment("timeout", call.getInteger("timeout"));
        }
        JSONArray given = call.getJSONArray("args") == null ? new JSONArray() : call.getJSONArray("args");
        Object value;
        if (call.getString("method").equals("$echo")) {
            value = ((EchoService) proxy).$echo(given.get(0));
        } else {
            value = invoke(proxy, method(call.getString("method")), given, generic);
        }
        Map<String, Object> result = new HashMap<>();
        result.put("value", value);
        result.put("attachments", new HashMap<>(RpcContext.getClientResponseContext().getObjectAttachments()));
        return result;
    }

    private static Object invoke(Object proxy, Method method, JSONArray given, boolean generic) throws Throwable {
        Object[] values = new Object[given.size()];
        String[] types = new String[given.size()];
        for (int i = 0; i < values.length; i++) {
            Class<?> type = method.getParameterTypes()[i];
            types[i] = type.getName();
            boolean person = type == Object.class && given.get(i) instanceof JSONObject o && o.containsKey("address");
            boolean bare = generic || (type == Object.class && !person);
            values[i] = bare ? plain(given.get(i)) : given.getObject(i, person ? Person.class : type);
            if (values[i] instanceof Person p) {
                p.setTags(new ArrayList<>(p.getTags())); // in place of fastjson2's own class of list
            }
        }
        if (generic) {
            return ((GenericService) proxy).$invoke(method.getName(), types, values);
        }
        try {
            return method.invoke(proxy, values);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
    }

    /** The same without fastjson2's own classes, which a provider does not let in. */
    private static Object plain(Object value) {
        if (value instanceof Map<?, ?> map) {
            Map<Object, Object> copy = new HashMap<>();
            map.forEach((key, each) -> copy.put(key, plain(each)));
            return copy;
        }
        if (value instanceof List<?> list) {
            List<Object> copy = new ArrayList<>();
            list.forEach(each -> copy.add(plain(each)));
            return copy;
        }
        return value;
    }

    private static Method method(String name) {
        for (Method method : HelloService.class.getMethods()) {
            if (method.getName().equals(name)) {
                return method;
            }
        }
        throw new IllegalArgumentException("HelloService has no method " + name);
    }

    private static Map<String, Object> describe(Throwable error) {
        Map<String, Object> described = new HashMap<>();
        described.put("class", error.getClass().getName());
        described.put("message", String.valueOf(error.getMessage()));
        if (error instanceof org.apache.dubbo.rpc.RpcException rpc) {
            described.put("code", rpc.getCode());
        }
        List<String> causes = new ArrayList<>();
        for (Throwable c = error.getCause(); c != null && causes.size() < 5; c = c.getCause()) {
            causes.add(c.getClass().getName() + ": " + c.getMessage());
        }
        described.put("causes", causes);
        return described;
    }
}
