"""Envoy's filters that ask who a client is, as ours."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_http import hosts, section_of
from envoy_messages import errors

PLAIN = "[{name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]"
HTTP = "type.googleapis.com/envoy.extensions.filters.http"


def outcome(type: str, fields: str) -> Any:
    one = f"{{name: it, typed_config: {{'@type': {HTTP}.{type}, {fields}}}}}"
    return hosts(PLAIN, filters=f"http_filters: [{one}, {{name: envoy.filters.http.router}}]")


def options(type: str, fields: str) -> Any:
    (found,) = section_of(outcome(type, fields))["filters"]
    (inner,) = found.values()
    return inner


AUTHZ = "ext_authz.v3.ExtAuthz"


def test_a_service_is_asked_over_grpc() -> None:
    found = options(
        AUTHZ,
        "grpc_service: {envoy_grpc: {cluster_name: authz}, timeout: 0.5s}, failure_mode_allow: true, "
        "transport_api_version: V3, allowed_headers: {patterns: [{exact: Authorization, ignore_case: true}]}",
    )
    assert found == {"service": {"cluster": "authz"}, "timeout": "500ms", "fail": "open", "metadata": ["authorization"]}


def test_a_service_is_asked_over_http() -> None:
    found = options(
        AUTHZ,
        "http_service: {server_uri: {uri: 'http://authz.example', cluster: authz, timeout: 1s}, path_prefix: /check, "
        "authorization_response: {allowed_upstream_headers: {patterns: [{exact: x-user}]}}, "
        "authorization_request: {headers_to_add: [{key: x-proxy, value: me}]}}",
    )
    assert found["service"] == {
        "cluster": "authz", "http": "http://authz.example/check", "upstream_headers": ["x-user"],
        "headers": {"x-proxy": "me"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ("with_request_body: {max_request_bytes: 5}", "with_request_body"),
        ("allowed_headers: {patterns: [{prefix: x-}]}", "patterns[0].prefix"),
        ("include_peer_certificate: true", "include_peer_certificate"),
        ("status_on_error: {code: ServiceUnavailable}", "status_on_error"),
    ],
)
def test_what_is_not_there_is_named(fields: str, path: str) -> None:
    (error,) = errors(outcome(AUTHZ, f"grpc_service: {{envoy_grpc: {{cluster_name: a}}}}, {fields}"))
    assert path in error


JWT = "jwt_authn.v3.JwtAuthentication"
PROVIDER = "issuer: https://i, audiences: [a], remote_jwks: {http_uri: {uri: 'http://i/k', cluster: i, timeout: 1s}}"


def test_tokens_of_a_provider_are_asked_for() -> None:
    found = options(
        JWT,
        f"providers: {{p: {{{PROVIDER}, forward: true, from_headers: [{{name: X-Token, value_prefix: 'T '}}], "
        "claim_to_headers: [{header_name: X-Sub, claim_name: sub}]}}, "
        "rules: [{match: {prefix: /}, requires: {provider_name: p}}]",
    )
    assert found["require"] == "any"
    provider = found["providers"]["p"]
    assert provider["jwks"] == {"url": "http://i/k", "cluster": "i", "timeout": "1s", "refresh": "300s"}
    assert (provider["key"], provider["prefix"], provider["forward"]) == ("x-token", "T ", True)
    assert provider["claims_to_metadata"] == {"sub": "x-sub"}


@pytest.mark.parametrize(
    ("requires", "how", "providers"),
    [
        ("requires_all: {requirements: [{provider_name: p}, {provider_name: q}]}", "all", ["p", "q"]),
        ("requires_any: {requirements: [{provider_name: p}, {allow_missing: {}}]}", "allow_missing", ["p"]),
        ("allow_missing_or_failed: {}", "allow_missing_or_failed", ["p", "q"]),
    ],
)
def test_several_requirements(requires: str, how: str, providers: list[str]) -> None:
    found = options(
        JWT,
        f"providers: {{p: {{{PROVIDER}}}, q: {{{PROVIDER}}}}}, "
        f"rules: [{{match: {{prefix: /}}, requires: {{{requires}}}}}]",
    )
    assert (found["require"], sorted(found["providers"])) == (how, providers)


def test_rules_for_some_paths_are_reported() -> None:
    rules = "rules: [{match: {prefix: /a}, requires: {provider_name: p}}]"
    (error,) = errors(outcome(JWT, f"providers: {{p: {{{PROVIDER}}}}}, {rules}"))
    assert "rules[0].match" in error


def test_an_unknown_provider_is_malformed() -> None:
    found = errors(
        outcome(
            JWT, f"providers: {{p: {{{PROVIDER}}}}}, rules: [{{match: {{prefix: /}}, requires: {{provider_name: z}}}}]"
        )
    )
    assert any("'z'" in one for one in found)
