"""Envoy's clusters become clusters of ours."""

from __future__ import annotations

from envoy_messages import cluster, errors

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


def test_a_static_cluster_has_endpoints() -> None:
    outcome = cluster(STATIC)
    assert errors(outcome) == []
    assert outcome.sections == [
        {
            "name": "demo",
            "endpoints": [{"address": "127.0.0.1:1", "weight": 3, "zone": "a", "priority": 1}],
            "balancer": "round_robin",
            "connect_timeout": "250ms",
        }
    ]


def test_a_field_without_a_counterpart_is_named() -> None:
    outcome = cluster(STATIC + "upstream_bind_config: {source_address: {address: 127.0.0.1, port_value: 0}}")
    assert [one.path for one in outcome.report.errors] == ["cluster.upstream_bind_config"]
