"""Envoy's filters of HTTP as filters of ours, with the same effect."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_http import hosts, section_of
from envoy_messages import errors

PLAIN = "[{name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]"
HTTP = "type.googleapis.com/envoy.extensions.filters.http"


def outcome(type: str, fields: str) -> Any:
    one = f"{{name: it, typed_config: {{'@type': {HTTP}.{type}{', ' + fields if fields else ''}}}}}"
    return hosts(PLAIN, filters=f"http_filters: [{one}, {{name: envoy.filters.http.router}}]")


def filters(type: str, fields: str) -> list[Any]:
    found: list[Any] = section_of(outcome(type, fields)).get("filters", [])
    return found


FAULT = "fault.v3.HTTPFault"


def test_a_delay_and_an_abort_are_drawn_apart() -> None:
    delay = "delay: {fixed_delay: 0.1s, percentage: {numerator: 50}}"
    abort = "abort: {http_status: 503, percentage: {numerator: 20}}"
    (found,) = filters(FAULT, f"{delay}, {abort}")
    error = {"name": "503", "message": "fault filter abort"}
    assert found["fault"]["faults"] == [
        {"percentage": 10, "delay": "100ms", "error": error},
        {"percentage": 40, "delay": "100ms"},
        {"percentage": 10, "error": error},
    ]


def test_a_fault_is_for_requests_with_certain_headers() -> None:
    abort = "abort: {http_status: 503, percentage: {numerator: 100}}"
    (found,) = filters(FAULT, f"{abort}, headers: [{{name: X-A, string_match: {{exact: b}}}}], max_active_faults: 7")
    assert found["fault"]["faults"][0]["match"] == {"x-a": "b"}
    assert found["fault"]["max_active"] == 7


def test_an_answers_rate_is_limited() -> None:
    (found,) = filters(FAULT, "response_rate_limit: {fixed_limit: {limit_kbps: 8}, percentage: {numerator: 100}}")
    assert found["fault"]["faults"] == [{"percentage": 100, "rate": "8KiB"}]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ("abort: {grpc_status: 14, percentage: {numerator: 1}}", "abort.grpc_status"),
        ("abort: {header_abort: {}, percentage: {numerator: 1}}", "header_abort"),
        ("upstream_cluster: x", "upstream_cluster"),
    ],
)
def test_faults_that_are_not_there_are_named(fields: str, path: str) -> None:
    (error,) = errors(outcome(FAULT, fields))
    assert path in error


LIMIT = "local_ratelimit.v3.LocalRateLimit"
ON = "filter_enabled: {default_value: {numerator: 100}}"
BUCKET = "stat_prefix: x, token_bucket: {max_tokens: 5, tokens_per_fill: 5, fill_interval: 1s}"


def test_a_local_limit() -> None:
    (found,) = filters(LIMIT, f"{BUCKET}, {ON}, filter_enforced: {{default_value: {{numerator: 25}}}}")
    assert found["local_rate_limit"] == {"limit": 5, "per": "1s", "refill": "interval", "enforced": 25}


def test_a_local_limit_is_off_unless_it_is_enabled() -> None:
    (found,) = filters(LIMIT, BUCKET)
    assert "limit" not in found["local_rate_limit"]


@pytest.mark.parametrize("fields", ["status: {code: ServiceUnavailable}", "descriptors: [{entries: [{key: a}]}]"])
def test_limits_that_are_not_there_are_named(fields: str) -> None:
    (error,) = errors(outcome(LIMIT, f"{BUCKET}, {ON}, {fields}"))
    assert fields.partition(":")[0] in error


def test_rbac() -> None:
    rules = "rules: {action: DENY, policies: {p: {permissions: [{any: true}], principals: [{any: true}]}}}"
    (found,) = filters("rbac.v3.RBAC", f"{rules}, track_per_rule_stats: true")
    assert found["rbac"]["policies"]["p"]["action"] == "deny"
    assert found["rbac"]["per_policy"] is True


def test_rbac_without_rules_does_nothing() -> None:
    assert filters("rbac.v3.RBAC", "") == []


def test_grpc_web_needs_the_codec_of_grpc() -> None:
    (error,) = errors(outcome("grpc_web.v3.GrpcWeb", ""))
    assert "gRPC-Web" in error
    calls = "[{name: all, domains: ['*'], routes: [{match: {prefix: /, grpc: {}}, route: {cluster: a}}]}]"
    web = "{name: envoy.filters.http.grpc_web}"
    section = section_of(hosts(calls, filters=f"http_filters: [{web}, {{name: envoy.filters.http.router}}]"))
    assert section["protocol"]["name"] == "grpc"
