"""Envoy's redis_proxy as a listener of Redis."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_http import NETWORK, chain, section_of
from envoy_messages import cluster, errors

REDIS = f"{NETWORK}.redis_proxy.v3.RedisProxy"
BASE = "settings: {op_timeout: 5s}\nprefix_routes: {catch_all_route: {cluster: all}}"


def section(fields: str) -> dict[str, Any]:
    return section_of(chain(REDIS, fields))


def test_every_command_goes_to_its_key_at_the_cluster_for_all() -> None:
    found = section(BASE)
    assert found["protocol"] == "redis"
    assert found["routes"] == [{"cluster": "all", "timeout": "5s", "hash": ["key"]}]


def test_the_longest_prefix_comes_first() -> None:
    found = section(
        "settings: {op_timeout: 5s}\nprefix_routes: {case_insensitive: true, routes: [{prefix: a, cluster: x}, "
        "{prefix: 'ab:', cluster: y, request_mirror_policy: [{cluster: copy, runtime_fraction: {default_value: "
        "{numerator: 10}}}]}], catch_all_route: {cluster: z}}"
    )
    assert [(one.get("match"), one["cluster"]) for one in found["routes"]] == [
        ({"key": {"prefix": "ab:", "ignore_case": True}}, "y"),
        ({"key": {"prefix": "a", "ignore_case": True}}, "x"),
        (None, "z"),
    ]
    assert found["routes"][0]["mirror"] == [{"cluster": "copy", "percent": 10}]


@pytest.mark.parametrize(
    ("fields", "protocol"),
    [
        ("downstream_auth_password: {inline_string: p}", {"name": "redis", "auth": {"password": "p"}}),
        (
            "downstream_auth_username: {inline_string: u}\ndownstream_auth_passwords: [{inline_string: p}]",
            {"name": "redis", "auth": {"users": {"u": "p"}}},
        ),
        (
            "downstream_auth_passwords: [{inline_string: p}, {inline_string: q}]",
            {"name": "redis", "users": [{"name": "default", "passwords": ["p", "q"], "rules": "+@all ~* &*"}]},
        ),
    ],
)
def test_clients_log_in(fields: str, protocol: object) -> None:
    assert section(f"{BASE}\n{fields}")["protocol"] == protocol


def test_faults() -> None:
    (found,) = section(
        f"{BASE}\nfaults: [{{fault_type: ERROR, fault_enabled: {{default_value: {{numerator: 50}}}}, "
        "commands: [get]}, {fault_type: DELAY, fault_enabled: {default_value: {numerator: 10}}, delay: 1s}]"
    )["filters"]
    assert found["fault"]["faults"] == [
        {
            "percentage": 50, "match": {"command": {"in": ["GET"]}},
            "error": {"kind": "internal", "message": "Fault Injected: Error"},
        },
        {"percentage": 10, "delay": "1s"},
    ]  # fmt: skip


def test_the_proxy_logs_in_at_servers() -> None:
    options = "auth_username: {inline_string: u}, auth_password: {inline_string: p}"
    type = f"type.googleapis.com/{NETWORK}.redis_proxy.v3.RedisProtocolOptions"
    outcome = cluster(
        f"""
name: cache
connect_timeout: 1s
load_assignment: {{endpoints: []}}
typed_extension_protocol_options: {{envoy.filters.network.redis_proxy: {{"@type": {type}, {options}}}}}
"""
    )
    assert errors(outcome) == []
    assert outcome.sections[0]["credentials"] == {"user": "u", "password": "p"}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        (BASE.replace("5s", "5s, enable_redirection: true"), "enable_redirection"),
        (BASE.replace("5s", "5s, read_policy: ANY"), "read_policy"),
        (BASE.replace("cluster: all", "cluster: all, remove_prefix: true"), "remove_prefix"),
        (f"{BASE}\ncustom_commands: [x]", "custom_commands"),
        (BASE.replace("op_timeout: 5s", ""), "op_timeout"),
    ],
)
def test_what_is_not_there_is_named(fields: str, path: str) -> None:
    (error,) = errors(chain(REDIS, fields))
    assert path in error
