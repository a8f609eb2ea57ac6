"""
A real etcd as the source of control planes: two of them serve the same, and an etcd that dies changes nothing.

Lives here: what they serve and say. Does not: their clients (test_control_fleet.py).
"""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from controlled import ControlPlane
from running import Program, eventually, free_port

pytestmark = pytest.mark.peer("etcd")

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


class Etcd:
    """An etcd on ports of its own; what it has survives its end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        self.start()

    def start(self) -> None:
        own = f"http://127.0.0.1:{self._ports[1]}"
        self._program = Program(
            ["etcd", "--data-dir", self._directory / "etcd", "--listen-client-urls", self.url,
             "--advertise-client-urls", self.url, "--listen-peer-urls", own, "--initial-advertise-peer-urls", own,
             "--initial-cluster", f"default={own}"],
            self._directory / "etcd.log", ready=self._ready,
        )  # fmt: skip

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                return b"true" in answer.read()
        except OSError:
            return False

    def kill(self) -> None:
        self._program.signal(9)
        self._program.stop()

    def put(self, path: str, text: str) -> None:
        command = ["etcdctl", "--endpoints", self.url, "put", f"/metaproxy/{path}", text]
        subprocess.run(command, check=True, capture_output=True, env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})

    def get(self, path: str) -> str:
        command = ["etcdctl", "--endpoints", self.url, "get", "--print-value-only", f"/metaproxy/{path}"]
        environment = {"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    made = Etcd(tmp_path)
    yield made
    made.kill()


def cluster(stat: str) -> str:
    return f"resources: [{{'@type': {CLUSTER}, name: a, alt_stat_name: {stat}}}]"


@pytest.fixture
def planes(etcd: Etcd, tmp_path: Path) -> Iterator[list[ControlPlane]]:
    etcd.put("versions/v1/a.yaml", cluster("one"))
    etcd.put("versions/v2/a.yaml", cluster("two"))
    made = [ControlPlane("etcd", {"etcd": {"servers": [etcd.url]}}, tmp_path) for _ in range(2)]
    yield made
    for plane in made:
        plane.stop()


def test_two_of_them_serve_the_same_and_what_is_put(etcd: Etcd, planes: list[ControlPlane]) -> None:
    one, other = planes
    assert one.comes_to(other_than={})
    before = one.versions()
    assert other.comes_to(before)
    etcd.put("versions/v2/a.yaml", cluster("three"))
    assert one.comes_to(other_than=before)
    assert other.comes_to(one.versions())
    assert one.versions()["v1"] == before["v1"]


def test_an_etcd_that_is_killed_changes_nothing_and_is_read_again(etcd: Etcd, planes: list[ControlPlane]) -> None:
    plane = planes[0]
    assert plane.comes_to(other_than={})
    before = plane.versions()
    etcd.kill()
    assert eventually(lambda: plane.get("/fleet")["lost"], 15)
    assert plane.versions() == before
    etcd.start()
    etcd.put("versions/v2/a.yaml", cluster("three"))
    assert eventually(lambda: plane.versions() != before, 40)
    assert plane.get("/fleet")["lost"] == ""


def test_a_rollout_that_one_of_them_ends_is_ended_for_both(etcd: Etcd, planes: list[ControlPlane]) -> None:
    one, other = planes
    start = (datetime.now(UTC) - timedelta(seconds=5)).isoformat(timespec="seconds")
    etcd.put("rollout.yaml", f"rollout: {{version: v2, before: v1, start: '{start}', steps: [{{percent: 50}}]}}")
    assert eventually(lambda: other.get("/rollouts")["rollouts"] and one.get("/rollouts")["rollouts"], 15)
    assert one.post("/rollouts/return", {"reason": "orders fail"}) == {"returned": "v1"}
    assert eventually(lambda: other.get("/rollouts")["rollouts"][0]["state"] == "returned", 15)
    assert "orders fail" in etcd.get("rollout-returned.yaml")
