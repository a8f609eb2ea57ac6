"""Clusters, and who is picked from them."""

from __future__ import annotations

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.message import Kind, Message


def made(*addresses: str, weight: int = 1) -> list[Endpoint]:
    return [Endpoint(address, weight) for address in addresses]


def picked(cluster: Cluster, times: int = 12) -> set[str]:
    return {str(cluster.pick(Message(Kind.REQUEST, b"", 1, {}), (), None)) for _ in range(times)}
