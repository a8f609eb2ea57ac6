package org.example.trpc;

import com.tencent.trpc.core.rpc.RpcContext;
import com.tencent.trpc.core.rpc.anno.TRpcMethod;
import com.tencent.trpc.core.rpc.anno.TRpcService;
import org.reactivestreams.Publisher;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** The three kinds of streams. A message "fail" ends the stream with an error. */
@TRpcService(name = "trpc.example.echo.Stream")
public interface Streams {
    @TRpcMethod(name = "Server")
    Flux<EchoReply> server(RpcContext context, EchoRequest request);

    /** The messages joined by "+". */
    @TRpcMethod(name = "Client")
    Mono<EchoReply> client(RpcContext context, Publisher<EchoRequest> requests);

    @TRpcMethod(name = "Both")
    Flux<EchoReply> both(RpcContext context, Publisher<EchoRequest> requests);
}
