"""Where resources come from."""

from __future__ import annotations

import pytest
from envoy_messages import errors, message

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.report import Report
from metaproxy.envoy.resources import Kind
from metaproxy.envoy.sources import server_of
from metaproxy.envoy.tables import Context


def found(text: str) -> tuple[str | None, Context]:
    context = Context(Report())
    fields = Fields(message("envoy.config.core.v3.ConfigSource", text), "s", context.report)
    server = server_of(fields, "clusters", context)
    fields.close()
    return server, context


@pytest.mark.parametrize(
    ("text", "server", "item"),
    [
        ("ads: {}", "ads", None),
        ("self: {}", "ads", None),
        ("path: /f.yaml", "/f.yaml", {"server": "/f.yaml", "transport": "file"}),
        ("path_config_source: {path: /f, watched_directory: {path: /}}", "/f", {"server": "/f", "transport": "file"}),
        (
            "api_config_source: {api_type: DELTA_GRPC, grpc_services: [{envoy_grpc: {cluster_name: c}}]}",
            "c",
            {"cluster": "c", "transport": "delta"},
        ),
        (
            "api_config_source: {api_type: REST, cluster_names: [c], refresh_delay: 30s}",
            "c",
            {"cluster": "c", "transport": "rest", "refresh": "30s"},
        ),
    ],
)
def test_a_source_is_a_server(text: str, server: str, item: dict[str, object] | None) -> None:
    name, context = found(text)
    assert errors(context.report) == []
    assert name == server
    servers = {} if item is None else {server: {"name": server, **item, "ads": False, "resources": ["clusters"]}}
    assert context.servers == servers


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "api_config_source: {api_type: GRPC}",
        "api_config_source: {api_type: GRPC, grpc_services: [{google_grpc: {target_uri: x, stat_prefix: y}}]}",
        "api_config_source: {grpc_services: [{envoy_grpc: {cluster_name: c}}]}",
    ],
)
def test_a_source_without_a_server_is_reported(text: str) -> None:
    name, context = found(text)
    assert name is None
    assert errors(context.report)


def test_what_two_messages_need_of_a_server_is_put_together() -> None:
    context = Context(Report())
    text = "api_config_source: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: c}}]}"
    kinds: list[Kind] = ["clusters", "routes", "clusters"]
    for kind in kinds:
        fields = Fields(message("envoy.config.core.v3.ConfigSource", text), "s", context.report)
        assert server_of(fields, kind, context) == "c"
    assert context.servers["c"]["resources"] == ["clusters", "routes"]
