"""What a real istiod sends (tests/golden/istiod, recorded by tests/interop/istio) becomes sections of ours."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from metaproxy.envoy.clusters import translate_cluster
from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.listeners import translate_listener
from metaproxy.envoy.message_types import message_class
from metaproxy.envoy.report import Report, Severity
from metaproxy.envoy.resources import name_of
from metaproxy.envoy.tables import Context, Need
from metaproxy.envoy.translated import Translated

GOLDEN = Path(__file__).parents[2] / "golden" / "istiod"
LISTENER, CLUSTER = "envoy.config.listener.v3.Listener", "envoy.config.cluster.v3.Cluster"
HELLO = "hello.shop.svc.cluster.local"


def message(kind: str, recorded: dict[str, Any]) -> Message:
    found = message_class(kind)
    assert found is not None
    if "base64" in recorded:
        return found.FromString(base64.b64decode(recorded["base64"]))
    made, report = found(), Report()
    fill(made, recorded, "", report)
    assert not report.findings
    return made


def translated(node: str) -> dict[str, Translated]:
    """All listeners and clusters of a node by their names."""
    recorded = json.loads((GOLDEN / f"{node}.json").read_text())
    outcome = {}
    for one in recorded["listeners"]:
        made = message(LISTENER, one)
        outcome[name_of("listeners", made)] = translate_listener(made, Context(Report(lenient=True)), "listener")
    for one in recorded["clusters"]:
        made = message(CLUSTER, one)
        outcome[name_of("clusters", made)] = translate_cluster(made, Context(Report(lenient=True)), "cluster")
    return outcome


@pytest.mark.parametrize("node", ["gateway", "sidecar"])
def test_nothing_that_it_sends_counts_as_malformed(node: str) -> None:
    found = [one for outcome in translated(node).values() for one in outcome.report.findings]
    assert [str(one) for one in found if one.severity is Severity.INVALID] == []


def test_a_listener_with_aerakis_filter_takes_its_routes_from_aeraki() -> None:
    outcome = translated("gateway")["0.0.0.0_9090"]
    (section,) = outcome.sections
    assert (section["listen"], section["protocol"]) == (["0.0.0.0:9090"], "thrift")
    assert section["routes"] == {"rds": {"name": f"{HELLO}_9090", "server": "aeraki-xds"}}
    assert outcome.needs == [Need("routes", f"{HELLO}_9090", "aeraki-xds")]


def test_a_cluster_of_a_subset_has_its_endpoints_from_the_aggregated_stream_and_the_rules_policy() -> None:
    outcome = translated("gateway")[f"outbound|9090|v1|{HELLO}"]
    (section,) = outcome.sections
    assert section["discovery"] == {"eds": f"outbound|9090|v1|{HELLO}"}
    assert outcome.needs[0] == Need("endpoints", f"outbound|9090|v1|{HELLO}", "ads")
    assert (section["connect_timeout"], section["balancer"]) == (
        "3s", {"name": "ring_hash", "minimum_ring_size": 1024},
    )  # fmt: skip
    assert section["breaker"]["max_connections"] == 10  # type: ignore[index]
    assert section["outlier"]["consecutive_errors"] == 3  # type: ignore[index]


def test_the_cluster_that_refuses_all_has_no_endpoints() -> None:
    assert translated("gateway")["BlackHoleCluster"].sections[0]["endpoints"] == []


def test_a_sidecars_outbound_listeners_are_not_bound_and_the_virtual_one_hands_over_to_them() -> None:
    outcome = translated("sidecar")
    (cart,) = outcome["10.96.0.77_20880"].sections
    assert (cart["protocol"], cart["meant_for"]) == ("dubbo", ["10.96.0.77:20880"]) and "listen" not in cart
    virtual = outcome["virtualOutbound"].sections[-1]
    assert (virtual["listen"], virtual["hand_over"], virtual["original_destination"]) == (["0.0.0.0:15001"], True, True)
    assert [chain.get("match") for chain in virtual["chains"]] == [{"port": 15001}, None]  # type: ignore[attr-defined]


def test_a_sidecars_inbound_chains_are_listeners_behind_one() -> None:
    outcome = translated("sidecar")["virtualInbound"]
    *behind, front = outcome.sections
    assert front["listen"] == ["0.0.0.0:15006"] and front["original_destination"] is True
    chains = {chain["listener"]: chain.get("match") for chain in front["chains"]}  # type: ignore[attr-defined]
    assert {one["name"] for one in behind} == set(chains)
    assert {"port": 21880, "encrypted": False} in chains.values()
    mutual = [name for name, match in chains.items() if "alpn" in match and match["encrypted"]]
    assert mutual and all(one["routes"] == [] for one in behind if one["name"] in mutual), "no certificate, no mTLS"
    (aeraki,) = [one for one in behind if chains[one["name"]] == {"port": 21880, "encrypted": False}]
    assert aeraki["protocol"] == "dubbo"


def test_certificates_of_the_agent_are_needed_by_both_directions() -> None:
    outcome = translated("sidecar")
    wanted = {Need("secrets", "default", "sds-grpc")}
    assert wanted <= set(outcome["virtualInbound"].needs)
    assert wanted <= set(outcome[f"outbound|9090|v1|{HELLO}"].needs)
