"""
What may be written in a configuration: every key with its kind, default, bounds and a line of documentation.

Lives here: the sections, frozen and by value, as `check` hands them to whoever builds from them; `diff`. Does not: how
values are written (`notation`, `shape`); rules between several keys (`check`). docs/reference/configuration.md and
config.schema.json are made from this module (`make docs`).

A key is added by one field. One that is known but not there yet stands in its section's LATER.

Longer than most modules: it is the list of all keys, which docs and schema are made of, and a reader looks for one
key.
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from metaproxy.cluster.retry import REASONS
from metaproxy.config.schema.load import Problem
from metaproxy.config.schema.notation import (
    Address,
    Choice,
    Condition,
    Decimal,
    Duration,
    File,
    Flag,
    Hex,
    Hidden,
    Listen,
    Live,
    LogField,
    LogFormat,
    Name,
    Reference,
    Regex,
    Share,
    Size,
    Source,
    Span,
    Text,
    Url,
    UrlPath,
    Value,
    Whole,
    WorkerCount,
)
from metaproxy.config.schema.reading import Use
from metaproxy.config.schema.shape import (
    Discovery,
    Filter,
    FlagOr,
    ListOf,
    MapOf,
    Named,
    Nested,
    OneCheck,
    Override,
    Section,
    Tree,
    option,
)
from metaproxy.interfaces import ICodec, ILoadBalancer
from metaproxy.message import ErrorKind
from metaproxy.units import Bytes, Percent, Seconds, Secret

__all__ = [
    "AccessLog", "Admin", "AdminTls", "Breaker", "Certificate", "Changes", "Check", "ClientTls", "Cluster", "Config",
    "Connections", "CustomTag", "Difference", "Endpoint", "HealthCheck", "Http", "KeepAlive", "Latency", "Listener",
    "ListenerTracing", "Locality", "Mirror", "Mutations", "Node", "Outlier", "Overload", "Record", "Reply", "Retry",
    "Route", "Script", "Secret", "SecretSource", "ServerTls", "Tokens", "Tracing", "Use", "as_data", "diff",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource(Section):
    """
    A text that is never shown; `{secret: NAME}` stands for it in `credentials`, `tokens` and the options of plugins.
    """

    ONE_OF: ClassVar = ("file", "env", "value")

    file: Path | None = option(File(), "The file that holds it; a line break at its end is not part of it.", None)
    env: str | None = option(Text(), "The environment variable that holds it.", None)
    value: Secret | None = option(Hidden(by_name=False), "The text itself.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate(Section):
    """A certificate for clients that ask for one of its names (SNI)."""

    certificate: Path = option(File(), "It and its chain, PEM.")
    key: Path = option(File(), "Its key, PEM, without a passphrase.")
    names: tuple[str, ...] = option(
        ListOf(Text(253)), "Names that it is for; `*.example.org` for all of a domain.", (), "those in the certificate"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls(Section):
    """TLS towards clients. Files are read again when they change; connections that are there keep what they have."""

    certificate: Path = option(File(), "The certificate and its chain, PEM.")
    key: Path = option(File(), "Its key, PEM, without a passphrase.")
    certificates: tuple[Certificate, ...] = option(
        ListOf(Nested(Certificate)), "More of them, chosen by the name that a client asks for.", ()
    )
    client_ca: Path | None = option(File(), "Who signs clients' certificates, PEM.", None, "clients show none")
    require_client_certificate: bool = option(
        Flag(), "Refuse clients without one that `client_ca` signed; else it is checked if it is there.", False
    )
    min_version: str = option(Choice("1.2", "1.3"), "Of TLS.", "1.2")
    ciphers: str = option(Text(empty=True), "Of TLS 1.2, in OpenSSL's words.", "", "those of Python")
    alpn: tuple[str, ...] = option(ListOf(Text(255)), "Protocols to agree on, the preferred one first.", ())
    handshake_timeout: Seconds = option(Duration("10ms"), "Time that a client's handshake may take.", "10s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls(Section):
    """TLS towards servers. Files are read again when they change."""

    ca: Path | None = option(File(), "Who signs the servers' certificates, PEM.", None, "the system's authorities")
    server_name: str | None = option(
        Text(253), "What a server's certificate must name, and what it is asked for.", None, "the endpoint's host"
    )
    subject_alt_names: tuple[str, ...] = option(
        ListOf(Text(2048), 1, alone=True),
        "URIs (SPIFFE) and DNS names: a server's certificate must have one of them, exactly so, as an alternative "
        "name. `server_name` is then only what it is asked for.",
        (),
        "`server_name` decides",
    )
    alpn: tuple[str, ...] = option(ListOf(Text(255)), "Protocols to agree on, the preferred one first.", ())
    certificate: Path | None = option(File(), "The proxy's own, with its chain, PEM.", None)
    key: Path | None = option(File(), "Its key, PEM, without a passphrase.", None)
    verify: bool = option(Flag(), "Check the servers' certificates; without it anybody can be the server.", True)
    min_version: str = option(Choice("1.2", "1.3"), "Of TLS.", "1.2")
    ciphers: str = option(Text(empty=True), "Of TLS 1.2, in OpenSSL's words.", "", "those of Python")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminTls(Section):
    """TLS of the admin API. Its files are read again when they change; switching it on or off waits for a start."""

    certificate: Path = option(File(), "The certificate and its chain, PEM.")
    key: Path = option(File(), "Its key, PEM, without a passphrase.")
    client_ca: Path | None = option(
        File(), "Who signs clients' certificates, PEM; clients without one are refused.", None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens(Section):
    """Bearer tokens of the admin API."""

    read: Secret | None = option(Hidden(), "Allows whatever changes nothing.", None, "only `write` reads")
    write: Secret | None = option(Hidden(), "Allows everything.", None, "nobody writes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin(Section):
    """The HTTP API for operators."""

    listen: str = option(Listen(), "Where it listens.", "127.0.0.1:9901")
    tls: AdminTls | None = option(Nested(AdminTls), "TLS.", None)
    tokens: Tokens | None = option(Nested(Tokens), "Who may ask what. Without them everybody may ask everything.", None)
    insecure: bool = option(Flag(), "Allow an address that others can reach, without tokens.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Section):
    """What may be recorded over the admin API: exchanges with their frames, to files of the proxy's machine."""

    folder: Path | None = option(
        File(), "Where the files are.", None, "a folder of the proxy's user in the one for temporary files"
    )
    max_bytes: Bytes = option(Size("64KiB", "1GiB"), "Of one file; a recording that asks for more is refused.", "64MiB")
    max_time: Seconds = option(Duration("1s"), "How long one may last.", "1h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Section):
    """Who this proxy is."""

    id: str = option(Text(empty=True), "Its own name.", "")
    cluster: str = option(Text(empty=True), "The service that it stands before.", "")
    zone: str = option(Text(empty=True), "Where it runs.", "")
    metadata: Mapping[str, object] = option(
        MapOf(Tree(), "KEY"), "Whatever else tells who it is; Istio's `NAME`, `LABELS` and the like.", {}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload(Section):
    """
    What the process may take. Beyond it refuses new connections, then requests, and for memory it closes the
    connections that hold the most.
    """

    max_memory: Bytes | None = option(
        Size("0B", "1024GiB"),
        "Memory that the process may have; 0 for no limit.",
        None,
        "75 % of what its cgroup allows, or of the machine's",
    )
    max_lag: Seconds = option(Duration(), "How late the event loop may be; 0 for no limit.", "0s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutations(Section):
    """Changes of what a message carries besides its body, as the protocol understands it."""

    set: Mapping[str, str] = option(
        MapOf(Value(), "KEY"), "Replaced or added; `%upstream_address%` and the like are filled in.", {}
    )
    remove: tuple[str, ...] = option(ListOf(Text()), "Removed, before `set` adds.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Section):
    """An answer by the proxy itself."""

    error: str = option(Choice(*(kind.value for kind in ErrorKind)), "Which error, in the protocol's own words.")
    message: str = option(Text(1024, empty=True), "What the client is told, 1024 bytes at most.", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Section):
    """
    When a failed request is tried again, at another endpoint if there is one. What a server may have executed is
    repeated only if the protocol tells that this is safe (Redis commands that read), or with `unsafe`.
    """

    attempts: int = option(Whole(1, 100), "Further tries after the first.", 1)
    on: tuple[str, ...] = option(
        ListOf(Choice(*REASONS), 1), "What counts as failed; `error` is an answer that tells of failure.",
        ("connect", "overload"),
    )  # fmt: skip
    per_try_timeout: Seconds = option(Duration(), "Time for each try; 0: only the route's `timeout` ends it.", "0s")
    backoff: tuple[Seconds, Seconds] = option(
        Span(),
        "Waiting before a further try: doubled from the first to the second value, with full jitter.",
        "25ms..250ms",
    )
    hedge_after: Seconds = option(
        Duration(), "Time after which a second try is sent beside the first, if repeating is safe; 0: never.", "0s"
    )
    unsafe: bool = option(Flag(), "Repeat also what a server may have executed.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror(Section):
    """A cluster that gets copies of requests, beside the one that answers; nobody waits for it."""

    SHORT: ClassVar = "cluster"

    cluster: str = option(Reference("cluster"), "Where copies go.")
    percent: Percent = option(Share(), "The share of the route's requests that is copied.", 100)
    compare: bool = option(Flag(), "Compare its answers with the original ones; differences are counted.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Section):
    """Which requests go where. The first route of a listener that matches a request takes it."""

    ONE_OF: ClassVar = ("cluster", "clusters", "reply")
    name: str = option(
        Name(), "Shown in metrics and logs; unique in its listener.", "", "its place, such as `routes[2]`"
    )
    match: Mapping[str, object] = option(
        MapOf(Condition(), "KEY"), "What the request's metadata must be, every entry of it.", {}, "every request"
    )
    percent: Percent = option(Share(), "The share of what matches that this route takes.", 100)
    cluster: str | None = option(Reference("cluster"), "Where requests go.", None)
    clusters: Mapping[str, int] | None = option(
        MapOf(Whole(), "CLUSTER", 1, refers="cluster"), "Where requests go, by weight.", None
    )
    reply: Reply | None = option(Nested(Reply), "Answer here instead of forwarding.", None)
    subset: Mapping[str, str] | None = option(
        MapOf(Value(), "KEY", 1), "Only endpoints whose metadata agree.", None, "every endpoint"
    )
    timeout: Seconds | None = option(
        Duration(), "Time until the answer must be there; 0 for no limit.", None, "the cluster's `request_timeout`"
    )
    hash: tuple[str, ...] = option(
        ListOf(Text(), 1, alone=True),
        "Metadata keys, or facts such as `source.address`, that balancers such as `ring_hash` look at.",
        (),
        "the balancer's",
    )
    sticky: tuple[str, ...] = option(
        ListOf(Text(), 1, alone=True),
        "Metadata keys: callers with equal values stay on the same side of `clusters` and `percent`.",
        (),
        "chance",
    )
    mirror: tuple[Mirror, ...] = option(ListOf(Nested(Mirror), alone=True), "Clusters that get copies.", ())
    retry: Retry | None = option(Nested(Retry), "When a failed request is tried again.", None, "never")
    request: Mutations | None = option(Nested(Mutations), "Changes of the request.", None)
    response: Mutations | None = option(Nested(Mutations), "Changes of the answer.", None)
    filters: Mapping[str, Use | None] = option(
        MapOf(Override(), "FILTER"), "Filters of the listener with other options, all of them given anew, or `off`.", {}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLog(Section):
    """A file that gets a line for each exchange."""

    file: Path = option(File(), "Where the lines go, such as `/dev/stdout`.")
    format: str = option(LogFormat(), "What it shows of an exchange; an operator is `%DURATION%`, for example.", "text")
    fields: Mapping[str, str] | None = option(
        MapOf(LogField(), "FIELD", 1), "Lines of JSON with these fields, in the place of `format`.", None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomTag(Section):
    """A tag of one's own on each span."""

    ONE_OF: ClassVar = ("metadata", "literal", "env")

    metadata: str | None = option(Text(), "The metadata key of the request whose value it is.", None)
    literal: str | None = option(Value(), "Its value.", None)
    env: str | None = option(Text(), "The environment variable whose value it is.", None)
    default: str = option(Value(), "Its value where there is no such key or variable.", "", "no tag")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerTracing(Section):
    """Which of a listener's requests are traced, and what their spans tell."""

    sampling: Percent = option(Share(), "The share of the requests that come without a request id.", 100)
    client_sampling: Percent = option(Share(), "The share of those that have `x-client-trace-id`.", 100)
    overall_sampling: Percent = option(Share(), "No more than this share is traced, for whatever reason.", 100)
    follow_context: bool = option(
        Flag(), "One without a request id, but with a trace context, is traced as that context says.", False
    )
    trust: bool = option(
        Flag(), "Believe request ids, trace contexts and `x-envoy-force-trace` of clients; else they are removed.", True
    )
    request_ids: str = option(
        Choice("all", "traced"),
        "Which requests get a request id, where the client sent none; `traced` spares the others the decoding.",
        "all",
    )
    direction: str = option(
        Choice("inbound", "outbound", "unspecified"), "Whether clients or servers are this proxy's own.", "unspecified"
    )
    propagation: tuple[str, ...] = option(
        ListOf(Choice("w3c", "b3multi", "b3"), 1, alone=True),
        "How a request tells the next one which span it belongs to.",
        ["w3c", "b3multi"],
    )
    metadata: tuple[str, ...] = option(
        ListOf(Text()), "Metadata keys that become tags, `*`: all of them, credentials masked.", ["*"]
    )
    tags: Mapping[str, CustomTag] = option(MapOf(Nested(CustomTag), "TAG"), "Tags of one's own.", {})
    max_tag_length: int = option(Whole(16, 65536), "Characters of a tag's value.", 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing(Section):
    """Where spans go. Listeners with `tracing:` make them; extra `tracing` must be installed."""

    exporter: str = option(Choice("otlp", "zipkin"), "What the collector speaks: OTLP over HTTP, or Zipkin v2 JSON.")
    url: str = option(
        Url(), "Where it listens.", "",
        "`http://127.0.0.1:4318/v1/traces` or `http://127.0.0.1:9411/api/v2/spans`",
    )  # fmt: skip
    service: str = option(Text(empty=True), "Under which name it shows spans.", "", "`node.cluster`, or `metaproxy`")
    headers: Mapping[str, Secret] = option(MapOf(Hidden(), "NAME"), "Sent with each request to it.", {})
    timeout: Seconds = option(Duration("10ms"), "Time for one request to it.", "5s")
    interval: Seconds = option(Duration("10ms"), "How long a span waits for others at most.", "1s")
    max_queue: int = option(Whole(1, 1000000), "Spans that wait; more are dropped.", 4096)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive(Section):
    """
    TCP keep-alive: a peer that is gone without a word is noticed, and routers on the way don't forget the connection.
    """

    idle: Seconds = option(
        Duration("1s", "9h"), "Silence after which the peer's system is asked, whole seconds.", "60s"
    )
    interval: Seconds = option(Duration("1s", "9h"), "Time from one question without an answer to the next.", "10s")
    count: int = option(Whole(1, 127), "Questions without an answer after which the connection is lost.", 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyProtocol(Section):
    """Who may tell, by a PROXY header, which client it speaks for. Connections from elsewhere are refused."""

    trusted: tuple[str, ...] = option(
        ListOf(Source(), 1, alone=True), "Networks of the proxies in front; `unix`: who connects to a Unix socket."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener(Section):
    """Where clients arrive, what protocol they speak, and what becomes of their requests."""

    name: str = option(Name("listener"), "Unique.")
    listen: tuple[str, ...] = option(
        ListOf(Listen(), 1, alone=True), "Where it listens; port 0 is a free one, unix:/path a socket in a folder."
    )
    protocol: Use = option(Named(ICodec), "What its clients speak.")
    tls: ServerTls | None = option(Nested(ServerTls), "TLS towards clients.", None)
    proxy_protocol: bool | ProxyProtocol = option(
        FlagOr(ProxyProtocol),
        "Clients come through a proxy that speaks the PROXY protocol, v1 or v2. `true` believes every sender.",
        False,
    )
    original_destination: bool = option(
        Flag(),
        "Connections were redirected here (nftables, iptables): `destination.address` is where their clients meant to "
        "go, and clusters may go there.",
        False,
    )
    keepalive: KeepAlive | None = option(Nested(KeepAlive), "TCP keep-alive towards clients.", None, "off")
    max_connections: int = option(Whole(1), "Clients at a time; more are refused.", 10000)
    max_frame: Bytes = option(
        Size("64B", "1GiB"),
        "Of one message; a larger request ends its connection.",
        "16MiB",
    )
    max_inflight: int = option(Whole(1), "Requests under way for one client; it is read on when one is answered.", 1024)
    max_buffered: Bytes = option(
        Size("64KiB", "64GiB"),
        "Bytes kept for one client: answers that it has not read or that wait for one before them, requests that wait. "
        "Beyond, it is read no more; as many requests are under way as their answers have room here.",
        "16MiB",
    )
    idle_timeout: Seconds = option(Duration(), "A client without a request for so long is let go; 0: never.", "1h")
    stall_timeout: Seconds = option(
        Duration(), "A client that takes no byte for so long, while answers wait, is cut off; 0: never.", "30s"
    )
    drain_timeout: Seconds = option(Duration(), "Time that requests under way have to finish when it stops.", "30s")
    reserved_keys: str = option(
        Choice("keep", "strip"),
        "What becomes of metadata that only proxies may set (`x-request-id`, `x-envoy-*` ...) when clients send them.",
        "keep",
    )
    filters: tuple[Use, ...] = option(ListOf(Filter()), "What requests pass, in this order.", ())
    routes: tuple[Route, ...] = option(ListOf(Nested(Route), later=("rds",)), "First match wins.", ())
    access_log: tuple[AccessLog, ...] = option(ListOf(Nested(AccessLog)), "Logs of its exchanges.", ())
    tracing: ListenerTracing | None = option(
        Nested(ListenerTracing), "Which of its exchanges have spans.", None, "none"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Section):
    """One address of a cluster."""

    SHORT: ClassVar = "address"

    address: str = option(Address(1), "Where a server listens.")
    weight: int = option(Whole(1, 65536), "Its share of the requests, against the others' weights.", 1)
    zone: str = option(Text(empty=True), "Where it runs; see the cluster's `locality`.", "")
    priority: int = option(Whole(0, 127), "0 is used first; the next as far as those before it have failed.", 0)
    metadata: Mapping[str, str] = option(MapOf(Value(), "KEY"), "What a route's `subset` looks at.", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Locality(Section):
    """Which of the usable endpoints of a priority come first."""

    prefer: str = option(Choice("zone"), "Those in the proxy's own zone, which is the `zone` of `node`.", "zone")
    min_healthy: Percent = option(
        Share(), "The zone takes every request while so many of its endpoints are usable; below, its part of it.", 70
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections(Section):
    """How the connections to a cluster's endpoints are used."""

    mode: str | None = option(
        Choice("multiplex", "pool", "pinned"),
        "Shared by requests of all clients, taken by one request at a time, or one for each client.",
        None,
        "the protocol's",
    )
    per_endpoint: int = option(Whole(1, 4096), "Shared connections to each endpoint.", 1)
    idle_timeout: Seconds = option(Duration(), "One without a request for so long is closed; 0: never.", "5m")
    max_age: Seconds = option(Duration(), "One that is older takes no new request; 0 for no limit.", "0s")
    max_requests: int = option(Whole(), "One that carried so many takes no new one; 0 for no limit.", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker(Section):
    """Limits that keep a slow cluster from taking the proxy with it. What exceeds them is refused at once."""

    max_connections: int = option(Whole(1), "Connections to all of its endpoints.", 1024)
    max_pending: int = option(Whole(), "Requests that wait for a connection.", 1024)
    max_requests: int = option(Whole(1), "Requests under way; pipelining clients have many.", 65536)
    max_retries: int = option(Whole(), "Further tries under way.", 3)
    retry_budget: Percent = option(
        Share(), "In the place of `max_retries`: further tries as a share of the requests under way, three at least.", 0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Http(Section):
    """A GET, over plain HTTP/1.1."""

    path: str = option(UrlPath(), "What is asked for.", "/")
    host: str = option(Text(empty=True), "The `Host` header.", "", "the endpoint's address")
    port: int = option(Whole(0, 65535), "Where, on the endpoint's host.", 0, "the endpoint's port")
    status: tuple[int, ...] = option(ListOf(Whole(100, 599), 1, alone=True), "Answers that pass.", (), "200 to 299")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script(Section):
    """Bytes to send, and what must come."""

    send: bytes = option(Hex(), "In hexadecimal digits; empty to only listen.", "")
    expect: str = option(
        Regex(), "Found anywhere in what comes, up to 64 KiB, where each byte is one character, such as `\\x00`."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Section):
    """A kind of health check that has options."""

    ONE_OF: ClassVar = ("http", "script")

    http: Http | None = option(Nested(Http), "A GET that must be answered.", None)
    script: Script | None = option(Nested(Script), "Bytes that must be answered.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck(Section):
    """How endpoints are asked whether they can serve."""

    interval: Seconds = option(Duration("10ms"), "Time from one check of an endpoint to the next.", "5s")
    jitter: Percent = option(Share(), "Share of the interval that is added at random.", 10)
    timeout: Seconds = option(Duration("1ms"), "Time for a whole check.", "1s")
    healthy: int = option(Whole(1, 1000), "Checks in a row that must pass before it is used again.", 2)
    unhealthy: int = option(Whole(1, 1000), "Checks in a row that must fail before it is not.", 3)
    kind: tuple[str | Check, ...] = option(
        ListOf(OneCheck(Check), 1, alone=True), "What is asked; of several all must pass.", ("tcp",), "`tcp`"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Section):
    """How long an endpoint may take."""

    p99: Seconds = option(Duration("1ms"), "The time that 99 of 100 requests of an interval must not exceed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier(Section):
    """
    When an endpoint is ejected: left alone for a time, as its requests fail more than those of the others. Failed are
    answers that tell of failure, and requests without an answer: no connection, none in time, or one that ended.
    """

    consecutive_errors: int = option(Whole(), "Failures in a row; 0: never.", 5)
    consecutive_local: int = option(Whole(), "With `split`: requests in a row without an answer; 0: never.", 5)
    success_rate: float = option(
        Decimal(), "Standard deviations that its rate of success is below the mean, in an interval; 0: never.", 1.9
    )
    failure_percent: Percent = option(Share(), "Share of its requests that fail in an interval; 0: never.", 0)
    latency: Latency | None = option(Nested(Latency), "How long an endpoint may take.", None, "never")
    interval: Seconds = option(Duration("100ms"), "Time between two looks at rates and latency.", "10s")
    ejection_time: Seconds = option(Duration("1ms"), "How long the first time; twice as long the second.", "30s")
    max_ejection_time: Seconds = option(Duration("1ms"), "How long at most.", "5m")
    max_ejected: Percent = option(Share(), "Share of the endpoints at a time; one at least, unless it is 0.", 50)
    min_hosts: int = option(Whole(1), "Endpoints with `min_requests` without which rates are not looked at.", 5)
    min_requests: int = option(Whole(1), "Requests of an interval without which an endpoint's rates don't count.", 100)
    split: bool = option(Flag(), "Requests without an answer are told apart from answers that tell of failure.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(Section):
    """Servers that do the same work."""

    name: str = option(Name("cluster"), "Unique.")
    endpoints: tuple[Endpoint, ...] = option(ListOf(Nested(Endpoint)), "Its addresses.", (), "required, or `discovery`")
    discovery: Use | None = option(Discovery(), "In the place of `endpoints`: where they are found.", None)
    protocol: Use | None = option(Named(ICodec), "What its servers speak.", None, "the listener's")
    fallback: tuple[str, ...] = option(
        ListOf(Reference("cluster"), alone=True), "Clusters to try when none of its endpoints can serve.", ()
    )
    balancer: Use = option(Named(ILoadBalancer), "Which endpoint a request goes to.", "round_robin")
    connect_timeout: Seconds = option(Duration("1ms"), "Time until a connection must be there.", "1s")
    request_timeout: Seconds = option(Duration(), "Time until the answer must be there; 0 for no limit.", "15s")
    tls: ClientTls | None = option(Nested(ClientTls), "TLS towards its servers.", None)
    connections: Connections = option(Nested(Connections), "How connections are used.", {})
    keepalive: KeepAlive | None = option(Nested(KeepAlive), "TCP keep-alive towards its servers.", None, "off")
    credentials: Mapping[str, Secret] = option(
        MapOf(Hidden(), "KEY"), "How the proxy logs in, where the protocol has a login.", {}
    )
    breaker: Breaker = option(Nested(Breaker), "Limits.", {})
    panic_threshold: Percent | None = option(
        Share(),
        "With fewer of its endpoints usable, a priority uses them all, as if they were; 0: never.",
        None,
        "`50`, or `0` with `fallback`",
    )
    locality: Locality | None = option(Nested(Locality), "Which endpoints come first.", None, "none")
    slow_start: Seconds = option(
        Duration(), "Time in which the weight of a new or recovered endpoint grows from a tenth to all of it.", "0s"
    )
    health_check: HealthCheck | None = option(Nested(HealthCheck), "How endpoints are asked.", None, "never")
    outlier: Outlier | None = option(Nested(Outlier), "When an endpoint is ejected.", None, "never")

    @property
    def has_original_destination(self) -> bool:
        """Whether requests go where their clients' connections were meant to go."""
        return self.discovery is not None and self.discovery.name == Discovery.ORIGINAL_DESTINATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Section):
    """
    A whole configuration.

    source: the file or place that it came from; warnings: what is odd in it, and works.
    """

    LATER: ClassVar = ("xds", "static_resources", "dynamic_resources")

    # Secrets come first, as all that follows may need them.
    secrets: Mapping[str, SecretSource] = option(
        MapOf(Nested(SecretSource), defines="secret"), "Texts that are never shown.", {}
    )
    runtime: Mapping[str, object] = option(
        MapOf(Live()),
        "Values that are changed live; `{runtime: NAME}` stands for one in the place of any text, number or flag.",
        {},
    )
    admin: Admin = option(Nested(Admin), "The HTTP API for operators.", {})
    record: Record = option(Nested(Record), "What may be recorded.", {})
    node: Node = option(Nested(Node), "Who this proxy is.", {})
    workers: int = option(WorkerCount(), "Processes that share the listeners.", 1)
    overload: Overload = option(Nested(Overload), "What the process may take before it refuses work.", {})
    plugins: tuple[Path, ...] = option(ListOf(File(), alone=True), "Folders with plugins, watched for changes.", ())
    tracing: Tracing | None = option(Nested(Tracing), "Where spans go.", None, "nowhere")
    listeners: tuple[Listener, ...] = option(ListOf(Nested(Listener)), "Where clients arrive.", ())
    clusters: tuple[Cluster, ...] = option(ListOf(Nested(Cluster)), "Where their requests go.", ())
    source: str = field(default="", compare=False)
    warnings: tuple[Problem, ...] = field(default=(), compare=False)


# -- what a configuration is looked at for


def files_of(config: Config) -> set[Path]:
    """Files whose content is part of the configuration: those of secrets, certificates and keys."""
    found = {one.file for one in config.secrets.values()}
    for listener in config.listeners:
        tls = listener.tls
        if tls is not None:
            found.update((tls.certificate, tls.key, tls.client_ca))
            found.update(path for one in tls.certificates for path in (one.certificate, one.key))
    for cluster in config.clusters:
        if cluster.tls is not None:
            found.update((cluster.tls.ca, cluster.tls.certificate, cluster.tls.key))
    if config.admin.tls is not None:
        found.update((config.admin.tls.certificate, config.admin.tls.key, config.admin.tls.client_ca))
    return {path for path in found if path is not None}


def clusters_of(route: Route) -> list[str]:
    """The clusters that a route names: where its requests go, then where copies go."""
    direct = [route.cluster] if route.cluster is not None else list(route.clusters or ())
    return [*direct, *(mirror.cluster for mirror in route.mirror)]


def asked(config: Config) -> dict[str, bool]:
    """The clusters that filters may ask as services -> whether one of them does so over gRPC."""
    found: dict[str, bool] = {}
    for listener in config.listeners:
        uses = [*listener.filters, *(use for route in listener.routes for use in route.filters.values())]
        for service in [one for use in uses if use is not None for one in _places(use.options)]:
            name = service["cluster"]
            over_grpc = not ("http" in service or "url" in service or service.get("kind") == "redis")
            found[name] = found.get(name, False) or over_grpc
    return found


def _places(options: object) -> Iterator[Mapping[str, Any]]:
    """The mappings within a filter's options that name a cluster: `service:` and `jwks:`, wherever they stand."""
    if isinstance(options, Mapping):
        for key, inner in options.items():
            if key in ("service", "jwks") and isinstance(inner, Mapping) and isinstance(inner.get("cluster"), str):
                yield inner
            else:
                yield from _places(inner)


def senders(config: Config) -> dict[str, list[Listener]]:
    """Cluster -> the listeners whose requests may come to it, be it as a copy or by `fallback`."""
    fallback = {one.name: one.fallback for one in config.clusters}
    found: dict[str, list[Listener]] = {}
    for listener in config.listeners:
        waiting = [name for route in listener.routes for name in clusters_of(route)]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                found.setdefault(name, []).append(listener)
                waiting += fallback.get(name, ())
    return found


class Changes(NamedTuple):
    """Names, each list sorted."""

    added: list[str]
    changed: list[str]
    removed: list[str]


class Difference(NamedTuple):
    """sections: the other top-level keys that differ, such as 'admin'."""

    listeners: Changes
    clusters: Changes
    sections: list[str]


def diff(old: Config, new: Config) -> Difference:
    """What applying `new` in the place of `old` would change."""
    listed = ("listeners", "clusters", "source", "warnings")
    others = [one.name for one in fields(Config) if one.name not in listed]
    return Difference(
        _changes(old.listeners, new.listeners),
        _changes(old.clusters, new.clusters),
        [name for name in others if getattr(old, name) != getattr(new, name)],
    )


def _changes(old: tuple[Any, ...], new: tuple[Any, ...]) -> Changes:
    before, after = {one.name: one for one in old}, {one.name: one for one in new}
    return Changes(
        sorted(after.keys() - before.keys()),
        sorted(name for name in after.keys() & before.keys() if after[name] != before[name]),
        sorted(before.keys() - after.keys()),
    )


def as_data(value: Any) -> Any:
    """A configuration or a part of it as JSON would have it, secrets masked: for showing it."""
    if isinstance(value, Secret):
        return "****"
    if is_dataclass(value) and not isinstance(value, type):
        shown = [one.name for one in fields(value) if one.compare]
        return {name: as_data(getattr(value, name)) for name in shown if getattr(value, name) is not None}
    if isinstance(value, Mapping):
        return {str(key): as_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_data(item) for item in value]
    return str(value) if isinstance(value, Path) else value
