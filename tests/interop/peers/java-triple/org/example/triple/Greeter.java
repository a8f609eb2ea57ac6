package org.example.triple;

import java.util.List;
import java.util.Map;
import org.apache.dubbo.common.stream.StreamObserver;

/** A service without protobuf: Triple sends its arguments in a wrapper, in the serialization that is asked for. */
public interface Greeter {
    String hello(String name, int times);

    Map<String, Object> echo(Map<String, Object> value);

    /** An exception that is not declared. */
    String crash(String why);

    /** "TEXT 0", "TEXT 1", ... */
    void count(String text, StreamObserver<String> replies);

    StreamObserver<String> talk(StreamObserver<List<String>> replies);
}
