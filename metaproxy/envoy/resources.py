"""
What every source of Envoy configuration gives: named messages of six kinds.

Lives here: `Resources`, `Kind`, type URLs. Does not: what they mean (`listeners`, `clusters` and their neighbours).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Literal

from google.protobuf.message import Message

from metaproxy.envoy.message_types import url

Kind = Literal["listeners", "clusters", "endpoints", "routes", "secrets", "extensions"]

TYPE_NAMES: Mapping[Kind, str] = MappingProxyType(
    {
        "listeners": "envoy.config.listener.v3.Listener",
        "clusters": "envoy.config.cluster.v3.Cluster",
        "endpoints": "envoy.config.endpoint.v3.ClusterLoadAssignment",
        "routes": "envoy.config.route.v3.RouteConfiguration",
        "secrets": "envoy.extensions.transport_sockets.tls.v3.Secret",
        "extensions": "envoy.config.core.v3.TypedExtensionConfig",
    }
)
"""Kind -> the full name of its messages."""
TYPE_URLS: Mapping[Kind, str] = MappingProxyType({kind: url(name) for kind, name in TYPE_NAMES.items()})
KINDS: Mapping[str, Kind] = MappingProxyType({one: kind for kind, one in TYPE_URLS.items()})
"""Type URL -> kind."""

Messages = Mapping[str, Message]


@dataclass(frozen=True, slots=True)
class Resources:
    """Messages by their names. Endpoints go by the name of their cluster (its `service_name`)."""

    listeners: Messages = field(default_factory=dict)
    clusters: Messages = field(default_factory=dict)
    endpoints: Messages = field(default_factory=dict)
    routes: Messages = field(default_factory=dict)
    secrets: Messages = field(default_factory=dict)
    extensions: Messages = field(default_factory=dict)

    def of(self, kind: Kind) -> Messages:
        """Those of one kind."""
        found: Messages = getattr(self, kind)
        return found


def merge(*given: Resources) -> Resources:
    """All resources together; of two with one name the later one counts."""
    merged: dict[str, dict[str, Message]] = {one.name: {} for one in fields(Resources)}
    for resources in given:
        for kind, into in merged.items():
            into.update(getattr(resources, kind))
    return Resources(**merged)


def by_name(kind: Kind, messages: Iterable[Message]) -> dict[str, Message]:
    """Messages of a kind by their names; of two with one name the later one counts."""
    return {name_of(kind, message): message for message in messages}


def name_of(kind: Kind, message: Message) -> str:
    """The name by which a message of this kind is asked for."""
    return str(getattr(message, "cluster_name" if kind == "endpoints" else "name"))
