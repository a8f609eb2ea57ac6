"""
Taking one endpoint of a cluster out of service, and back.

Lives here: /clusters/{cluster}/endpoints/{address}/drain, eject, restore. Does not: what follows (`cluster.cluster`).
"""

from __future__ import annotations

from twisted.logger import Logger

from metaproxy.admin import resource
from metaproxy.admin.resource import AdminRequest, AdminResponse, HttpError, as_json, nearest
from metaproxy.admin.view import View
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint

log = Logger()

_PATH = "/clusters/{cluster}/endpoints/{address}/"


class _One(resource.Endpoint):
    """An action on one endpoint. A path of a socket is written with %2F for each slash."""

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy

    def _find(self, ask: AdminRequest) -> tuple[Cluster, Endpoint]:
        """Return the cluster and the endpoint. Raises HttpError when one of them is not there."""
        snapshot = self._proxy.snapshot
        clusters = snapshot.clusters if snapshot is not None else {}
        name, address = ask.place["cluster"], ask.place["address"]
        if name not in clusters:
            raise HttpError(404, f"no cluster {name[:200]!r}; {nearest(name, list(clusters))}", "cluster")
        cluster = clusters[name]
        endpoints = {endpoint.address: endpoint for endpoint in cluster.endpoints}
        if address not in endpoints:
            text = f"cluster {name} has no endpoint {address[:200]!r}; {nearest(address, list(endpoints))}"
            raise HttpError(404, text, "address")
        return cluster, endpoints[address]

    def _done(self, what: str, cluster: Cluster, endpoint: Endpoint) -> AdminResponse:
        log.info("admin: {what} endpoint {address} of cluster {cluster}", what=what, address=endpoint.address,
                 cluster=cluster.name)  # fmt: skip
        return as_json(
            {
                "cluster": cluster.name,
                "address": endpoint.address,
                "health": "healthy" if endpoint.healthy else "unhealthy",
                "ejected": endpoint.ejected,
                "drained": endpoint.drained,
                "active": endpoint.active,
                "connections": len(endpoint.pool.connections) if endpoint.pool is not None else 0,
                "left": sum(one.usable for one in cluster.endpoints),
            }
        )


class DrainEndpoint(_One):
    path = f"{_PATH}drain"
    about = "Nothing new goes to the endpoint; what is under way on it ends, its connections close. Answers at once."

    def post(self, ask: AdminRequest) -> AdminResponse:
        cluster, endpoint = self._find(ask)
        cluster.drain(endpoint)
        return self._done("drained", cluster, endpoint)


class EjectEndpoint(_One):
    path = f"{_PATH}eject"
    about = "Treats the endpoint as failing until it is restored; in a panic it is used all the same."

    def post(self, ask: AdminRequest) -> AdminResponse:
        cluster, endpoint = self._find(ask)
        cluster.eject(endpoint)
        return self._done("ejected", cluster, endpoint)


class RestoreEndpoint(_One):
    path = f"{_PATH}restore"
    about = "Ends a drain or an ejection, whatever caused it."

    def post(self, ask: AdminRequest) -> AdminResponse:
        cluster, endpoint = self._find(ask)
        cluster.restore(endpoint)
        return self._done("restored", cluster, endpoint)
