"""
A Redis Cluster as a mesh describes it: RedisService and RedisDestination with logins on both sides, copies, faults.

Lives here: what of these objects is about more than slots. Does not: slots, replicas, failover (test_redis_cluster.py);
the same with one server (test_mesh_folder.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catalogue
import pytest
from mesh_folder import MeshFolder
from proxied import Proxy
from redis_clusters import RedisCluster, cli
from running import answers, eventually, free_port

pytestmark = pytest.mark.peer("redis-server", "redis-py")
KEYS = [f"mesh{number}" for number in range(20)]
SLOW = 0.3
SERVICE = """
    host: [cache.demo]
    settings: {auth: {plain: {password: of-clients}}, enableRedirection: true}
    redis:
      - route: {host: cache.demo}
        mirror: [{route: {host: copy.demo}, percentage: {value: 100}, excludeReadCommands: true}]
    faults:
      - {type: ERROR, percentage: {value: 100}, commands: [INCRBY]}
      - {type: DELAY, percentage: {value: 100}, delay: 300ms, commands: [TTL]}
"""


def redis(port: int, password: str) -> Any:
    import redis

    return redis.Redis("127.0.0.1", port, password=password, socket_timeout=20, decode_responses=True, retry=None)


def wrote(client: Any) -> bool:
    import redis as driver

    try:
        return bool(client.set("warm", 1))
    except driver.RedisError:  # the nodes are not known yet
        return False


@pytest.fixture
def servers(tmp_path: Path) -> Any:
    """A Redis Cluster that asks for a password."""
    made = RedisCluster(tmp_path)
    try:
        for port in made.ports:
            cli(port, "config", "set", "masterauth", "of-servers", "requirepass", "of-servers")
        yield made
    finally:
        made.stop()


def test_logins_copies_of_writes_and_faults_of_commands_are_what_the_objects_say(
    servers: RedisCluster, proxy: Callable[..., Proxy], start_here: catalogue.Start, tmp_path: Path
) -> None:
    import redis as driver

    folder, at, copy = MeshFolder(tmp_path / "mesh", proxy), free_port(), free_port()
    folder.path.mkdir()
    start_here(catalogue.redis_server(copy, tmp_path), lambda: answers(copy))
    folder.service("cache.demo", at, "redis", [("127.0.0.1", servers.ports[0], "v1")])
    folder.service("copy.demo", free_port(), "redis", [("127.0.0.1", copy, "v1")])
    seeds = json.dumps([f"127.0.0.1:{port}" for port in servers.ports[1:3]])
    pool = f"{{redis: {{mode: CLUSTER, discoveryEndpoints: {seeds}, auth: {{plain: {{password: of-servers}}}}}}}}"
    folder.put("RedisDestination", "cache", f"{{host: cache.demo, trafficPolicy: {{connectionPool: {pool}}}}}")
    folder.put("RedisService", "cache", SERVICE)
    folder.proxy()
    folder.settle()
    client = redis(at, "of-clients")
    assert eventually(lambda: wrote(client), 10)
    for wrong in ("of-servers", ""):
        with pytest.raises((driver.AuthenticationError, driver.ResponseError)):
            redis(at, wrong).get("warm")

    assert [client.set(key, "x") for key in KEYS] == [True] * len(KEYS)
    assert [client.get(key) for key in KEYS] == ["x"] * len(KEYS)
    assert len({port for port in servers.ports if "cmdstat_set" in stats(port)}) >= 3
    shadow = redis(copy, "")
    assert eventually(lambda: shadow.exists(*KEYS) == len(KEYS))
    counted = cli(copy, "info", "commandstats")
    assert "cmdstat_set" in counted and "cmdstat_get" not in counted

    with pytest.raises(driver.ResponseError, match="Fault Injected"):
        client.incrby("counter")
    began = time.monotonic()
    assert client.ttl(KEYS[0]) == -1
    assert time.monotonic() - began >= SLOW - 0.01


def stats(port: int) -> str:
    return cli(port, "info", "commandstats", password="of-servers")
