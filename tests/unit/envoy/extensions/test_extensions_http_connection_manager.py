"""Envoy's HttpConnectionManager as a listener of ours."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_http import manager, section_of
from envoy_messages import errors, warnings

from metaproxy.envoy.report import Report
from metaproxy.envoy.tables import ADS, Context, Need

ROUTES = (
    "route_config: {virtual_hosts: [{name: a, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]}"
)


def section(fields: str) -> dict[str, Any]:
    return section_of(manager(f"{ROUTES}\n{fields}\n"))


def test_no_more_than_what_envoy_does_by_itself() -> None:
    found = section("")
    assert found["protocol"] == {"name": "http", "via": "", "upgrade": []}
    assert found["routes"] == [{"cluster": "a"}]


@pytest.mark.parametrize(
    ("fields", "key", "value"),
    [
        ("codec_type: HTTP2", "http1", False),
        ("via: edge", "via", "edge"),
        ("xff_num_trusted_hops: 2\nuse_remote_address: true", "trusted_hops", 2),
        ("max_request_headers_kb: 96", "max_head", 98304),
        ("common_http_protocol_options: {max_headers_count: 50}", "max_fields", 50),
        ("http2_protocol_options: {max_concurrent_streams: 10}", "max_streams", 10),
        ("http2_protocol_options: {initial_stream_window_size: 65536}", "window", 65536),
        ("http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 5s}}", "ping_interval", "30s"),
        ("request_headers_timeout: 5s", "head_timeout", "5s"),
        ("upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: foo, enabled: false}]", "upgrade", ["websocket"]),
        ("upgrade_configs: [{upgrade_type: CONNECT}]", "connect", True),
    ],
)
def test_options_of_the_codec(fields: str, key: str, value: object) -> None:
    assert section(fields)["protocol"][key] == value


@pytest.mark.parametrize(
    ("fields", "key", "value"),
    [
        ("common_http_protocol_options: {idle_timeout: 60s}", "idle_timeout", "60s"),
        ("stream_idle_timeout: 0s", "stream_idle", "0s"),
        ("use_remote_address: true", "reserved_keys", "strip"),
        (
            "access_log: [{name: envoy.access_loggers.stdout}]",
            "access_log",
            None,
        ),
    ],
)
def test_options_of_the_listener(fields: str, key: str, value: object) -> None:
    found = section(fields)[key]
    assert found == value if value is not None else found[0]["file"] == "/dev/stdout"


@pytest.mark.parametrize(
    ("fields", "stays"),
    [
        ("", "never"),
        ("forward_client_cert_details: SANITIZE", "never"),
        ("forward_client_cert_details: FORWARD_ONLY", "with_certificate"),
        ("forward_client_cert_details: ALWAYS_FORWARD_ONLY", None),
        ("use_remote_address: true", None),
        ("use_remote_address: true\nforward_client_cert_details: FORWARD_ONLY", "with_certificate"),
        ("use_remote_address: true\nforward_client_cert_details: ALWAYS_FORWARD_ONLY", "always"),
    ],
)
def test_what_clients_say_of_certificates_stays_only_where_the_manager_says_so(fields: str, stays: str | None) -> None:
    """`never` is what `reserved_keys: strip` means, and `always` what a listener without it does."""
    assert section(fields).get("forward_client_cert") == stays


@pytest.mark.parametrize("way", ["APPEND_FORWARD", "SANITIZE_SET"])
def test_a_manager_that_would_say_something_itself_takes_away_what_clients_say(way: str) -> None:
    outcome = manager(f"{ROUTES}\nforward_client_cert_details: {way}\n", Context(Report(lenient=True)))
    assert section_of(outcome)["forward_client_cert"] == "never"
    assert any("forward_client_cert_details" in one for one in warnings(outcome))


def test_tracing() -> None:
    found = section(
        "tracing: {random_sampling: {value: 5}, custom_tags: [{tag: a, literal: {value: b}}, "
        "{tag: c, request_header: {name: X-C, default_value: d}}, {tag: e, environment: {name: E}}]}"
    )["tracing"]
    assert found["sampling"] == 5
    assert found["tags"] == {"a": {"literal": "b"}, "c": {"metadata": "x-c", "default": "d"}, "e": {"env": "E"}}


def test_routes_may_come_from_a_server() -> None:
    outcome = manager("rds: {route_config_name: web, config_source: {ads: {}, resource_api_version: V3}}")
    assert section_of(outcome)["routes"] == {"rds": {"name": "web"}}
    assert outcome.needs == [Need("routes", "web", ADS)]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ("codec_type: HTTP3", "codec_type"),
        ("normalize_path: true", "normalize_path"),
        ("merge_slashes: true", "merge_slashes"),
        ("skip_xff_append: true", "skip_xff_append"),
        ("forward_client_cert_details: APPEND_FORWARD", "forward_client_cert_details"),
        ("request_timeout: 5s", "request_timeout"),
        ("local_reply_config: {}", "local_reply_config"),
        ("strip_any_host_port: true", "strip_any_host_port"),
        ("server_name: me", "server_name"),
        ("common_http_protocol_options: {max_requests_per_connection: 5}", "max_requests_per_connection"),
        ("internal_address_config: {unix_sockets: true}", "internal_address_config"),
    ],
)
def test_what_is_not_there_is_named(fields: str, path: str) -> None:
    (error,) = errors(manager(f"{ROUTES}\n{fields}\n"))
    assert path in error


def test_hops_without_the_peers_address_are_warned_of() -> None:
    assert any("xff_num_trusted_hops" in one for one in warnings(manager(f"{ROUTES}\nxff_num_trusted_hops: 1\n")))


def test_a_manager_without_routes_is_malformed() -> None:
    (error,) = errors(manager("codec_type: AUTO"))
    assert "no routes" in error
