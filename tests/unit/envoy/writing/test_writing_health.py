"""Limits, outlier detection and health checks as Envoy has them; that they come back: test_writing_clusters.py."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_round_trip import written


def cluster(keys: str, protocol: str = "http") -> Any:
    text = (
        f"listeners: [{{name: l, listen: '127.0.0.1:80', protocol: {protocol}, routes: [{{cluster: a}}]}}]\n"
        f"clusters: [{{name: a, endpoints: ['127.0.0.1:1'], {keys}}}]\n"
    )
    return written(text)["static_resources"]["clusters"][0]


def test_all_limits_are_written_as_envoys_defaults_are_others() -> None:
    (threshold,) = cluster("connect_timeout: 1s")["circuit_breakers"]["thresholds"]
    assert threshold == {
        "max_connections": 1024, "max_pending_requests": 1024, "max_requests": 65536, "max_retries": 3,
    }  # fmt: skip


def test_a_rule_that_is_off_is_not_enforced() -> None:
    found = cluster("outlier: {consecutive_errors: 0}")["outlier_detection"]
    assert (found["enforcing_consecutive_5xx"], found["enforcing_success_rate"]) == (0, 100)


@pytest.mark.parametrize(("protocol", "key"), [("redis", "custom_health_check"), ("grpc", "grpc_health_check")])
def test_a_codecs_own_check(protocol: str, key: str) -> None:
    (check,) = cluster("health_check: {kind: codec}", protocol)["health_checks"]
    assert key in check


def test_several_kinds_are_several_checks() -> None:
    checks = cluster("health_check: {kind: [tcp, {http: {path: /h}}]}")["health_checks"]
    assert ["tcp_health_check" in one for one in checks] == [True, False]
