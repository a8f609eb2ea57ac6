"""A whole configuration as a bootstrap, and back."""

from __future__ import annotations

import pytest
from envoy_round_trip import refused_by, round_trip, written

WHOLE = """
node: {id: p1, cluster: front, zone: z1, metadata: {a: b}}
admin: {listen: "127.0.0.1:9901"}
listeners:
  - {name: raw, listen: ["127.0.0.1:5432", "[::1]:5432"], protocol: tcp, max_connections: 5, routes: [{cluster: db}]}
clusters:
  - {name: db, endpoints: ["127.0.0.1:3"]}
"""


def test_node_admin_and_addresses_come_back() -> None:
    config = round_trip(WHOLE)
    assert (config.node.id, config.node.cluster, config.node.zone, dict(config.node.metadata)) == (
        "p1", "front", "z1", {"a": "b"},
    )  # fmt: skip
    assert config.admin.listen == "127.0.0.1:9901"
    (listener,) = config.listeners
    assert (listener.listen, listener.max_connections) == (("127.0.0.1:5432", "[::1]:5432"), 5)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("listeners: [{name: a, listen: '127.0.0.1:1', protocol: triple, routes: [{cluster: b}]}]", "protocol"),
        ("overload: {max_memory: 1GiB}", "overload"),
        ("runtime: {a: 1}", "runtime"),
        (
            "listeners: [{name: a, listen: '127.0.0.1:1', protocol: http, keepalive: {}, routes: [{cluster: b}]}]",
            "keepalive",
        ),
        (
            "listeners: [{name: a, listen: '127.0.0.1:1', protocol: http, max_frame: 1MiB, routes: [{cluster: b}]}]",
            "max_frame",
        ),
    ],
)
def test_what_has_no_counterpart_is_named(text: str, path: str) -> None:
    (line,) = refused_by(f"{text}\nclusters: [{{name: b, endpoints: ['127.0.0.1:2']}}]\n")
    assert path in line


def test_all_of_it_is_named_at_once() -> None:
    lines = refused_by(
        "runtime: {a: 1}\nlisteners: [{name: a, listen: '127.0.0.1:1', protocol: http, max_frame: 1MiB, "
        "routes: [{match: {cookie.a: b}, cluster: b}]}]\nclusters: [{name: b, endpoints: ['127.0.0.1:2']}]\n"
    )
    assert len(lines) == 3


@pytest.mark.parametrize("key", ["original_destination", "proxy_protocol"])
def test_what_comes_before_the_chain_comes_back(key: str) -> None:
    (listener,) = round_trip(WHOLE.replace("max_connections: 5", f"{key}: true")).listeners
    assert getattr(listener, key) is True


def test_directions_are_the_listeners() -> None:
    text = WHOLE.replace("protocol: tcp, max_connections: 5", "protocol: http, tracing: {direction: inbound}")
    listener = written(text + "tracing: {exporter: zipkin}\n")["static_resources"]["listeners"][0]
    assert listener["traffic_direction"] == "INBOUND"
