"""Our clusters as Envoy's, and back."""

from __future__ import annotations

import pytest
from checked import accepted
from envoy_round_trip import refused_by, round_trip, written


def config(cluster: str, protocol: str = "http", route: str = "{cluster: a}") -> str:
    return (
        f"listeners: [{{name: l, listen: '127.0.0.1:80', protocol: {protocol}, routes: [{route}]}}]\n"
        f"clusters: [{{name: a, {cluster}}}]\n"
    )


@pytest.mark.parametrize(
    "cluster",
    [
        "endpoints: ['127.0.0.1:81', {address: '127.0.0.1:82', weight: 2, zone: b, priority: 1, metadata: {v: '1'}}]",
        "endpoints: ['unix:/run/a']",
        "endpoints: ['127.0.0.1:1'], balancer: {name: ring_hash, minimum_ring_size: 64}",
        "endpoints: ['127.0.0.1:1'], balancer: maglev, connect_timeout: 250ms, panic_threshold: 0",
        "endpoints: ['127.0.0.1:1'], balancer: least_request, slow_start: 30s",
        "endpoints: ['127.0.0.1:1'], breaker: {max_requests: 10, max_pending: 0, retry_budget: 20}",
        "endpoints: ['127.0.0.1:1'], outlier: {consecutive_errors: 0, failure_percent: 50, success_rate: 0}",
        "endpoints: ['127.0.0.1:1'], outlier: {split: true, consecutive_local: 7}",
        "endpoints: ['127.0.0.1:1'], outlier: {}",
        "endpoints: ['127.0.0.1:1'], health_check: {kind: tcp, interval: 2s}",
        "endpoints: ['127.0.0.1:1'], health_check: {kind: {http: {path: /h, host: h, port: 8, status: [200, 204]}}}",
        "endpoints: ['127.0.0.1:1'], keepalive: {idle: 30s, interval: 5s, count: 2}",
        "endpoints: ['127.0.0.1:1'], connections: {mode: pinned, max_requests: 100}",
        "endpoints: ['127.0.0.1:1'], protocol: {name: http, version: 2}",
    ],
)
def test_a_cluster_comes_back_as_it_was(cluster: str) -> None:
    assert round_trip(config(cluster)).clusters == accepted(config(cluster)).clusters


def test_a_name_is_asked_of_a_name_server() -> None:
    text = config("discovery: {dns: 'demo.example:80', refresh: 7s, family: v4}")
    (cluster,) = written(text)["static_resources"]["clusters"]
    assert (cluster["type"], cluster["dns_refresh_rate"], cluster["dns_lookup_family"]) == (
        "STRICT_DNS",
        "7s",
        "V4_ONLY",
    )


def test_the_login_at_redis_comes_back() -> None:
    text = config("endpoints: ['127.0.0.1:1'], credentials: {user: u, password: p}", "redis")
    assert dict(round_trip(text).clusters[0].credentials) == {"user": "u", "password": "p"}


def test_the_time_of_requests_is_that_of_the_routes() -> None:
    found = round_trip(config("endpoints: ['127.0.0.1:1'], request_timeout: 3s"))
    assert found.listeners[0].routes[0].timeout == 3.0


@pytest.mark.parametrize(
    ("cluster", "path"),
    [
        ("endpoints: ['127.0.0.1:1'], locality: {}", "locality"),
        ("endpoints: ['127.0.0.1:1'], outlier: {latency: {p99: 1s}}", "latency"),
        ("endpoints: ['127.0.0.1:1'], health_check: {kind: codec}", "health_check.kind"),
        ("endpoints: ['127.0.0.1:1'], health_check: {kind: {script: {send: '00', expect: a}}}", "script"),
        ("discovery: {file: /tmp/x.yaml}", "discovery"),
        ("endpoints: ['127.0.0.1:1'], connections: {per_endpoint: 5}", "per_endpoint"),
        ("endpoints: ['127.0.0.1:1'], balancer: {name: ring_hash, key: [x-user]}", "key"),
    ],
)
def test_what_has_no_counterpart_is_named(cluster: str, path: str) -> None:
    (line,) = refused_by(config(cluster))
    assert path in line
