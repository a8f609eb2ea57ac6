"""What the doors of a listener need."""

from __future__ import annotations

import pytest
from checked import refused

NONE = "has no effect: redis gives clients no addresses of nodes"


def written(nodes: str, more: str = "", routes: str = "[{cluster: a}]") -> str:
    return f"""
listeners:
  - {{name: front, listen: "127.0.0.1:9092", protocol: redis, nodes: {nodes}, routes: {routes}{more}}}
clusters:
  - {{name: a, topology: cluster, endpoints: ["127.0.0.1:1"]}}
  - {{name: b, topology: cluster, endpoints: ["127.0.0.1:2"]}}
"""


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ("{}", "write ports, such as {ports: 9100-9199}, or {sni: "),
        ("{ports: 9100-9101, sni: 'b-{node}.example.org', port: 1}", "write ports, such as"),
        ("{ports: 9100}", "is no range of ports; write FIRST-LAST, such as 9100-9199"),
        ("{ports: 9101-9100}", "is no range of ports"),
        ("{ports: 1-65535}", "65535 ports; allowed are 1000"),
        ("{ports: 9100-9101, port: 9092}", "has no effect without sni; leave it out"),
        ("{ports: 9100-9101, advertise: 'a b'}", "'a b' is no host; write a name or an address"),
        ("{sni: broker.example.org, port: 1}", "is no name with {node} in it once"),
        ("{sni: '{node}-{node}.example.org', port: 1}", "is no name with {node} in it once"),
        ("{sni: 'b-{node}.example.org'}", "sni needs port"),
        ("{sni: 'b-{node}.example.org', port: 1}", "sni needs tls"),
        ("{sni: 'b-{node}.example.org', port: 1, advertise: x}", "has no effect without ports; leave it out"),
        ("{ports: 9091-9099}", "127.0.0.1:9092 is taken already, by listeners[0].listen in line 3"),
    ],
)
def test_what_cannot_work_is_refused(nodes: str, text: str) -> None:
    assert any(text in one for one in refused(written(nodes))), refused(written(nodes))


@pytest.mark.parametrize("nodes", ["{ports: 9100-9101}", "{ports: 9100-9101, advertise: '::1'}"])
def test_only_a_protocol_that_names_nodes_has_doors(nodes: str) -> None:
    (problem,) = refused(written(nodes))
    assert NONE in problem


def test_doors_lead_to_one_cluster() -> None:
    text = written("{ports: 9100-9101}", routes="[{match: {command: GET}, cluster: a}, {cluster: b}]")
    assert any("its routes lead to several clusters (a, b)" in one for one in refused(text))


def test_a_mirror_is_no_cluster_that_doors_lead_to() -> None:
    text = written("{ports: 9100-9101}", routes="[{cluster: a, mirror: b}]")
    assert not any("several clusters" in one for one in refused(text)), refused(text)
