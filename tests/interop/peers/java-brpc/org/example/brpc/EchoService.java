package org.example.brpc;

import com.baidu.brpc.protocol.BrpcMeta;

/** What the server has. */
public interface EchoService {
    @BrpcMeta(serviceName = "example.EchoService", methodName = "Echo")
    EchoResponse echo(EchoRequest request);

    @BrpcMeta(serviceName = "example.EchoService", methodName = "Fail")
    EchoResponse fail(EchoRequest request);

    @BrpcMeta(serviceName = "example.EchoService", methodName = "Slow")
    EchoResponse slow(EchoRequest request);
}
