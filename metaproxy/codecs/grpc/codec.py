"""
gRPC: what the proxy asks of a codec.

Lives here: options, the answers that the proxy makes itself. docs/reference/codecs/grpc.md describes the codec for
users. Does not: connections (`client`, `server`), metadata (`metadata`), HTTP (`metaproxy.codecs.http`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated

from metaproxy.codecs.framing import Session
from metaproxy.codecs.grpc import health, metadata, status
from metaproxy.codecs.grpc.client import GrpcClient
from metaproxy.codecs.grpc.metadata import Metadata
from metaproxy.codecs.grpc.server import Calls, GrpcServer
from metaproxy.codecs.http.codec import Http
from metaproxy.codecs.http.http2 import Http2Client
from metaproxy.codecs.http.model import head_of
from metaproxy.message import ErrorKind, Message, Mutation, Side
from metaproxy.units import Bytes, Option, Seconds

FAILURES = ("UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
_HEAD, _ANY, _WINDOW = Bytes(65536), Bytes(0), Bytes(262144)
_NEVER, _PATIENCE = Seconds(0), Seconds(20)
_METHOD = re.compile(r"[^/?#\s]+(?:/[^/?#\s]+)?")


class Grpc(Http):
    """gRPC over HTTP/2 on both sides; clients may speak gRPC-Web as well."""

    name = "grpc"
    keys = metadata.KEYS
    upper_keys = ("http.method", "code")
    attempts_key = "grpc-previous-rpc-attempts"
    made_of: Metadata = Metadata()

    def __init__(
        self,
        failures: Annotated[
            list[str] | None,
            Option("Codes that count as failures of the server.", default=", ".join(f"`{name}`" for name in FAILURES)),
        ] = None,
        safe: Annotated[
            list[str] | None,
            Option("What may be executed twice: `example.v1.Echo/Get`, or `example.v1.Echo` for all of a service."),
        ] = None,
        max_message: Annotated[
            Bytes, Option("Bytes of one message, of requests and of answers, as it is sent; 0: any.")
        ] = _ANY,
        whole_messages: Annotated[
            Bytes,
            Option(
                "Messages of streams are each one chunk up to this size, for filters and taps that look at them; 0: "
                "chunks are as they come.",
                most="1MiB",
            ),
        ] = _ANY,
        max_streams: Annotated[
            int, Option("Calls at a time on a connection, of a client and to a server.", least=1, most=10000)
        ] = 100,
        window: Annotated[
            Bytes,
            Option("Bytes that a peer may send on a stream ahead of what was passed on.", least="16KiB", most="1GiB"),
        ] = _WINDOW,
        ping_interval: Annotated[
            Seconds,
            Option(
                "A peer that says nothing for so long is asked by PING; 0: never. Servers of gRPC end connections that "
                "ask more often than they allow, most of them each 5 minutes."
            ),
        ] = _NEVER,
        ping_timeout: Annotated[Seconds, Option("Time for an answer to PING, or the connection ends.")] = _PATIENCE,
        max_age: Annotated[
            Seconds, Option("Clients are asked (GOAWAY) to open another connection after so long; 0: never.")
        ] = _NEVER,
        max_head: Annotated[Bytes, Option("Bytes of a head, and of trailers.", least="1KiB", most="1MiB")] = _HEAD,
        max_fields: Annotated[int, Option("Fields of a head.", least=8, most=4096)] = 128,
        via: Annotated[str, Option("What this proxy calls itself in Via; '' for no Via.")] = "metaproxy",
        trusted_hops: Annotated[
            int,
            Option(
                "Proxies in front of this one that are believed what they say of the client: see `http`.",
                least=0,
                most=64,
            ),
        ] = 0,
        probe: Annotated[
            str, Option("The service whose health a check of `kind: codec` asks for; '' for the server's.")
        ] = "",
        probe_host: Annotated[str, Option("The authority that it asks.")] = "localhost",
    ) -> None:
        super().__init__(
            version=2,
            max_streams=max_streams,
            window=window,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            max_age=max_age,
            max_head=max_head,
            max_fields=max_fields,
            upgrade=[],
            via=via,
            trusted_hops=trusted_hops,
            probe_host=probe_host,
        )
        for name in failures or ():
            if status.NUMBERS.get(name, 0) == 0:
                raise ValueError(f"failures has {name!r}; write names of codes other than OK, such as UNAVAILABLE")
        for method in safe or ():
            if not _METHOD.fullmatch(method):
                raise ValueError(f"safe has {method!r}; write package.Service/Method, or package.Service")
        numbers = frozenset(b"%d" % status.NUMBERS[name] for name in (FAILURES if failures is None else failures))
        self._calls = Calls(numbers, max_message, whole_messages)
        self._methods = frozenset(safe or ())
        self._rules = replace(self._rules, more=self.made_of.read)
        self._options = replace(self._options, rules=self._rules)
        self._question = health.question(probe, probe_host, self._rules.more)

    def session(self, side: Side, max_frame: int) -> Session:
        if side is Side.SERVER:
            return GrpcServer(self._options, max_frame, self._calls)
        second = self._options
        return GrpcClient(self._rules, max_frame, lambda: Http2Client(second, max_frame), self._calls.whole_messages)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> Message:
        """name: a code, or a status of HTTP for what is no call."""
        if not status.is_call(head_of(request)):
            return super().reply(request, kind, text, name)
        number = status.NUMBERS.get(name, status.NUMBERS[status.OF_KINDS[kind]])
        return status.trailers_only(number, text, request.id, self._rules.more)

    def knows(self, name: str) -> bool:
        return name in status.NUMBERS or super().knows(name)

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        return self.made_of.mutate(message, mutation)

    def safe(self, request: Message) -> bool:
        """A call that the option names; of what is no call, what HTTP says."""
        head = head_of(request)
        if head.method != b"POST":
            return super().safe(request)
        path = head.path[1:].decode("latin-1")
        return path in self._methods or path.rpartition("/")[0] in self._methods

    def probe(self) -> Message:
        return self._question

    def alive(self, answer: Message) -> bool:
        return health.serves(answer)
