package org.example.brpc;

import com.baidu.brpc.protocol.BrpcMeta;

/** What the client can ask for: also a method and a service that no server has. */
public interface EchoClient extends EchoService {
    @BrpcMeta(serviceName = "example.EchoService", methodName = "Nope")
    EchoResponse nope(EchoRequest request);

    @BrpcMeta(serviceName = "no.Such", methodName = "Echo")
    EchoResponse nowhere(EchoRequest request);
}
