package org.example;

import java.util.List;
import java.util.Map;

/** What the Dubbo peers serve. The npm and Python providers have the same methods, as far as their types allow. */
public interface HelloService {
    String whoami();

    String sayHello(String name);

    int add(int a, int b);

    Object echo(Object value);

    int slow(int milliseconds);

    String fail(String why) throws HelloException;

    String crash(String why);

    Map<String, String> attachments();

    Person promote(Person person);

    /** Called one-way: the consumer's reference says that it has no return. */
    void note(String text);

    List<String> noted();
}
