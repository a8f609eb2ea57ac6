"""
What a codec may ask about a cluster's endpoints when it decides whether a request is to be split.

Lives here: `Owners`. Does not: the splitting (the codec's), sending (`split_request`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.proxy.roles import UpstreamConnection


class Owners:
    """
    The `owner` of ICodec.split. bound: the endpoint that has the client's state (a transaction), None for none; where
    that is in another cluster than the request belongs to, what equals no owner.
    """

    __slots__ = ("_cluster", "_subset", "bound")

    def __init__(self, cluster: Cluster, subset: Mapping[str, str] | None, pin: UpstreamConnection | None) -> None:
        self._cluster = cluster
        self._subset = subset
        self.bound = pin.endpoint if pin is not None else None

    def __call__(self, key: str) -> Hashable:
        cluster = self._cluster
        endpoint = cluster.owner(key, self._subset)
        if cluster.layout is None or endpoint is None or self.bound is not None:
            return endpoint
        return endpoint, cluster.layout.group(key)

    def everyone(self, replicas: bool = False) -> list[Endpoint]:
        """All endpoints that have keys, each key once; [] when one of them is not usable. replicas: and these."""
        return self._cluster.everyone(self._subset, replicas)
