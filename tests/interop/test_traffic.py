"""
Mirrors, sticky shares, retries, hedges, fallback, time limits in metadata and held clusters, with real peers.

Lives here: what clients and servers see of them, and that each is gone where it is not configured. Does not: how each
works (tests/unit/proxy, tests/unit/routing).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import catalogue
import pytest
import yaml
from catalogue import Clients, Start
from proxied import Proxy, cluster, listener
from running import Jobs, Program, answers, eventually, free_port

peer = pytest.mark.peer
Proxies = Callable[..., Proxy]
FRAMED = {"transport": "framed", "protocol": "binary", "mux": False}


def one(jobs: Jobs, port: int, method: str, *args: Any, **options: Any) -> dict[str, Any]:
    (result,) = jobs.run(port=port, calls=[{"method": method, "args": list(args), **options}])
    return result


def dubbo(start: Start, *names: str) -> dict[str, int]:
    """Dubbo providers of these names, and their ports."""
    ports = {name: free_port() for name in names}
    for name, port in ports.items():
        start(catalogue.dubbo_server("npm", name, port), partial(answers, port))
    return ports


def redis_servers(start: Start, directory: Path, *names: str) -> dict[str, tuple[int, Program]]:
    found = {}
    for name in names:
        port = free_port()
        found[name] = port, start(catalogue.redis_server(port, directory), partial(answers, port))
    return found


def counted(proxy: Proxy, metric: str) -> int:
    return int(sum(value for name, value in proxy.stats().items() if name.startswith(metric + "{")))


@peer("npm")
def test_dubbo_requests_are_mirrored_and_answers_compared(start_here: Start, clients: Clients, proxy: Proxies) -> None:
    ports = dubbo(start_here, "alpha", "beta")
    mirrored, plain = free_port(), free_port()
    mirror = {"mirror": {"cluster": "beta", "compare": True}}
    running = proxy(
        {
            "listeners": [
                listener("mirrored", mirrored, "dubbo", [{"cluster": "alpha", **mirror}]),
                listener("plain", plain, "dubbo", [{"cluster": "alpha"}]),
            ],
            "clusters": [cluster(name, port) for name, port in ports.items()],
        }
    )
    jobs = clients(catalogue.dubbo_client("npm"))
    assert one(jobs, plain, "whoami")["value"] == "alpha"
    assert counted(running, "metaproxy_mirror_requests_total") == 0
    assert one(jobs, mirrored, "add", 3, 4)["value"] == 7
    assert eventually(lambda: counted(running, "metaproxy_mirror_compared_total") == 1)
    assert counted(running, "metaproxy_mirror_differences_total") == 0
    assert one(jobs, mirrored, "whoami")["value"] == "alpha"
    assert eventually(lambda: counted(running, "metaproxy_mirror_differences_total") == 1)


@peer("redis-py", "redis-server")
def test_redis_writes_are_seen_by_the_mirror_whose_death_nobody_notices(
    start_here: Start, proxy: Proxies, tmp_path: Path
) -> None:
    import redis

    servers = redis_servers(start_here, tmp_path, "main", "shadow")
    port = free_port()
    running = proxy(
        {
            "listeners": [listener("redis", port, "redis", [{"cluster": "main", "mirror": [{"cluster": "shadow"}]}])],
            "clusters": [cluster(name, at) for name, (at, _) in servers.items()],
        }
    )
    with redis.Redis(port=port) as client, redis.Redis(port=servers["shadow"][0]) as shadow:
        client.set("a", "1")
        assert eventually(lambda: shadow.get("a") == b"1")
        with client.pipeline(transaction=True) as pipeline:
            pipeline.set("b", "1").set("c", "1").execute()  # bound to a connection: not copied
        assert shadow.exists("b") == 0
        servers["shadow"][1].kill()
        assert all(client.set(f"k{number}", "v") for number in range(50))
    assert eventually(lambda: counted(running, "metaproxy_mirror_failures_total") > 0)
    assert running.outcomes().keys() == {"ok"}


@peer("py")
def test_thrift_requests_are_mirrored(start_here: Start, clients: Clients, proxy: Proxies) -> None:
    ports = {name: free_port() for name in ("alpha", "beta")}
    for name, port in ports.items():
        start_here(catalogue.thrift_server("py", name, f"{port}:framed:binary"), partial(answers, port))
    port = free_port()
    mirror = {"mirror": {"cluster": "beta", "compare": True}}
    running = proxy(
        {
            "listeners": [listener("thrift", port, "thrift", [{"cluster": "alpha", **mirror}])],
            "clusters": [cluster(name, at) for name, at in ports.items()],
        }
    )
    calls = [{"method": "add", "args": [3, 4]}, {"method": "sayHello", "args": ["bob"]}]
    added, hello = clients(catalogue.thrift_client("py")).run(port=port, calls=calls, **FRAMED)
    assert (added["value"], hello["value"]) == (7, "hello bob from alpha")
    assert eventually(lambda: counted(running, "metaproxy_mirror_compared_total") == 2)
    assert counted(running, "metaproxy_mirror_differences_total") == 1


@peer("npm")
def test_a_caller_stays_with_its_version(start_here: Start, clients: Clients, proxy: Proxies) -> None:
    ports = dubbo(start_here, "alpha", "beta")
    sticky, plain = free_port(), free_port()
    route = {"clusters": {"alpha": 50, "beta": 50}}
    proxy(
        {
            "listeners": [
                listener("sticky", sticky, "dubbo", [{**route, "sticky": "user"}]),
                listener("plain", plain, "dubbo", [route]),
            ],
            "clusters": [cluster(name, port) for name, port in ports.items()],
        }
    )
    jobs = clients(catalogue.dubbo_client("npm"))

    def seen(port: int) -> dict[str, set[str]]:
        """User -> the servers that answered eight calls of theirs."""
        users = [f"user-{number}" for number in range(12)] * 8
        calls = [{"method": "whoami", "args": [], "attachments": {"user": user}} for user in users]
        found: dict[str, set[str]] = {}
        for user, result in zip(users, jobs.run(port=port, calls=calls), strict=True):
            found.setdefault(user, set()).add(result["value"])
        return found

    stuck = seen(sticky)
    assert all(len(servers) == 1 for servers in stuck.values())
    assert set().union(*stuck.values()) == {"alpha", "beta"}
    assert any(len(servers) == 2 for servers in seen(plain).values())


@peer("npm")
def test_connections_that_fail_are_tried_elsewhere(start_here: Start, clients: Clients, proxy: Proxies) -> None:
    (alive,) = dubbo(start_here, "alpha").values()
    dead = free_port()
    retried, plain = free_port(), free_port()
    running = proxy(
        {
            "listeners": [
                listener(
                    "retried", retried, "dubbo", [{"cluster": "both", "retry": {"attempts": 2, "on": ["connect"]}}]
                ),
                listener("plain", plain, "dubbo", [{"cluster": "both"}]),
            ],
            "clusters": [cluster("both", alive, dead)],
        }
    )
    jobs = clients(catalogue.dubbo_client("npm"))
    calls = [{"method": "whoami", "args": []}] * 20
    assert [result.get("value") for result in jobs.run(port=retried, calls=calls)] == ["alpha"] * 20
    assert counted(running, "metaproxy_exchange_retries_total") > 0
    assert any("error" in result for result in jobs.run(port=plain, calls=calls))


@peer("redis-py", "redis-server")
def test_a_read_that_takes_long_is_hedged_and_a_write_is_not(start_here: Start, proxy: Proxies, tmp_path: Path) -> None:
    import redis

    servers = redis_servers(start_here, tmp_path, "a", "b")
    for at, _ in servers.values():
        with redis.Redis(port=at) as direct:
            direct.set("key", "v")
    port = free_port()
    retry = {"attempts": 1, "hedge_after": "50ms", "on": ["connect"]}
    running = proxy(
        {
            "listeners": [listener("redis", port, "redis", [{"cluster": "both", "retry": retry, "timeout": "2s"}])],
            "clusters": [cluster("both", *(at for at, _ in servers.values()))],
        }
    )
    servers["a"][1].signal(signal.SIGSTOP)
    try:
        with redis.Redis(port=port) as client:
            assert [client.get("key") for _ in range(6)] == [b"v"] * 6
        assert counted(running, "metaproxy_exchange_hedges_total") >= 1
        hedged = counted(running, "metaproxy_exchange_hedges_total")
        with redis.Redis(port=port, protocol=2, retry=None) as client, pytest.raises(redis.exceptions.RedisError):
            for _ in range(2):  # one of them goes to the one that is stopped
                client.incr("number")
        assert counted(running, "metaproxy_exchange_hedges_total") == hedged
    finally:
        servers["a"][1].signal(signal.SIGCONT)


@peer("npm")
def test_a_cluster_without_endpoints_falls_back(start_here: Start, clients: Clients, proxy: Proxies) -> None:
    (alive,) = dubbo(start_here, "alpha").values()
    port = free_port()
    config = {
        "listeners": [listener("in", port, "dubbo", [{"cluster": "main"}])],
        "clusters": [cluster("main", fallback=["spare"]), cluster("spare", alive)],
    }
    running = proxy(config)
    jobs = clients(catalogue.dubbo_client("npm"))
    assert one(jobs, port, "whoami")["value"] == "alpha"
    assert counted(running, "metaproxy_exchange_fallbacks_total") >= 1
    config["clusters"][0]["fallback"] = []
    running.admin("/config", "PUT", yaml.safe_dump(config).encode())
    assert "no usable endpoint" in one(jobs, port, "whoami")["error"]["message"]


@peer("npm")
@pytest.mark.parametrize("name", [pytest.param(each, marks=peer(each)) for each in ("npm", "java", "dubbo-py")])
def test_the_time_that_a_dubbo_request_names_is_honoured_and_shortened(
    name: str, start_here: Start, clients: Clients, proxy: Proxies
) -> None:
    (server,) = dubbo(start_here, "alpha").values()
    limited, plain = free_port(), free_port()
    proxy(
        {
            "listeners": [
                listener("limited", limited, "dubbo", [{"cluster": "one"}], filters=[{"deadline": {"reserve": "1s"}}]),
                listener("plain", plain, "dubbo", [{"cluster": "one"}]),
            ],
            "clusters": [cluster("one", server)],
        }
    )
    jobs = clients(catalogue.dubbo_client(name))
    attachments = {"attachments": {"timeout": "2000"}}
    assert int(one(jobs, plain, "attachments", **attachments)["value"]["timeout"]) == 2000
    seen = one(jobs, limited, "attachments", **attachments)["value"]
    assert 0 < int(seen["timeout"]) <= 1000
    assert "no answer within 1 s" in str(one(jobs, limited, "slow", 2500, **attachments)["error"])
    unlimited = one(jobs, plain, "slow", 2500, **attachments)
    assert unlimited.get("value") == 2500 or name == "java"  # it gives up by itself


class Load(threading.Thread):
    """Calls `call` until it is stopped; `failed` has what it raised, `longest` the seconds of the slowest one."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.call = call
        self.failed: list[str] = []
        self.count, self.longest = 0, 0.0
        self.stopping = False
        self.start()

    def run(self) -> None:
        while not self.stopping:
            begun = time.monotonic()
            try:
                self.call()
            except Exception as error:
                self.failed.append(repr(error))
            self.longest = max(self.longest, time.monotonic() - begun)
            self.count += 1

    def stop(self) -> None:
        self.stopping = True
        self.join(20)


def _switch(running: Proxy, config: dict[str, Any], name: str, port: int) -> float:
    """Holds a cluster, gives it another endpoint, lets it go on; the longest wait in milliseconds."""
    running.admin(f"/clusters/{name}/pause", "POST")
    assert eventually(
        lambda: all(
            one["breaker"]["requests"]["active"] == 0
            for one in running.admin("/clusters")["clusters"]
            if one["name"] == name
        )
    )
    found = next(one for one in config["clusters"] if one["name"] == name)
    found["endpoints"] = [f"127.0.0.1:{port}"]
    running.admin("/config", "PUT", yaml.safe_dump({"admin": running._admin, **config}).encode())
    told: float = running.admin(f"/clusters/{name}/resume", "POST")["longest_wait_ms"]
    return told


@peer("npm", "redis-py", "redis-server")
def test_backends_are_replaced_under_load_without_a_failed_request(
    start_here: Start, clients: Clients, proxy: Proxies, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import redis

    caches = redis_servers(start_here, tmp_path, "old", "new")
    services = {name: free_port() for name in ("old", "new")}
    programs = {
        name: start_here(catalogue.dubbo_server("npm", name, at), partial(answers, at)) for name, at in services.items()
    }
    dubbo_in, redis_in = free_port(), free_port()
    config = {
        "listeners": [
            listener("dubbo", dubbo_in, "dubbo", [{"cluster": "service"}]),
            listener("redis", redis_in, "redis", [{"cluster": "cache"}]),
        ],
        "clusters": [cluster("service", services["old"]), cluster("cache", caches["old"][0])],
    }
    running = proxy(config)
    connections = [redis.Redis(port=redis_in, retry=None, socket_timeout=10) for _ in range(4)]
    jobs = [clients(catalogue.dubbo_client("npm"), f"load {number}") for number in range(2)]
    answered: list[str] = []

    def calls(client: Jobs) -> None:
        results = client.run(port=dubbo_in, calls=[{"method": "whoami", "args": []}] * 20)
        answered.extend(result["value"] for result in results)

    loads = [Load(partial(one.set, "k", "v")) for one in connections]
    loads += [Load(partial(calls, one)) for one in jobs]
    assert eventually(lambda: all(load.count > 3 for load in loads), 30)
    waits = {
        "redis": _switch(running, config, "cache", caches["new"][0]),
        "dubbo": _switch(running, config, "service", services["new"]),
    }
    caches["old"][1].kill()
    programs["old"].kill()
    before = [load.count for load in loads]
    assert eventually(lambda: all(load.count > seen + 3 for load, seen in zip(loads, before, strict=True)), 30)
    for load in loads:
        load.stop()
    assert [failure for load in loads for failure in load.failed] == []
    assert running.outcomes().keys() == {"ok"}
    assert set(answered) == {"old", "new"} and answered[-1] == "new"
    with redis.Redis(port=caches["new"][0]) as direct:
        assert direct.get("k") == b"v"
    with capsys.disabled():
        shown = ", ".join(f"{name} {wait:.1f} ms" for name, wait in waits.items())
        print(f"\nhold and switch: {sum(load.count for load in loads)} calls, 0 failed; longest wait {shown}")
