package org.example;

/** The exception that HelloService declares. */
public class HelloException extends Exception {
    public HelloException(String why) {
        super(why);
    }
}
