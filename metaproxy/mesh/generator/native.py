"""
Envoy's own filters for Dubbo and Thrift, with the routes of a VirtualService, as Aeraki makes them.

Lives here: `dubbo_filter`, `thrift_filter`. Does not: routes of MetaRouters (`routes`), Redis (`redis`).
"""

from __future__ import annotations

from collections.abc import Iterable

from metaproxy.mesh.generator.clusters import cluster_name
from metaproxy.mesh.generator.index import View, visible
from metaproxy.mesh.generator.messages import Json, packed
from metaproxy.mesh.generator.routes import Routing, attributes, destinations
from metaproxy.mesh.objects.values import StringMatch
from metaproxy.mesh.objects.virtual_service import HttpRoute, VirtualService

_DUBBO = "envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy"
_THRIFT = "envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy"
INTERFACE = "interface"
"""The annotation of a ServiceEntry with the interface of Dubbo that it serves."""


def dubbo_filter(prefix: str, interface: str, routes: list[Json], filters: Iterable[Json] = ()) -> Json:
    """Return Envoy's dubbo_proxy. filters: those before the router."""
    config = {
        "statPrefix": prefix,
        "protocolType": "Dubbo",
        "serializationType": "Hessian2",
        "routeConfig": [{"name": prefix, "interface": interface or "*", "routes": routes}],
        "dubboFilters": [*filters, {"name": "envoy.filters.dubbo.router"}],
    }
    return {"name": "envoy.filters.network.dubbo_proxy", "typedConfig": packed(_DUBBO, config)}


def thrift_filter(prefix: str, action: Json) -> Json:
    """Return Envoy's thrift_proxy with one route for all calls."""
    config = {
        "statPrefix": prefix,
        "transport": "AUTO_TRANSPORT",
        "protocol": "AUTO_PROTOCOL",
        "routeConfig": {"name": prefix, "routes": [{"match": {"methodName": ""}, "route": action}]},
        "thriftFilters": [{"name": "envoy.filters.thrift.router"}],
    }
    return {"name": "envoy.filters.network.thrift_proxy", "typedConfig": packed(_THRIFT, config)}


def http_routes(view: View, host: str, namespace: str) -> tuple[HttpRoute, ...]:
    """Return the routes of the VirtualService of a host, as a namespace sees it."""
    found = [
        (object, spec)
        for object, spec in view.find(VirtualService, "virtual", host)
        if visible(spec.export_to, object.key.namespace, namespace)
    ]
    for other, _ in found[1:]:
        view.note(other, f"{found[0][0].key} is for the host {host}, too, and goes before it")
    return found[0][1].http if found else ()


def dubbo_routes(routing: Routing, given: tuple[HttpRoute, ...]) -> list[Json]:
    """Return the routes of native Dubbo."""
    routes: list[Json] = [
        {"match": _dubbo_match(route), "route": destinations(routing, f"http[{place}].route", route.route)}
        for place, route in enumerate(given)
    ]
    return routes or [to_cluster(cluster_name(routing.port, "", routing.service.host))]


def to_cluster(cluster: str) -> Json:
    """Return a route of native Dubbo for all calls."""
    return {"match": {}, "route": {"cluster": cluster}}


def thrift_action(routing: Routing, given: tuple[HttpRoute, ...]) -> Json:
    """Return where calls of native Thrift go: as the first route says, whatever it matches."""
    if not given:
        return {"cluster": cluster_name(routing.port, "", routing.service.host)}
    action = destinations(routing, "http[0].route", given[0].route)
    weighted = action.get("weightedClusters")
    if isinstance(weighted, dict):
        return {"weightedClusters": {"clusters": weighted["clusters"]}}
    return action


def _dubbo_match(route: HttpRoute) -> Json:
    if not route.match:
        return {}
    first = route.match[0]
    method = _string_matcher(first.method) if first.method is not None else {}
    found: Json = {"method": {"name": method}} if method else {}
    headers = attributes(first.headers)
    return {**found, "headers": headers} if headers else found


def _string_matcher(match: StringMatch) -> Json:
    if match.exact:
        return {"exact": match.exact}
    if match.prefix:
        return {"prefix": match.prefix}
    if match.regex is not None:
        return {"safeRegex": {"regex": match.regex}}
    return {}
