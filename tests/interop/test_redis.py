"""
Real Redis clients and servers with metaproxy between them.

Lives here: what clients do, in RESP2 and RESP3, through one server, through routes by key, through three servers in a
ring, with passwords; a server that dies. Does not: the peers alone (test_peers.py), the codec's bytes.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import catalogue
import pytest
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import answers, eventually, free_port

if TYPE_CHECKING:
    import redis

pytestmark = pytest.mark.peer("redis-server", "redis-py")
peer = pytest.mark.peer
both = pytest.mark.parametrize("resp", [2, 3], ids=["resp2", "resp3"])
MEBI = 1 << 20


class Mesh(NamedTuple):
    """
    Listeners: `plain` leads to one server, `routed` by key prefix to one or blue, `ring` to three by hash, `guarded`
    asks for a password and logs in with another. Servers: one, blue, three of the ring, `locked` with a password.
    """

    proxy: Proxy
    plain: int
    routed: int
    ring: int
    guarded: int
    one: int
    blue: int
    three: list[int]
    locked: int


ROUTES: list[dict[str, Any]] = [
    {"name": "blue", "match": {"key": {"prefix": "blue:"}}, "cluster": "blue"},
    {
        "name": "no-flush",
        "match": {"command": "FLUSHALL"},
        "reply": {"error": "denied", "message": "flush it yourself"},
    },
    {"name": "named", "match": {"key": {"regex": "[a-z]+:.*"}}, "cluster": "one"},
]


def start_redis(start: Start, directory: Path, port: int, *options: str) -> Any:
    directory.mkdir(exist_ok=True)
    return start(catalogue.redis_server(port, directory, *options), lambda: answers(port))


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    directory = tmp_path_factory.mktemp("redis")
    one, blue, locked, *three = ports = [free_port() for _ in range(6)]
    for port in ports:
        password = ["--requirepass", "upstream-secret"] if port == locked else []
        start_redis(start, directory / str(port), port, *password)
    plain, routed, ring, guarded = (free_port() for _ in range(4))
    asking = {"name": "redis", "auth": {"secret": "clients"}}
    listeners = [
        listener("plain", plain, "redis", [{"cluster": "one"}], max_frame="64MiB"),
        listener("routed", routed, "redis", ROUTES),
        listener("ring", ring, "redis", [{"cluster": "ring", "hash": ["key"]}]),
        listener("guarded", guarded, asking, [{"cluster": "locked"}]),
    ]
    clusters = [
        cluster("one", one),
        cluster("blue", blue),
        cluster("ring", *three, balancer={"name": "ring_hash", "key": ["key"]}),
        cluster("locked", locked, credentials={"password": {"secret": "servers"}}),
    ]
    secrets = {"clients": {"value": "client-secret"}, "servers": {"value": "upstream-secret"}}
    proxy = shared_proxy({"secrets": secrets, "listeners": listeners, "clusters": clusters})
    return Mesh(proxy, plain, routed, ring, guarded, one, blue, three, locked)


Connect = Callable[..., "redis.Redis"]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """connect(port, resp=2, **options): a redis-py client that tries each thing once. Closed after the test."""
    import redis

    made: list[redis.Redis] = []

    def client(port: int, resp: int = 2, **options: Any) -> redis.Redis:
        once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        base = {"protocol": resp, "retry": once, "decode_responses": True, "socket_timeout": 15}
        made.append(redis.Redis(port=port, **{**base, **options}))
        return made[-1]

    yield client
    for each in made:
        each.close()


CONVERSATION: list[tuple[Any, ...]] = [
    ("FLUSHALL",),
    ("SET", "s", "1"),
    ("GET", "s"),
    ("GET", "none"),
    ("INCRBYFLOAT", "s", "0.5"),
    ("SETRANGE", "s", "5", "x"),
    ("RPUSH", "l", "a", "b", "c"),
    ("LRANGE", "l", "0", "-1"),
    ("INCR", "l"),
    ("HSET", "h", "f", "v", "g", ""),
    ("HGETALL", "h"),
    ("SADD", "set", "m"),
    ("SMEMBERS", "set"),
    ("SISMEMBER", "set", "m"),
    ("ZADD", "z", "1.5", "m", "2", "n"),
    ("ZRANGE", "z", "0", "-1", "WITHSCORES"),
    ("ZSCORE", "z", "none"),
    ("MGET", "s", "none", "l"),
    ("EXISTS", "s", "none", "l"),
    ("XADD", "x", "1-1", "k", "v"),
    ("XRANGE", "x", "-", "+"),
    ("EVAL", "return {1, 'two', {3, false}, redis.status_reply('OK')}", "0"),
    ("EVAL", "return redis.call('GET', KEYS[1])", "1", "s"),
    ("OBJECT", "ENCODING", "s"),
    ("TYPE", "z"),
    ("NOSUCHCOMMAND", "a"),
    ("GET",),
    ("ECHO", "\u20ac"),
    ("PING",),
    ("DEL", "s", "l", "none"),
    ("DBSIZE",),
]


def said(client: redis.Redis, *command: Any) -> Any:
    """The answer, or the error's text."""
    import redis

    try:
        return client.execute_command(*command)
    except redis.ResponseError as error:
        return f"error: {error}"


@both
def test_every_type_of_answer_is_the_one_that_the_server_gives(resp: int, mesh: Mesh, connect: Connect) -> None:
    direct, proxied = connect(mesh.blue, resp), connect(mesh.plain, resp)
    expected = [said(direct, *command) for command in CONVERSATION]
    assert [said(proxied, *command) for command in CONVERSATION] == expected


@both
def test_a_pipeline_over_two_servers_is_answered_in_its_own_order(resp: int, mesh: Mesh, connect: Connect) -> None:
    pipe = connect(mesh.routed, resp).pipeline(transaction=False)
    for i in range(1000):
        pipe.set(f"{'blue' if i % 2 else 'red'}:{i}", i)
        pipe.get(f"{'blue' if i % 3 else 'red'}:{i}")
    results = pipe.execute()
    assert results[::2] == [True] * 1000
    assert results[1::2] == [str(i) if (i % 2 > 0) == (i % 3 > 0) else None for i in range(1000)]


def test_two_routes_lead_to_two_servers_by_the_prefix_of_the_key(mesh: Mesh, connect: Connect) -> None:
    client = connect(mesh.routed)
    client.set("blue:k", "b")
    client.set("red:k", "r")
    assert connect(mesh.blue).get("blue:k") == "b"
    assert connect(mesh.one).get("red:k") == "r"
    assert not connect(mesh.one).exists("blue:k")


@both
def test_a_command_without_a_route_raises_a_response_error_with_our_words(
    resp: int, mesh: Mesh, connect: Connect
) -> None:
    client = connect(mesh.routed, resp)
    assert "no route matched" in said(client, "GET", "nocolon")
    assert "flush it yourself" in said(client, "FLUSHALL")
    assert client.set("red:still", "here")


@both
def test_a_transaction_is_whole_and_the_connection_goes_on_after_it(resp: int, mesh: Mesh, connect: Connect) -> None:
    client = connect(mesh.plain, resp, single_connection_client=True)
    client.delete("t")
    with client.pipeline(transaction=True) as pipe:
        for _ in range(5):
            pipe.incr("t")
        assert pipe.execute() == [1, 2, 3, 4, 5]
    assert said(client, "MULTI") == "OK" and said(client, "INCR", "t") == "QUEUED"
    assert said(client, "DISCARD") == "OK"
    assert client.get("t") == "5"


@both
def test_watch_notices_another_clients_change(resp: int, mesh: Mesh, connect: Connect) -> None:
    import redis

    client, other = connect(mesh.plain, resp), connect(mesh.plain, resp)
    client.set("w", "1")
    with client.pipeline() as pipe:
        pipe.watch("w")
        other.set("w", "2")
        pipe.multi()
        pipe.set("w", "3")
        with pytest.raises(redis.WatchError):
            pipe.execute()
        pipe.watch("w")
        pipe.multi()
        pipe.set("w", "4")
        assert pipe.execute() == [True]
    assert other.get("w") == "4"


@both
def test_transactions_of_many_clients_do_not_mix(resp: int, mesh: Mesh, connect: Connect) -> None:
    connect(mesh.plain).delete("mixed")

    def add(n: int) -> list[Any]:
        with connect(mesh.plain, resp).pipeline(transaction=True) as pipe:
            for i in range(20):
                pipe.rpush("mixed", f"{n}.{i}")
            return list(pipe.execute())

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(add, range(16)))
    stored = connect(mesh.plain).lrange("mixed", 0, -1)
    for n, lengths in enumerate(results):
        start = lengths[0] - 1
        assert lengths == list(range(start + 1, start + 21))
        assert stored[start : start + 20] == [f"{n}.{i}" for i in range(20)]


@both
def test_messages_of_channels_and_patterns_arrive_and_the_connection_is_released(
    resp: int, mesh: Mesh, connect: Connect
) -> None:
    client, other = connect(mesh.plain, resp), connect(mesh.plain, resp)
    with client.pubsub() as sub:
        sub.subscribe("news")
        sub.psubscribe("n*")
        confirmed = [sub.get_message(timeout=5) for _ in range(2)]
        assert [each and each["type"] for each in confirmed] == ["subscribe", "psubscribe"]
        assert other.publish("news", "hello") == 2
        messages = [sub.get_message(timeout=5) for _ in range(2)]
        assert [(each["type"], each["data"]) for each in messages if each] == [
            ("message", "hello"),
            ("pmessage", "hello"),
        ]
        sub.unsubscribe()
        sub.punsubscribe()
        left = [sub.get_message(timeout=5) for _ in range(2)]
        assert [each and each["data"] for each in left] == [1, 0]
    assert client.ping()
    assert eventually(lambda: connect(mesh.one).pubsub_numsub("news") == [("news", 0)])


@both
def test_a_blocking_pop_waits_while_others_go_on(resp: int, mesh: Mesh, connect: Connect) -> None:
    connect(mesh.plain).delete("queue")
    popped: list[Any] = []
    waiting = [
        threading.Thread(target=lambda: popped.append(connect(mesh.plain, resp).blpop("queue", timeout=10)))
        for _ in range(3)
    ]
    for each in waiting:
        each.start()
    client = connect(mesh.plain, resp)
    assert eventually(lambda: connect(mesh.one).info("clients")["blocked_clients"] == 3)
    assert client.set("other", "1")
    client.rpush("queue", "a", "b", "c")
    for each in waiting:
        each.join(10)
    assert sorted(map(list, popped)) == [["queue", "a"], ["queue", "b"], ["queue", "c"]]
    assert client.blpop("queue", timeout=0.1) is None
    assert client.get("other") == "1"


def test_a_client_that_goes_while_it_blocks_takes_nothing(mesh: Mesh, connect: Connect) -> None:
    connect(mesh.plain).delete("left")
    with socket.create_connection(("127.0.0.1", mesh.plain)) as client:
        client.sendall(b"*3\r\n$5\r\nBLPOP\r\n$4\r\nleft\r\n$1\r\n0\r\n")
        info = connect(mesh.one)
        assert eventually(lambda: info.info("clients")["blocked_clients"] == 1)
    assert eventually(lambda: info.info("clients")["blocked_clients"] == 0)
    connect(mesh.plain).rpush("left", "x")
    assert connect(mesh.plain).lrange("left", 0, -1) == ["x"]


@both
def test_twenty_mebibytes_pass_both_ways(resp: int, mesh: Mesh, connect: Connect) -> None:
    value = bytes(range(256)) * (20 * MEBI // 256)
    client = connect(mesh.plain, resp, decode_responses=False)
    assert client.set("big", value)
    assert client.get("big") == value
    assert client.delete("big") == 1


def test_a_value_over_max_frame_passes_in_pieces(mesh: Mesh, connect: Connect) -> None:
    client = connect(mesh.routed)
    assert client.set("red:big", b"x" * (17 * MEBI))
    assert client.get("red:big") == "x" * (17 * MEBI)
    assert client.delete("red:big") == 1


@both
def test_commands_of_many_keys_are_split_over_the_ring_and_merged_in_order(
    resp: int, mesh: Mesh, connect: Connect
) -> None:
    client, servers = connect(mesh.ring, resp), [connect(port) for port in mesh.three]
    for server in servers:
        server.flushall()
    keys = [f"k{i}" for i in range(300)]
    assert client.mset({key: i for i, key in enumerate(keys)})
    sizes = [server.dbsize() for server in servers]
    assert sum(sizes) == 300 and min(sizes) > 0, sizes
    assert client.mget(["none", *keys, "k0"]) == [None, *map(str, range(300)), "0"]
    assert client.exists(*keys, "none", "k0") == 301
    assert client.touch(*keys[:50], "none") == 50
    assert client.delete(*keys[:100], "none") == 100
    assert client.unlink(*keys[100:200]) == 100
    assert [server.dbsize() for server in servers] != sizes
    assert sum(server.dbsize() for server in servers) == 100
    assert [client.get(key) for key in keys[200:]] == [str(i) for i in range(200, 300)]


def test_keys_with_one_tag_live_on_one_server(mesh: Mesh, connect: Connect) -> None:
    client, servers = connect(mesh.ring), [connect(port) for port in mesh.three]
    for server in servers:
        server.flushall()
    client.mset({f"{{user1}}:{i}": i for i in range(50)})
    assert sorted(server.dbsize() for server in servers) == [0, 0, 50]
    with client.pipeline(transaction=True) as pipe:
        pipe.incr("{user1}:0")
        pipe.get("{user1}:49")
        assert pipe.execute() == [1, "49"]


def test_a_ring_that_lost_a_server_answers_what_the_others_have(
    connect: Connect, start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    port, *ports = (free_port() for _ in range(4))
    servers = [start_redis(start_here, tmp_path / str(each), each) for each in ports]
    proxy(
        {
            "listeners": [listener("ring", port, "redis", [{"cluster": "ring", "hash": ["key"]}])],
            "clusters": [cluster("ring", *ports, balancer="ring_hash")],
        }
    )
    client, keys = connect(port), [f"k{i}" for i in range(60)]
    client.mset(dict.fromkeys(keys, "v"))
    kept = {key for server in ports[1:] for key in connect(server).scan_iter()}
    servers[0].kill()
    assert "error" in said(client, "MGET", *keys)
    answered = {key for key in keys if said(client, "GET", key) == "v"}
    assert answered == kept and len(kept) < 60


def test_a_read_is_tried_again_at_another_server_when_one_is_gone(
    connect: Connect, start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    port, bare, *ports = (free_port() for _ in range(4))
    servers = [start_redis(start_here, tmp_path / str(each), each) for each in ports]
    for each in ports:
        connect(each).set("k", "v")
    again = {"attempts": 2, "on": ["connect", "reset"], "backoff": "1ms..5ms"}
    proxy(
        {
            "listeners": [
                listener("again", port, "redis", [{"cluster": "both", "retry": again}]),
                listener("once", bare, "redis", [{"cluster": "both"}]),
            ],
            "clusters": [cluster("both", *ports)],
        }
    )
    servers[0].kill()
    assert [said(connect(port), "GET", "k") for _ in range(20)] == ["v"] * 20
    assert any("error" in said(connect(bare), "GET", "k") for _ in range(20))


def test_a_pipeline_over_the_ring_keeps_its_order(mesh: Mesh, connect: Connect) -> None:
    pipe = connect(mesh.ring).pipeline(transaction=False)
    for i in range(500):
        pipe.set(f"p{i}", i)
    for i in range(0, 500, 5):
        pipe.mget([f"p{i + j}" for j in range(5)])
    results = pipe.execute()
    assert results[:500] == [True] * 500
    assert results[500:] == [[str(i + j) for j in range(5)] for i in range(0, 500, 5)]


@both
def test_clients_log_in_with_their_password_and_the_proxy_with_its_own(resp: int, mesh: Mesh, connect: Connect) -> None:
    import redis

    assert connect(mesh.guarded, resp, password="client-secret").set("g", "1")
    assert connect(mesh.locked, resp, password="upstream-secret").get("g") == "1"
    for wrong in ("upstream-secret", "", "client-secret "):
        with pytest.raises((redis.AuthenticationError, redis.ResponseError)):
            connect(mesh.guarded, resp, password=wrong).get("g")


def test_without_a_password_nothing_reaches_the_server(mesh: Mesh, connect: Connect) -> None:
    assert "NOAUTH" in spoken(mesh.guarded, b"SET g stolen\r\n")
    assert connect(mesh.locked, password="upstream-secret").get("g") != "stolen"


def spoken(port: int, data: bytes, expected: int = 1) -> str:
    """What comes back for bytes, until it has so many lines."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(data)
        answer = b""
        while answer.count(b"\r\n") < expected and (piece := client.recv(65536)):
            answer += piece
    return answer.decode()


def test_inline_commands_are_answered(mesh: Mesh) -> None:
    data = b'SET inline "a b"\r\n\r\nGET inline\nPING\r\n*1\r\n$4\r\nPING\r\n'
    assert spoken(mesh.plain, data, 5) == "+OK\r\n$3\r\na b\r\n+PONG\r\n+PONG\r\n"


@both
def test_each_client_has_its_own_database_and_name(resp: int, mesh: Mesh, connect: Connect) -> None:
    first, second = connect(mesh.plain, resp, db=3, client_name="first"), connect(mesh.plain, resp)
    second.delete("where")
    first.set("where", "three")
    assert second.get("where") is None
    assert first.get("where") == "three"
    assert first.client_getname() == "first"
    assert not second.client_getname()
    with second.pipeline(transaction=False) as pipe:
        pipe.execute_command("SELECT", "3")
        pipe.get("where")
        pipe.execute_command("SELECT", "0")
        pipe.get("where")
        assert pipe.execute() == [True, "three", True, None]


@pytest.mark.parametrize("command", [("PSYNC", "?", "-1"), ("SYNC",), ("SHUTDOWN",), ("CLUSTER", "SLOTS")])
def test_what_cannot_work_through_a_proxy_is_refused_with_an_error(
    command: tuple[str, ...], mesh: Mesh, connect: Connect
) -> None:
    line = " ".join(command).encode() + b"\r\nPING\r\n"
    refused, pong = spoken(mesh.plain, line, 2).splitlines()
    assert refused.startswith("-ERR"), refused
    assert pong == "+PONG"
    assert connect(mesh.one).ping()


def test_monitor_shows_what_others_send(mesh: Mesh, connect: Connect) -> None:
    with connect(mesh.plain).monitor() as monitor:
        connect(mesh.plain).set("monitored", "1")
        seen = [monitor.next_command()["command"] for _ in range(1)]
        while "SET monitored 1" not in seen and len(seen) < 20:
            seen.append(monitor.next_command()["command"])
    assert "SET monitored 1" in seen


@peer("ioredis")
def test_ioredis_pipelines_transactions_and_subscriptions_pass(mesh: Mesh, clients: Clients) -> None:
    jobs = clients(catalogue.ioredis_client())
    calls = [["set", "i", "1"], ["incr", "i"], ["lpush", "i", "x"], ["get", "i"]]
    wrong = "WRONGTYPE Operation against a key holding the wrong kind of value"
    expected = [{"value": "OK"}, {"value": 2}, {"error": {"class": "ReplyError", "message": wrong}}, {"value": "2"}]
    for mode in ("each", "pipeline", "multi"):
        assert jobs.run(port=mesh.plain, mode=mode, calls=calls, ready=True) == expected, mode
    messages = [["a", "1"], ["b", "2"], ["a", "3"]]
    heard = jobs.run(port=mesh.plain, subscribe=["a", "b"], publish=messages)
    assert [each["value"] for each in heard] == [*messages, "PONG"]


@peer("ioredis")
def test_ioredis_logs_in_and_is_told_when_it_may_not(mesh: Mesh, clients: Clients) -> None:
    jobs = clients(catalogue.ioredis_client())
    assert jobs.run(port=mesh.guarded, password="client-secret", calls=[["ping"]]) == [{"value": "PONG"}]
    (refused,) = jobs.run(port=mesh.guarded, password="wrong", calls=[["get", "g"]])
    assert "error" in refused


@peer("redis-cli")
def test_redis_cli_and_its_mass_insertion_pass(mesh: Mesh) -> None:
    port = str(mesh.plain)
    assert catalogue.output("redis-cli", "-p", port, "set", "cli", "1") == "OK"
    assert catalogue.output("redis-cli", "-3", "-p", port, "incr", "cli") == "2"
    lines = "".join(f"SET mass{i} {i}\r\n" for i in range(20000))
    ran = subprocess.run(["redis-cli", "-p", port, "--pipe"], input=lines, capture_output=True, text=True, timeout=60)
    assert "errors: 0, replies: 20000" in ran.stdout
    assert catalogue.output("redis-cli", "-p", port, "get", "mass19999") == "19999"


@peer("redis-benchmark")
@pytest.mark.parametrize("which", ["plain", "ring"])
def test_redis_benchmark_runs_through_the_proxy_without_an_error(which: str, mesh: Mesh) -> None:
    port = str(getattr(mesh, which))
    load = ["-n", "10000", "-c", "20", "-P", "8", "-q", "-r", "1000", "-t", "set,get,incr,lpush,lpop,sadd,hset,mset"]
    ran = catalogue.output("redis-benchmark", "-p", port, *load)
    assert ran.count("requests per second") == 8, ran
    assert "rror" not in ran, ran


def test_a_server_killed_in_the_middle_fails_its_own_commands_only(
    connect: Connect, start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    import redis

    port, victim, other = free_port(), free_port(), free_port()
    killed = start_redis(start_here, tmp_path / "victim", victim)
    start_redis(start_here, tmp_path / "other", other)
    rules = [{"match": {"key": {"prefix": "v:"}}, "cluster": "victim"}, {"cluster": "other"}]
    between = proxy(
        {
            "listeners": [listener("in", port, "redis", rules)],
            "clusters": [cluster("victim", victim), cluster("other", other)],
        }
    )
    waiting, bystander = connect(port, single_connection_client=True), connect(port, single_connection_client=True)
    assert waiting.set("v:a", "1") and bystander.set("o:a", "1")
    failed: list[Exception] = []

    def wait() -> None:
        try:
            waiting.blpop("v:queue", timeout=10)
        except redis.RedisError as error:
            failed.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert eventually(lambda: connect(victim).info("clients")["blocked_clients"] == 1)
    killed.kill()
    thread.join(10)
    assert len(failed) == 1 and f"127.0.0.1:{victim}" in str(failed[0]), failed
    assert bystander.get("o:a") == "1"
    assert "connect to" in said(bystander, "GET", "v:a")
    assert bystander.get("o:a") == "1"
    start_redis(start_here, tmp_path / "again", victim)
    assert eventually(lambda: said(bystander, "SET", "v:a", "2") is True or said(bystander, "SET", "v:a", "2") == "OK")
    assert connect(victim).get("v:a") == "2"
    outcomes = between.outcomes()
    assert set(outcomes) == {"ok", "reset", "connect"}
    assert outcomes["reset"] == 1


def test_a_pipeline_that_loses_one_of_its_servers_is_answered_in_order_with_errors_in_their_places(
    connect: Connect, start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    import redis

    port, there = free_port(), free_port()
    start_redis(start_here, tmp_path / "there", there)
    rules = [{"match": {"key": {"prefix": "gone:"}}, "cluster": "gone"}, {"cluster": "there"}]
    proxy(
        {
            "listeners": [listener("in", port, "redis", rules)],
            "clusters": [cluster("gone", free_port()), cluster("there", there)],
        }
    )
    pipe = connect(port).pipeline(transaction=False)
    for i in range(100):
        pipe.set(f"{'gone' if i % 3 == 0 else 'there'}:{i}", i)
    results = pipe.execute(raise_on_error=False)
    assert [isinstance(result, redis.ResponseError) for result in results] == [i % 3 == 0 for i in range(100)]
