"""
The keys of a control plane: where it is, how it is asked, and for what.

Lives here: a section of `model`. Does not: the protocol (`xds`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from metaproxy.config.schema.names import Hidden, Reference
from metaproxy.config.schema.numbers import Duration, Flag
from metaproxy.config.schema.shape import ListOf, Nested, Section, option
from metaproxy.config.schema.texts import Choice, Text
from metaproxy.config.sections.transport import ClientTls
from metaproxy.units import Seconds, Secret

RESOURCES = ("listeners", "clusters", "routes", "endpoints", "secrets", "extensions")
TRANSPORTS = ("grpc", "delta", "rest", "file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Xds(Section):
    """A control plane that speaks xDS, Envoy's protocol: istiod, Aeraki, one of your own, or a folder of files."""

    ONE_OF: ClassVar = ("server", "cluster")

    name: str = option(
        Text(256, empty=True), "What routes, clusters and metrics call it.", "", "its `server` or `cluster`"
    )
    server: str | None = option(
        Text(2048),
        "Where it is: `host:port` or `unix:/path`; a URL with `rest`; the path of a file or folder with `file`.",
        None,
    )
    cluster: str | None = option(
        Reference("cluster"), "The cluster whose endpoints it is, with the cluster's balancer and TLS.", None
    )
    transport: str = option(
        Choice(*TRANSPORTS),
        "How it is asked: streams of gRPC with the state of the world or with what differs, polls of JSON, or files.",
        "grpc",
    )
    ads: bool = option(
        Flag(), "With gRPC: one stream for all resources, in the right order; else one for each kind.", True
    )
    resources: tuple[str, ...] = option(
        ListOf(Choice(*RESOURCES), 1),
        "What it is asked for. Routes, endpoints, secrets and extensions are asked for by name, once something needs "
        "them.",
        RESOURCES,
        "all of them",
    )
    tls: ClientTls | None = option(Nested(ClientTls), "TLS towards `server`.", None, "none; a cluster's own")
    token: Secret | None = option(Hidden(), "Shown as `authorization: Bearer`.", None)
    initial_fetch_timeout: Seconds = option(
        Duration(), "Time in which a resource must come; without it a listener goes on after that. 0: no limit.", "15s"
    )
    lenient: bool = option(
        Flag(), "What metaproxy can't do of a resource is a warning; else the resource is refused.", True
    )
    refresh: Seconds = option(Duration("100ms"), "With `rest`: time between two polls.", "30s")

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or self.server or self.cluster or ""

    @property
    def aggregated(self) -> bool:
        """Whether it is what `ads` means in a resource."""
        return self.ads or self.transport in ("rest", "file")
