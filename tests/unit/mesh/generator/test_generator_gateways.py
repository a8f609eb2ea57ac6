"""Gateways, at proxies at the edge of the mesh."""

from __future__ import annotations

from mesh_stand import HOST, Stand

from metaproxy.mesh.generator.node import ProxyNode

EDGE = ProxyNode("router", "edge", {"istio": "ingressgateway"})
PORT = "{port: {number: 9090, name: tcp-metaprotocol-thrift, protocol: TCP}, hosts: ['*']}"
ROUTE = f"{{route: [{{destination: {{host: {HOST}, subset: v1, port: {{number: 9090}}}}}}]}}"


def stand(
    node: ProxyNode = EDGE, server: str = PORT, route: str = ROUTE, gateways: str = "[edge/in]", put: bool = True
) -> Stand:
    made = Stand(node).hello()
    made.put("Gateway", "in", f"{{selector: {{istio: ingressgateway}}, servers: [{server}]}}", namespace="edge")
    if put:
        made.put("MetaRouter", "hello", f"{{hosts: [{HOST}], gateways: {gateways}, routes: [{route}]}}")
    return made


def test_a_gateway_listens_everywhere_and_has_the_routes_of_its_router() -> None:
    made = stand()
    assert list(made.resources.listeners) == ["0.0.0.0_9090"]
    assert made.filter("0.0.0.0_9090")["codec"] == {"name": "aeraki.meta_protocol.codec.thrift"}
    assert f"outbound|9090|v1|{HOST}" in str(made.one("routes", f"{HOST}_9090"))


def test_a_destination_without_a_port_is_one_of_the_gateways_port() -> None:
    made = stand(route=ROUTE.replace(", port: {number: 9090}", ""))
    assert f"outbound|9090|v1|{HOST}" in str(made.one("routes", f"{HOST}_9090"))


def test_a_gateway_listens_where_its_server_says() -> None:
    assert list(stand(server=PORT.replace("hosts", "bind: 127.0.0.3, hosts")).resources.listeners) == ["127.0.0.3_9090"]


def test_only_proxies_at_the_edge_with_its_labels_are_the_gateway() -> None:
    assert "0.0.0.0_9090" not in stand(ProxyNode("sidecar", "edge", {"istio": "ingressgateway"})).resources.listeners
    assert "0.0.0.0_9090" not in stand(ProxyNode("router", "edge", {"istio": "other"})).resources.listeners


def test_at_the_edge_there_are_no_listeners_of_services() -> None:
    made = stand()
    assert "127.0.10.1_20880" not in made.resources.listeners
    assert f"outbound|20880|v1|{HOST}" in made.resources.clusters


def test_a_gateway_without_a_namespace_is_one_of_the_routers_own() -> None:
    made = stand(gateways="[in]")
    assert made.resources.listeners == {}
    assert made.notes("Gateway", "in", "edge") == ["port 9090: no MetaRouter lists the gateway and sends to this port"]


def test_a_router_that_sends_to_another_port_is_none_of_the_gateway() -> None:
    assert stand(route=ROUTE.replace("9090", "9")).resources.listeners == {}


def test_what_a_gateway_can_not_do_is_noted() -> None:
    made = stand(server=PORT.replace("tcp-metaprotocol-thrift", "http"))
    assert made.resources.listeners == {}
    assert "tcp-metaprotocol-PROTOCOL alone" in made.notes("Gateway", "in", "edge")[0]
    made = stand(server=PORT.replace("metaprotocol-thrift", "metaprotocol-thrif"))
    assert made.resources.listeners == {}
    assert "did you mean 'thrift'?" in made.notes("Gateway", "in", "edge")[0]


def test_a_gateway_that_changes_is_made_again_and_no_service() -> None:
    made = stand()
    assert made.resources
    before = made.generator.made
    made.put("Gateway", "in", f"{{servers: [{PORT.replace('9090', '9091')}]}}", namespace="edge")
    assert made.resources
    assert made.generator.made == before + 1
