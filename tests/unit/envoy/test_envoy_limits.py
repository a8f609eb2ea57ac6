"""Circuit breakers and outlier detection."""

from __future__ import annotations

import pytest
from envoy_messages import cluster, errors, warnings

ENDPOINT = "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}"
BASE = f"name: c\ntype: STATIC\nload_assignment: {{endpoints: [{{lb_endpoints: [{ENDPOINT}]}}]}}\n"
OUTLIER = {
    "consecutive_errors": 5,
    "success_rate": 1.9,
    "failure_percent": 0,
    "min_hosts": 5,
    "min_requests": 100,
    "max_ejected": 10,
    "interval": "10s",
    "ejection_time": "30s",
    "max_ejection_time": "300s",
}


def found(text: str, key: str) -> object:
    outcome = cluster(BASE + text)
    assert errors(outcome) == []
    return outcome.sections[0].get(key)


def test_limits_of_the_default_priority_are_ours() -> None:
    text = """circuit_breakers: {thresholds: [
      {max_connections: 1, max_pending_requests: 0, max_requests: 3, max_retries: 4294967295, track_remaining: true},
      {priority: HIGH, max_connections: 100000}]}"""
    assert found(text, "breaker") == {
        "max_connections": 1, "max_pending": 0, "max_requests": 3, "max_retries": 2**31 - 1,
    }  # fmt: skip


def test_a_retry_budget_is_a_share() -> None:
    text = "circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 25}, min_retry_concurrency: 3}}]}"
    assert found(text, "breaker") == {"retry_budget": 25}


@pytest.mark.parametrize(
    "text",
    [
        "{thresholds: [{max_connections: 0}]}",
        "{thresholds: [{retry_budget: {min_retry_concurrency: 10}}]}",
        "{thresholds: [{max_connection_pools: 5}]}",
        "{per_host_thresholds: [{max_connections: 5}]}",
    ],
)
def test_limits_that_we_have_not_are_named(text: str) -> None:
    assert len(errors(cluster(BASE + f"circuit_breakers: {text}"))) == 1


def test_outlier_detection_has_the_defaults_of_envoy() -> None:
    assert found("outlier_detection: {}", "outlier") == OUTLIER


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("consecutive_5xx: 3", {"consecutive_errors": 3}),
        ("enforcing_consecutive_5xx: 0", {"consecutive_errors": 0}),
        ("enforcing_success_rate: 0", {"success_rate": 0}),
        ("success_rate_stdev_factor: 2500, success_rate_minimum_hosts: 2", {"success_rate": 2.5, "min_hosts": 2}),
        (
            "enforcing_success_rate: 0, enforcing_failure_percentage: 100, failure_percentage_threshold: 50",
            {"success_rate": 0, "failure_percent": 50, "min_requests": 50},
        ),
        ("max_ejection_percent: 100", {"max_ejected": 100}),
        (
            "base_ejection_time: 400s, interval: 1s",
            {"ejection_time": "400s", "max_ejection_time": "400s", "interval": "1s"},
        ),
        (
            "split_external_local_origin_errors: true, consecutive_local_origin_failure: 2",
            {"split": True, "consecutive_local": 2},
        ),
    ],
)
def test_fields_of_outlier_detection_are_keys_of_ours(text: str, changed: dict[str, object]) -> None:
    assert found(f"outlier_detection: {{{text}}}", "outlier") == OUTLIER | changed


def test_failures_of_gateways_are_requests_without_an_answer_with_a_warning() -> None:
    outcome = cluster(
        BASE + "outlier_detection: {consecutive_gateway_failure: 4, enforcing_consecutive_gateway_failure: 100}"
    )
    assert errors(outcome) == []
    assert outcome.sections[0]["outlier"] == OUTLIER | {"split": True, "consecutive_local": 4}
    assert len(warnings(outcome)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "enforcing_consecutive_5xx: 50",
        "max_ejection_time_jitter: 1s",
        "successful_active_health_check_uneject_host: false",
        "enforcing_local_origin_success_rate: 0",
        "enforcing_failure_percentage: 100, failure_percentage_minimum_hosts: 2",
        "monitors: [{name: x}]",
    ],
)
def test_fields_of_outlier_detection_that_we_have_not_are_named(text: str) -> None:
    assert len(errors(cluster(BASE + f"outlier_detection: {{{text}}}"))) == 1
