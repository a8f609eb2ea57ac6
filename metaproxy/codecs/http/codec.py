"""
HTTP: what the proxy asks of a codec.

Lives here: options, the answers that the proxy makes itself. docs/reference/codecs/http.md describes the codec for
users. Does not: messages (`model`), connections (`client`, `server`), metadata (`metadata`).
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from metaproxy.codecs.framing import Codec, Session, begins
from metaproxy.codecs.http.client import ClientSession
from metaproxy.codecs.http.forwarding import Forwarding
from metaproxy.codecs.http.heads import HeadError, Pair
from metaproxy.codecs.http.http2 import Http2Client, Http2Server, Options
from metaproxy.codecs.http.metadata import KEYS
from metaproxy.codecs.http.model import HttpMessage, answer_head, head_of, request_head, whole
from metaproxy.codecs.http.mutation import mutate
from metaproxy.codecs.http.requests import check_authority
from metaproxy.codecs.http.rules import Rules
from metaproxy.codecs.http.server import ServerSession
from metaproxy.message import ErrorKind, Kind, Message, Mutation, Side
from metaproxy.units import Bytes, Option, Seconds

STATUSES: Final = {
    ErrorKind.NOT_FOUND: 404, ErrorKind.NO_CLUSTER: 503, ErrorKind.NO_ENDPOINT: 503, ErrorKind.CONNECT: 503,
    ErrorKind.RESET: 502, ErrorKind.TIMEOUT: 504, ErrorKind.OVERLOAD: 503, ErrorKind.LIMITED: 429,
    ErrorKind.DENIED: 403, ErrorKind.BAD_REQUEST: 400, ErrorKind.BAD_RESPONSE: 502, ErrorKind.UNSUPPORTED: 501,
    ErrorKind.DRAINING: 503, ErrorKind.INTERNAL: 500,
}  # fmt: skip
"""The status of each error of the proxy's own."""

_HEAD, _TARGET, _ANY, _WINDOW = Bytes(65536), Bytes(8192), Bytes(0), Bytes(262144)
_NEVER, _PATIENCE, _HEAD_TIME = Seconds(0), Seconds(20), Seconds(30)
_STATUS = re.compile(r"[2-5][0-9][0-9]")
_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
_IDEMPOTENT = _SAFE | {b"PUT", b"DELETE"}
_PATH = re.compile(r"/[!-\"$-~]*")
_PROTOCOL = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?")

_PREFACE = b"PRI * HTTP/2.0\r\n"
_BEGINNINGS = (
    b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"PATCH ", b"OPTIONS ", b"CONNECT ", b"TRACE ", _PREFACE,
)  # fmt: skip
"""What tells a connection's first request from other protocols'."""


class Http(Codec):
    """HTTP/1.1 and HTTP/2, and HTTP/1.0 of clients and servers that speak no other."""

    name = "http"
    stateful = True
    mutable = ""
    beats = True
    keys = KEYS
    open_keys = True
    upper_keys: tuple[str, ...] = ("method",)
    max_id = (1 << 30) - 1
    connections = "pool"
    greets = True
    alpn: tuple[str, ...] = ("h2", "http/1.1")
    alpn_upstream: tuple[str, ...] = ("http/1.1",)

    def __init__(
        self,
        version: Annotated[Literal[1, 2], Option("What servers speak. Clients are understood in either version.")] = 1,
        http1: Annotated[bool, Option("Whether clients may speak HTTP/1.1 and HTTP/1.0 as well as HTTP/2.")] = True,
        max_streams: Annotated[
            int, Option("HTTP/2: requests at a time on a connection, of a client and to a server.", least=1, most=10000)
        ] = 100,
        window: Annotated[
            Bytes,
            Option(
                "HTTP/2: bytes that a peer may send on a stream ahead of what was passed on.",
                least="16KiB",
                most="1GiB",
            ),
        ] = _WINDOW,
        ping_interval: Annotated[
            Seconds, Option("HTTP/2: a peer that says nothing for so long is asked by PING; 0: never.")
        ] = _NEVER,
        ping_timeout: Annotated[Seconds, Option("HTTP/2: for an answer to PING, or the connection ends.")] = _PATIENCE,
        max_age: Annotated[
            Seconds,
            Option("HTTP/2: clients are asked (GOAWAY) to open another connection after so long; 0: never."),
        ] = _NEVER,
        max_head: Annotated[Bytes, Option("Bytes of a head, and of trailers.", least="1KiB", most="1MiB")] = _HEAD,
        max_fields: Annotated[int, Option("Lines of a head.", least=8, most=4096)] = 128,
        max_target: Annotated[
            Bytes, Option("Bytes of a request's target: its path and query.", least=64, most="1MiB")
        ] = _TARGET,
        max_body: Annotated[Bytes, Option("Bytes of a request's body; 0: any.")] = _ANY,
        head_timeout: Annotated[
            Seconds,
            Option("Time that the head of a request may take, from its first byte to its last; 0 for any."),
        ] = _HEAD_TIME,
        upgrade: Annotated[
            list[str] | None, Option("Protocols that clients may go on with (Upgrade).", default="`[websocket]`")
        ] = None,
        connect: Annotated[bool, Option("Let CONNECT through: its tunnel goes to the cluster of the route.")] = False,
        via: Annotated[str, Option("What this proxy calls itself in Via; '' for no Via.")] = "metaproxy",
        trusted_hops: Annotated[
            int,
            Option(
                "Proxies in front of this one that are believed what they say of the client: so many of the last "
                "addresses in X-Forwarded-For are kept.",
                least=0,
                most=64,
            ),
        ] = 0,
        idempotent: Annotated[
            bool, Option("PUT and DELETE may be executed twice as well: by retries, hedges and mirrors.")
        ] = False,
        probe: Annotated[str, Option("The path that a health check of `kind: codec` asks for by GET.")] = "/",
        probe_host: Annotated[str, Option("The Host that it asks for.")] = "localhost",
    ) -> None:
        if version not in (1, 2):
            raise ValueError(f"version is {version!r}; write 1 or 2")
        self._version = version
        self._http1 = http1
        if not http1:
            self.alpn = ("h2",)
        if version == 2:
            self.connections = "multiplex"
            self.flow = "stream"
            self.alpn_upstream = ("h2",)
        if not _PATH.fullmatch(probe):
            raise ValueError(f"probe is {probe!r}; write a path such as /healthz")
        if via and not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z:]+", via):
            raise ValueError(f"via is {via!r}; write a word such as edge-1, or '' for none")
        for protocol in upgrade or ():
            if not _PROTOCOL.fullmatch(protocol):
                raise ValueError(f"upgrade has {protocol!r}; write the name of a protocol, such as websocket")
        try:
            check_authority(probe_host.encode())
        except HeadError:
            raise ValueError(f"probe_host is {probe_host!r}; write a host, or host:port") from None
        upgrades = ("websocket",) if upgrade is None else upgrade
        self._safe = _IDEMPOTENT if idempotent else _SAFE
        self._probe = request_head(b"GET", probe.encode(), probe_host.encode(), [(b"user-agent", b"metaproxy")])
        self._rules = Rules(
            max_head=max_head,
            max_fields=max_fields,
            max_target=max_target,
            max_body=max_body,
            upgrades=frozenset(protocol.lower().encode() for protocol in upgrades),
            connect=connect,
            via=via.encode(),
            trusted_hops=trusted_hops,
            head_timeout=head_timeout,
        )
        self._options = Options(
            rules=self._rules,
            window=window,
            streams=max_streams,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            max_age=max_age,
            forwarding=lambda facts: Forwarding(facts, via.encode(), trusted_hops, b"2.0"),
        )

    def detect(self, data: bytes) -> bool | None:
        return begins(data, *_BEGINNINGS) if self._http1 else begins(data, _PREFACE)

    def session(self, side: Side, max_frame: int) -> Session:
        if side is Side.CLIENT:
            if not self._http1:
                return Http2Client(self._options, max_frame)
            return ClientSession(self._rules, max_frame, lambda: Http2Client(self._options, max_frame))
        if self._version == 2:
            return Http2Server(self._options, max_frame)
        return ServerSession(self._rules, max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> Message:
        """name: a status. The message goes through the client's session, which leaves the body out for HEAD."""
        status = int(name) if self.knows(name) else STATUSES[kind]
        body = text.encode("utf-8", "replace") + b"\n" if text and status not in (204, 304) else b""
        pairs: list[Pair] = [(b"content-type", b"text/plain; charset=utf-8")] if body else []
        if status not in (204, 304):
            pairs.append((b"content-length", b"%d" % len(body)))
        head = answer_head(status, pairs, length=len(body))
        return HttpMessage(Kind.ERROR, head.frame + body, request.id, head, self._rules.more, len(head.frame))

    def knows(self, name: str) -> bool:
        return _STATUS.fullmatch(name) is not None

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        return mutate(message, mutation)

    def safe(self, request: Message) -> bool:
        return head_of(request).method in self._safe

    def probe(self) -> Message:
        return whole(self._probe, b"", 1, self._rules.more)

    def alive(self, answer: Message) -> bool:
        """One that answers with 2xx or 3xx serves."""
        return 200 <= head_of(answer).status < 400
