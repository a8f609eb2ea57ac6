"""
DestinationRule of Istio: subsets of a service, and how its servers are reached.

Lives here: its keys and checks. Does not: the clusters that are made of it (`generator.policy`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.numbers import Flag, Whole
from metaproxy.config.schema.reading import Reading
from metaproxy.config.schema.shape import ListOf, option
from metaproxy.mesh.objects.meta_router import PortNumber
from metaproxy.mesh.objects.struct import Spec, Struct
from metaproxy.mesh.objects.values import NAME, TEXT, Choice, GoDuration, Host, TextMap
from metaproxy.units import Seconds

RULES = Rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpKeepalive(Spec):
    """Probes on connections without traffic."""

    probes: int | None = option(Whole(1, 127), "Probes without an answer after which it is closed.", None, "9")
    time: Seconds | None = option(GoDuration(above=True), "Time without traffic before the first.", None, "2h")
    interval: Seconds | None = option(GoDuration(above=True), "Time between two.", None, "75s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp(Spec):
    """Connections."""

    UNUSED: ClassVar = ("maxConnectionDuration", "idleTimeout")

    max_connections: int | None = option(Whole(), "Connections to all servers; 0 for no limit.", None, "no limit")
    connect_timeout: Seconds | None = option(GoDuration(above=True), "Time to connect.", None, "10s")
    tcp_keepalive: TcpKeepalive | None = option(Struct(TcpKeepalive), "Probes.", None, "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings(Spec):
    """Requests, of any protocol."""

    UNUSED: ClassVar = ("h2UpgradePolicy", "useClientProtocol", "maxConcurrentStreams", "idleTimeout")

    http1_max_pending_requests: int | None = option(Whole(), "Requests that wait for a connection.", None, "no limit")
    http2_max_requests: int | None = option(Whole(), "Requests under way.", None, "no limit")
    max_requests_per_connection: int | None = option(Whole(), "Requests of one connection.", None, "no limit")
    max_retries: int | None = option(Whole(), "Further tries under way.", None, "no limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPool(Spec):
    """Limits."""

    tcp: Tcp | None = option(Struct(Tcp), "Of connections.", None)
    http: HttpSettings | None = option(Struct(HttpSettings), "Of requests.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RingHash(Spec):
    """A ring."""

    minimum_ring_size: int = option(Whole(1, 8 << 20), "Places of the ring.", 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maglev(Spec):
    """A table."""

    table_size: int = option(Whole(1, 5_000_011), "Places of the table; a prime.", 65537)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistentHash(Spec):
    """The same value goes to the same server."""

    UNUSED: ClassVar = ("httpCookie", "useSourceIp", "httpQueryParameterName")

    http_header_name: str = option(NAME, "An attribute of the message, whatever its protocol.")
    minimum_ring_size: int | None = option(Whole(1, 8 << 20), "As that of `ringHash`.", None)
    ring_hash: RingHash | None = option(Struct(RingHash), "By a ring, the default.", None)
    maglev: Maglev | None = option(Struct(Maglev), "By a Maglev table.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancer(Spec):
    """Which server a request goes to."""

    ONE_OF: ClassVar = ("simple", "consistent_hash")
    UNUSED: ClassVar = ("localityLbSetting",)

    simple: str | None = option(
        Choice(
            "UNSPECIFIED", "RANDOM", "ROUND_ROBIN", "LEAST_REQUEST", "LEAST_CONN",
            other={"PASSTHROUGH": "requests go to the servers of the service"},
        ),
        "One of these.", None, "LEAST_REQUEST",
    )  # fmt: skip
    consistent_hash: ConsistentHash | None = option(Struct(ConsistentHash), "By a value of the request.", None)
    warmup_duration_secs: Seconds | None = option(
        GoDuration(above=True), "Time in which a new server's share grows.", None, "none"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierDetection(Spec):
    """When a server is left alone for a time."""

    split_external_local_origin_errors: bool = option(Flag(), "Failures to connect are counted apart.", False)
    consecutive_local_origin_failures: int | None = option(Whole(), "How many of these in a row.", None, "5")
    consecutive_gateway_errors: int | None = option(Whole(), "Failures in a row without an answer.", None, "never")
    consecutive_5xx_errors: int | None = option(Whole(), "Failures in a row; 0: never.", None, "5")
    consecutive_errors: int | None = option(Whole(), "The old name of `consecutiveGatewayErrors`.", None)
    interval: Seconds | None = option(GoDuration(above=True), "Time between two looks.", None, "10s")
    base_ejection_time: Seconds | None = option(GoDuration(above=True), "How long the first time.", None, "30s")
    max_ejection_percent: int = option(Whole(0, 100), "Share of the servers at a time.", 10)
    min_health_percent: int = option(Whole(0, 100), "With fewer usable servers all are used.", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls(Spec):
    """TLS to the servers."""

    UNUSED: ClassVar = ("credentialName", "caCrl")

    mode: str = option(
        Choice(
            "DISABLE",
            "SIMPLE",
            "MUTUAL",
            other={"ISTIO_MUTUAL": "no agent of Istio gives certificates here; write MUTUAL with files"},
        ),
        "`MUTUAL`: the proxy has a certificate.",
    )
    client_certificate: str = option(TEXT, "With `MUTUAL`: a file.", "")
    private_key: str = option(TEXT, "With `MUTUAL`: a file.", "")
    ca_certificates: str = option(TEXT, "A file with the authorities of servers.", "", "the system's")
    subject_alt_names: tuple[str, ...] = option(ListOf(NAME), "Names of which a server's certificate has one.", ())
    sni: str = option(TEXT, "The name that is asked for.", "", "the host")
    insecure_skip_verify: bool = option(Flag(), "Any certificate will do.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortPolicy(Spec):
    """What holds for one port, in the place of the whole of what holds for the others."""

    port: PortNumber = option(Struct(PortNumber), "The service's port.")
    load_balancer: LoadBalancer | None = option(Struct(LoadBalancer), "Which server.", None)
    connection_pool: ConnectionPool | None = option(Struct(ConnectionPool), "Limits.", None)
    outlier_detection: OutlierDetection | None = option(Struct(OutlierDetection), "Bad servers.", None)
    tls: ClientTls | None = option(Struct(ClientTls), "TLS.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPolicy(Spec):
    """How servers are reached."""

    UNUSED: ClassVar = ("tunnel", "proxyProtocol")

    load_balancer: LoadBalancer | None = option(Struct(LoadBalancer), "Which server.", None, "LEAST_REQUEST")
    connection_pool: ConnectionPool | None = option(Struct(ConnectionPool), "Limits.", None)
    outlier_detection: OutlierDetection | None = option(Struct(OutlierDetection), "Bad servers.", None, "never")
    tls: ClientTls | None = option(Struct(ClientTls), "TLS.", None, "none")
    port_level_settings: tuple[PortPolicy, ...] = option(ListOf(Struct(PortPolicy)), "For single ports.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset(Spec):
    """Some of the servers."""

    name: str = option(NAME, "What destinations call it.")
    labels: Mapping[str, str] = option(TextMap(), "Servers that have all of these.", {})
    traffic_policy: TrafficPolicy | None = option(Struct(TrafficPolicy), "In the place of the rule's, by key.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRule(Spec):
    """Subsets of a service, and how its servers are reached."""

    UNUSED: ClassVar = ("workloadSelector",)

    host: str = option(Host(), "The service; a short name is one of the same namespace.")
    traffic_policy: TrafficPolicy | None = option(Struct(TrafficPolicy), "How servers are reached.", None)
    subsets: tuple[Subset, ...] = option(ListOf(Struct(Subset)), "Named parts of the servers.", ())
    export_to: tuple[str, ...] = option(ListOf(NAME), "Namespaces whose clients it holds for.", (), "all")


@RULES.of(DestinationRule)
def _rule(rule: DestinationRule, reading: Reading) -> None:
    names = [subset.name for subset in rule.subsets]
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if twice:
        reading.problem(reading.at(rule, "subsets"), f"two subsets have the name {twice[0]!r}")


@RULES.of(ClientTls)
def _tls(tls: ClientTls, reading: Reading) -> None:
    if tls.mode == "MUTUAL" and not (tls.client_certificate and tls.private_key):
        reading.problem(reading.at(tls), "MUTUAL needs clientCertificate and privateKey")
