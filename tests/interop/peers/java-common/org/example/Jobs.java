package org.example;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** What the client programs share: one JSON job a line on stdin, one JSON list of results a line on stdout. */
public final class Jobs {
    private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();

    private Jobs() {}

    /** One call of a job: its value, or an exception. */
    public interface Call {
        Object run(JsonObject call) throws Throwable;
    }

    /** What a job runs on: made once for each, closed after it. */
    public interface Client extends Call, AutoCloseable {
        @Override
        void close();

        /** The parts of an error beside its class and message. */
        Map<String, Object> details(Throwable error);
    }

    /** Makes a client for a job. */
    public interface Maker {
        Client make(JsonObject job) throws Exception;
    }

    /** Runs jobs until stdin ends. Calls are made in turn, or all at once where the job has "together". */
    public static void serve(Maker maker) throws Exception {
        PrintStream results = System.out;
        System.setOut(System.err); // what libraries print does not mix with results
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            byte[] text = GSON.toJson(run(GSON.fromJson(line, JsonObject.class), maker)).getBytes(StandardCharsets.UTF_8);
            results.write(text, 0, text.length);
            results.println();
            results.flush();
        }
        System.exit(0);
    }

    private static List<Object> run(JsonObject job, Maker maker) throws Exception {
        List<Object> results = new ArrayList<>();
        try (Client client = maker.make(job)) {
            if (!flag(job, "together")) {
                job.getAsJsonArray("calls").forEach(call -> results.add(one(client, call.getAsJsonObject())));
                return results;
            }
            ExecutorService pool = Executors.newFixedThreadPool(job.getAsJsonArray("calls").size());
            List<Future<Object>> running = new ArrayList<>();
            for (JsonElement call : job.getAsJsonArray("calls")) {
                running.add(pool.submit(() -> one(client, call.getAsJsonObject())));
            }
            for (Future<Object> each : running) {
                results.add(each.get());
            }
            pool.shutdown();
            return results;
        }
    }

    private static Object one(Client client, JsonObject call) {
        Map<String, Object> result = new HashMap<>();
        try {
            result.put("value", client.run(call));
        } catch (Throwable error) {
            Map<String, Object> described = new LinkedHashMap<>(client.details(error));
            described.put("class", error.getClass().getName());
            described.put("message", String.valueOf(error.getMessage()));
            result.put("error", described);
        }
        return result;
    }

    public static boolean flag(JsonObject from, String name) {
        return from.has(name) && from.get(name).getAsBoolean();
    }

    public static String text(JsonObject from, String name, String otherwise) {
        return from.has(name) ? from.get(name).getAsString() : otherwise;
    }

    public static int number(JsonObject from, String name, int otherwise) {
        return from.has(name) ? from.get(name).getAsInt() : otherwise;
    }

    public static Map<String, String> texts(JsonObject from, String name) {
        Map<String, String> found = new LinkedHashMap<>();
        if (from.has(name)) {
            from.getAsJsonObject(name).entrySet().forEach(each -> found.put(each.getKey(), each.getValue().getAsString()));
        }
        return found;
    }

    public static List<String> list(JsonObject from, String name) {
        List<String> found = new ArrayList<>();
        if (from.has(name)) {
            from.getAsJsonArray(name).forEach(each -> found.add(each.getAsString()));
        }
        return found;
    }

    /** Bytes in a text: each a character, as in Latin-1. */
    public static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.ISO_8859_1);
    }

    public static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }
}
