"""ServiceEntry, WorkloadEntry, DestinationRule, VirtualService: their checks."""

from __future__ import annotations

import pytest
from mesh_objects import problems_of, read_one

from metaproxy.mesh.objects.destination_rule import DestinationRule
from metaproxy.mesh.objects.service_entry import ServiceEntry

PORTS = "ports: [{number: 20880, name: tcp-metaprotocol-dubbo, protocol: TCP}]"


@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    [
        ("ServiceEntry", "{hosts: [a.b], ports: []}", "spec.ports: an empty list"),
        ("ServiceEntry", "{hosts: [a.b], ports: [{number: 1, name: tcp-metaprotocol}]}", "names no protocol"),
        ("ServiceEntry", "{hosts: [a.b], ports: [{number: 1, name: a}, {number: 1, name: b}]}", "have the number 1"),
        ("ServiceEntry", "{hosts: [a.b], ports: [{number: 1, name: a}, {number: 2, name: a}]}", "have the name a"),
        ("ServiceEntry", f"{{hosts: [a.b], {PORTS}, resolution: NONE}}", "NONE is not supported"),
        (
            "ServiceEntry",
            f"{{hosts: [a.b], {PORTS}, endpoints: [{{address: 127.0.0.1}}], workloadSelector: {{labels: {{a: b}}}}}}",
            "exclude each other",
        ),
        ("WorkloadEntry", '{address: "not one"}', "neither an address nor a name"),
        ("WorkloadEntry", "{address: 127.0.0.1, ports: {x: 70000}}", "out of bounds"),
        ("DestinationRule", "{host: a.b, subsets: [{name: v1}, {name: v1}]}", "two subsets have the name 'v1'"),
        ("DestinationRule", "{host: a.b, trafficPolicy: {tls: {mode: MUTUAL}}}", "MUTUAL needs"),
        ("DestinationRule", "{host: a.b, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}", "write MUTUAL with files"),
        ("DestinationRule", "{host: a.b, trafficPolicy: {outlierDetektion: {}}}", "did you mean 'outlierDetection'?"),
        ("DestinationRule", "{host: a.b, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}", "PASSTHROUGH"),
        (
            "VirtualService",
            "{hosts: [a.b], http: [{route: [{destination: {host: a.b}, weight: 1}, {destination: {host: c.d}}]}]}",
            "have the sum 1",
        ),
        ("Gateway", "{servers: []}", "an empty list"),
        ("DubboAuthorizationPolicy", "{action: AUDIT}", "write ALLOW, DENY"),
        ("DubboAuthorizationPolicy", "{rules: [{form: []}]}", "did you mean 'from'?"),
        ("Service", "{ports: [{name: x}]}", "port is missing"),
    ],
)
def test_it_is_refused_with_the_reason(kind: str, spec: str, said: str) -> None:
    found = problems_of(kind, spec)
    assert any(said in text for text in found), found


def test_its_servers_listen_at_its_own_ports_where_nothing_else_is_said() -> None:
    made = read_one("ServiceEntry", "x", f"{{hosts: [a.b], {PORTS}}}").spec
    assert isinstance(made, ServiceEntry)
    assert made.ports[0].target_port is None
    assert (made.resolution, made.addresses, made.endpoints, made.export_to) == ("STATIC", (), (), ())


def test_a_rule_has_the_defaults_of_istio() -> None:
    made = read_one("DestinationRule", "x", "{host: a.b, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 2}}}")
    assert isinstance(made.spec, DestinationRule)
    policy = made.spec.traffic_policy
    assert policy is not None and policy.outlier_detection is not None
    assert (policy.outlier_detection.consecutive_5xx_errors, policy.outlier_detection.max_ejection_percent) == (2, 10)
    assert policy.tls is None


def test_keys_without_effect_are_warnings() -> None:
    found = read_one("DestinationRule", "x", "{host: a.b, trafficPolicy: {tunnel: {}}}").warnings
    assert [text.split(": ", 2)[2] for text in found] == ["spec.trafficPolicy.tunnel: has no effect here"]
