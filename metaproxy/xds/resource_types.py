"""
The kinds of resources that a control plane serves, and how each is asked for.

Lives here: `ResourceType` and the table of them. Does not: what a resource means (`envoy`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from google.protobuf.message import Message

PREFIX = "type.googleapis.com/"


class MessageClass(Protocol):
    """A generated class of protobuf."""

    def FromString(self, s: bytes) -> Message: ...


@dataclass(frozen=True, slots=True)
class ResourceType:
    """
    One kind of resource. name: as the configuration has it, and the key of its metrics; message: its class; key: the
    field of its name; service, noun: of which gRPC's methods are made; rest: the end of the path of REST.

    wildcard: asking for no name means all, and a response of the state of the world names all there are: what it does
    not name is gone. The others are asked for by name, and one that is absent from a response is not gone.
    """

    name: str
    message: MessageClass
    url: str
    key: str
    service: str
    noun: str
    rest: str
    wildcard: bool = False

    def path(self, delta: bool) -> str:
        """Return the gRPC method of a stream for this kind alone."""
        return f"/{self.service}/{'Delta' if delta else 'Stream'}{self.noun}"


def _type(
    name: str,
    message: MessageClass,
    full_name: str,
    key: str,
    service: str,
    noun: str,
    rest: str,
    wildcard: bool = False,
) -> ResourceType:
    return ResourceType(name, message, PREFIX + full_name, key, f"envoy.service.{service}", noun, rest, wildcard)


TYPES = (
    _type(
        "clusters", cluster_pb2.Cluster, "envoy.config.cluster.v3.Cluster", "name",
        "cluster.v3.ClusterDiscoveryService", "Clusters", "clusters", wildcard=True,
    ),
    _type(
        "endpoints", endpoint_pb2.ClusterLoadAssignment, "envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name", "endpoint.v3.EndpointDiscoveryService", "Endpoints", "endpoints",
    ),
    _type(
        "listeners", listener_pb2.Listener, "envoy.config.listener.v3.Listener", "name",
        "listener.v3.ListenerDiscoveryService", "Listeners", "listeners", wildcard=True,
    ),
    _type(
        "routes", route_pb2.RouteConfiguration, "envoy.config.route.v3.RouteConfiguration", "name",
        "route.v3.RouteDiscoveryService", "Routes", "routes",
    ),
    _type(
        "secrets", secret_pb2.Secret, "envoy.extensions.transport_sockets.tls.v3.Secret", "name",
        "secret.v3.SecretDiscoveryService", "Secrets", "secrets",
    ),
    _type(
        "extensions", extension_pb2.TypedExtensionConfig, "envoy.config.core.v3.TypedExtensionConfig", "name",
        "extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs", "extension_configs",
    ),
)  # fmt: skip
"""In the order in which they are asked for, make before break: clusters, their endpoints, listeners, their routes."""

BY_NAME: Mapping[str, ResourceType] = {one.name: one for one in TYPES}
BY_URL: Mapping[str, ResourceType] = {one.url: one for one in TYPES}

AGGREGATED = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
"""The methods of one stream for all kinds begin so."""
