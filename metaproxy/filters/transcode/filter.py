"""
`transcode`: requests of HTTP and JSON become calls of an RPC protocol, and their answers JSON.

Lives here: which requests it acts on, and what they go through. Does not: what a call looks like, which each protocol
says by itself (`grpc_api`); what clients get (`answers`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from metaproxy.codecs.http.model import Head, head_of, parts
from metaproxy.filters.service_cluster import Clusters
from metaproxy.filters.transcode.answers import Refused
from metaproxy.filters.transcode.calls import Call, Request, Translator
from metaproxy.interfaces import IExchange, IOnChunk, IOnComplete, IOnRequest, IOnResponse
from metaproxy.message import Chunk, Kind, Message, Reply, Side
from metaproxy.options import made
from metaproxy.units import Bytes, Option, OptionsOf

_REQUEST, _ANSWER = Bytes(4 << 20), Bytes(16 << 20)
_NATIVE = b"application/grpc"
_ROOM = "metaproxy.filters.transcode"


@implementer(IOnRequest, IOnResponse, IOnChunk, IOnComplete)
class Transcode:
    """Makes calls of an RPC protocol of requests of HTTP and JSON."""

    files = ("grpc.descriptors", "thrift.idl")
    """The options that name files."""

    def __init__(
        self,
        clock: IReactorTime,
        grpc: Annotated[
            dict[str, object] | None,
            OptionsOf(f"{_ROOM}.grpc_api.Grpc"),
            Option("Calls of gRPC, by the annotations google.api.http.", default="one of"),
        ] = None,
        dubbo: Annotated[
            dict[str, object] | None,
            OptionsOf(f"{_ROOM}.dubbo.Dubbo"),
            Option("Generic calls of Dubbo.", default="one of"),
        ] = None,
        thrift: Annotated[
            dict[str, object] | None,
            OptionsOf(f"{_ROOM}.thrift.Thrift"),
            Option("Calls of Thrift, by an IDL.", default="one of"),
        ] = None,
        max_request: Annotated[Bytes, Option("Bytes of a request's body; more are refused (413).", least=1)] = _REQUEST,
        max_answer: Annotated[
            Bytes, Option("Bytes of a server's answer, in a stream of each message.", least=1)
        ] = _ANSWER,
        unmatched: Annotated[
            Literal["refuse", "pass"],
            Option("A request that means no call gets 404, or goes on as it is: to a cluster that speaks HTTP."),
        ] = "refuse",
        clusters: Clusters | None = None,
    ) -> None:
        given = {"grpc": grpc, "dubbo": dubbo, "thrift": thrift}
        chosen = [(name, options) for name, options in given.items() if options is not None]
        if len(chosen) != 1:
            raise ValueError(f"write what requests become, one of {', '.join(given)}")
        self._translator = _made(*chosen[0], max_answer=max_answer, clock=clock, clusters=clusters)
        self.translates = self._translator.protocols
        self.asks = self._translator.asks
        self._most_request, self._most_answer = max_request, max_answer
        self._pass = unmatched == "pass"
        self._calls: dict[IExchange, Call] = {}
        self.counters = dict.fromkeys(("calls", "refused", "bad_answers"), 0)

    # -- requests

    def on_request(self, exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        head = head_of(exchange.message)
        if (head.value(b"content-type") or b"").startswith(_NATIVE):  # a call already
            return None
        waiting = self._translator.ready()
        if waiting is None:
            return self._begin(exchange, head)
        return cast("Deferred[Reply | None]", waiting.addCallback(lambda _: self._begin(exchange, head)))

    def _begin(self, exchange: IExchange, head: Head) -> Reply | Deferred[Reply | None] | None:
        path, _, query = (head.path or b"").decode("latin-1").partition("?")
        try:
            call = None if head.protocol else self._find(head.method.decode("latin-1"), path)
            if call is None:
                if self._pass:
                    return None
                raise Refused(404, f"{head.method.decode('latin-1')} {path} means no call")
            if head.length > self._most_request:
                raise self._too_large()
            if (coding := head.value(b"content-encoding")) not in (None, b"identity"):
                raise Refused(415, f"a body in {coding!r:.40}; send it as it is")
        except Refused as refused:
            return self._refuse(refused)
        exchange.learn("rpc.call", call.name)
        if exchange.message.kind is not Kind.STREAM_OPEN:
            return self._forward(exchange, call, head, path, query, parts(exchange.message)[1])
        return exchange.gather(self._most_request).addCallback(
            lambda chunks: self._gathered(exchange, call, head, path, query, chunks)
        )

    def _find(self, method: str, path: str) -> Call | None:
        try:
            return self._translator.find(method, path)
        except Refused as refused:
            if method != "HEAD" or "GET" not in refused.allowed:
                raise
        return self._translator.find("GET", path)  # the client's session leaves the body out

    def _gathered(
        self, exchange: IExchange, call: Call, head: Head, path: str, query: str, chunks: list[Chunk] | None
    ) -> Reply | None:
        if chunks is None:
            return self._refuse(self._too_large())
        return self._forward(exchange, call, head, path, query, b"".join([chunk.frame for chunk in chunks]))

    def _forward(self, exchange: IExchange, call: Call, head: Head, path: str, query: str, body: bytes) -> Reply | None:
        def more(message: Message) -> None:
            message.metadata = {key: value for key, value in exchange.message.known().items() if key != "kind"}

        if len(body) > self._most_request:
            return self._refuse(self._too_large())
        try:
            exchange.forward_as(call.message(Request(head, path, query, body, more)))
        except Refused as refused:
            return self._refuse(refused)
        self.counters["calls"] += 1
        self._calls[exchange] = call
        return None

    def _too_large(self) -> Refused:
        return Refused(413, f"a body of more than {self._most_request} bytes")

    def _refuse(self, refused: Refused) -> Reply:
        self.counters["refused"] += 1
        return refused.reply()

    # -- answers

    def on_response(self, exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        call = self._calls.get(exchange)
        if call is None:
            return None
        head = exchange.response
        if head.kind is not Kind.STREAM_OPEN:
            return self._answer(exchange, call, head, [])
        begun = call.begin(head)
        if begun is not None:
            exchange.answer_as(begun)
            return None
        return exchange.gather(self._most_answer).addCallback(lambda chunks: self._answer(exchange, call, head, chunks))

    def _answer(self, exchange: IExchange, call: Call, head: Message, chunks: list[Chunk] | None) -> Reply | None:
        try:
            if chunks is None:
                raise Refused(502, f"an answer of more than {self._most_answer} bytes")
            exchange.answer_as(call.answer(head, chunks))
        except Refused as refused:
            self.counters["bad_answers"] += 1
            return refused.reply()
        return None

    def on_chunk(self, exchange: IExchange, chunk: Chunk, side: Side) -> Chunk | Reply | None:
        call = self._calls.get(exchange)
        if call is None or side is Side.CLIENT:
            return None
        try:
            return call.chunk(chunk)
        except Refused as refused:
            self.counters["bad_answers"] += 1
            return refused.cut()

    def on_complete(self, exchange: IExchange) -> None:
        self._calls.pop(exchange, None)

    # -- the filter itself

    def explain(self, get: Callable[[str], str | None]) -> str:
        try:
            call = self._find(get("method") or "", get("path") or "")
        except Refused as refused:
            return f"refuses it with {refused.status}: {refused}"
        return "means no call" if call is None else f"calls {call.name}"

    def inherit(self, previous: object) -> None:
        """Goes on with what was read of the same servers."""
        if isinstance(previous, Transcode):
            self._translator.inherit(previous._translator)

    def stop(self) -> None:
        self._translator.stop()


def _made(name: str, options: dict[str, object], **given: object) -> Translator:
    """The section of a protocol; what it needs is imported only here."""
    if name == "grpc":
        from metaproxy.filters.transcode.grpc_api import Grpc

        return made(Grpc, options, name, **given)
    if name == "dubbo":
        from metaproxy.filters.transcode.dubbo import Dubbo

        return made(Dubbo, options, name)
    from metaproxy.filters.transcode.thrift import Thrift

    return made(Thrift, options, name)
