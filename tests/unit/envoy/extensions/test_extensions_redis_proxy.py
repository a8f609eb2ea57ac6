"""Envoy's redis_proxy as a listener of Redis."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_http import NETWORK, chain, section_of
from envoy_messages import CLUSTER, cluster, errors, message

from metaproxy.envoy.report import Report
from metaproxy.envoy.resources import Resources
from metaproxy.envoy.tables import Context

REDIS = f"{NETWORK}.redis_proxy.v3.RedisProxy"
TYPE = "type.googleapis.com/envoy.extensions.clusters.redis.v3.RedisClusterConfig"
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


def test_a_prefix_may_be_removed() -> None:
    routes = "routes: [{prefix: 'a.b', cluster: x, remove_prefix: true}]"
    for more, regex in (("", r"^a\.b"), ("case_insensitive: true, ", r"(?i)^a\.b")):
        found = section(f"settings: {{op_timeout: 5s}}\nprefix_routes: {{{more}{routes}}}")
        assert found["routes"][0]["rewrite"] == {"key": {"regex": regex, "to": ""}}
    assert (
        section(BASE.replace("cluster: all", "cluster: all, remove_prefix: true"))["routes"][0].get("rewrite") is None
    )


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
        (BASE.replace("cluster: all", "cluster: all, key_formatter: x"), "key_formatter"),
        (f"{BASE}\ncustom_commands: [x]", "custom_commands"),
        (BASE.replace("op_timeout: 5s", ""), "op_timeout"),
    ],
)
def test_what_is_not_there_is_named(fields: str, path: str) -> None:
    (error,) = errors(chain(REDIS, fields))
    assert path in error


# -- Redis Cluster


NODES = f"""
name: nodes
connect_timeout: 1s
lb_policy: CLUSTER_PROVIDED
cluster_type: {{name: envoy.clusters.redis, typed_config: {{"@type": {TYPE}, cluster_refresh_rate: 2s}}}}
load_assignment:
  cluster_name: nodes
  endpoints:
  - lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: redis.demo, port_value: 7000}}}}}}}}]
"""
PLAIN = "name: plain\nconnect_timeout: 1s\nlb_policy: MAGLEV\nload_assignment: {endpoints: []}"


def known() -> Context:
    clusters = {"nodes": message(CLUSTER, NODES), "plain": message(CLUSTER, PLAIN)}
    return Context(Report(), Resources(clusters=clusters))


def of_nodes(settings: str, route: str = "") -> Any:
    fields = f"settings: {{op_timeout: 5s{settings}}}\nprefix_routes: {{catch_all_route: {{cluster: nodes{route}}}}}"
    return chain(REDIS, fields, known())


def test_a_redis_cluster_tells_its_nodes_itself() -> None:
    outcome = cluster(NODES)
    assert errors(outcome) == []
    made: Any = outcome.sections[0]
    assert (made["topology"], made["topology_interval"]) == ("cluster", "2s")
    assert [one["address"] for one in made["endpoints"]] == ["redis.demo:7000"]
    assert "balancer" not in made


def test_it_has_one_database_and_redirections_are_followed() -> None:
    found = section_of(of_nodes(", enable_redirection: true"))
    assert found["protocol"] == {"name": "redis", "databases": 1}
    assert found["routes"] == [{"cluster": "nodes", "timeout": "5s"}]


@pytest.mark.parametrize(
    ("policy", "subset"),
    [
        ("MASTER", None),
        ("PREFER_MASTER", None),
        ("REPLICA", {"role": "replica"}),
        ("PREFER_REPLICA", {"role": "replica"}),
        ("ANY", {"role": "any"}),
    ],
)
def test_it_is_read_from_as_the_policy_says(policy: str, subset: object) -> None:
    routes = section_of(of_nodes(f", read_policy: {policy}"))["routes"]
    assert routes[-1] == {"cluster": "nodes", "timeout": "5s"}
    reads = routes[0] if len(routes) > 1 else {}
    assert reads.get("subset") == subset
    if reads:
        assert {"GET", "MGET", "HGETALL"} <= set(reads["match"]["command"]["in"])
        assert not {"SET", "GETDEL", "EVAL"} & set(reads["match"]["command"]["in"])


def test_copies_may_be_of_writes_alone() -> None:
    more = ", request_mirror_policy: [{cluster: plain, exclude_read_commands: true}, {cluster: nodes}]"
    reads, rest = section_of(of_nodes("", more))["routes"]
    assert reads["mirror"] == [{"cluster": "nodes"}]
    assert rest["mirror"] == [{"cluster": "plain"}, {"cluster": "nodes"}]
    assert "GET" in reads["match"]["command"]["in"]


def test_elsewhere_redirections_are_not_followed_and_any_server_is_read() -> None:
    fields = BASE.replace("cluster: all", "cluster: plain")
    (error,) = errors(chain(REDIS, fields.replace("5s", "5s, enable_redirection: true"), known()))
    assert "enable_redirection" in error
    found = section_of(chain(REDIS, fields.replace("5s", "5s, read_policy: ANY"), known()))
    assert found["routes"] == [{"cluster": "plain", "timeout": "5s", "hash": ["key"]}]
