"""
The keys of a listener: where clients arrive, and what holds for each of them.

Lives here: sections of `model`. Does not: its routes (`route`), its logs and traces (`telemetry`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metaproxy.config.schema.addresses import Address, Ip, Listen, Source
from metaproxy.config.schema.names import Name, Reference
from metaproxy.config.schema.numbers import Duration, Flag, Ports, Size, Whole
from metaproxy.config.schema.reading import Use
from metaproxy.config.schema.shape import FlagOr, ListOf, Nested, Section, option
from metaproxy.config.schema.texts import Choice, Text
from metaproxy.config.schema.uses import Filter, Named
from metaproxy.config.sections.rds import RoutesOrRds
from metaproxy.config.sections.route import Route
from metaproxy.config.sections.telemetry import AccessLog, ListenerTracing
from metaproxy.config.sections.transport import KeepAlive, ServerTls
from metaproxy.interfaces import ICodec
from metaproxy.units import Bytes, Seconds

MAX_DOORS = 1000
"""Ports of a listener for nodes: each costs a socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyProtocol(Section):
    """Who may tell, by a PROXY header, which client it speaks for. Connections from elsewhere are refused."""

    trusted: tuple[str, ...] = option(
        ListOf(Source(), 1, alone=True), "Networks of the proxies in front; `unix`: who connects to a Unix socket."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainMatch(Section):
    """What a connection must be; what is left out may be anything. What a client says first is looked at if need be."""

    port: tuple[int, ...] = option(
        ListOf(Whole(1, 65535), alone=True), "Where it was meant to go: `destination.port`.", ()
    )
    destination: tuple[str, ...] = option(
        ListOf(Ip(), alone=True), "The same, as networks or addresses of `destination.address`.", ()
    )
    source: tuple[str, ...] = option(ListOf(Ip(), alone=True), "Where it comes from.", ())
    server_names: tuple[str, ...] = option(
        ListOf(Text(253), alone=True), "Names that its TLS asks for; `*.example.org` for all of a domain.", ()
    )
    alpn: tuple[str, ...] = option(ListOf(Text(255), alone=True), "Protocols of which its TLS offers one.", ())
    encrypted: bool | None = option(Flag(), "Whether it begins with TLS.", None, "either")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain(Section):
    """Connections that are handed to another listener as they are: its `tls`, routes and filters count."""

    match: ChainMatch = option(
        Nested(ChainMatch), "Which; see [Redirected traffic](../how-to/redirected-traffic.md).", {}
    )
    listener: str = option(Reference("listener"), "To whom; it needs no `listen` of its own.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes(Section):
    """How clients reach each node of the cluster by itself: each broker. By a port each, or by a name in TLS each."""

    ports: range | None = option(
        Ports(MAX_DOORS),
        "Ports that the listener has besides, on the hosts of `listen`; node 0 is reached by the first.",
        None,
        "none",
    )
    advertise: str | None = option(
        Text(253), "With `ports`: the host by which clients reach them.", None, "the one that each client connected to"
    )
    sni: str | None = option(
        Text(253), "A name for each node, `{node}` is its number: `broker-{node}.example.org`.", None, "none"
    )
    port: int | None = option(
        Whole(1, 65535), "With `sni`: the port by which clients reach this listener under these names.", None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener(Section):
    """Where clients arrive, what protocol they speak, and what becomes of their requests."""

    name: str = option(Name("listener"), "Unique.")
    listen: tuple[str, ...] = option(
        ListOf(Listen(), alone=True),
        "Where it listens; port 0 is a free one, unix:/path a socket in a folder. Only what `protocol: auto` "
        "hands clients to may have none.",
        (),
    )
    protocol: Use = option(Named(ICodec), "What its clients speak.")
    tls: ServerTls | None = option(Nested(ServerTls), "TLS towards clients.", None)
    nodes: Nodes | None = option(
        Nested(Nodes),
        "How clients reach each node of its cluster (each broker), where the protocol gives them the nodes' addresses: "
        "those in its answers are replaced by these.",
        None,
    )
    meant_for: tuple[str, ...] = option(
        ListOf(Address(1), alone=True),
        "Addresses whose redirected connections a listener with `hand_over` gives to this one; 0.0.0.0:port for any "
        "host. It needs no `listen`.",
        (),
    )
    hand_over: bool = option(
        Flag(),
        "Only with `protocol: auto` and `original_destination`: connections that were meant for an address in the "
        "`meant_for` of another listener go there; the others to `chains`.",
        False,
    )
    chains: tuple[Chain, ...] = option(
        ListOf(Nested(Chain)),
        "Only with `protocol: auto`: which listener a connection is handed to, by what it is and not by what it "
        "speaks. The closest fit wins: port, destination, server name, TLS, ALPN, source, in this order.",
        (),
    )
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
    stream_idle: Seconds = option(
        Duration(),
        "A stream on which neither side sends anything for so long ends, and a client that has sent its end while no "
        "server takes what it sent before; 0: never.",
        "5m",
    )
    drain_timeout: Seconds = option(Duration(), "Time that requests under way have to finish when it stops.", "30s")
    reserved_keys: str = option(
        Choice("keep", "strip"),
        "What becomes of metadata that only proxies may set (`x-request-id`, `x-envoy-*` ...) when clients send them.",
        "keep",
    )
    forward_client_cert: str | None = option(
        Choice("always", "with_certificate", "never"),
        "Whose `x-forwarded-client-cert` stays: of all clients, of those that showed a certificate, or of none.",
        None,
        "`always`; `never` with `reserved_keys: strip`",
    )
    filters: tuple[Use, ...] = option(ListOf(Filter()), "What requests pass, in this order.", ())
    routes: Sequence[Route] = option(RoutesOrRds(), "First match wins.", ())
    statements: bool = option(
        Flag(),
        "Count its statements by fingerprint always, not only while somebody looks at `/statements`; see "
        "[Find slow statements](../how-to/slow-statements.md).",
        False,
    )
    access_log: tuple[AccessLog, ...] = option(ListOf(Nested(AccessLog)), "Logs of its exchanges.", ())
    tracing: ListenerTracing | None = option(
        Nested(ListenerTracing), "Which of its exchanges have spans.", None, "none"
    )
