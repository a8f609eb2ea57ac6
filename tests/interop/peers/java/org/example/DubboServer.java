package org.example;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.rpc.RpcContext;

/**
 * A Dubbo provider: DubboServer NAME PORT [key=value ...], the pairs being parameters of the protocol's URL; but
 * registry=URL is where it registers itself, which needs the libraries of ../java-registry.
 * It answers hessian2 and fastjson2 alike, and every answer carries the attachment served-by: NAME.
 */
public class DubboServer implements HelloService {
    /** 127.0.0.1. Dubbo takes "localhost" and "127..." for a mistake: it binds every interface, connects to another. */
    static final String LOOPBACK = "2130706433";

    private final String name;
    private final List<String> notes = new CopyOnWriteArrayList<>();

    DubboServer(String name) {
        this.name = name;
    }

    private void sign() {
        RpcContext.getServerResponseContext().setAttachment("served-by", name);
    }

    /** The same with two lines of its trace: short enough to be read in a capture. */
    private static <E extends Exception> E shortened(E error) {
        error.setStackTrace(Arrays.copyOf(error.getStackTrace(), 2));
        return error;
    }

    @Override
    public String whoami() {
        sign();
        return name;
    }

    @Override
    public String sayHello(String who) {
        sign();
        return "hello " + who + " from " + name;
    }

    @Override
    public int add(int a, int b) {
        sign();
        return a + b;
    }

    @Override
    public Object echo(Object value) {
        sign();
        return value;
    }

    @Override
    public int slow(int milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return milliseconds;
    }

    @Override
    public String fail(String why) throws HelloException {
        throw shortened(new HelloException(why));
    }

    @Override
    public String crash(String why) {
        throw shortened(new IllegalStateException(why));
    }

    @Override
    public Map<String, String> attachments() {
        sign();
        Map<String, String> seen = new HashMap<>();
        RpcContext.getServerAttachment().getObjectAttachments().forEach((k, v) -> seen.put(k, String.valueOf(v)));
        return seen;
    }

    @Override
    public Person promote(Person person) {
        sign();
        person.setName("Dr. " + person.getName());
        return person;
    }

    @Override
    public void note(String text) {
        notes.add(text);
    }

    @Override
    public List<String> noted() {
        return notes;
    }

    public static void main(String[] arguments) throws InterruptedException {
        ProtocolConfig protocol = new ProtocolConfig("dubbo", Integer.parseInt(arguments[1]));
        protocol.setHost(LOOPBACK);
        Map<String, String> parameters = new HashMap<>();
        for (int i = 2; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            parameters.put(pair[0], pair[1]);
        }
        protocol.setParameters(parameters);
        protocol.setSerialization("hessian2");
        protocol.setPreferSerialization("hessian2,fastjson2");

        ServiceConfig<HelloService> service = new ServiceConfig<>();
        service.setInterface(HelloService.class);
        service.setRef(new DubboServer(arguments[0]));
        service.setVersion("1.0.0");

        String registry = parameters.remove("registry");
        ApplicationConfig application = new ApplicationConfig("peers-" + arguments[0]);
        application.setQosEnable(false);
        DubboBootstrap.getInstance()
                .application(application)
                .registry(new RegistryConfig(registry == null ? "N/A" : registry))
                .protocol(protocol)
                .service(service)
                .start();
        System.out.println("ready");
        Thread.currentThread().join();
    }
}
