"""Envoy's own filters for Dubbo and Thrift, and protocols that pass as bytes."""

from __future__ import annotations

from typing import Any

import pytest
from mesh_stand import ENTRY, HOST, RULE, Stand

from metaproxy.mesh.generator.node import ProxyNode

LISTENER = "127.0.10.1_20880"
WHOLE = f"outbound|20880||{HOST}"


def native(protocol: str, virtual: str = "", node: ProxyNode | None = None, **annotations: str) -> dict[str, Any]:
    """The filter of a listener."""
    stand = Stand(node) if node is not None else Stand()
    entry = ENTRY.replace("tcp-metaprotocol-dubbo", protocol)
    stand.put("ServiceEntry", "hello", entry, annotations=annotations).put("DestinationRule", "hello", RULE)
    if virtual:
        stand.put("VirtualService", "hello", f"{{hosts: [{HOST}], http: [{virtual}]}}")
    return stand.filter(LISTENER if node is None else "127.0.0.11_20880")


def to(subset: str, weight: int = 0) -> str:
    return f"{{destination: {{host: {HOST}, subset: {subset}}}, weight: {weight}}}"


def test_dubbo_has_its_interface_and_one_route_without_a_virtual_service() -> None:
    (table,) = native("tcp-dubbo", interface="org.example.Hello")["route_config"]
    assert (table["interface"], table["routes"]) == ("org.example.Hello", [{"match": {}, "route": {"cluster": WHOLE}}])


def test_dubbo_without_an_annotation_has_all_interfaces() -> None:
    assert native("tcp-dubbo")["route_config"][0]["interface"] == "*"


def test_routes_of_dubbo_are_those_of_the_virtual_service() -> None:
    virtual = (
        f"{{match: [{{method: {{exact: sayHello}}, headers: {{user: {{prefix: b}}}}}}], route: [{to('v2')}]}}, "
        f"{{route: [{to('v1', 20)}, {to('v2', 80)}]}}"
    )
    first, second = native("tcp-dubbo", virtual)["route_config"][0]["routes"]
    assert first == {
        "match": {"method": {"name": {"exact": "sayHello"}}, "headers": [{"name": "user", "prefix_match": "b"}]},
        "route": {"cluster": f"outbound|20880|v2|{HOST}"},
    }
    assert [one["weight"] for one in second["route"]["weighted_clusters"]["clusters"]] == [20, 80]


@pytest.mark.parametrize("how", ["prefix: say", "regex: say.*"])
def test_methods_of_dubbo_are_compared_in_three_ways(how: str) -> None:
    virtual = f"{{match: [{{method: {{{how}}}}}], route: [{to('v2')}]}}"
    assert "say" in str(native("tcp-dubbo", virtual)["route_config"][0]["routes"][0]["match"])


def test_thrift_goes_where_the_first_route_says() -> None:
    virtual = f"{{match: [{{method: {{exact: x}}}}], route: [{to('v1', 20)}, {to('v2', 80)}]}}"
    (route,) = native("tcp-thrift", virtual)["route_config"]["routes"]
    assert [one["weight"] for one in route["route"]["weighted_clusters"]["clusters"]] == [20, 80]
    (route,) = native("tcp-thrift")["route_config"]["routes"]
    assert route == {"match": {"method_name": ""}, "route": {"cluster": WHOLE}}


@pytest.mark.parametrize("protocol", ["tcp-kafka", "tcp-zookeeper", "tcp-mongo", "tcp-mysql"])
def test_what_aeraki_only_counts_passes_as_bytes(protocol: str) -> None:
    assert native(protocol) == {"stat_prefix": WHOLE, "cluster": WHOLE}


@pytest.mark.parametrize("protocol", ["tcp-dubbo", "tcp-thrift", "tcp-redis", "tcp-kafka"])
def test_before_a_server_all_goes_to_it(protocol: str) -> None:
    found = native(protocol, node=ProxyNode(addresses=("127.0.0.11",)))
    assert found["stat_prefix"] == "inbound|20880||"
    assert "'inbound|20880||'" in str({key: value for key, value in found.items() if key != "stat_prefix"})
