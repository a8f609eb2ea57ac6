"""
A real Redis Cluster, and a master that real Sentinels watch, behind one plain address.

Lives here: keys where they belong, many keys, slots that move and masters that are lost under load, replicas for reads.
Does not: what nodes say (unit tests), cluster-aware clients.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import catalogue
import pytest
from mesh_folder import MeshFolder
from proxied import Proxy, cluster, listener
from redis_clusters import RedisCluster, Watched, cli
from running import PEERS, answers, eventually, free_port

pytestmark = pytest.mark.peer("redis-server", "redis-py", "ioredis")

RETRY = {"attempts": 100, "on": ["connect"], "backoff": "50ms..200ms"}
ROUTES: list[dict[str, Any]] = [
    {
        "name": "reads",
        "match": {"key": {"prefix": "r:"}, "command": "GET"},
        "cluster": "all",
        "subset": {"role": "replica"},
    },
    {
        "name": "tenant",
        "match": {"key": {"prefix": "t:"}},
        "cluster": "all",
        "rewrite": {"key": {"regex": "^t:", "to": "other:"}},
    },
    {"name": "rest", "cluster": "all", "retry": RETRY},
]


def redis(port: int, **more: object) -> Any:
    import redis

    return redis.Redis("127.0.0.1", port, socket_timeout=20, decode_responses=True, retry=None, **more)


class Stage:
    """Servers behind the proxy, at `port`."""

    def __init__(
        self, servers: RedisCluster | Watched, proxy: Callable[..., Proxy], topology: object, **more: object
    ) -> None:
        self.servers, self.port = servers, free_port()
        seeds = servers.sentinels[:2] if isinstance(servers, Watched) else servers.ports[:2]
        options = {"topology": topology, "topology_interval": "200ms", "breaker": {"max_retries": 1000}, **more}
        everything = cluster("all", *seeds, **options)
        self.aware = free_port()  # where the proxy is a cluster of one node
        listeners = [
            listener("in", self.port, "redis", ROUTES),
            listener("aware", self.aware, {"name": "redis", "present": "cluster"}, ROUTES),
        ]
        self.proxy = proxy({"listeners": listeners, "clusters": [everything]})
        self.redis = redis(self.port)
        assert eventually(lambda: self.redis.set("warm", "1"), 10)


class Writers:
    """Clients that count keys of their own upwards; each key's last acknowledged count, and what failed."""

    def __init__(self, port: int, clients: int) -> None:
        self.acknowledged: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        self.errors: list[str] = []
        self.longest = 0.0
        self._port, self._over = port, threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _write(self, number: int) -> None:
        client = redis(self._port)
        count = 0
        while not self._over.is_set():
            keys = [f"w{number}:{count % 50}:{place}" for place in range(4)]
            began = time.monotonic()
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                self.sent[key] = self.sent.get(key, 0) + 1
                pipeline.incr(key)
            for key, answer in zip(keys, pipeline.execute(raise_on_error=False), strict=True):
                if isinstance(answer, int):
                    self.acknowledged[key] = answer
                else:
                    self.errors.append(f"{type(answer).__name__}: {answer}")
            self.longest = max(self.longest, time.monotonic() - began)
            count += 1

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)


class Beside:
    """
    A client that has the servers themselves and counts a key upwards: how often it failed, and how long it took at most
    until a count was there.
    """

    def __init__(self, make: Callable[[], Any], key: str) -> None:
        self.errors, self.done, self.longest = 0, 0, 0.0
        self._make, self._key, self._over = make, key, threading.Event()
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        import redis as driver

        client = self._make()
        began = time.monotonic()
        while not self._over.is_set():
            try:
                client.incr(self._key)
            except driver.RedisError:
                self.errors += 1
                time.sleep(0.01)
                continue
            self.longest = max(self.longest, time.monotonic() - began)
            self.done += 1
            began = time.monotonic()

    def stop(self) -> str:
        done = self.done
        works = eventually(lambda: self.done > done, 10)
        self._over.set()
        self._thread.join(60)
        assert works
        return f"direct: {self.errors} errors, longest wait {self.longest:.2f} s"


@pytest.fixture(scope="module")
def stage(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    servers = RedisCluster(tmp_path_factory.mktemp("cluster"))
    yield Stage(servers, shared_proxy, "cluster")
    servers.stop()


def test_a_plain_client_has_all_keys(stage: Stage) -> None:
    client = stage.redis
    for number in range(100):
        assert client.set(f"k{number}", number)
    assert [client.get(f"k{number}") for number in range(100)] == [str(number) for number in range(100)]
    servers = stage.servers
    assert isinstance(servers, RedisCluster)
    assert len({servers.master_of(f"k{number}") for number in range(20)}) == 3
    assert stage.proxy.counted("metaproxy_cluster_redirects_total") == 0


def test_many_keys_are_cut_by_slot_or_refused_as_a_cluster_would(stage: Stage) -> None:
    import redis as driver

    client = stage.redis
    assert client.mset({f"m{number}": number for number in range(20)})
    assert client.mget([f"m{number}" for number in range(20)]) == [str(number) for number in range(20)]
    assert client.exists("m1", "m2", "m3", "none") == 3
    assert client.delete(*(f"m{number}" for number in range(20))) == 20
    with pytest.raises(driver.ResponseError, match="don't belong"):
        client.sunion("a", "b")
    client.sadd("{tag}a", 1)
    client.sadd("{tag}b", 2)
    assert client.sunion("{tag}a", "{tag}b") == {"1", "2"}


def test_transactions_scripts_and_blocking_commands_are_at_their_slot(stage: Stage) -> None:
    client = stage.redis
    with client.pipeline(transaction=True) as pipeline:
        pipeline.set("{q}one", 1)
        pipeline.incr("{q}one")
        assert pipeline.execute() == [True, 2]
    assert client.eval("return redis.call('get', KEYS[1])", 1, "{q}one") == "2"
    sha = client.script_load("return redis.call('incr', KEYS[1])")
    assert [client.evalsha(sha, 1, key) for key in ("s1", "s2", "s3", "s4")] == [1, 1, 1, 1]
    client.rpush("list", "x")
    assert client.blpop("list", 1) == ("list", "x")


def test_all_nodes_are_scanned_and_counted(stage: Stage) -> None:
    client = stage.redis
    wanted = {f"scan:{number}" for number in range(200)}
    for key in wanted:
        client.set(key, 1)
    assert set(client.scan_iter("scan:*", count=10)) == wanted
    assert set(client.keys("scan:*")) == wanted
    assert client.dbsize() >= 200


def test_messages_come_to_who_subscribed(stage: Stage) -> None:
    with stage.redis.pubsub(ignore_subscribe_messages=True) as listening:
        listening.subscribe("news")
        assert eventually(lambda: listening.get_message(timeout=0.1) is None and stage.redis.publish("news", "hi") >= 0)
        found = eventually(lambda: listening.get_message(timeout=0.5), 5)
        assert found["data"] == "hi"


def test_messages_of_a_shard_come_to_who_subscribed_at_its_slot(stage: Stage) -> None:
    client = stage.redis
    with client.pubsub(ignore_subscribe_messages=True) as listening:
        listening.ssubscribe("{q}news")
        assert eventually(lambda: client.pubsub_shardnumsub("{q}news") == [("{q}news", 1)])
        assert client.pubsub_shardchannels() == ["{q}news"]
        assert client.spublish("{q}news", "hi") == 1
        found = eventually(lambda: listening.get_sharded_message(timeout=0.5), 5)
        assert (found["type"], found["data"]) == ("smessage", "hi")


def test_a_channel_of_another_node_wants_another_connection(stage: Stage) -> None:
    import redis as driver

    first, *others = (f"shard-{number}" for number in range(20))
    servers = stage.servers
    assert isinstance(servers, RedisCluster)
    other = next(name for name in others if servers.master_of(name) != servers.master_of(first))
    with stage.redis.pubsub(ignore_subscribe_messages=True) as listening:
        listening.ssubscribe(first)
        listening.ssubscribe(other)
        with pytest.raises(driver.ResponseError, match="at another server"):
            eventually(lambda: listening.get_sharded_message(timeout=0.5), 5)
        assert stage.redis.spublish(first, "hi") == 1


def test_what_is_for_all_nodes_is_done_by_all(stage: Stage) -> None:
    client = stage.redis
    assert client.config_set("maxmemory-samples", 7)
    assert {cli(port, "config", "get", "maxmemory-samples").split()[1] for port in stage.servers.ports} == {"7"}
    sha = client.script_load("return 1")
    assert {cli(port, "script", "exists", sha).strip() for port in stage.servers.ports} == {"1"}
    client.function_load("#!lua name=all\nredis.register_function('one', function() return 1 end)", replace=True)
    assert [client.fcall("one", 1, f"k{number}") for number in range(6)] == [1] * 6
    assert client.acl_setuser("reader", enabled=True, nopass=True, categories=["+@read"])
    assert all("user reader on" in cli(port, "acl", "list") for port in stage.servers.ports)
    assert client.acl_deluser("reader") == 1
    client.mset({f"m{number}": number for number in range(20)})
    assert client.flushall()
    assert eventually(lambda: {cli(port, "dbsize").strip() for port in stage.servers.ports} == {"0"})


def test_keys_are_others_where_a_route_says_so_and_are_where_these_belong(stage: Stage) -> None:
    client = stage.redis
    assert client.mset({f"t:{number}": number for number in range(10)})
    assert client.mget([f"other:{number}" for number in range(10)]) == [str(number) for number in range(10)]
    with client.pipeline(transaction=True) as pipeline:
        assert pipeline.incr("t:1").get("t:1").execute() == [2, "2"]
    large = "x" * (2 << 20)
    assert client.set("t:large", large)
    assert client.get("other:large") == large
    assert client.keys("t:*") == []


def test_another_driver_does_the_same(stage: Stage, clients: Callable[..., Any]) -> None:
    calls = [["set", "io:1", "a"], ["set", "io:2", "b"], ["mget", "io:1", "io:2", "none"]]
    done = clients(catalogue.ioredis_client()).run(port=stage.port, calls=calls, mode="pipeline")
    assert [one["value"] for one in done] == ["OK", "OK", ["a", "b", None]]


@pytest.mark.peer("go-redis")
def test_a_plain_client_in_go_gets_what_a_client_that_knows_clusters_gets(stage: Stage) -> None:
    ways = {
        "direct": ("cluster", stage.servers.ports[0]),
        "plain": ("plain", stage.port),
        "one node": ("cluster", stage.aware),
    }
    said = {}
    for way, (kind, port) in ways.items():
        stage.redis.flushall()
        argv = [str(PEERS / "bin" / "redis-go"), kind, f"127.0.0.1:{port}"]
        run = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
        said[way] = run.stdout.splitlines()
    assert len(said["direct"]) > 20
    assert said["plain"] == said["direct"]
    assert said["one node"] == said["direct"]


def test_clients_that_know_clusters_only_find_one_of_one_node(stage: Stage, clients: Callable[..., Any]) -> None:
    from redis.cluster import RedisCluster as Aware

    with Aware("127.0.0.1", stage.aware, decode_responses=True) as client:
        assert [(node.host, node.port) for node in client.get_nodes()] == [("127.0.0.1", stage.aware)]
        for number in range(20):
            assert client.set(f"aware{number}", number)
        assert [client.get(f"aware{number}") for number in range(20)] == [str(number) for number in range(20)]
        pipeline = client.pipeline()
        for number in range(20):
            pipeline.incr(f"aware{number}")
        assert pipeline.execute() == [number + 1 for number in range(20)]
        assert client.mget_nonatomic(["aware1", "aware2"]) == ["2", "3"]
    calls = [["set", "ioc:1", "a"], ["set", "ioc:2", "b"], ["get", "ioc:1"]]
    done = clients(catalogue.ioredis_client()).run(port=stage.aware, calls=calls, mode="each", cluster=True)
    assert [one["value"] for one in done] == ["OK", "OK", "a"]


def test_reads_go_to_replicas_where_a_route_says_so(stage: Stage) -> None:
    client = stage.redis
    client.set("r:1", "x")
    assert eventually(lambda: client.get("r:1") == "x")
    for port in stage.servers.ports:
        cli(port, "config", "resetstat")
    for _ in range(20):
        client.get("r:1")
    asked = {port: cli(port, "info", "commandstats").partition("cmdstat_get:calls=")[2] for port in stage.servers.ports}
    (reader,) = [port for port, calls in asked.items() if calls]
    assert "role:slave" in cli(reader, "info", "replication")
    assert asked[reader].startswith("20,")


def of_envoy(port: int, nodes: list[int], admin: int) -> dict[str, Any]:
    """A bootstrap: redis_proxy in front of the Redis Cluster, which reads from replicas."""
    network = "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy"
    nodes_of = "type.googleapis.com/envoy.extensions.clusters.redis.v3.RedisClusterConfig"

    def address(number: int) -> dict[str, Any]:
        return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": number}}}

    redis_proxy = {
        "@type": network,
        "stat_prefix": "x",
        "settings": {"op_timeout": "5s", "enable_redirection": True, "read_policy": "PREFER_REPLICA"},
        "prefix_routes": {"catch_all_route": {"cluster": "nodes"}},
    }
    endpoints = [{"lb_endpoints": [{"endpoint": address(one)} for one in nodes]}]
    cluster_type = {"@type": nodes_of, "cluster_refresh_rate": "1s"}
    return {
        "admin": address(admin),
        "static_resources": {
            "listeners": [
                {
                    "name": "in",
                    **address(port),
                    "filter_chains": [{"filters": [{"name": "r", "typed_config": redis_proxy}]}],
                }
            ],
            "clusters": [
                {
                    "name": "nodes",
                    "connect_timeout": "1s",
                    "lb_policy": "CLUSTER_PROVIDED",
                    "cluster_type": {"name": "envoy.clusters.redis", "typed_config": cluster_type},
                    "load_assignment": {"cluster_name": "nodes", "endpoints": endpoints},
                }
            ],
        },
    }


@pytest.mark.peer("envoy")
def test_what_envoy_is_told_of_a_redis_cluster_does_the_same_here(
    stage: Stage, proxy: Callable[..., Proxy], start_here: catalogue.Start, tmp_path: Path
) -> None:
    theirs, ours = free_port(), free_port()
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(of_envoy(theirs, stage.servers.ports[:2], free_port())))
    start_here(catalogue.envoy(file), lambda: answers(theirs))
    proxy(of_envoy(ours, stage.servers.ports[:2], free_port()))
    seen = []
    for port in (theirs, ours):
        client = redis(port, protocol=2)  # Envoy knows no other
        assert eventually(partial(wrote, client), 10)
        assert [client.set(f"e{number}", number) for number in range(20)] == [True] * 20
        assert client.mset({"e20": 20, "e21": 21})
        assert eventually(partial(reads, client, e0="0", e20="20", e21="21"))
        for one in stage.servers.ports:
            cli(one, "config", "resetstat")
        for number in range(20):
            client.get(f"e{number}")
        stats = {one: cli(one, "info", "commandstats") for one in stage.servers.ports}
        seen.append({one for one, text in stats.items() if "cmdstat_get:" in text})
    assert seen[0] == seen[1]
    assert all("role:slave" in cli(one, "info", "replication") for one in seen[0])


def test_a_mesh_of_files_has_a_redis_cluster(stage: Stage, proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    folder, at = MeshFolder(tmp_path, proxy), free_port()
    folder.service("cache.demo", at, "redis", [("127.0.0.1", stage.servers.ports[0], "v1")])
    seeds = [f"127.0.0.1:{port}" for port in stage.servers.ports[1:3]]
    pool = f"{{redis: {{mode: CLUSTER, discoveryEndpoints: {json.dumps(seeds)}}}}}"
    folder.put("RedisDestination", "cache", f"{{host: cache.demo, trafficPolicy: {{connectionPool: {pool}}}}}")
    settings = "{readPolicy: PREFER_REPLICA, enableRedirection: true}"
    routes = (
        "[{match: {key: {prefix: 'p:', removePrefix: true}}, route: {host: cache.demo}}, {route: {host: cache.demo}}]"
    )
    folder.put("RedisService", "cache", f"{{host: [cache.demo], settings: {settings}, redis: {routes}}}")
    folder.proxy()
    folder.settle()
    client = redis(at)
    assert eventually(partial(wrote, client), 10)
    assert client.mset({f"p:mesh{number}": number for number in range(10)})
    assert stage.redis.mget([f"mesh{number}" for number in range(10)]) == [str(number) for number in range(10)]
    for one in stage.servers.ports:
        cli(one, "config", "resetstat")
    assert eventually(lambda: [client.get(f"mesh{number}") for number in range(10)] == [str(n) for n in range(10)])
    asked = [one for one in stage.servers.ports if "cmdstat_get:" in cli(one, "info", "commandstats")]
    assert asked and all("role:slave" in cli(one, "info", "replication") for one in asked)


def reads(client: Any, **values: str) -> bool:
    return bool(client.mget(*values) == [*values.values()])


def wrote(client: Any) -> bool:
    import redis as driver

    try:
        return bool(client.set("e", 1))
    except driver.RedisError:  # the nodes are not known yet
        return False


def test_slots_move_under_load_without_an_error(stage: Stage) -> None:
    servers = stage.servers
    assert isinstance(servers, RedisCluster)
    writers = Writers(stage.port, 4)
    try:
        source = servers.master_of("w0:0:0")
        target = next(port for port in map(servers.master_of, map(str, range(40))) if port != source)
        servers.reshard(source, target, 300)
    finally:
        writers.stop()
    assert writers.errors == []
    assert writers.acknowledged == writers.sent, "each command was carried out once"
    assert stage.proxy.counted("metaproxy_cluster_redirects_total") > 0


def works_again(stage: Stage) -> bool:
    import redis as driver

    try:
        return bool(stage.redis.incr("w0:0:0"))
    except driver.ResponseError:  # it was under way when its master was lost
        return False


def test_a_master_is_lost_under_load(stage: Stage) -> None:
    servers = stage.servers
    assert isinstance(servers, RedisCluster)
    from redis.cluster import RedisCluster as Aware

    lost = servers.master_of("w0:0:0")
    seed = next(port for port in servers.ports if port != lost)
    writers, beside = Writers(stage.port, 4), Beside(lambda: Aware("127.0.0.1", seed), "{w0:0:0}beside")
    try:
        time.sleep(0.3)
        servers.servers[lost].kill()
        assert eventually(lambda: servers.master_of("w0:0:0") not in (0, lost), 20)
        assert eventually(lambda: works_again(stage), 20)
    finally:
        writers.stop()
        direct = beside.stop()
        servers.start_node(lost)
    print(f"\nRedis Cluster: a master lost: {len(writers.errors)} of unknown end, longest wait {writers.longest:.2f} s")
    print(direct)
    ours = ("closed the connection", "connection lost", "ClusterDownError")
    assert [error for error in writers.errors if not any(word in error for word in ours)] == []
    assert len(writers.errors) < 100
    assert eventually(servers.whole, 20)


def test_a_master_that_sentinels_replace_is_followed(proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    servers = Watched(tmp_path, "of-servers", "of-sentinels")
    logins = {"credentials": {"password": "of-servers"}, "topology_credentials": {"password": "of-sentinels"}}

    def direct() -> Any:
        from redis.sentinel import Sentinel

        login, places = {"password": "of-sentinels"}, [("127.0.0.1", port) for port in servers.sentinels]
        return Sentinel(places, sentinel_kwargs=login).master_for("mymaster", password="of-servers")

    try:
        stage = Stage(servers, proxy, {"sentinel": "mymaster"}, **logins)
        stage.redis.set("r:1", "x")
        assert eventually(lambda: stage.redis.get("r:1") == "x")
        writers, beside = Writers(stage.port, 4), Beside(direct, "beside")
        try:
            time.sleep(0.3)
            servers.servers[servers.ports[0]].kill()
            time.sleep(0.6)  # longer than the Sentinels believe in it
            assert stage.redis.incr("after") == 1, "it waits for the new one"
        finally:
            writers.stop()
            said = beside.stop()
        print(f"\nSentinel: a master lost: {len(writers.errors)} of unknown end, longest wait {writers.longest:.2f} s")
        print(said)
        assert all("closed the connection" in error or "connection lost" in error for error in writers.errors)
        assert len(writers.errors) < 100
        roles = {one["address"]: one["role"] for one in stage.proxy.admin("/clusters")["clusters"][0]["endpoints"]}
        assert "primary" in {roles.get(f"127.0.0.1:{port}") for port in servers.ports[1:]}
    finally:
        servers.stop()
