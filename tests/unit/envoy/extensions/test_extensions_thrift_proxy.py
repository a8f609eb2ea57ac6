"""Envoy's thrift_proxy as a listener of Thrift."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_http import NETWORK, chain, section_of
from envoy_messages import errors

THRIFT = f"{NETWORK}.thrift_proxy.v3.ThriftProxy"


def section(fields: str) -> dict[str, Any]:
    return section_of(chain(THRIFT, fields))


def match(fields: str) -> Any:
    found = section(f"route_config: {{name: r, routes: [{{match: {{{fields}}}, route: {{cluster: a}}}}]}}")
    return found["routes"][0].get("match")


@pytest.mark.parametrize(
    ("fields", "protocol"),
    [
        ("transport: AUTO_TRANSPORT\nprotocol: AUTO_PROTOCOL", "thrift"),
        ("transport: FRAMED\nprotocol: COMPACT", {"name": "thrift", "transport": "framed", "protocol": "compact"}),
        ("transport: HEADER\nprotocol: LAX_BINARY", {"name": "thrift", "transport": "header", "protocol": "binary"}),
    ],
)
def test_what_clients_speak(fields: str, protocol: object) -> None:
    assert section(f"{fields}\nroute_config: {{}}\nthrift_filters: [{{name: envoy.filters.thrift.router}}]")[
        "protocol"
    ] == (protocol)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("method_name: ''", None),
        ("method_name: add", {"method": "add"}),
        ("method_name: add, invert: true", {"method": {"exact": "add", "not": True}}),
        ("service_name: Calc", {"method": {"prefix": "Calc:"}}),
        ("method_name: '', headers: [{name: t, string_match: {exact: b}}]", {"t": "b"}),
    ],
)
def test_what_is_asked_of_a_call(fields: str, expected: object) -> None:
    assert match(fields) == expected


def test_where_it_goes() -> None:
    found = section(
        "route_config: {name: r, routes: [{match: {method_name: ''}, route: {weighted_clusters: {clusters: "
        "[{name: a, weight: 1}, {name: b, weight: 3}]}, metadata_match: {filter_metadata: {envoy.lb: {v: '2'}}}, "
        "request_mirror_policies: [{cluster: copy}]}}]}"
    )
    assert found["routes"] == [
        {"name": "r", "mirror": [{"cluster": "copy"}], "clusters": {"a": 1, "b": 3}, "subset": {"v": "2"}}
    ]


def test_subsets_by_cluster_are_routes_with_shares() -> None:
    own = "metadata_match: {filter_metadata: {envoy.lb: {v: %s}}}"
    found = section(
        "route_config: {routes: [{match: {method_name: ''}, route: {weighted_clusters: {clusters: "
        f"[{{name: a, weight: 1, {own % 'x'}}}, {{name: a, weight: 3, {own % 'y'}}}]}}}}}}]}}"
    )
    assert [(one["subset"], one.get("percent", 100)) for one in found["routes"]] == [
        ({"v": "x"}, 25),
        ({"v": "y"}, 100),
    ]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ("protocol: TWITTER", "protocol"),
        ("max_requests_per_connection: 5", "max_requests_per_connection"),
        ("thrift_filters: [{name: envoy.filters.thrift.rate_limit}]", "rate_limit"),
        ("route_config: {routes: [{match: {method_name: a}, route: {cluster: a, strip_service_name: true}}]}", "strip"),
        ("route_config: {routes: [{match: {method_name: a}, route: {cluster_header: a}}]}", "cluster_header"),
        ("trds: {route_config_name: a, config_source: {ads: {}}}", "trds"),
    ],
)
def test_what_is_not_there_is_named(fields: str, path: str) -> None:
    (error,) = errors(chain(THRIFT, fields))
    assert path in error
