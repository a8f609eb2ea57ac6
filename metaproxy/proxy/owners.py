"""
What a codec may ask about a cluster's endpoints when it decides whether a request is to be split.

Lives here: `Owners`. Does not: the splitting (the codec's), sending (`split_request`).
"""

from __future__ import annotations

from collections.abc import Mapping

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

    def __call__(self, key: str) -> Endpoint | None:
        return self._cluster.owner(key, self._subset)

    def everyone(self) -> list[Endpoint]:
        """All endpoints that may have keys; [] when one of them is not usable."""
        wanted = (self._subset or {}).items()
        endpoints = [one for one in self._cluster.endpoints if all(one.metadata.get(k) == v for k, v in wanted)]
        return endpoints if all(one.usable for one in endpoints) else []
