"""
What may be written in a configuration: every key with its kind, default, bounds and a line of documentation.

Lives here: `Config`, and the names of all sections within it, which `sections` declares, frozen and by value. Does not:
how values are written (`schema`); rules between several keys (`rules`). docs/reference/configuration.md and
config.schema.json are made from it (`make docs`).

A key is added by one field of its section. One that is known but not there yet stands in its section's LATER.
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from metaproxy.config.schema.addresses import File
from metaproxy.config.schema.nodes import Problem
from metaproxy.config.schema.numbers import Flag, WorkerCount
from metaproxy.config.schema.shape import ListOf, MapOf, Nested, Section, option
from metaproxy.config.schema.texts import Live
from metaproxy.config.sections.cluster import (
    Breaker,
    Check,
    Cluster,
    Connections,
    Endpoint,
    HealthCheck,
    Http,
    Latency,
    Locality,
    Outlier,
    Script,
)
from metaproxy.config.sections.crds import Crds, KubernetesApi
from metaproxy.config.sections.listener import Chain, ChainMatch, Listener, Nodes, ProxyProtocol
from metaproxy.config.sections.process import Admin, Node, Overload, Record, SecretSource, Tokens
from metaproxy.config.sections.rds import Rds
from metaproxy.config.sections.route import (
    KeyRewrite,
    Mirror,
    Mutations,
    PathRewrite,
    Reply,
    Retry,
    Rewrite,
    Route,
    StatementRewrite,
)
from metaproxy.config.sections.telemetry import AccessLog, CustomTag, ListenerTracing, Tracing
from metaproxy.config.sections.transport import AdminTls, Certificate, ClientTls, KeepAlive, ServerTls
from metaproxy.config.sections.xds import Xds

__all__ = [
    "AccessLog",
    "Admin",
    "AdminTls",
    "Breaker",
    "Certificate",
    "Chain",
    "ChainMatch",
    "Check",
    "ClientTls",
    "Cluster",
    "Config",
    "Connections",
    "Crds",
    "CustomTag",
    "Endpoint",
    "HealthCheck",
    "Http",
    "KeepAlive",
    "KeyRewrite",
    "KubernetesApi",
    "Latency",
    "Listener",
    "ListenerTracing",
    "Locality",
    "Mirror",
    "Mutations",
    "Node",
    "Nodes",
    "Outlier",
    "Overload",
    "PathRewrite",
    "ProxyProtocol",
    "Rds",
    "Record",
    "Reply",
    "Retry",
    "Rewrite",
    "Route",
    "Script",
    "SecretSource",
    "ServerTls",
    "StatementRewrite",
    "Tokens",
    "Tracing",
    "Xds",
]  # fmt: skip


FOLDERS = ListOf(File(), alone=True)
"""How `plugins` is written. The registry must know them before anything else is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Section):
    """
    A whole configuration.

    source: the file or place that it came from; warnings: what is odd in it, and works.
    """

    LATER: ClassVar = ("static_resources", "dynamic_resources")

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
    workers: int = option(WorkerCount(), "Processes that share the listeners; auto: as many as there are CPUs.", 1)
    pin_workers: bool = option(Flag(), "Keep each of them on a CPU of its own.", False)
    overload: Overload = option(Nested(Overload), "What the process may take before it refuses work.", {})
    plugins: tuple[Path, ...] = option(FOLDERS, "Folders with plugins, watched for changes.", ())
    tracing: Tracing | None = option(Nested(Tracing), "Where spans go.", None, "nowhere")
    listeners: tuple[Listener, ...] = option(ListOf(Nested(Listener)), "Where clients arrive.", ())
    clusters: tuple[Cluster, ...] = option(ListOf(Nested(Cluster)), "Where their requests go.", ())
    crds: Crds | None = option(
        Nested(Crds), "Objects of Kubernetes that give listeners and clusters besides.", None, "none"
    )
    xds: tuple[Xds, ...] = option(
        ListOf(Nested(Xds), alone=True),
        "Control planes that give listeners, clusters, endpoints and routes besides.",
        (),
    )
    source: str = field(default="", compare=False)
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
