"""Protocol options of clusters; test_envoy_cluster_types.py has the types that are extensions."""

from __future__ import annotations

import pytest
from envoy_messages import cluster, errors

from metaproxy.envoy.message_types import url

STATIC = """
name: demo
type: STATIC
connect_timeout: 1s
load_assignment: {cluster_name: demo}
"""


@pytest.mark.parametrize(
    ("which", "protocol"),
    [
        (
            "explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 1073741824}}",
            {"name": "http", "version": 2},
        ),
        ("explicit_http_config: {http_protocol_options: {}}", {"name": "http", "version": 1}),
        ("use_downstream_protocol_config: {}", None),
        ("auto_config: {}", None),
    ],
)
def test_clusters_of_http_say_their_version(which: str, protocol: object) -> None:
    options = f"""
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": {url("envoy.extensions.upstreams.http.v3.HttpProtocolOptions")}
    common_http_protocol_options: {{max_requests_per_connection: 7}}
    {which}
"""
    outcome = cluster(STATIC + options)
    assert errors(outcome) == []
    found = outcome.sections[0]
    assert found.get("protocol") == protocol
    assert found["connections"] == {"max_requests": 7}
