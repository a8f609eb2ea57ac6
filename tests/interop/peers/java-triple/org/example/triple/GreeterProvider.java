package org.example.triple;

import java.util.List;
import java.util.Map;
import org.apache.dubbo.common.stream.StreamObserver;

class GreeterProvider implements Greeter {
    private final String name;

    GreeterProvider(String name) {
        this.name = name;
    }

    @Override
    public String hello(String who, int times) {
        return ("hello " + who + " ").repeat(times) + "from " + name;
    }

    @Override
    public Map<String, Object> echo(Map<String, Object> value) {
        return value;
    }

    @Override
    public String crash(String why) {
        throw new IllegalStateException(why);
    }

    @Override
    public void count(String text, StreamObserver<String> replies) {
        for (int index = 0; index < 3; index++) {
            replies.onNext(text + " " + index);
        }
        replies.onCompleted();
    }

    @Override
    public StreamObserver<String> talk(StreamObserver<List<String>> replies) {
        return new StreamObserver<>() {
            @Override
            public void onNext(String text) {
                replies.onNext(List.of(text, name));
            }

            @Override
            public void onError(Throwable error) {
                System.out.println("cancelled talk");
            }

            @Override
            public void onCompleted() {
                replies.onCompleted();
            }
        };
    }
}
