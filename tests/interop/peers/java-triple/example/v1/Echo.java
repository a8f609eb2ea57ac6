package example.v1;

import org.apache.dubbo.common.stream.StreamObserver;
import org.example.grpc.EchoReply;
import org.example.grpc.EchoRequest;

/** That of grpc/example/v1/echo.proto, by the same name, as Dubbo declares it: its messages are protobuf, as in gRPC. */
public interface Echo {
    EchoReply unary(EchoRequest request);

    void serverStream(EchoRequest request, StreamObserver<EchoReply> replies);

    StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies);

    StreamObserver<EchoRequest> bidiStream(StreamObserver<EchoReply> replies);
}
