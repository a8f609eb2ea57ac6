"""
Several worker processes on the same listeners, with a real server behind them.

Lives here: what happens to clients and counts when a worker ends, at reloads, drains and the end; the admin API over
all workers; listeners of each kind; discovery and health checks, which one process does. Does not: a thousand ends of
workers (tests/soak/test_soak_workers.py), workers in memory (tests/unit/workers).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catalogue
import pytest
import yaml
from authority import Authority
from catalogue import Start
from proxied import Proxy, cluster, listener
from running import answers, eventually, free_port
from worker_load import Load, all_ready, command, load, to, workers

pytestmark = pytest.mark.peer("redis-server")
MakeProxy = Callable[..., Proxy]


@pytest.fixture(scope="module")
def redis(start: Start, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The port of a server."""
    port = free_port()
    start(catalogue.redis_server(port, tmp_path_factory.mktemp("redis")), lambda: answers(port))
    return port


def config(port: int, server: int, **options: Any) -> dict[str, Any]:
    return {
        "workers": 2,
        "listeners": [listener("front", port, "redis", [{"name": "main", "cluster": "demo"}], **options)],
        "clusters": [cluster("demo", server)],
    }


class Stand:
    """A proxy with two workers that are ready, and its port."""

    def __init__(self, proxy: MakeProxy, server: int, **options: Any) -> None:
        self.port = free_port()
        self.server = server
        self.config = config(self.port, server, **options)
        self.proxy = proxy(self.config)
        assert all_ready(self.proxy)

    def put(self, config: dict[str, Any]) -> tuple[int, str]:
        admin = {"listen": self.proxy.url.removeprefix("http://")}
        return self.proxy.ask("/config", "PUT", yaml.safe_dump({**config, "admin": admin}).encode())

    def client(self) -> socket.socket:
        return to(self.port)()

    def ask(self, client: socket.socket, *words: str) -> bytes:
        client.sendall(command(*words))
        return client.recv(1000)


@pytest.fixture
def stand(proxy: MakeProxy, redis: int) -> Stand:
    return Stand(proxy, redis)


def whole(found: Load) -> None:
    """Each request has exactly one end."""
    assert found.wrong == []
    assert found.sent == found.answered + found.cut
    assert found.answered > 0


def test_connections_are_spread_evenly(stand: Stand) -> None:
    clients = [stand.client() for _ in range(10)]
    for client in clients:
        assert stand.ask(client, "PING") == b"+PONG\r\n"
    assert [one["connections"] for one in workers(stand.proxy)] == [5, 5]
    for client in clients:
        client.close()
    assert eventually(lambda: [one["connections"] for one in workers(stand.proxy)] == [0, 0])


def test_a_worker_that_is_killed_takes_its_own_connections_with_it_and_comes_back(stand: Stand) -> None:
    counts: list[int] = []
    with load(to(stand.port)) as found:
        eventually(lambda: found.answered > 500)
        counts.append(stand.proxy.counted("metaproxy_exchanges_total"))
        before = workers(stand.proxy)
        os.kill(before[0]["pid"], signal.SIGKILL)
        for _ in range(10):
            counts.append(stand.proxy.counted("metaproxy_exchanges_total"))
            time.sleep(0.1)
        assert all_ready(stand.proxy)
        answered = found.answered
        eventually(lambda: found.answered > answered + 500)
        counts.append(stand.proxy.counted("metaproxy_exchanges_total"))
        after = workers(stand.proxy)
    whole(found)
    assert counts == sorted(counts)
    assert [one["restarts"] for one in after] == [1, 0]
    assert after[0]["pid"] != before[0]["pid"] and after[1]["pid"] == before[1]["pid"]
    assert after[0]["lost_connections"] == 4
    # A connection that ends between two requests of its client cuts none.
    assert found.cut <= 4
    assert sum(one.cut + one.refused > 0 for one in found.callers) <= 4


def test_reloads_under_load_lose_nothing(stand: Stand) -> None:
    with load(to(stand.port)) as found:
        for number in range(8):
            changed = config(stand.port, stand.server, max_connections=100 + number)
            changed["clusters"][0]["breaker"] = {"max_requests": 1000 + number}
            if number % 2:
                changed["listeners"].append(listener("more", free_port(), "redis", [{"cluster": "demo"}]))
            status, text = stand.put(changed)
            assert status == 200, text
            found.go_on(50)
    whole(found)
    assert (found.cut, found.refused) == (0, 0)
    for number in (0, 1):
        shown = stand.proxy.admin(f"/workers/{number}/config_dump")
        assert '"max_connections": 54' in json.dumps(shown)  # a half of the last, 107


def test_a_configuration_that_is_refused_changes_nothing(stand: Stand) -> None:
    before = stand.proxy.admin("/workers/0/config_dump")
    status, text = stand.put(
        {**stand.config, "listeners": [{**stand.config["listeners"][0], "routes": [{"cluster": "x"}]}]}
    )
    assert status == 400, text
    taken = socket.create_server(("127.0.0.1", 0))
    other = listener("other", taken.getsockname()[1], "redis", [{"cluster": "demo"}])
    status, text = stand.put({**stand.config, "listeners": [*stand.config["listeners"], other]})
    assert status != 200 and "in use" in text
    taken.close()
    assert stand.proxy.admin("/workers/0/config_dump") == before
    client = stand.client()
    assert stand.ask(client, "PING") == b"+PONG\r\n"
    client.close()


def test_requests_under_way_end_behind_a_signal_to_end(proxy: MakeProxy, redis: int) -> None:
    stand = Stand(proxy, redis, drain_timeout="10s")
    clients = [stand.client() for _ in range(4)]
    for number, client in enumerate(clients):
        client.sendall(command("BLPOP", f"nothing{number}", "1"))
    eventually(lambda: stand.proxy.counted("metaproxy_listener_exchanges_active") == 4)
    ends = threading.Thread(target=stand.proxy.stop)
    ends.start()
    assert [client.recv(100) for client in clients] == [b"*-1\r\n"] * 4
    ends.join(20)
    assert not ends.is_alive()


def test_a_listener_that_is_taken_away_lets_requests_under_way_end_and_takes_no_more(
    proxy: MakeProxy, redis: int
) -> None:
    stand = Stand(proxy, redis, drain_timeout="10s")
    clients = [stand.client() for _ in range(2)]
    for number, client in enumerate(clients):
        client.sendall(command("BLPOP", f"none{number}", "2"))
    eventually(lambda: stand.proxy.counted("metaproxy_listener_exchanges_active") == 2)
    status, text = stand.put({**stand.config, "listeners": []})
    assert status == 200, text
    assert eventually(lambda: not answers(stand.port))
    assert [client.recv(100) for client in clients] == [b"*-1\r\n"] * 2
    assert [client.recv(100) for client in clients] == [b""] * 2


def test_a_tap_has_the_exchanges_of_all_workers(stand: Stand) -> None:
    clients = [stand.client() for _ in range(4)]
    read: list[dict[str, Any]] = []

    def tap() -> None:
        _, text = stand.proxy.ask("/tap?limit=4")
        read.extend(json.loads(line) for line in text.splitlines() if line.strip())

    thread = threading.Thread(target=tap)
    thread.start()
    time.sleep(0.5)
    for number, client in enumerate(clients):
        stand.ask(client, "GET", f"key{number}")
    thread.join(10)
    assert len(read) == 4
    for client in clients:
        client.close()


def test_a_pause_holds_the_requests_of_all_workers(stand: Stand) -> None:
    clients = [stand.client() for _ in range(4)]
    assert stand.proxy.ask("/clusters/demo/pause", "POST")[0] == 200
    for client in clients:
        client.sendall(command("PING", "x"))
        client.settimeout(0.3)
    for client in clients:
        with pytest.raises(TimeoutError):
            client.recv(100)
    status, text = stand.proxy.ask("/clusters/demo/resume", "POST")
    assert status == 200
    assert json.loads(text)["released"] == 4
    for client in clients:
        client.settimeout(5)
        assert client.recv(100) == b"$1\r\nx\r\n"
        client.close()


def test_flows_and_counts_are_those_of_all_workers(stand: Stand) -> None:
    clients = [stand.client() for _ in range(4)]
    for client in clients:
        for _ in range(5):
            stand.ask(client, "GET", "x")
    assert stand.proxy.outcomes() == {"ok": 20}
    assert stand.proxy.counted("metaproxy_listener_connections_active") == 4

    def flows() -> int:
        for client in clients:
            stand.ask(client, "GET", "x")
        return len(stand.proxy.admin("/flows?window=60s")["flows"])

    assert eventually(flows, 10.0, 0.2) == 1
    for client in clients:
        client.close()


def test_what_filters_measure_and_collect_is_that_of_all_workers(proxy: MakeProxy, redis: int) -> None:
    port = free_port()
    whole_config = config(port, redis)
    whole_config["listeners"][0]["filters"] = [
        {"local_rate_limit": {"limit": 1000, "per": "1s", "key": "key"}},
        {"concurrency_limit": {"adaptive": {}}},
        "istio_stats",
    ]
    made = proxy(whole_config)
    assert all_ready(made)
    clients = [to(port)() for _ in range(4)]
    for number, client in enumerate(clients):
        for _ in range(5):
            client.sendall(command("GET", f"key{number}"))
            assert client.recv(100) == b"$-1\r\n"

    def shown() -> dict[str, float]:
        found: dict[str, float] = json.loads(made.ask("/stats?format=json")[1])
        return found

    def of(found: dict[str, float], name: str, text: str = "") -> float:
        (value,) = [value for key, value in found.items() if key.startswith(name) and text in key]
        return value

    found = shown()
    assert of(found, "metaproxy_filter_events_total", 'event="ok",filter="local_rate_limit"') == 20
    assert of(found, "metaproxy_filter_value", 'filter="local_rate_limit"') == 4  # buckets: a key each
    assert of(found, "istio_requests_total") == of(found, "istio_request_bytes_count") == 20
    lowest = [value for key, value in found.items() if 'name="min_rtt_seconds"' in key]
    assert len(lowest) == 2 and all("metaproxy_worker_filter_value" in key for key in found if "min_rtt" in key)
    parts = [made.ask(f"/workers/{number}/stats?format=json&filter=istio_requests")[1] for number in (0, 1)]
    assert [list(json.loads(part).values()) for part in parts] == [[10], [10]]
    os.kill(workers(made)[0]["pid"], signal.SIGKILL)
    assert eventually(lambda: workers(made)[0]["restarts"] == 1 and all_ready(made))
    found = shown()
    assert of(found, "istio_requests_total") == 20
    assert of(found, "metaproxy_filter_value", 'filter="local_rate_limit"') == 2
    for client in clients:
        client.close()


def test_each_worker_records(proxy: MakeProxy, redis: int, tmp_path: Path) -> None:
    port = free_port()
    made = proxy({**config(port, redis), "record": {"folder": str(tmp_path / "recorded")}})
    assert all_ready(made)
    status, text = made.ask("/record", "POST", json.dumps({"file": "all.jsonl"}).encode())
    assert status == 200, text
    clients = [to(port)() for _ in range(4)]
    for client in clients:
        client.sendall(command("GET", "x"))
        assert client.recv(100)
        client.close()
    assert made.ask("/record", "DELETE")[0] == 200
    files = sorted((tmp_path / "recorded").iterdir())
    assert [one.name for one in files] == ["all-worker0.jsonl", "all-worker1.jsonl"]
    # Of each worker two exchanges, and a first and a last line.
    assert [one.read_text().count("\n") for one in files] == [2 + 2, 2 + 2]


def test_a_runtime_value_holds_in_all_workers(proxy: MakeProxy, redis: int) -> None:
    port = free_port()
    whole_config = config(port, redis)
    whole_config["runtime"] = {"red": 100, "none": 0}
    nowhere = free_port()
    whole_config["clusters"].append(cluster("nowhere", nowhere))
    split = {"demo": {"runtime": "red"}, "nowhere": {"runtime": "none"}}
    whole_config["listeners"][0]["routes"] = [{"name": "split", "clusters": split}]
    made = proxy(whole_config)
    assert all_ready(made)
    clients = [to(port)() for _ in range(4)]

    def ask() -> list[bytes]:
        for client in clients:
            client.sendall(command("GET", "x"))
        return [client.recv(1000) for client in clients]

    assert ask() == [b"$-1\r\n"] * 4
    for name, value in (("none", b"100"), ("red", b"0")):
        status, text = made.ask(f"/runtime/{name}", "PUT", value)
        assert status == 200, text
    assert all(one.startswith(b"-") for one in ask())
    for client in clients:
        client.close()


# -- listeners of each kind


def test_a_listener_with_tls(proxy: MakeProxy, redis: int, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue("proxy", "127.0.0.1")
    stand = Stand(proxy, redis, tls={"certificate": str(issued.certificate), "key": str(issued.key)})
    context = ssl.create_default_context(cafile=str(authority.ca))
    for _ in range(4):
        with context.wrap_socket(stand.client(), server_hostname="127.0.0.1") as client:
            client.sendall(command("PING"))
            assert client.recv(100) == b"+PONG\r\n"
    again = authority.issue("proxy", "127.0.0.1", file="again")
    tls = {"certificate": str(again.certificate), "key": str(again.key)}
    stand.proxy.write(config(stand.port, redis, tls=tls))
    status, text = stand.proxy.ask("/reload", "POST")
    assert status == 200, text
    with context.wrap_socket(stand.client(), server_hostname="127.0.0.1") as client:
        client.sendall(command("PING"))
        assert client.recv(100) == b"+PONG\r\n"


def test_a_listener_on_a_unix_socket(proxy: MakeProxy, redis: int, tmp_path: Path) -> None:
    path = str(tmp_path / "front.sock")
    whole_config = config(0, redis)
    whole_config["listeners"][0]["listen"] = f"unix:{path}"
    made = proxy(whole_config)
    assert all_ready(made)
    for _ in range(4):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(path)
            client.sendall(command("PING"))
            assert client.recv(100) == b"+PONG\r\n"


# -- what one process does for all


class Counting:
    """A server of Redis that answers PING and ECHO, and counts connections."""

    def __init__(self) -> None:
        self.connections = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            while client.recv(1000):
                client.sendall(b"+PONG\r\n")

    def close(self) -> None:
        if self._server.fileno() >= 0:
            self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()


@pytest.fixture
def servers() -> Iterator[list[Counting]]:
    made = [Counting(), Counting()]
    yield made
    for one in made:
        one.close()


def test_servers_are_found_and_checked_by_one_process_and_all_workers_know_it(
    proxy: MakeProxy, redis: int, servers: list[Counting], tmp_path: Path
) -> None:
    file = tmp_path / "servers.json"

    def found(*ports: int) -> None:
        beside = tmp_path / "beside.json"
        beside.write_text(json.dumps([f"127.0.0.1:{port}" for port in ports]))
        beside.rename(file)

    found(servers[0].port)
    port = free_port()
    whole_config = config(port, redis)
    whole_config["clusters"] = [
        {
            "name": "demo",
            "discovery": {"file": str(file), "refresh": "100ms"},
            "health_check": {"interval": "200ms", "timeout": "1s"},
        }
    ]
    made = proxy(whole_config)
    assert all_ready(made)
    began, before = time.monotonic(), servers[0].connections
    time.sleep(2.0)
    checks, passed = servers[0].connections - before, time.monotonic() - began
    assert 0 < checks <= passed / 0.2 + 2  # of one process; two would make twice as many

    def known() -> list[set[str]]:
        return [
            {one["address"] for one in made.admin(f"/workers/{number}/clusters")["clusters"][0]["endpoints"]}
            for number in (0, 1)
        ]

    assert known() == [{f"127.0.0.1:{servers[0].port}"}] * 2
    found(servers[1].port)
    assert eventually(lambda: known() == [{f"127.0.0.1:{servers[1].port}"}] * 2)
    clients = [to(port)() for _ in range(4)]
    for client in clients:
        client.sendall(command("PING", "x"))
        assert client.recv(100) == b"+PONG\r\n"
        client.close()
    servers[1].close()

    def health() -> list[str]:
        shown = [made.admin(f"/workers/{number}/clusters")["clusters"][0]["endpoints"][0] for number in (0, 1)]
        return [one["health"] for one in shown]

    assert eventually(lambda: health() == ["unhealthy", "unhealthy"], 10.0)
