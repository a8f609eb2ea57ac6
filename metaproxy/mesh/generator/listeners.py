"""
What a proxy gets of one service: listeners for its clients, clusters, routes, and listeners before its own servers.

Lives here: `outbound`, `inbound`, `Made`. Does not: the proxy as a whole (`generator`), gateways (`gateways`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from google.protobuf.message import Message

from metaproxy.mesh.generator.authorization import dubbo_filters, network_filters, rules_for
from metaproxy.mesh.generator.clusters import (
    cluster_name,
    clusters_of,
    inbound_cluster,
    inbound_name,
    socket_address,
)
from metaproxy.mesh.generator.filters import inbound_filter, outbound_filter, tcp_filter
from metaproxy.mesh.generator.index import View, visible
from metaproxy.mesh.generator.mesh_config import log_and_tracing
from metaproxy.mesh.generator.messages import Json
from metaproxy.mesh.generator.native import (
    INTERFACE,
    dubbo_filter,
    dubbo_routes,
    http_routes,
    thrift_action,
    thrift_filter,
    to_cluster,
)
from metaproxy.mesh.generator.node import SIDECAR, ProxyNode
from metaproxy.mesh.generator.policy import rule_for
from metaproxy.mesh.generator.protocols import DUBBO, METAPROTOCOL, REDIS, THRIFT, PortProtocol, protocol_of
from metaproxy.mesh.generator.redis import cluster_keys as redis_keys
from metaproxy.mesh.generator.redis import inbound_redis, redis_filter
from metaproxy.mesh.generator.routes import Routing, route_configuration, route_name
from metaproxy.mesh.generator.services import Port, ServiceModel, is_address, service_at
from metaproxy.mesh.objects.meta_router import MetaRouter
from metaproxy.mesh.objects.reading import Object

Router = tuple[Object, MetaRouter]


@dataclass(slots=True)
class Made:
    """What was made, by kind and name."""

    listeners: dict[str, Message] = field(default_factory=dict)
    clusters: dict[str, Message] = field(default_factory=dict)
    endpoints: dict[str, Message] = field(default_factory=dict)
    routes: dict[str, Message] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, Message]:
        """Return those of a kind."""
        found: dict[str, Message] = getattr(self, kind)
        return found

    def keeping(self, before: Made) -> Made:
        """Return the same with the messages of before where they are equal, so that what did not change is the same."""
        return Made(
            _kept(before.listeners, self.listeners),
            _kept(before.clusters, self.clusters),
            _kept(before.endpoints, self.endpoints),
            _kept(before.routes, self.routes),
        )


def _kept(before: dict[str, Message], now: dict[str, Message]) -> dict[str, Message]:
    return {name: _same(before.get(name), message) for name, message in now.items()}


def _same(before: Message | None, message: Message) -> Message:
    return before if before is not None and (before is message or before == message) else message


def router_of(view: View, host: str) -> Router | None:
    """Return the MetaRouter of a host. Of several the first by namespace and name counts."""
    found = view.find(MetaRouter, "router", host)
    for other, _ in found[1:]:
        view.note(other, f"{found[0][0].key} is for the host {host}, too, and goes before it")
    return found[0] if found else None


# -- at clients


def outbound(view: View, host: str, node: ProxyNode) -> Made:
    """Return what proxies get of a service that is called through them."""
    made = Made()
    service = service_at(view, host, node.namespace)
    if service is None:
        return made
    if "*" in host:
        view.note(service.object, f"{host}: nothing is made of a host with a wildcard; write its names")
        return made
    if not service.workloads:
        view.note(service.object, f"{host} has no server")
    rule = rule_for(view, host, service.namespace, node.namespace)
    for port in service.ports:
        protocol = protocol_of(view, port.name)
        is_redis = isinstance(protocol, PortProtocol) and protocol.filter == REDIS
        more = redis_keys(view, service, port) if is_redis else None
        for cluster, endpoints in clusters_of(view, service, port, rule[1] if rule is not None else None, more):
            name = str(getattr(cluster, "name"))  # noqa: B009 - a message's class is made when it is loaded
            made.clusters[name] = cluster
            if endpoints is not None:
                made.endpoints[name] = endpoints
        if node.kind == SIDECAR and node.outbound:
            _outbound_port(view, service, port, protocol, node, made)
    return made


def _outbound_port(
    view: View, service: ServiceModel, port: Port, protocol: PortProtocol | str | None, node: ProxyNode, made: Made
) -> None:
    if protocol is None:
        return
    if isinstance(protocol, str):
        view.note(service.object, protocol)
        return
    filter = _outbound_filter(view, service, port, protocol, node, made)
    if filter is None:
        return
    for address in dict.fromkeys(_addresses(view, service, node)):
        listener = listener_at(view, address, port.number, "OUTBOUND", [filter])
        made.listeners[listener_name(address, port.number)] = listener


def _addresses(view: View, service: ServiceModel, node: ProxyNode) -> Iterator[str]:
    """Return where listeners for a service listen."""
    if not service.addresses:
        yield node.bind
    for address in service.addresses:
        if is_address(address):
            yield node.listens_at(address)
        else:
            view.note(service.object, f"{address} is no single address; nothing listens there")


def _outbound_filter(
    view: View, service: ServiceModel, port: Port, protocol: PortProtocol, node: ProxyNode, made: Made
) -> Json | None:
    """Return what takes a service's port at clients; None for nothing, which is noted."""
    host, prefix = service.host, f"outbound|{port.number}||{service.host}"
    if protocol.filter == REDIS:
        return redis_filter(view, service, port)
    if protocol.filter == METAPROTOCOL:
        router = router_of(view, host)
        if _is_exported(router, node):
            routing = Routing(view, node.namespace, service, port.number, router)
            made.routes[route_name(host, port.number)] = route_configuration(routing)
            return outbound_filter(protocol, host, port.number, log_and_tracing(view))
    elif protocol.filter in (DUBBO, THRIFT):
        given = http_routes(view, host, node.namespace)
        routing = Routing(view, node.namespace, service, port.number, None)
        if protocol.filter == THRIFT:
            return thrift_filter(prefix, thrift_action(routing, given))
        interface = service.object.annotations.get(INTERFACE, "")
        return dubbo_filter(prefix, interface, dubbo_routes(routing, given))
    return tcp_filter(prefix, cluster_name(port.number, "", host))


def _is_exported(router: Router | None, node: ProxyNode) -> bool:
    """Whether proxies of a namespace know the protocol: elsewhere they pass bytes."""
    return router is None or visible(router[1].export_to, router[0].key.namespace, node.namespace)


def listener_name(address: str, port: int) -> str:
    return f"{address}_{port}"


def listener_at(view: View, address: str, port: int, direction: str, filters: list[Json]) -> Message:
    """Return a listener."""
    return view.messages.of(
        "listeners",
        {
            "name": listener_name(address, port),
            "address": socket_address(address, port),
            "trafficDirection": direction,
            "filterChains": [{"filters": filters}],
        },
    )


# -- at servers


def inbound(view: View, host: str, node: ProxyNode) -> Made:
    """Return what the proxy beside a service's server gets to stand before it."""
    made = Made()
    service = service_at(view, host, node.namespace)
    if service is None or not node.addresses:
        return made
    for port in service.ports:
        protocol = protocol_of(view, port.name)
        if isinstance(protocol, PortProtocol):
            for address, target in _own(service, port, node):
                _inbound_port(view, service, protocol, address, target, node, made)
    return made


def _own(service: ServiceModel, port: Port, node: ProxyNode) -> Iterator[tuple[str, int]]:
    """Return the addresses and ports at which the node's own server is reached."""
    by_address = [one for one in service.workloads if one.address in node.addresses]
    yield from ((one.address, one.port(port)) for one in by_address)
    if not by_address and service.selector and node.selected(service.selector):
        yield from ((address, port.target) for address in node.addresses)


def _inbound_port(
    view: View, service: ServiceModel, protocol: PortProtocol, address: str, target: int, node: ProxyNode, made: Made
) -> None:
    if address == node.application:
        text = f"the proxy beside {address}:{target} would listen where the server itself does; see crds.application"
        view.note(service.object, text)
        return
    name = inbound_name(target)
    filters = _inbound_filters(view, service, protocol, target, node)
    made.listeners[listener_name(address, target)] = listener_at(view, address, target, "INBOUND", filters)
    made.clusters[name] = inbound_cluster(view, node.application, target)


def _inbound_filters(
    view: View, service: ServiceModel, protocol: PortProtocol, target: int, node: ProxyNode
) -> list[Json]:
    """Return what stands before a server: who may call it, its limits, and what passes requests on."""
    name = inbound_name(target)
    if protocol.filter == REDIS:
        return [inbound_redis(name, name)]
    if protocol.filter == METAPROTOCOL:
        router = router_of(view, service.host)
        if _is_exported(router, node):
            rules = network_filters(rules_for(view, service.namespace))
            spec = router[1] if router is not None else None
            return [*rules, inbound_filter(protocol, service.host, target, spec, log_and_tracing(view))]
    elif protocol.filter == DUBBO:
        rules = dubbo_filters(rules_for(view, service.namespace))
        return [dubbo_filter(name, "*", [to_cluster(name)], rules)]
    elif protocol.filter == THRIFT:
        rules = network_filters(rules_for(view, service.namespace))
        return [*rules, thrift_filter(name, {"cluster": name})]
    return [tcp_filter(name, name)]
