"""
Endpoints from real registries: ZooKeeper, etcd, Nacos and Eureka; Consul from a stand-in made from its published API.

Lives here: what clients notice when servers come and go, and when the registry itself is killed and comes back. Does
not: each registry's answers one by one (tests/unit/discovery), Dubbo's layouts in ZooKeeper (test_zookeeper.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from catalogue import Start
from proxied import Proxy, listener
from registry_peers import REGISTRIES, Etcd, Load, Registry, origins
from running import eventually, free_port

peer = pytest.mark.peer
SLOW = 20.0
SHARED = {"zookeeper": 1, "etcd": 2, "consul": 72}
"""Connections that all clusters may have together: etcd's watch and reading, Consul's queries that wait."""


def ports(proxy: Proxy) -> set[int]:
    (found,) = proxy.admin("/clusters")["clusters"]
    return {int(one["address"].rpartition(":")[2]) for one in found["endpoints"]}


def becomes(proxy: Proxy, *wanted: int) -> bool:
    return bool(eventually(lambda: ports(proxy) == set(wanted), SLOW))


def failures(proxy: Proxy) -> int:
    return int(proxy.stats()['metaproxy_cluster_discovery_failures_total{cluster="demo"}'])


def problems(proxy: Proxy) -> set[tuple[str, str]]:
    return {(one["kind"], one["cluster"]) for one in proxy.admin("/problems")["problems"]}


def connections(pid: int, port: int) -> int:
    """How many connections a process has to a port of this machine."""
    own = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    there = [row for row in rows if int(row[2].partition(":")[2], 16) == port and row[3] == "01"]
    return sum(f"socket:[{row[9]}]" in own for row in there)


def served(proxy: Callable[..., Proxy], registry: Registry) -> tuple[Proxy, int]:
    port = free_port()
    cluster = {"name": "demo", "discovery": registry.discovery()}
    return proxy({"listeners": [listener("in", port, "http", [{"cluster": "demo"}])], "clusters": [cluster]}), port


@pytest.mark.parametrize("name", [pytest.param(name, marks=peer(name)) for name in REGISTRIES])
def test_servers_come_and_go_and_the_registry_is_killed_and_comes_back_and_no_request_fails(
    name: str, start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    with origins(4) as (one, two, three, four):
        registry = REGISTRIES[name](start_here, tmp_path)
        try:
            registry.add(one)
            registry.add(two)
            running, port = served(proxy, registry)
            assert becomes(running, one, two)
            load = Load(port)
            try:
                assert set(load.more()) == {str(one), str(two)}
                registry.add(three)
                assert becomes(running, one, two, three)
                registry.remove(one)
                assert becomes(running, two, three)
                load.more(50)  # what was under way
                assert set(load.more()) == {str(two), str(three)}
                registry.kill()
                assert eventually(lambda: failures(running) > 0, SLOW)
                assert set(load.more(200)) == {str(two), str(three)}
                assert ("discovery", "demo") in problems(running)
                registry.run()
                if name == "consul":  # the stand-in has lost what it knew
                    registry.add(two)
                    registry.add(three)
                registry.add(four)
                assert becomes(running, two, three, four)
                load.more(50)
                assert set(load.more()) == {str(two), str(three), str(four)}
                assert becomes(running, two, three, four)
                assert problems(running) == set()
            finally:
                failed = load.stop()
            assert failed == []
            assert re.search(rf"cluster demo: {name} ", running.log())
        finally:
            registry.close()


@pytest.mark.parametrize("name", [pytest.param(name, marks=peer(name)) for name in ("zookeeper", "etcd", "consul")])
def test_a_registry_that_is_not_there_yet_is_found_when_it_comes(
    name: str, start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    with origins(1) as (one,):
        registry = REGISTRIES[name](start_here, tmp_path)
        try:
            registry.add(one)
            registry.kill()
            running, _ = served(proxy, registry)  # ready: a registry that is away holds up no start
            assert eventually(lambda: ("discovery", "demo") in problems(running), SLOW)
            registry.run()
            if name == "consul":
                registry.add(one)
            assert becomes(running, one)
        finally:
            registry.close()


@pytest.mark.parametrize("name, most", [pytest.param(*one, marks=peer(one[0])) for one in SHARED.items()])
def test_two_hundred_clusters_share_a_session(
    name: str, most: int, start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    registry = REGISTRIES[name](start_here, tmp_path)
    try:
        found = {**registry.discovery()}
        target = str(found.pop(name)).rstrip("/")
        clusters = [{"name": f"c{n}", "discovery": {name: f"{target}{n}", **found}} for n in range(200)]
        routes = [{"match": {"path": f"/{n}"}, "cluster": f"c{n}"} for n in range(200)]
        config = {"listeners": [listener("in", free_port(), "http", routes)], "clusters": clusters}
        running = proxy(config)  # ready: each has an answer
        assert len(running.admin("/clusters")["clusters"]) == 200
        assert 1 <= connections(running.pid, registry.port) <= most
    finally:
        registry.close()


@peer("etcd")
def test_a_server_whose_lease_has_expired_is_gone(
    start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    with origins(2) as (one, two):
        etcd = Etcd(start_here, tmp_path)
        etcd.add(one)
        running, _ = served(proxy, etcd)
        assert becomes(running, one)
        etcd.add(two, lease=etcd.call("lease/grant", TTL=2)["ID"])
        assert becomes(running, one, two)
        assert becomes(running, one)
        assert failures(running) == 0
