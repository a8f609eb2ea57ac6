package org.example.starlight;

import com.baidu.cloud.starlight.api.rpc.config.ServiceConfig;
import com.baidu.cloud.starlight.api.rpc.config.TransportConfig;

/** Small: few threads, and no heartbeat while a test runs. */
final class Configs {
    private Configs() {}

    static TransportConfig transport() {
        TransportConfig config = new TransportConfig();
        config.setIoThreadNum(1);
        config.setAcceptThreadNum(1);
        config.setConnectTimeoutMills(5000);
        config.setWriteTimeoutMills(5000);
        config.setMaxHeartbeatTimes(3);
        config.setReadIdleTimeout(60);
        config.setAllIdleTimeout(60);
        return config;
    }

    static ServiceConfig service(String compress, int timeout) {
        ServiceConfig config = new ServiceConfig();
        config.setServiceId("example.EchoService");
        config.setProtocol("brpc");
        config.setInvokeTimeoutMills(timeout);
        if (!compress.equals("none")) {
            config.setCompressType(compress);
        }
        return config;
    }
}
