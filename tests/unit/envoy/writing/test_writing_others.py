"""Listeners of Redis and of raw bytes as redis_proxy and tcp_proxy, and back."""

from __future__ import annotations

import pytest
from checked import accepted
from envoy_round_trip import refused_by, round_trip


def text(routes: str, protocol: str, more: str = "") -> str:
    return (
        f"listeners: [{{name: l, listen: '127.0.0.1:80', protocol: {protocol}, routes: [{routes}]{more}}}]\n"
        "clusters: [{name: a, endpoints: ['127.0.0.1:1'], balancer: maglev}, "
        "{name: b, endpoints: ['127.0.0.1:2'], balancer: maglev}]\n"
    )


@pytest.mark.parametrize(
    ("routes", "protocol"),
    [
        (
            "{match: {key: {prefix: 'ab:'}}, cluster: a, hash: [key], timeout: 2s}, "
            "{cluster: b, hash: [key], timeout: 2s}",
            "redis",
        ),
        ("{cluster: a, hash: [key], timeout: 2s, mirror: [{cluster: b}]}", "{name: redis, auth: {password: p}}"),
        ("{cluster: a, hash: [key], timeout: 2s}", "{name: redis, auth: {users: {u: p}}}"),
        ("{cluster: a}", "tcp"),
        ("{clusters: {a: 1, b: 2}, hash: [source.address], retry: {attempts: 2, on: [connect]}}", "tcp"),
    ],
)
def test_a_listener_comes_back_as_it_was(routes: str, protocol: str) -> None:
    config = text(routes, protocol)
    assert round_trip(config).listeners == accepted(config).listeners


def test_time_without_a_byte_comes_back() -> None:
    assert float(round_trip(text("{cluster: a}", "tcp", ", stream_idle: 10s")).listeners[0].stream_idle) == 10


@pytest.mark.parametrize(
    ("routes", "protocol", "path"),
    [
        ("{match: {command: GET}, cluster: a}", "redis", "command"),
        ("{match: {key: {prefix: a}}, cluster: a}, {match: {key: {prefix: ab}}, cluster: b}", "redis", "routes[1]"),
        ("{match: {key: {prefix: a}}, cluster: a, timeout: 1s}, {cluster: b}", "redis", "routes"),
        ("{clusters: {a: 1, b: 1}}", "redis", "clusters"),
        ("{cluster: a}", "{name: redis, deny: [KEYS]}", "deny"),
        ("{cluster: a}", "{name: redis, auth: {users: {u: p, v: q}}}", "auth"),
        ("{cluster: a, hash: [tls.sni]}", "tcp", "hash"),
        ("{cluster: a, retry: {on: [connect, reset]}}", "tcp", "retry.on"),
        ("{match: {source.address: '1.2.3.4'}, cluster: a}", "tcp", "match"),
    ],
)
def test_what_has_no_counterpart_is_named(routes: str, protocol: str, path: str) -> None:
    (line,) = refused_by(text(routes, protocol))
    assert path in line
