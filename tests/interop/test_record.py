"""
Real traffic recorded through the proxy and sent again: to the same server nothing differs, to another each difference
is shown.

Lives here: `metaproxy record` and `replay` with Dubbo, Thrift and Redis; secrets that must not be in the file. Does
not: the file's layout, pacing (tests/unit/recording).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catalogue
import pytest
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import answers, eventually, free_port
from thrift_calls import Cell

peer = pytest.mark.peer
METAPROXY = Path(sys.executable).with_name("metaproxy")


def run(*arguments: object, expect: int = 0) -> Any:
    """What `metaproxy ... --json` tells."""
    command = [str(METAPROXY), *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == expect, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    assert done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout)


class Tape:
    """A proxy that records to a folder of the test."""

    def __init__(self, proxy: Callable[..., Proxy], folder: Path, **config: Any) -> None:
        self.folder = folder / "recordings"
        self.proxy = proxy({"record": {"folder": str(self.folder)}, **config})

    def start(self, *options: object) -> None:
        run("record", "--admin", self.proxy.url, "--detach", "tape.jsonl", *options)

    def stop(self) -> Path:
        told = run("record", "--admin", self.proxy.url, "--stop")
        file = Path(told["file"])
        assert eventually(lambda: file.exists() and '{"end": ' in file.read_text())
        assert file.stat().st_mode & 0o077 == 0
        return file


def replay(file: Path, port: int, *options: object, expect: int = 0) -> Any:
    return run("replay", file, "--to", f"127.0.0.1:{port}", "--compare", "--speed", "max", *options, expect=expect)


# -- Redis


@pytest.fixture
def talk() -> Iterator[Callable[..., Any]]:
    """talk(port, **options): a redis-py client, closed after the test."""
    import redis

    made: list[Any] = []

    def client(port: int, **options: Any) -> Any:
        once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        made.append(
            redis.Redis(port=port, **{"retry": once, "decode_responses": True, "socket_timeout": 15, **options})
        )
        return made[-1]

    yield client
    for each in made:
        each.close()


@peer("redis-server", "redis-py")
def test_redis_is_answered_the_same_by_the_same_server_and_not_by_one_with_other_data(
    start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path, talk: Callable[..., Any]
) -> None:
    old, new, front = free_port(), free_port(), free_port()
    for port in (old, new):
        (tmp_path / str(port)).mkdir()
        server = catalogue.redis_server(port, tmp_path / str(port), "--requirepass", "upstream-secret")
        start_here(server, lambda port=port: answers(port))
    tape = Tape(
        proxy,
        tmp_path,
        secrets={"clients": {"value": "client-secret"}, "servers": {"value": "upstream-secret"}},
        listeners=[
            listener("redis-in", front, {"name": "redis", "auth": {"secret": "clients"}}, [{"cluster": "one"}]),
        ],
        clusters=[cluster("one", old, credentials={"password": {"secret": "servers"}})],
    )
    tape.start()
    first = talk(front, password="client-secret")
    other = talk(front, password="client-secret", db=3, protocol=3)
    first.set("s", "1")
    for _ in range(5):
        first.incr("s")
        other.incrby("s", 10)
    with first.pipeline(transaction=False) as pipe:
        for number in range(20):
            pipe.rpush("list", number)
        pipe.lrange("list", 0, -1)
        pipe.execute()
    with first.pipeline(transaction=True) as pipe:
        pipe.hset("h", "f", "v").hgetall("h").incr("s")
        pipe.execute()
    assert other.hset("map", mapping={"a": 1, "b": 2}) == 2
    assert other.hgetall("map") == {"a": "1", "b": "2"}
    with pytest.raises(Exception, match="WRONGTYPE"):
        first.incr("h")
    assert first.config_get("requirepass") == {"requirepass": "upstream-secret"}
    first.set("token", "plain data stays")
    file = tape.stop()

    text = file.read_text()
    assert "upstream-secret" not in text
    assert json.loads(text.splitlines()[-1])["end"]["left_out"]["secret"] == 1
    login = ("--credential", "password=upstream-secret")
    again = replay(file, new, *login)
    assert again["differences"] == again["failed"] == []
    assert again["compared"] == again["sent"] == again["answered"] >= 40
    second = replay(file, new, *login, expect=1)  # the data are there now: counters go on
    assert {one["operation"] for one in second["differences"]} >= {"INCRBY", "LRANGE"}
    wrong = replay(file, new, "--credential", "password=wrong", expect=1)
    assert "login refused" in wrong["failed"][0]["error"]


@peer("redis-server", "redis-py")
def test_a_recording_at_its_own_speed_keeps_the_spaces_between_requests(
    start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path, talk: Callable[..., Any]
) -> None:
    server, front = free_port(), free_port()
    start_here(catalogue.redis_server(server, tmp_path), lambda: answers(server))
    tape = Tape(
        proxy, tmp_path,
        listeners=[listener("redis-in", front, "redis", [{"cluster": "one"}])], clusters=[cluster("one", server)],
    )  # fmt: skip
    tape.start("--match", "command=BLPOP")
    client = talk(front)
    client.blpop("nothing", timeout=1)
    client.blpop("nothing", timeout=1)
    client.set("left", "out")
    file = tape.stop()
    told = run("replay", file, "--to", f"127.0.0.1:{server}", "--compare", "--speed", "2x")
    assert (told["sent"], told["compared"], told["differences"]) == (2, 2, [])
    assert told["latency_ms"]["replayed"]["p50"] > 900


# -- Dubbo

SERVICE = "org.example.HelloService"


@pytest.mark.parametrize("client", [pytest.param(name, marks=peer(name)) for name in ("java", "npm")])
@peer("java")
def test_dubbo_is_answered_the_same_by_the_same_provider_and_not_by_another(
    client: str, start: Start, clients: Clients, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    alpha, beta, front = free_port(), free_port(), free_port()
    start(catalogue.dubbo_server("java", "alpha", alpha))
    start(catalogue.dubbo_server("java", "beta", beta))
    tape = Tape(
        proxy, tmp_path,
        listeners=[listener("dubbo-in", front, "dubbo", [{"match": {"interface": SERVICE}, "cluster": "alpha"}])],
        clusters=[cluster("alpha", alpha)],
    )  # fmt: skip
    tape.start()
    calls = [
        {"method": "sayHello", "args": ["bob"], "attachments": {"token": "hunter2-secret", "tenant": "t1"}},
        *({"method": "add", "args": [number, 4]} for number in range(30)),
        {"method": "whoami"},
    ]
    results = clients(catalogue.dubbo_client(client)).run(port=front, calls=calls)
    assert [one.get("value") for one in results][:2] == ["hello bob from alpha", 4]
    file = tape.stop()

    entries = [json.loads(line) for line in file.read_text().splitlines()[1:-1]]
    secret = next(one for one in entries if one["operation"].endswith("sayHello"))
    assert secret["redacted"] == ["token"]
    assert secret["request"]["metadata"]["token"] == "****"
    assert b"hunter2" not in file.read_bytes()
    same = replay(file, alpha)
    assert (same["differences"], same["failed"]) == ([], [])
    assert same["compared"] >= 32
    every = replay(file, beta, expect=1)
    # To a client that takes attachments each answer says in them who served it.
    assert len(every["differences"]) == (same["compared"] if client == "java" else 2)
    other = replay(file, beta, "--ignore", "served-by", expect=1)
    assert {one["operation"].rpartition("/")[2] for one in other["differences"]} == {"sayHello", "whoami"}
    assert "alpha" in other["differences"][0]["differs"]
    assert "beta" in other["differences"][0]["differs"]
    nobody = replay(file, free_port(), expect=1)
    assert len(nobody["failed"]) == nobody["sent"]


# -- Thrift

WAYS = [
    Cell("framed", "binary", False),
    Cell("framed", "compact", True),
    Cell("buffered", "binary", False),
    Cell("header", "binary", False),
]


@peer("py")
def test_thrift_is_answered_the_same_by_the_same_server_and_not_by_another_in_each_way(
    start: Start, clients: Clients, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    reached: dict[str, dict[Cell, int]] = {}
    for name in ("alpha", "beta"):
        ports = reached[name] = {cell: free_port() for cell in WAYS}
        specs = [f"{port}:{cell.transport}:{cell.protocol}" for cell, port in ports.items()]
        start(catalogue.thrift_server("py", name, *specs), lambda ports=ports: all(map(answers, ports.values())))
    fronts = {cell: free_port() for cell in WAYS}
    tape = Tape(
        proxy,
        tmp_path,
        listeners=[listener(str(cell), fronts[cell], "thrift", [{"cluster": str(cell)}]) for cell in WAYS],
        clusters=[cluster(str(cell), reached["alpha"][cell]) for cell in WAYS],
    )
    tape.start()
    calls = [
        {"method": "sayHello", "args": ["bob"]},
        *({"method": "add", "args": [number, 4]} for number in range(20)),
        {"method": "note", "args": ["by the way"]},
    ]
    for cell in WAYS:
        jobs = clients(catalogue.thrift_client("py"))
        jobs.run(port=fronts[cell], transport=cell.transport, protocol=cell.protocol, mux=cell.mux, calls=calls)
    assert eventually(lambda: tape.proxy.outcomes().get("oneway") == len(WAYS))
    file = tape.stop()
    for cell in WAYS:
        same = replay(file, reached["alpha"][cell], "--listener", cell)
        assert (same["sent"], same["compared"], same["differences"], same["failed"]) == (22, 21, [], [])
        other = replay(file, reached["beta"][cell], "--listener", cell, "--ignore", "served-by", expect=1)
        assert [one["operation"].rpartition(":")[2] for one in other["differences"]] == ["sayHello"]


# -- the tap


@peer("redis-server", "redis-py")
def test_the_tap_and_its_command_show_real_commands_as_they_end(
    start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path, talk: Callable[..., Any]
) -> None:
    server, front = free_port(), free_port()
    start_here(catalogue.redis_server(server, tmp_path), lambda: answers(server))
    routes = [{"name": "sessions", "match": {"key": {"prefix": "session:"}}, "cluster": "one"}]
    running = proxy({"listeners": [listener("redis-in", front, "redis", routes)], "clusters": [cluster("one", server)]})
    command = [str(METAPROXY), "tap", "--admin", running.url, "--json", "--limit", "2", "--match", "key=session:7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tap:
        client = talk(front)
        assert tap.stdout is not None

        def sent() -> bool:
            client.set("session:7", "x")
            client.get("session:8")
            return tap.poll() is not None

        assert eventually(sent, 15)
        lines = [json.loads(line) for line in tap.stdout]
    assert [one["operation"] for one in lines] == ["SET", "SET"]
    assert lines[0]["why"]["route"] == 'key: prefix "session:"'
    frame = b"*2\r\n$3\r\nGET\r\n$9\r\nsession:1\r\n".hex()
    told = running.admin("/explain", "POST", json.dumps({"frame": frame}).encode())
    assert (told["route"], told["targets"][0]["endpoint"]) == ("sessions", f"127.0.0.1:{server}")
