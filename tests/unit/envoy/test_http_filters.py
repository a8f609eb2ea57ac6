"""Which of Envoy's filters of HTTP act, and what routes say of them."""

from __future__ import annotations

from envoy_http import hosts, section_of
from envoy_messages import errors

HTTP = "type.googleapis.com/envoy.extensions.filters.http"
LIMIT = f"{HTTP}.local_ratelimit.v3.LocalRateLimit"
ROUTER = "{name: envoy.filters.http.router}"
ON = "filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}"
BUCKET = "token_bucket: {max_tokens: 5, fill_interval: 1s}"
AT_ROUTE = f"""
- name: all
  domains: ["*"]
  routes:
  - match: {{path: /limited}}
    route: {{cluster: a}}
    typed_per_filter_config:
      envoy.filters.http.local_ratelimit: {{"@type": "{LIMIT}", stat_prefix: x, {BUCKET}, {ON}}}
  - {{match: {{prefix: /}}, route: {{cluster: a}}}}
"""
EMPTY = f"{{name: envoy.filters.http.local_ratelimit, typed_config: {{'@type': '{LIMIT}', stat_prefix: x}}}}"


def test_a_filter_may_act_on_some_routes_only() -> None:
    section = section_of(hosts(AT_ROUTE, filters=f"http_filters: [{EMPTY}, {ROUTER}]"))
    limited, other = section["routes"]
    assert limited["filters"]["local_rate_limit"]["limit"] == 1
    assert "filters" not in other
    assert list(section["filters"][0]) == ["local_rate_limit"]


def test_a_route_that_changes_a_filter_which_the_listener_does_not_have_is_reported() -> None:
    (error,) = errors(hosts(AT_ROUTE, filters=f"http_filters: [{ROUTER}]"))
    assert "local_rate_limit" in error


def test_a_filter_that_is_not_there_is_named_unless_it_is_optional() -> None:
    lua = f"{{name: envoy.filters.http.lua, typed_config: {{'@type': {HTTP}.lua.v3.Lua}}%s}}"
    plain = "[{name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]"
    (error,) = errors(hosts(plain, filters=f"http_filters: [{lua % ''}, {ROUTER}]"))
    assert "http_filters[0]" in error and "Lua" in error
    assert errors(hosts(plain, filters=f"http_filters: [{lua % ', is_optional: true'}, {ROUTER}]")) == []


def test_what_stands_behind_the_router_is_malformed() -> None:
    plain = "[{name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]"
    (error,) = errors(hosts(plain, filters=f"http_filters: [{ROUTER}, {EMPTY}]"))
    assert "http_filters[1]" in error


def test_the_most_specific_level_counts() -> None:
    per_route = f"'@type': {HTTP}.ext_authz.v3.ExtAuthzPerRoute"
    disabled = f"{{{per_route}, disabled: true}}"
    extra = f"{{{per_route}, check_settings: {{context_extensions: {{who: me}}}}}}"
    config = f"{{'@type': {HTTP}.ext_authz.v3.ExtAuthz, grpc_service: {{envoy_grpc: {{cluster_name: authz}}}}}}"
    authz = f"{{name: envoy.filters.http.ext_authz, typed_config: {config}}}"
    text = f"""
- name: all
  domains: ["*"]
  typed_per_filter_config: {{envoy.filters.http.ext_authz: {disabled}}}
  routes:
  - {{match: {{path: /a}}, route: {{cluster: a}}}}
  - {{match: {{prefix: /}}, route: {{cluster: a}}, typed_per_filter_config: {{envoy.filters.http.ext_authz: {extra}}}}}
"""
    off, on = section_of(hosts(text, filters=f"http_filters: [{authz}, {ROUTER}]"))["routes"]
    assert off["filters"] == {"ext_authz": "off"}
    assert on["filters"]["ext_authz"]["context"] == {"who": "me"}
    assert on["filters"]["ext_authz"]["service"] == {"cluster": "authz"}


def test_descriptors_of_routes_are_asked_about_by_the_rate_limit_filter() -> None:
    service = "{transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: rls}}}"
    config = (
        f"{{'@type': {HTTP}.ratelimit.v3.RateLimit, domain: shop, failure_mode_deny: true, "
        f"rate_limit_service: {service}}}"
    )
    limit = f"{{name: envoy.filters.http.ratelimit, typed_config: {config}}}"
    text = """
- name: all
  domains: ["*"]
  routes:
  - match: {prefix: /}
    route: {cluster: a, rate_limits: [{actions: [{remote_address: {}}, {generic_key: {descriptor_value: v}}]}]}
"""
    (one,) = section_of(hosts(text, filters=f"http_filters: [{limit}, {ROUTER}]"))["routes"]
    found = one["filters"]["global_rate_limit"]
    assert found["descriptors"] == [
        [{"key": "remote_address", "from": "source.address"}, {"key": "generic_key", "value": "v"}]
    ]
    assert (found["domain"], found["on_failure"], found["service"]) == ("shop", "deny", {"cluster": "rls"})
