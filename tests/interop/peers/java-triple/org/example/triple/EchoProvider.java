package org.example.triple;

import com.google.protobuf.ByteString;
import example.v1.Echo;
import java.util.ArrayList;
import java.util.List;
import org.apache.dubbo.common.stream.StreamObserver;
import org.apache.dubbo.rpc.RpcContext;
import org.apache.dubbo.rpc.StatusRpcException;
import org.apache.dubbo.rpc.TriRpcStatus;
import org.example.grpc.EchoReply;
import org.example.grpc.EchoRequest;

/** Does what a request asks for: see echo.proto; of the metadata, `initial` is left out, and keys with -bin. */
class EchoProvider implements Echo {
    private final String name;

    EchoProvider(String name) {
        this.name = name;
    }

    private EchoReply.Builder reply(EchoRequest request, int index) {
        try {
            Thread.sleep(request.getDelayMs());
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
        ByteString payload = request.getSize() > 0
                ? ByteString.copyFrom(new byte[request.getSize()]) : request.getPayload();
        return EchoReply.newBuilder().setText(request.getText()).setPayload(payload).setIndex(index).setServedBy(name);
    }

    private static StatusRpcException failure(EchoRequest request) {
        TriRpcStatus status = TriRpcStatus.fromCode(request.getCode());
        return status.withDescription(request.getMessage()).asException();
    }

    @Override
    public EchoReply unary(EchoRequest request) {
        RpcContext.getServerResponseContext().setAttachment("served-by", name);
        request.getTrailingMap().forEach((key, value) -> RpcContext.getServerResponseContext().setAttachment(key, value));
        EchoReply.Builder reply = reply(request, 0);
        RpcContext.getServerAttachment().getObjectAttachments()
                .forEach((key, value) -> reply.putMetadata(key, String.valueOf(value)));
        if (request.getCode() != 0) {
            throw failure(request);
        }
        return reply.build();
    }

    @Override
    public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
        for (int index = 0; index < request.getCount(); index++) {
            replies.onNext(reply(request, index).build());
        }
        finish(request, replies);
    }

    private static void finish(EchoRequest request, StreamObserver<EchoReply> replies) {
        if (request.getCode() != 0) {
            replies.onError(failure(request));
        } else {
            replies.onCompleted();
        }
    }

    /** Collects requests; what comes of each and of their end is for the two below. */
    private abstract static class Requests implements StreamObserver<EchoRequest> {
        int seen;
        EchoRequest last = EchoRequest.getDefaultInstance();

        abstract void take(EchoRequest request);

        @Override
        public void onNext(EchoRequest request) {
            last = request;
            take(request);
            seen++;
        }

        @Override
        public void onError(Throwable error) {
            System.out.println("cancelled " + last.getText());
        }
    }

    @Override
    public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
        List<String> texts = new ArrayList<>();
        return new Requests() {
            @Override
            void take(EchoRequest request) {
                texts.add(request.getText());
            }

            @Override
            public void onCompleted() {
                if (last.getCode() == 0) {
                    replies.onNext(reply(last, seen).setText(String.join("+", texts)).build());
                }
                finish(last, replies);
            }
        };
    }

    @Override
    public StreamObserver<EchoRequest> bidiStream(StreamObserver<EchoReply> replies) {
        return new Requests() {
            private int sent;

            @Override
            void take(EchoRequest request) {
                for (int n = 0; n < Math.max(1, request.getCount()); n++) {
                    replies.onNext(reply(request, sent++).build());
                }
            }

            @Override
            public void onCompleted() {
                finish(last, replies);
            }
        };
    }
}
