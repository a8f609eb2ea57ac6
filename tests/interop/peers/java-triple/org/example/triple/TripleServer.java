package org.example.triple;

import example.v1.Echo;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;

/**
 * A Triple provider: TripleServer NAME PORT. It has example.v1.Echo, whose messages are protobuf, and
 * org.example.triple.Greeter, whose arguments Triple wraps.
 */
public final class TripleServer {
    /** 127.0.0.1. Dubbo takes "localhost" and "127..." for a mistake: it binds every interface, connects to another. */
    static final String LOOPBACK = "2130706433";

    private TripleServer() {}

    private static <T> ServiceConfig<T> service(Class<T> type, T provider) {
        ServiceConfig<T> config = new ServiceConfig<>();
        config.setInterface(type);
        config.setRef(provider);
        return config;
    }

    public static void main(String[] arguments) throws InterruptedException {
        ProtocolConfig protocol = new ProtocolConfig("tri", Integer.parseInt(arguments[1]));
        protocol.setHost(LOOPBACK);
        ApplicationConfig application = new ApplicationConfig("peers-" + arguments[0]);
        application.setQosEnable(false);
        DubboBootstrap.getInstance()
                .application(application)
                .registry(new RegistryConfig("N/A"))
                .protocol(protocol)
                .service(service(Echo.class, new EchoProvider(arguments[0])))
                .service(service(Greeter.class, new GreeterProvider(arguments[0])))
                .start();
        System.out.println("ready");
        Thread.currentThread().join();
    }
}
