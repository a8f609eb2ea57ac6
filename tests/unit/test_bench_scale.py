"""`python -m bench.scale`: the configuration that it loads, the bytes of its calls, its table's figures."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from bench.pauses.pauses import DOUBLE
from bench.scale import ENDPOINTS, LISTENERS, ROUTES, Watched, configuration, dubbo_call, service, timed
from metaproxy.config.check import check
from metaproxy.plugins import Registry

PORTS = list(range(20_000, 20_000 + LISTENERS))


def test_each_cluster_has_its_routes_at_one_listener_and_endpoints_of_its_own() -> None:
    data = configuration(20, 7000, 7001, PORTS, "7s")
    clusters = {one["name"]: one["endpoints"] for one in data["clusters"]}
    assert [len(one) for one in clusters.values()] == [ENDPOINTS] * 20
    addresses = [address for endpoints in clusters.values() for address in endpoints]
    assert len(set(addresses)) == 20 * ENDPOINTS
    routes = [route for listener in data["listeners"] for route in listener["routes"]]
    assert [route["cluster"] for route in routes] == [name for name in clusters for _ in range(ROUTES)]
    assert {route["timeout"] for route in routes} == {"7s"}
    assert [listener["listen"] for listener in data["listeners"]] == [f"127.0.0.1:{port}" for port in PORTS]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_proxy_takes_the_configuration(workers: int) -> None:
    text = yaml.safe_dump({**configuration(10, 7000, 7001, PORTS, workers=workers), "plugins": []})
    config, problems = check(text, "scale.yaml", Registry())
    assert problems == [] and config is not None
    assert (len(config.clusters), len(config.listeners), config.workers) == (10, LISTENERS, workers)


def test_addresses_of_very_many_clusters_are_addresses() -> None:
    endpoints = [address for one in configuration(300, 7000, 7001, PORTS)["clusters"] for address in one["endpoints"]]
    assert len(set(endpoints)) == 300 * ENDPOINTS
    numbers = [int(part) for address in endpoints for part in address.partition(":")[0].split(".")]
    assert max(numbers) <= 255


def test_a_call_says_how_long_it_is_and_names_its_service_and_method() -> None:
    call = dubbo_call(7, service(12), "method3")
    assert call[:4] == bytes([0xDA, 0xBB, 0xC2, 0])
    assert int.from_bytes(call[4:12], "big") == 7
    assert int.from_bytes(call[12:16], "big") == len(call) - 16
    assert service(12) == "org.mesh.Service0012"
    assert b"\x14org.mesh.Service0012" in call and b"\x07method3" in call
    with pytest.raises(ValueError, match="is too long"):
        dubbo_call(1, "s" * 32, "m")


def test_a_pause_is_read_once(tmp_path: Path) -> None:
    for pid, pause in (("11", 0.25), ("12", 0.5), ("13", 0.75)):
        (tmp_path / pid).write_bytes(DOUBLE.pack(pause))
    watched = Watched(tmp_path, 0, 1)
    assert sorted(watched.processes()) == ["11", "12", "13"]
    assert (watched.pause(("11", "12")), watched.pause(("11", "12")), watched.pause(["13"])) == (0.5, 0.0, 0.75)


def test_a_row_has_its_time_the_size_of_the_answer_and_only_its_own_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    file = tmp_path / "11"
    file.write_bytes(DOUBLE.pack(9.0))

    def call() -> int:
        clock[0] += 3.0
        file.write_bytes(DOUBLE.pack(0.5))
        (tmp_path / "12").write_bytes(DOUBLE.pack(0.7))  # a process that starts meanwhile
        return 3 << 20

    assert timed("/stats", Watched(tmp_path, 0, 1), call) == ("/stats", 3.0, "3.0 MiB", 0.5)
