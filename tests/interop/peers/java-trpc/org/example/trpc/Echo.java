package org.example.trpc;

import com.tencent.trpc.core.rpc.RpcContext;
import com.tencent.trpc.core.rpc.anno.TRpcMethod;
import com.tencent.trpc.core.rpc.anno.TRpcService;

/** Unary calls. */
@TRpcService(name = "trpc.example.echo.Echo")
public interface Echo {
    @TRpcMethod(name = "Say")
    EchoReply say(RpcContext context, EchoRequest request);

    /** "business": a business error, 4711; else an exception. */
    @TRpcMethod(name = "Fail")
    EchoReply fail(RpcContext context, EchoRequest request);

    /** After so many milliseconds. */
    @TRpcMethod(name = "Slow")
    EchoReply slow(RpcContext context, EchoRequest request);

    /** The messages that one-way calls of Say have brought, joined by ",". */
    @TRpcMethod(name = "Noted")
    EchoReply noted(RpcContext context, EchoRequest request);

    /** What the client can ask for that no server has. */
    @TRpcService(name = "trpc.example.echo.Echo")
    interface Unknown {
        @TRpcMethod(name = "Nope")
        EchoReply nope(RpcContext context, EchoRequest request);
    }
}
