"""Envoy's clusters become clusters of ours."""

from __future__ import annotations

import pytest
from envoy_messages import cluster, errors, warnings

from metaproxy.envoy.report import Report
from metaproxy.envoy.tables import Context

STATIC = """
name: demo
type: STATIC
connect_timeout: 0.25s
load_assignment:
  cluster_name: demo
  endpoints:
  - locality: {zone: a}
    priority: 1
    lb_endpoints:
    - {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}, load_balancing_weight: 3}
    - {endpoint: {address: {socket_address: {address: "::1", port_value: 2}}}, health_status: UNHEALTHY}
"""


def section(text: str) -> dict[str, object]:
    outcome = cluster(STATIC + text)
    assert errors(outcome) == []
    return outcome.sections[0]


def test_a_static_cluster_has_endpoints() -> None:
    assert section("") == {
        "name": "demo",
        "endpoints": [{"address": "127.0.0.1:1", "weight": 3, "zone": "a", "priority": 1}],
        "balancer": "round_robin",
        "connect_timeout": "250ms",
    }


def test_connecting_may_take_five_seconds_where_nothing_is_said() -> None:
    outcome = cluster(STATIC.replace("connect_timeout: 0.25s\n", ""))
    assert outcome.sections[0]["connect_timeout"] == "5s"


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("max_requests_per_connection: 1", "connections", {"max_requests": 1}),
        ("connection_pool_per_downstream_connection: true", "connections", {"mode": "pinned"}),
        (
            "common_http_protocol_options: {idle_timeout: 60s, max_connection_duration: 3600s}",
            "connections",
            {"idle_timeout": "60s", "max_age": "3600s"},
        ),
        (
            "upstream_connection_options: {tcp_keepalive: {keepalive_time: 300}}",
            "keepalive",
            {"count": 9, "idle": "300s", "interval": "75s"},
        ),
        ("common_lb_config: {healthy_panic_threshold: {value: 0}}", "panic_threshold", 0),
        ("common_lb_config: {zone_aware_lb_config: {}}", "locality", {"prefer": "zone"}),
        ("metadata: {filter_metadata: {metaproxy: {request_timeout: 60s}, istio: {a: b}}}", "request_timeout", "60s"),
        ("alt_stat_name: other", "name", "demo"),
    ],
)
def test_a_field_becomes_a_key(text: str, key: str, value: object) -> None:
    assert section(text)[key] == value


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (
            "upstream_bind_config: {source_address: {address: 127.0.0.1, port_value: 7}}",
            "upstream_bind_config.source_address.port_value",
        ),
        ("filters: [{name: acme.magic}]", "filters[0]"),
        ("per_connection_buffer_limit_bytes: 1024", "per_connection_buffer_limit_bytes"),
        ("preconnect_policy: {per_upstream_preconnect_ratio: 2}", "preconnect_policy"),
        ("close_connections_on_host_health_failure: true", "close_connections_on_host_health_failure"),
        (
            "common_lb_config: {ignore_new_hosts_until_first_hc: true}",
            "common_lb_config.ignore_new_hosts_until_first_hc",
        ),
        (
            "common_lb_config: {zone_aware_lb_config: {routing_enabled: {value: 50}}}",
            "common_lb_config.zone_aware_lb_config.routing_enabled",
        ),
        ("dns_refresh_rate: 3s", "dns_refresh_rate"),
    ],
)
def test_a_field_without_a_counterpart_is_named(text: str, path: str) -> None:
    outcome = cluster(STATIC + text)
    assert [one.path for one in outcome.report.errors] == [f"cluster.{path}"]


def test_a_cluster_without_a_name_is_malformed() -> None:
    assert errors(cluster(STATIC.replace("name: demo\ntype", "type"))) == ["cluster: name is missing"]


@pytest.mark.parametrize(("older", "version"), [("http_protocol_options: {}", 1), ("http2_protocol_options: {}", 2)])
def test_the_version_of_http_as_older_configurations_say_it(older: str, version: int) -> None:
    """A sidecar's bootstrap has it at the cluster of its agent."""
    assert section(older)["protocol"] == {"name": "http", "version": version}


def test_protocol_options_that_are_not_known_are_named() -> None:
    options = 'typed_extension_protocol_options: {acme: {"@type": type.googleapis.com/acme.Magic}}'
    outcome = cluster(STATIC + options)
    assert [one.path for one in outcome.report.errors] == ["cluster.typed_extension_protocol_options.acme"]


def test_a_transport_socket_that_is_not_known_makes_the_cluster_unusable() -> None:
    outcome = cluster(STATIC + "transport_socket: {name: acme.magic}")
    assert outcome.sections == []
    assert len(errors(outcome)) == 1
    assert warnings(outcome) == []


MTLS = """
name: demo
connect_timeout: 1s
type: STATIC
load_assignment: {{cluster_name: demo}}
filters: [{{name: istio.metadata_exchange}}]
upstream_bind_config: {{source_address: {{address: 127.0.0.6, port_value: 0}}}}
transport_socket_matches:
- name: tlsMode-istio
  match: {{tlsMode: istio}}
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      sni: outbound_.80_._.demo
      common_tls_context: {0}
- name: tlsMode-disabled
  match: {{}}
  transport_socket:
    name: envoy.transport_sockets.raw_buffer
    typed_config: {{"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}
"""
FILES = "{validation_context: {trusted_ca: {filename: /ca.pem}}, alpn_protocols: [istio-peer-exchange, istio]}"
SECRET = "{tls_certificate_sds_secret_configs: [{name: default, sds_config: {ads: {}}}]}"


def test_endpoints_that_istio_marks_are_spoken_to_over_tls_from_the_address_that_it_names() -> None:
    outcome = cluster(MTLS.format(FILES))
    assert errors(outcome) == []
    (section,) = outcome.sections
    assert section["tls"] == {
        "server_name": "outbound_.80_._.demo", "alpn": ["istio"], "ca": "/ca.pem", "verify_name": False,
        "when": {"tlsMode": "istio"},
    }  # fmt: skip
    assert section["connections"] == {"source": "127.0.0.6"}


def test_without_their_certificate_the_others_are_spoken_to_all_the_same() -> None:
    outcome = cluster(MTLS.format(SECRET), Context(Report(lenient=True)))
    (section,) = outcome.sections
    tls = section["tls"]
    assert isinstance(tls, dict)
    assert tls["when"] == {"tlsMode": "istio"} and "'default' is not there" in str(tls["unavailable"])
    assert [need.kind for need in outcome.needs] == ["secrets"]


def test_two_kinds_of_tls_are_one_too_many() -> None:
    text = (
        MTLS.format(FILES)
        .replace("match: {}", "match: {tlsMode: other}")
        .replace("raw_buffer.v3.RawBuffer", "tls.v3.UpstreamTlsContext")
    )
    (error,) = errors(cluster(text.replace("envoy.transport_sockets.raw_buffer", "envoy.transport_sockets.tls")))
    assert "transport_socket_matches[0]" in error
