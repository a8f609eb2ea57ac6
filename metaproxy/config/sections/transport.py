"""
The keys of connections, whichever side they are of: TLS towards clients, servers and operators, and TCP keep-alive.

Lives here: sections of `model`. Does not: making contexts of certificates (`config.tls`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metaproxy.config.schema.addresses import File
from metaproxy.config.schema.numbers import Duration, Flag, Whole
from metaproxy.config.schema.shape import ListOf, MapOf, Nested, Section, option
from metaproxy.config.schema.texts import Choice, Text, Value
from metaproxy.units import Seconds


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
    client_names: tuple[str, ...] = option(
        ListOf(Text(2048), 1, alone=True),
        "URIs (SPIFFE) and DNS names: a client's certificate must have one of them as an alternative name; "
        "`spiffe://cluster.local/*` for all that begin so.",
        (),
        "any that `client_ca` signed",
    )
    min_version: str = option(Choice("1.2", "1.3"), "Of TLS.", "1.2")
    ciphers: str = option(Text(empty=True), "Of TLS 1.2, in OpenSSL's words.", "", "those of Python")
    alpn: tuple[str, ...] = option(ListOf(Text(255)), "Protocols to agree on, the preferred one first.", ())
    handshake_timeout: Seconds = option(Duration("10ms"), "Time that a client's handshake may take.", "10s")
    start: str = option(
        Choice("connection", "protocol"),
        "`connection`: TLS comes first; `protocol`: when a client asks for it in the protocol's words, as those of "
        "databases have.",
        "connection",
    )
    optional: bool = option(Flag(), "With `start: protocol`: clients that ask for no TLS are served, too.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls(Section):
    """TLS towards servers. Files are read again when they change."""

    ca: Path | None = option(File(), "Who signs the servers' certificates, PEM.", None, "the system's authorities")
    server_name: str | None = option(
        Text(253), "What a server's certificate must name, and what it is asked for.", None, "the endpoint's host"
    )
    subject_alt_names: tuple[str, ...] = option(
        ListOf(Text(2048), 1, alone=True),
        "URIs (SPIFFE) and DNS names: a server's certificate must have one of them as an alternative name, exactly so, "
        "or begin with it where it ends in `*`. `server_name` is then only what it is asked for.",
        (),
        "`server_name` decides",
    )
    alpn: tuple[str, ...] = option(ListOf(Text(255)), "Protocols to agree on, the preferred one first.", ())
    certificate: Path | None = option(File(), "The proxy's own, with its chain, PEM.", None)
    key: Path | None = option(File(), "Its key, PEM, without a passphrase.", None)
    when: Mapping[str, str] = option(
        MapOf(Value(), "KEY"),
        "Only towards endpoints whose metadata have all of these values (`tlsMode: istio`); to others without TLS.",
        {},
        "every endpoint",
    )
    unavailable: str = option(
        Text(1024, empty=True),
        "Why there can be no TLS now: every connection that needs it fails with this text, and none is made without. "
        "Written by sources whose certificates have not come.",
        "",
    )
    verify: bool = option(Flag(), "Check the servers' certificates; without it anybody can be the server.", True)
    verify_name: bool = option(
        Flag(),
        "Check as well that the certificate names the server; else any certificate signed by `ca` is accepted.",
        True,
    )
    min_version: str = option(Choice("1.2", "1.3"), "Of TLS.", "1.2")
    ciphers: str = option(Text(empty=True), "Of TLS 1.2, in OpenSSL's words.", "", "those of Python")
    start: str = option(
        Choice("connection", "protocol"),
        "`connection`: TLS comes first; `protocol`: when the proxy has asked for it in the protocol's words, as those "
        "of databases have.",
        "connection",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminTls(Section):
    """TLS of the admin API. Its files are read again when they change; switching it on or off waits for a start."""

    certificate: Path = option(File(), "The certificate and its chain, PEM.")
    key: Path = option(File(), "Its key, PEM, without a passphrase.")
    client_ca: Path | None = option(
        File(), "Who signs clients' certificates, PEM; clients without one are refused.", None
    )


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
