"""
The types of resources that are served: their URLs, their order, what is particular to each.

Lives here: the table. Does not: what a resource means (`metaproxy.envoy`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "type.googleapis.com/"


@dataclass(frozen=True, slots=True)
class ResourceType:
    """
    name: in configurations and figures; message: the full name of its message; service, noun: of which gRPC's methods
    are made; rest: the end of REST's path.

    wildcard: a client that names none wants all. whole: a response of the state of the world has all resources, for its
    clients take one that is missing as gone, or refuse it. Of the others a response may have only what changed.
    lingers: what is removed stays at a client until nothing there has a use for it.
    """

    name: str
    message: str
    service: str
    noun: str
    rest: str
    wildcard: bool = False
    whole: bool = True
    lingers: bool = True

    @property
    def url(self) -> str:
        return f"{PREFIX}{self.message}"


SECRETS = ResourceType(
    "secrets", "envoy.extensions.transport_sockets.tls.v3.Secret",
    "envoy.service.secret.v3.SecretDiscoveryService", "Secrets", "secrets",
)  # fmt: skip
CLUSTERS = ResourceType(
    "clusters", "envoy.config.cluster.v3.Cluster",
    "envoy.service.cluster.v3.ClusterDiscoveryService", "Clusters", "clusters", wildcard=True,
)  # fmt: skip
ENDPOINTS = ResourceType(
    "endpoints", "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "envoy.service.endpoint.v3.EndpointDiscoveryService", "Endpoints", "endpoints", whole=False,
)  # fmt: skip
EXTENSIONS = ResourceType(
    "extensions", "envoy.config.core.v3.TypedExtensionConfig",
    "envoy.service.extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs", "extension_configs",
)  # fmt: skip
LISTENERS = ResourceType(
    "listeners", "envoy.config.listener.v3.Listener",
    "envoy.service.listener.v3.ListenerDiscoveryService", "Listeners", "listeners", wildcard=True, lingers=False,
)  # fmt: skip
ROUTES = ResourceType(
    "routes", "envoy.config.route.v3.RouteConfiguration",
    "envoy.service.route.v3.RouteDiscoveryService", "Routes", "routes", whole=False,
)  # fmt: skip

TYPES = (SECRETS, CLUSTERS, ENDPOINTS, EXTENSIONS, LISTENERS, ROUTES)
"""In the order in which they are sent: what is needed comes before what needs it."""

BY_URL: Mapping[str, ResourceType] = {one.url: one for one in TYPES}
BY_NAME: Mapping[str, ResourceType] = {one.name: one for one in TYPES}
