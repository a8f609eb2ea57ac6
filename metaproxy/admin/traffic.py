"""
What flows where: clusters with their endpoints, listeners, routes.

Lives here: /clusters, /listeners, /routes. Does not: changing any of them (`control`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from metaproxy.admin.configuration import envoys_form
from metaproxy.admin.envoy_clusters import as_lines, status
from metaproxy.admin.flows import number
from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, Json, as_json, as_json_list, encoded
from metaproxy.admin.view import SECONDS, View, counts, latency, target
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.elsewhere import PoolElsewhere
from metaproxy.cluster.endpoint import Endpoint as ClusterEndpoint
from metaproxy.cluster.routes import ReplyTarget, Route, Target
from metaproxy.proxy.listener import Listener
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.snapshot import ListenerSnapshot
from metaproxy.proxy.upstream import Upstream
from metaproxy.support import addresses as address
from metaproxy.telemetry.metrics.windows import KEPT, STEP, Added


class Clusters(Endpoint):
    path = "/clusters"
    about = (
        "Clusters: limits, and their endpoints with health, requests, connections and the latency of the last "
        "`seconds=`. `format=envoy`: as Envoy's lines, `format=envoy_json`: as its JSON."
    )

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, ask: AdminRequest) -> AdminResponse:
        seconds = number(ask, "seconds", SECONDS, STEP, KEPT)
        clusters = [one for _, one in sorted(self._view.proxy.clusters.items())]
        form = envoys_form(ask, "envoy", "envoy_json")
        if form == "envoy":
            return AdminResponse(as_lines(clusters), "text/plain; charset=utf-8")
        if form:
            return as_json_list("cluster_statuses", clusters, status)
        return as_json_list("clusters", clusters, lambda one: _cluster(self._view, one, seconds))


def _cluster(view: View, cluster: Cluster, seconds: float) -> Json:
    breaker, settings = cluster.breaker, cluster.connections
    return {
        "name": cluster.name,
        "protocol": cluster.codec.name,
        "balancer": cluster.balancer_name,
        "request_timeout_seconds": cluster.request_timeout,
        "connections": {
            "mode": settings.mode,
            "per_endpoint": settings.per_endpoint,
            "connect_timeout_seconds": settings.connect_timeout,
        },
        "breaker": {
            "requests": {"active": breaker.requests, "limit": breaker.max_requests},
            "connections": {"active": breaker.connections, "limit": breaker.max_connections},
            "pending": {"active": breaker.pending, "limit": breaker.max_pending},
            "retries": {"active": breaker.retries, "limit": breaker.max_retries},
        },
        "counts": counts(cluster.counts),
        "levels": [
            {"share": round(level.share, 4), "endpoints": [endpoint.address for endpoint, _ in level.members]}
            for level in cluster.levels
        ],
        "paused": None
        if cluster.paused_by is None
        else {"waiting": len(cluster.paused_by), "most": cluster.paused_by.most},
        "topology": None
        if cluster.lacking is None
        else {"waiting": len(cluster.lacking), "most": cluster.lacking.most, "promotions": cluster.counts.promotions},
        "latency_ms": latency(_whole(view, cluster, seconds)),
        "latency_60s_ms": latency(_whole(view, cluster, KEPT)),
        "endpoints": [_endpoint(view, endpoint, seconds) for endpoint in cluster.endpoints],
    }


def _whole(view: View, cluster: Cluster, seconds: float) -> Added:
    """What was added to all endpoints of a cluster."""
    whole = Added()
    for endpoint in cluster.endpoints:
        whole.take(view.windows.read(endpoint.counts, seconds))
    return whole


def _endpoint(view: View, endpoint: ClusterEndpoint, seconds: float) -> Json:
    added = view.windows.read(endpoint.counts, seconds)
    found = endpoint.counts
    connections = connection_states(endpoint)
    return {
        "address": endpoint.address,
        "weight": endpoint.configured_weight,
        "priority": endpoint.priority,
        "zone": endpoint.zone,
        "metadata": dict(endpoint.metadata),
        "health": "healthy" if endpoint.healthy else "unhealthy",
        "checked": endpoint.checked,
        "ejected": endpoint.ejected,
        "drained": endpoint.drained,
        "logged_off": endpoint.logged_off,
        "starting": endpoint.started is not None,
        "role": endpoint.learnt.get("role"),
        "lag_seconds": endpoint.lag,
        "active": endpoint.active,
        "counts": counts(found),
        "connections": {"open": sum(connections.values()), **connections},
        "lately": {
            "seconds": round(view.windows.span(seconds), 3),
            "tries": added["tries"],
            "failed": added["failed"],
        },
        **view.lately(found, seconds),
    }


def connection_states(endpoint: ClusterEndpoint) -> Mapping[str, int]:
    """How many connections to an endpoint there are in each of STATES."""
    pool = endpoint.pool
    if isinstance(pool, PoolElsewhere):
        return {state: pool.states.get(state, 0) for state in STATES}
    return states(one for one in (pool.connections if pool is not None else ()) if isinstance(one, Upstream))


STATES = ("connecting", "retiring", "paused", "pinned", "leased", "busy", "idle")
"""What a connection to an endpoint can be; the first that holds is the one it counts for."""


def states(connections: Iterable[Upstream]) -> dict[str, int]:
    """
    connecting: not there yet; retiring: takes nothing new; paused: a client reads too slowly; pinned: a client's own;
    leased: taken by one exchange; busy: shared, with exchanges under way; idle: none of these.
    """
    found = Counter(_state(connection) for connection in list(connections))
    return {state: found[state] for state in STATES}


def _state(connection: Upstream) -> str:
    if connection.transport is None:
        return "connecting"
    if connection.paused_by:
        return "paused"
    if not connection.usable:
        return "retiring"
    if connection.holder is not None:
        return "pinned"
    if connection.lease is not None:
        return "leased"
    return "busy" if connection.busy() else "idle"


class Listeners(Endpoint):
    path = "/listeners"
    about = "Listeners: addresses, protocol, filters, limits and counts; those that drain, too."

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy

    def get(self, ask: AdminRequest) -> AdminResponse:
        proxy = self._proxy
        listeners = [*proxy.listeners.values(), *proxy.leaving]
        return as_json({"listeners": sorted(map(_listener, listeners), key=lambda one: (one["name"], one["state"]))})


def _listener(listener: Listener) -> Json:
    snapshot = listener.snapshot
    return {
        "name": listener.name,
        "state": "DRAINING" if listener.draining else "LISTENING",
        "protocol": snapshot.codec.name,
        "addresses": [address.show(where.sockaddr) for where in snapshot.addresses],
        "bound": listener.bound(),
        "doors": len(snapshot.doors.addresses) if snapshot.doors is not None else 0,
        "filters": list(snapshot.filters),
        "routes": len(snapshot.routes.routes),
        "limits": {
            "max_connections": snapshot.max_connections,
            "max_frame_bytes": snapshot.max_frame,
            "max_inflight": snapshot.max_inflight,
            "max_buffered_bytes": snapshot.max_buffered,
            "idle_timeout_seconds": snapshot.idle_timeout,
            "stall_timeout_seconds": snapshot.stall_timeout,
            "drain_timeout_seconds": snapshot.drain_timeout,
        },
        "proxy_protocol": snapshot.proxy_protocol,
        "counts": counts(listener.counts),
    }


class Routes(Endpoint):
    path = "/routes"
    about = (
        "Routes by listener, in order: what they match, how they are found, and what each target got, with the "
        "latency of the last `seconds=`."
    )

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, ask: AdminRequest) -> AdminResponse:
        seconds = number(ask, "seconds", SECONDS, STEP, KEPT)
        listeners = self._view.proxy.listeners
        found = [(name, listeners[name].snapshot) for name in sorted(listeners)]
        if sum(len(snapshot.routes.routes) for _, snapshot in found) <= ROUTES_AT_ONCE:
            return as_json({"listeners": [_routes(self._view, *one, seconds) for one in found]})
        return AdminResponse(_pieces(self._view, found, seconds), "application/json")


ROUTES_AT_ONCE = 16
"""Routes that are shown in one turn of the reactor: a listener may have ten thousand."""


def _routes(view: View, name: str, snapshot: ListenerSnapshot, seconds: float) -> Json:
    shown = _shown(view, snapshot, seconds, 0, len(snapshot.routes.routes))
    return {"name": name, "routes": shown, "unmatched": target(view, snapshot.no_route.reply_target, seconds)}


def _shown(view: View, snapshot: ListenerSnapshot, seconds: float, start: int, stop: int) -> list[Json]:
    """The routes from `start` up to `stop`."""
    return [
        {
            **described,
            "targets": [target(view, one, seconds) for one in _targets(route)],
            "mirrors": _mirrors(route),
        }
        for described, route in snapshot.routes.described(start, stop)
    ]


def _pieces(view: View, found: list[tuple[str, ListenerSnapshot]], seconds: float) -> Iterator[bytes]:
    """What as_json makes of the same, ROUTES_AT_ONCE routes a piece; only its indentation is not as deep."""
    opening = b'{"listeners": [\n'
    for name, snapshot in found:
        yield opening + b'{"name": %b, "routes": [\n' % encoded(name).strip()
        before = b""
        for start in range(0, len(snapshot.routes.routes), ROUTES_AT_ONCE):
            shown = _shown(view, snapshot, seconds, start, start + ROUTES_AT_ONCE)
            yield before + b",\n".join(encoded(one).strip() for one in shown)
            before = b",\n"
        yield b'\n], "unmatched": %b}' % encoded(target(view, snapshot.no_route.reply_target, seconds)).strip()
        opening = b",\n"
    yield b"\n]}\n"


def _mirrors(route: Route) -> list[Json]:
    """The clusters that get copies, with the last answers that differed: operation, and how."""
    return [
        {
            "cluster": one.name,
            "percent": 100.0 * one.share,
            "compare": one.compare,
            **counts(one.counts),
            "last": [{"operation": operation[:MAX_SHOWN], "differs": how[:MAX_SHOWN]} for operation, how in one.last],
        }
        for one in (route.mirror.targets if isinstance(route.mirror, Mirror) else ())
    ]


MAX_SHOWN = 200
"""Characters of what a peer sent."""


def _targets(route: Route) -> list[Target | ReplyTarget]:
    """
    Where it sends requests with what each falls back to and, once there were any, the proxy's own answers before a
    cluster was picked.
    """
    own = route.reply_target
    return [one for one in route.all_targets() if one is not own or not route.targets or own.counts.outcomes]
