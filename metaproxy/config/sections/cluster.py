"""
The keys of a cluster: its endpoints, their connections and limits, and how it is found out which of them can serve.

Lives here: sections of `model`. Does not: TLS and keep-alive (`transport`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaproxy.config.schema.addresses import Address, Host, UrlPath
from metaproxy.config.schema.names import Hidden, Name, Reference
from metaproxy.config.schema.numbers import Decimal, Duration, Flag, Freshness, Share, Whole
from metaproxy.config.schema.reading import Use
from metaproxy.config.schema.shape import ListOf, MapOf, Nested, OneCheck, Section, option
from metaproxy.config.schema.texts import Choice, Hex, Regex, Text, Value
from metaproxy.config.schema.topologies import Topology, TopologyKind
from metaproxy.config.schema.uses import Discovery, Named
from metaproxy.config.sections.transport import ClientTls, KeepAlive
from metaproxy.interfaces import ICodec, ILoadBalancer
from metaproxy.units import Percent, Seconds, Secret


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
        Choice("multiplex", "pool", "pinned", "session", "transaction", "statement"),
        "`multiplex`: shared by requests of all clients; `pool`: taken by one request at a time; `pinned`: one for "
        "each client, opened and closed with it. Where clients log in at the proxy (`users` of its protocol) also "
        "`session`: taken by a client for its stay, then reset for another; `transaction`: until its transaction ends; "
        "`statement`: for a request, so that transactions are refused.",
        None,
        "the protocol's",
    )
    per_endpoint: int | None = option(
        Whole(1, 4096),
        "Connections to each endpoint: those that are shared, or with `session`, `transaction` and `statement` all.",
        None,
        "1 of those that are shared, else 20",
    )
    queue_timeout: Seconds = option(
        Duration(), "A request that waits longer for one to be free is refused; 0: as long as it may take.", "0s"
    )
    idle_transaction_timeout: Seconds = option(
        Duration(),
        "A client that keeps one for a transaction, and asks nothing for so long, is closed, and its transaction with "
        "it; 0: never. What else it keeps one for, such as a temporary table, does not count.",
        "0s",
    )
    idle_timeout: Seconds = option(Duration(), "One without a request for so long is closed; 0: never.", "5m")
    max_age: Seconds = option(Duration(), "One that is older takes no new request; 0 for no limit.", "0s")
    max_requests: int = option(Whole(), "One that carried so many takes no new one; 0 for no limit.", 0)
    source: str = option(Host(), "The address of this host that they come from.", "", "the system's choice")


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

    p99: Seconds = option(
        Duration("1ms"), "The time that 99 of 100 requests of an interval must not exceed; streams are not looked at."
    )


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
    split: bool = option(
        Flag(), "Requests without an answer are counted apart from answers that report failure.", False
    )


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
    topology: Topology | None = option(
        TopologyKind(),
        "Servers are asked, in the protocol's words, what they are; a route's `subset: {role: primary}`, `{role: "
        "replica}` or, for either, `{role: any}` looks at it. Requests wait while none has the role; reads for "
        "replicas go to the primary. Where they also tell which of them there are, and which has what, `endpoints` "
        "are those that are asked first.",
        None,
        "all are alike",
    )
    topology_interval: Seconds = option(
        Duration("10ms"), "Time from an answer to the next question; one that fails a request is asked at once.", "1s"
    )
    topology_credentials: Mapping[str, Secret] | None = option(
        MapOf(Hidden(), "KEY"),
        "How the proxy logs in to those that tell which servers there are, where that is another login; `{}`: none.",
        None,
        "`credentials`",
    )
    max_replica_lag: Seconds = option(
        Duration(), "Replicas that are further behind are not used, where the protocol tells; 0: all are.", "0s"
    )
    read_your_writes: float | None = option(
        Freshness(),
        "What a client reads behind its own writes goes to the primary for so long; `position`: until a replica has "
        "them, where the protocol tells.",
        None,
        "replicas are read at once",
    )

    @property
    def has_original_destination(self) -> bool:
        """Whether requests go where their clients' connections were meant to go."""
        return self.discovery is not None and self.discovery.name == Discovery.ORIGINAL_DESTINATION
