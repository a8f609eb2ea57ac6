"""Envoy's dubbo_proxy as a listener of Dubbo."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_http import NETWORK, chain, section_of
from envoy_messages import errors

DUBBO = f"{NETWORK}.dubbo_proxy.v3.DubboProxy"


def section(fields: str) -> dict[str, Any]:
    return section_of(chain(DUBBO, fields))


def matches(table: str, match: str = "{method: {name: {exact: hello}}}") -> Any:
    text = f"route_config: [{{name: r, {table}, routes: [{{match: {match}, route: {{cluster: a}}}}]}}]"
    return section(text)["routes"][0].get("match")


def test_routes_of_an_interface() -> None:
    found = section(
        "protocol_type: Dubbo\nserialization_type: Hessian2\n"
        "dubbo_filters: [{name: envoy.filters.dubbo.router}]\n"
        "route_config: [{name: r, interface: org.Demo, routes: [{match: {method: {name: {prefix: say}}}, route: "
        "{weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, weight: 1}]}}}]}]"
    )
    assert found["protocol"] == "dubbo"
    assert found["routes"] == [
        {"name": "r", "match": {"interface": "org.Demo", "method": {"prefix": "say"}}, "clusters": {"a": 1, "b": 1}}
    ]


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("interface: '*'", {"method": "hello"}),
        ("interface: 'org.*'", {"interface": {"prefix": "org."}, "method": "hello"}),
        ("interface: '*.Demo'", {"interface": {"suffix": ".Demo"}, "method": "hello"}),
        (
            "interface: a, group: g, version: '1.0'",
            {"interface": "a", "group": "g", "service.version": "1.0", "method": "hello"},
        ),
    ],
)
def test_what_a_service_is(table: str, match: dict[str, object]) -> None:
    assert matches(table) == match


def test_headers_are_attachments() -> None:
    match = "{headers: [{name: tenant, string_match: {exact: beta}}]}"
    assert matches("interface: a", match) == {"interface": "a", "tenant": "beta"}


def test_several_tables_in_their_order() -> None:
    table = "{name: %s, interface: %s, routes: [{match: {}, route: {cluster: a}}]}"
    found = section(f"multiple_route_config: {{name: all, route_config: [{table % ('x', 'a')}, {table % ('x', 'b')}]}}")
    assert [one["name"] for one in found["routes"]] == ["x", "x#2"]


def test_aerakis_policies_are_rbac() -> None:
    found = section(
        'dubbo_filters: [{name: envoy.filters.dubbo.rbac, config: {"@type": '
        "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: dubbo., rules: {action: DENY, "
        "policies: {p: {permissions: [{any: true}], principals: [{any: true}]}}}}}, "
        "{name: envoy.filters.dubbo.router}]\n"
        "route_config: [{name: r, interface: '*', routes: [{match: {}, route: {cluster: a}}]}]"
    )
    assert found["filters"][0]["rbac"]["policies"]["p"]["action"] == "deny"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        (
            "route_config: [{name: r, interface: a, routes: [{match: {method: {params_match: {0: {exact_match: x}}}}, "
            "route: {cluster: a}}]}]",
            "params_match",
        ),
        ("dubbo_filters: [{name: acme}]", "acme"),
        ("drds: {route_config_name: a, config_source: {ads: {}}}", "drds"),
    ],
)
def test_what_is_not_there_is_named(fields: str, path: str) -> None:
    (error,) = errors(chain(DUBBO, fields))
    assert path in error
