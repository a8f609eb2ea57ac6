"""Envoy's endpoints as ours."""

from __future__ import annotations

from envoy_messages import errors, message

from metaproxy.envoy.endpoints import endpoints_of
from metaproxy.envoy.fields import Fields
from metaproxy.envoy.report import Report

ADDRESS = "endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}"


def endpoints(text: str) -> tuple[object, list[str]]:
    report = Report()
    fields = Fields(message("envoy.config.endpoint.v3.ClusterLoadAssignment", text), "e", report)
    found = endpoints_of(fields)
    fields.close()
    return found, errors(report)


def test_weight_zone_and_priority_are_kept() -> None:
    one = f"{{{ADDRESS % 1}, load_balancing_weight: 7}}"
    text = f"endpoints: [{{priority: 2, locality: {{region: r, zone: z}}, lb_endpoints: [{one}]}}]"
    assert endpoints(text) == ([{"address": "127.0.0.1:1", "weight": 7, "zone": "z", "priority": 2}], [])


def test_those_that_are_said_to_be_ill_are_left_out() -> None:
    text = ", ".join(
        f"{{{ADDRESS % n}, health_status: {status}}}"
        for n, status in enumerate(("UNKNOWN", "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"), 1)
    )
    found, wrong = endpoints(f"endpoints: [{{lb_endpoints: [{text}]}}]")
    assert wrong == []
    assert found == [{"address": f"127.0.0.1:{n}"} for n in (1, 2, 6)]


def test_one_without_an_address_is_malformed() -> None:
    for text in ("{}", "{endpoint: {}}"):
        found, wrong = endpoints(f"endpoints: [{{lb_endpoints: [{text}]}}]")
        assert found == []
        assert len(wrong) == 1
