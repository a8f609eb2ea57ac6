"""
The listeners of gateways, at proxies at the edge of the mesh.

Lives here: `gateway`. Does not: listeners of services (`listeners`).
"""

from __future__ import annotations

from metaproxy.mesh.generator.filters import outbound_filter
from metaproxy.mesh.generator.index import View
from metaproxy.mesh.generator.listeners import Made, Router, listener_at, listener_name
from metaproxy.mesh.generator.mesh_config import log_and_tracing
from metaproxy.mesh.generator.node import ROUTER, ProxyNode
from metaproxy.mesh.generator.protocols import METAPROTOCOL, PortProtocol, protocol_of
from metaproxy.mesh.generator.routes import Routing, route_configuration, route_name
from metaproxy.mesh.generator.services import service_at
from metaproxy.mesh.objects.gateway import Gateway, Server
from metaproxy.mesh.objects.meta_router import MetaRouter
from metaproxy.mesh.objects.reading import Object

EVERYWHERE = "0.0.0.0"


def gateway(view: View, name: str, node: ProxyNode) -> Made:
    """Return the listeners of a gateway, NAMESPACE/NAME, at the proxies that it selects."""
    made = Made()
    namespace, _, short = name.partition("/")
    for object, spec in view.find(Gateway, "Gateway", short, namespace):
        if node.kind == ROUTER and node.selected(spec.selector):
            for server in spec.servers:
                _server(view, object, name, server, node, made)
    return made


def _server(view: View, object: Object, name: str, server: Server, node: ProxyNode, made: Made) -> None:
    protocol = protocol_of(view, server.port.name)
    if isinstance(protocol, str):
        view.note(object, protocol)
        return
    if protocol is None or protocol.filter != METAPROTOCOL:
        view.note(object, f"port {server.port.number}: a gateway has ports of tcp-metaprotocol-PROTOCOL alone")
        return
    router = _router(view, name, server.port.number)
    if router is None:
        view.note(object, f"port {server.port.number}: no MetaRouter lists the gateway and sends to this port")
        return
    _listener(view, router, server, protocol, node, made)


def _router(view: View, name: str, port: int) -> Router | None:
    """Return the MetaRouter of a port: one that lists the gateway and has a destination of this port, or of any."""
    found = [one for one in view.find(MetaRouter, "gateway-router", name) if _sends_to(one[1], port)]
    for other, _ in found[1:]:
        view.note(other, f"{found[0][0].key} has port {port} of the gateway {name}, too, and goes before it")
    return found[0] if found else None


def _sends_to(router: MetaRouter, port: int) -> bool:
    ports = [one.destination.port for route in router.routes for one in route.route]
    return any(one is None or one.number == port for one in ports)


def _listener(view: View, router: Router, server: Server, protocol: PortProtocol, node: ProxyNode, made: Made) -> None:
    host, number = router[1].hosts[0], server.port.number
    service = service_at(view, host, node.namespace)
    if service is None:
        view.note(router[0], f"no ServiceEntry or Service has the host {host}")
        return
    made.routes[route_name(host, number)] = route_configuration(Routing(view, node.namespace, service, number, router))
    address = server.bind or EVERYWHERE
    filters = [outbound_filter(protocol, host, number, log_and_tracing(view))]
    made.listeners[listener_name(address, number)] = listener_at(view, address, number, "OUTBOUND", filters)
