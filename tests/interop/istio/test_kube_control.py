"""
A real API server as the source of a control plane.

Lives here: objects and ConfigMaps in, what is served out. Does not: what objects mean (tests/unit/mesh).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from controlled import ControlPlane
from kube_peers import Cluster
from running import eventually

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


def config_map(name: str, text: str, version: str = "") -> dict[str, Any]:
    labels = {"metaproxy.io/control": "true", **({"metaproxy.io/version": version} if version else {})}
    return {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "data": {"a.yaml": text},
    }  # fmt: skip


def put(cluster: Cluster, found: dict[str, Any]) -> None:
    path = f"/api/v1/namespaces/shop/configmaps/{found['metadata']['name']}?fieldManager=test&force=true"
    cluster.ask("PATCH", path, found, "application/apply-patch+yaml")


def text(stat: str) -> str:
    return f"resources: [{{'@type': {CLUSTER}, name: a, alt_stat_name: {stat}}}]"


@pytest.fixture
def plane(cluster: Cluster, tmp_path: Path) -> Iterator[ControlPlane]:
    for name, version in (("one", "v1"), ("two", "v2")):
        put(cluster, config_map(name, text(name), version))
    kubeconfig = cluster.kubeconfig_of("mesh", "metaproxy-control")  # with the rights of deploy/kubernetes
    settings = {"kubernetes": {"kubeconfig": str(kubeconfig), "namespace": "shop"}}
    made = ControlPlane("kubernetes", settings, tmp_path)
    assert eventually(made.versions, 30)
    yield made
    made.stop()


def test_entries_of_config_maps_are_served_and_a_change_is_followed(cluster: Cluster, plane: ControlPlane) -> None:
    before = plane.versions()
    assert set(before) == {"v1", "v2"}
    put(cluster, config_map("two", text("three"), "v2"))
    assert eventually(lambda: plane.versions()["v2"] != before["v2"], 15)
    assert plane.versions()["v1"] == before["v1"]


def test_an_api_server_that_is_killed_changes_nothing_and_is_read_again(cluster: Cluster, plane: ControlPlane) -> None:
    before = plane.versions()
    cluster.kill()
    assert eventually(lambda: plane.get("/fleet")["lost"], 30)
    assert plane.versions() == before
    cluster.start()
    put(cluster, config_map("two", text("four"), "v2"))
    assert eventually(lambda: plane.versions()["v2"] != before["v2"], 40)


def test_the_end_of_a_rollout_is_written_to_the_api_server(cluster: Cluster, plane: ControlPlane) -> None:
    start = (datetime.now(UTC) - timedelta(seconds=5)).isoformat(timespec="seconds")
    rollout = f"rollout: {{version: v2, before: v1, start: '{start}', steps: [{{percent: 50}}]}}"
    put(cluster, config_map("rollout", rollout))
    assert eventually(lambda: plane.get("/rollouts")["rollouts"], 15)
    assert plane.post("/rollouts/return", {"reason": "orders fail"}) == {"returned": "v1"}
    found = cluster.ask("GET", "/api/v1/namespaces/shop/configmaps/metaproxy-control-returned")
    assert "orders fail" in str(found["data"])
    assert eventually(lambda: plane.get("/rollouts")["rollouts"][0]["state"] == "returned", 15)
