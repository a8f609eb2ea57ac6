package org.example;

import com.alibaba.fastjson2.JSON;
import com.alibaba.fastjson2.JSONArray;
import com.alibaba.fastjson2.JSONObject;
import com.alibaba.fastjson2.JSONWriter;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.protocol.TMultiplexedProtocol;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.transport.TSocket;
import org.apache.thrift.transport.TTransport;
import org.example.thrift.Hello;
import org.example.thrift.Inner;
import org.example.thrift.Item;
import org.example.thrift.Rejected;

/** A Thrift client: one JSON job a line on stdin, one JSON list of results a line on stdout. Job: as thrift/client.py. */
public class ThriftClient {
    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            System.out.println(JSON.toJSONString(run(JSON.parseObject(line)), JSONWriter.Feature.WriteNulls));
        }
        System.exit(0);
    }

    private static List<Object> run(JSONObject job) throws Exception {
        List<Object> results = new ArrayList<>();
        TTransport socket = new TSocket("127.0.0.1", job.getIntValue("port"), 5000);
        TTransport transport = ThriftWire.transport(job.getString("transport")).getTransport(socket);
        TProtocol protocol = ThriftWire.protocol(job.getString("protocol")).getProtocol(transport);
        if (job.getBooleanValue("mux")) {
            protocol = new TMultiplexedProtocol(protocol, "Hello");
        }
        Hello.Client client = new Hello.Client(protocol);
        for (Object each : job.getJSONArray("calls")) {
            Map<String, Object> result = new HashMap<>();
            try {
                if (!transport.isOpen()) {
                    transport.open();
                }
                JSONObject call = (JSONObject) each;
                result.put("value", call(client, call.getString("method"), call.getJSONArray("args")));
            } catch (Rejected error) {
                result.put("error", Map.of("class", "Rejected", "message", error.getWhy()));
            } catch (TApplicationException error) {
                String message = error.getType() + ": " + error.getMessage();
                result.put("error", Map.of("class", "TApplicationException", "message", message));
            } catch (Exception error) {
                String message = String.valueOf(error.getMessage());
                result.put("error", Map.of("class", error.getClass().getSimpleName(), "message", message));
            }
            results.add(result);
        }
        transport.close();
        return results;
    }

    private static Object call(Hello.Client client, String method, JSONArray args) throws Exception {
        switch (method) {
            case "sayHello":
                return client.sayHello(args.getString(0));
            case "add":
                return client.add(args.getIntValue(0), args.getIntValue(1));
            case "echo":
                return plain(client.echo(item(args.getJSONObject(0))));
            case "ping":
                client.ping();
                return null;
            case "reject":
                return client.reject(args.getString(0));
            case "crash":
                return client.crash(args.getString(0));
            case "slow":
                return client.slow(args.getIntValue(0));
            case "note":
                client.note(args.getString(0));
                return null;
            case "noted":
                return client.noted();
            case "headers":
                return client.headers();
            default:
                throw new IllegalArgumentException("Hello has no method " + method);
        }
    }

    private static Item item(JSONObject fields) {
        JSONObject bare = new JSONObject(fields);
        Object raw = bare.remove("raw");
        Object inner = bare.remove("inner");
        Item item = new Item();
        item.setName(bare.getString("name"));
        item.setCount(bare.getIntValue("count"));
        item.setOn(bare.getBooleanValue("on"));
        item.setSmall(bare.getByteValue("small"));
        item.setMedium(bare.getShortValue("medium"));
        item.setLarge(bare.getLongValue("large"));
        item.setRatio(bare.getDoubleValue("ratio"));
        item.setRaw(((String) raw).getBytes(StandardCharsets.ISO_8859_1));
        item.setFlags(bare.getList("flags", Boolean.class));
        item.setNumbers(new HashSet<>(bare.getList("numbers", Integer.class)));
        Map<String, List<Long>> sums = new HashMap<>();
        JSONObject given = bare.getJSONObject("sums");
        given.keySet().forEach(key -> sums.put(key, given.getList(key, Long.class)));
        item.setSums(sums);
        if (inner != null) {
            item.setInner(((JSONObject) inner).to(Inner.class));
        }
        return item;
    }

    private static Map<String, Object> plain(Item item) {
        Map<String, Object> fields = new HashMap<>();
        fields.put("name", item.getName());
        fields.put("count", item.getCount());
        fields.put("on", item.isOn());
        fields.put("small", item.getSmall());
        fields.put("medium", item.getMedium());
        fields.put("large", item.getLarge());
        fields.put("ratio", item.getRatio());
        fields.put("raw", new String(item.getRaw(), StandardCharsets.ISO_8859_1));
        fields.put("flags", item.getFlags());
        fields.put("numbers", item.getNumbers().stream().sorted().toList());
        fields.put("sums", item.getSums());
        if (item.isSetInner()) {
            fields.put("inner", Map.of("name", item.getInner().getName(), "counts", item.getInner().getCounts()));
        }
        return fields;
    }
}
