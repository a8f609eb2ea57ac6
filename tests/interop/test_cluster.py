"""
Servers that are killed, stalled, restarted, drained and found, with real peers.

Lives here: what clients notice of it with health checks, outlier detection, priorities, drains and discovery, and what
they notice without. Does not: how each decides (tests/unit/cluster), the peers alone (test_peers.py).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catalogue
import pytest
import yaml
from catalogue import Clients, Command, Start
from proxied import Proxy, cluster, listener
from running import ROOT, Program, answers, eventually, free_port

peer = pytest.mark.peer
redis_peers = peer("redis-py", "redis-server")
Proxies = Callable[..., Proxy]

CHECK = {"interval": "100ms", "timeout": "200ms", "unhealthy": 2, "healthy": 2, "jitter": 0}
SLOW = 10.0  # seconds until something has happened that takes tenths of one on an idle machine


class Redis:
    """A server that can be killed and started again on its port; its key `name` holds its name."""

    def __init__(self, start: Start, directory: Path, name: str, *options: str) -> None:
        self.name, self.port = name, free_port()
        self._start, self._directory, self._options = start, directory, options
        self.program: Program
        self.run()

    def run(self) -> None:
        import redis

        command = catalogue.redis_server(self.port, self._directory, *self._options)
        self.program = self._start(command, lambda: answers(self.port))
        with redis.Redis(port=self.port) as client:
            client.set("name", self.name)

    def stall(self) -> None:
        self.program.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.program.pid, signal.SIGCONT)


@pytest.fixture
def servers(start_here: Start, tmp_path: Path) -> Iterator[Callable[..., Redis]]:
    made: list[Redis] = []

    def server(name: str, *options: str) -> Redis:
        made.append(Redis(start_here, tmp_path, name, *options))
        return made[-1]

    yield server
    for one in made:
        if one.program.running:
            one.go_on()  # or it would not end


def asked(port: int, times: int = 20) -> Counter[str]:
    """What so many clients get is the server's name; errors by their first word."""
    import redis

    found: Counter[str] = Counter()
    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    with redis.Redis(port=port, retry=once, decode_responses=True, socket_timeout=15) as client:
        for _ in range(times):
            try:
                found[str(client.get("name"))] += 1
            except redis.RedisError:
                found["error"] += 1
    return found


def endpoints(proxy: Proxy, name: str = "demo") -> dict[int, dict[str, Any]]:
    """The endpoints of a cluster by port."""
    (found,) = (one for one in proxy.admin("/clusters")["clusters"] if one["name"] == name)
    return {int(one["address"].rpartition(":")[2]): one for one in found["endpoints"]}


def state(proxy: Proxy, port: int, key: str = "health", name: str = "demo") -> Any:
    return endpoints(proxy, name)[port][key]


def becomes(proxy: Proxy, port: int, wanted: Any, key: str = "health", name: str = "demo") -> bool:
    return bool(eventually(lambda: state(proxy, port, key, name) == wanted, SLOW))


def two(port: int, bare: int, *ports: int, protocol: Any = "redis", **options: Any) -> dict[str, Any]:
    """A listener on a cluster with the options, and one on the same servers without them."""
    return {
        "listeners": [
            listener("with", port, protocol, [{"cluster": "demo"}]),
            listener("without", bare, protocol, [{"cluster": "bare"}]),
        ],
        "clusters": [
            cluster("demo", *ports, request_timeout="300ms", **options),
            cluster("bare", *ports, request_timeout="300ms"),
        ],
    }


# -- health checks


@redis_peers
def test_a_redis_server_that_hangs_is_taken_out_and_brought_back(servers: Callable[..., Redis], proxy: Proxies) -> None:
    one, other = servers("one"), servers("other")
    port, bare = free_port(), free_port()
    running = proxy(two(port, bare, one.port, other.port, health_check={**CHECK, "kind": "codec"}))
    assert becomes(running, one.port, True, "checked")
    assert asked(port) == {"one": 10, "other": 10}
    one.stall()
    assert becomes(running, one.port, "unhealthy")
    assert asked(port) == {"other": 20}
    assert asked(bare, 6)["error"] > 0, "without checks a hanging server is asked again and again"
    one.go_on()
    assert becomes(running, one.port, "healthy")
    assert asked(port) == {"one": 10, "other": 10}
    stats = running.stats()
    assert stats['metaproxy_cluster_health_check_failures_total{cluster="demo"}'] >= 2
    assert stats['metaproxy_cluster_health_checks_total{cluster="bare"}'] == 0
    assert f"127.0.0.1:{one.port} is unhealthy: no answer within 0.2 s" in running.log()


@peer("npm")
def test_a_dubbo_server_that_dies_is_taken_out_and_brought_back(
    start_here: Start, clients: Clients, proxy: Proxies
) -> None:
    ports = {name: free_port() for name in ("alpha", "beta")}

    def run(name: str) -> Program:
        return start_here(catalogue.dubbo_server("npm", name, ports[name]), lambda: answers(ports[name]))

    programs = {name: run(name) for name in ports}
    port, bare = free_port(), free_port()
    running = proxy(
        two(port, bare, *ports.values(), protocol="dubbo", health_check={**CHECK, "kind": ["tcp", "codec"]})
    )
    jobs = clients(catalogue.dubbo_client("npm"))

    def whoami(at: int) -> Counter[str]:
        results = jobs.run(port=at, calls=[{"method": "whoami", "args": []}] * 10)
        return Counter(str(each.get("value", "error")) for each in results)

    assert becomes(running, ports["alpha"], True, "checked")
    assert whoami(port) == {"alpha": 5, "beta": 5}
    programs["alpha"].kill()
    assert becomes(running, ports["alpha"], "unhealthy")
    assert whoami(port) == {"beta": 10}
    assert whoami(bare)["error"] > 0
    run("alpha")
    assert becomes(running, ports["alpha"], "healthy")
    assert whoami(port) == {"alpha": 5, "beta": 5}


@peer("py")
def test_a_thrift_server_is_alive_when_it_answers_what_it_does_not_know(start_here: Start, proxy: Proxies) -> None:
    good, other = free_port(), free_port()
    start_here(catalogue.thrift_server("py", "good", f"{good}:framed:binary"), lambda: answers(good))
    # Another protocol on the port: somebody listens, but not who should.
    start_here(catalogue.thrift_server("py", "bad", f"{other}:buffered:compact"), lambda: answers(other))
    thrift = {"name": "thrift", "transport": "framed"}
    running = proxy(
        two(free_port(), free_port(), good, other, protocol=thrift, health_check={**CHECK, "kind": "codec"})
    )
    assert becomes(running, good, True, "checked")
    assert becomes(running, other, "unhealthy") and answers(other)
    assert state(running, good) == "healthy"


# -- outlier detection


@redis_peers
def test_a_redis_server_that_answers_errors_is_ejected(servers: Callable[..., Redis], proxy: Proxies) -> None:
    import redis

    good, bad = servers("good"), servers("bad")
    with redis.Redis(port=bad.port) as client:
        client.config_set("requirepass", "changed by somebody")
    port, bare = free_port(), free_port()
    outlier = {"consecutive_errors": 3, "ejection_time": "1h", "max_ejection_time": "1h"}
    running = proxy(two(port, bare, good.port, bad.port, outlier=outlier))
    assert asked(port) == {"error": 3, "good": 17}
    assert asked(bare) == {"error": 10, "good": 10}
    assert state(running, bad.port, "ejected") is True
    stats = running.stats()
    assert stats['metaproxy_cluster_ejections_total{cause="consecutive_errors",cluster="demo"}'] == 1
    running.admin(f"/clusters/demo/endpoints/127.0.0.1:{bad.port}/restore", "POST")
    assert asked(port)["error"] == 3


@redis_peers
def test_a_redis_server_that_is_gone_is_ejected_for_a_time(servers: Callable[..., Redis], proxy: Proxies) -> None:
    good, gone = servers("good"), servers("gone")
    port, bare = free_port(), free_port()
    outlier = {"consecutive_local": 2, "split": True, "ejection_time": "500ms"}
    running = proxy(two(port, bare, good.port, gone.port, outlier=outlier))
    gone.program.kill()
    assert asked(port)["error"] == 2
    assert asked(bare)["error"] == 10
    gone.run()
    assert becomes(running, gone.port, False, "ejected")
    assert asked(port) == {"good": 10, "gone": 10}


# -- priorities


@redis_peers
def test_requests_fail_over_to_the_next_priority_and_back(servers: Callable[..., Redis], proxy: Proxies) -> None:
    near, far = servers("near"), servers("far")
    port, bare = free_port(), free_port()
    config = two(port, bare, near.port, far.port, health_check=CHECK)
    for one in config["clusters"]:
        one["endpoints"][1] = {"address": one["endpoints"][1], "priority": 1}
    running = proxy(config)
    assert becomes(running, near.port, True, "checked")
    assert asked(port) == {"near": 20}
    near.program.kill()
    assert becomes(running, near.port, "unhealthy")
    assert asked(port) == {"far": 20}
    assert asked(bare, 5) == {"error": 5}, "who does not know that it is gone stays with it"
    near.run()
    assert becomes(running, near.port, "healthy")
    assert asked(port) == {"near": 20}


@redis_peers
def test_requests_stay_in_the_own_zone_and_leave_it_when_nobody_is_left(
    servers: Callable[..., Redis], proxy: Proxies
) -> None:
    here, there = servers("here"), servers("there")
    port, bare = free_port(), free_port()
    config = two(port, bare, here.port, there.port, health_check=CHECK)
    for one in config["clusters"]:
        one["endpoints"] = [
            {"address": address, "zone": zone} for address, zone in zip(one["endpoints"], "ab", strict=True)
        ]
    config["clusters"][0]["locality"] = {"prefer": "zone"}
    running = proxy({"node": {"zone": "a"}, **config})
    assert becomes(running, here.port, True, "checked")
    assert asked(port) == {"here": 20}
    assert asked(bare) == {"here": 10, "there": 10}, "without a preference zones do not matter"
    here.program.kill()
    assert becomes(running, here.port, "unhealthy")
    assert asked(port) == {"there": 20}


@redis_peers
def test_an_endpoint_that_recovers_begins_with_a_small_share(servers: Callable[..., Redis], proxy: Proxies) -> None:
    old, new = servers("old"), servers("new")
    port, bare = free_port(), free_port()
    checks = {**CHECK, "kind": "codec"}
    running = proxy(two(port, bare, old.port, new.port, health_check=checks, slow_start="5m"))
    assert becomes(running, new.port, True, "checked")
    new.stall()
    assert becomes(running, new.port, "unhealthy")
    new.go_on()
    assert becomes(running, new.port, "healthy")
    share = asked(port, 110)["new"]
    assert 1 <= share <= 20, "a tenth of its weight against all of the other's: 10 of 110"
    assert asked(bare, 20)["new"] == 10


@redis_peers
def test_an_endpoint_that_is_slower_than_allowed_is_ejected(servers: Callable[..., Redis], proxy: Proxies) -> None:
    import redis

    quick, slow = servers("quick"), servers("slow")
    port, bare = free_port(), free_port()
    outlier = {
        "latency": {"p99": "50ms"}, "interval": "500ms", "ejection_time": "30s", "success_rate": 0,
        "consecutive_errors": 0, "max_ejected": 50,
    }  # fmt: skip
    running = proxy(two(port, bare, quick.port, slow.port, outlier=outlier))
    with redis.Redis(port=slow.port) as busy:
        busy.config_set("busy-reply-threshold", 0)  # it runs what is slow to the end before it answers anybody

        def slowly() -> bool:
            busy.eval("local t = redis.call('TIME'); local e = t[1] * 1000000 + t[2] + 100000; repeat t = "
                      "redis.call('TIME') until t[1] * 1000000 + t[2] > e", 0)  # fmt: skip
            return bool(state(running, slow.port, "ejected"))

        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                asked(port, 20)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            assert eventually(slowly, SLOW)
        finally:
            over.set()
            for thread in threads:
                thread.join(SLOW)
    assert asked(port) == {"quick": 20}
    assert set(asked(bare)) == {"quick", "slow"}


@redis_peers
@pytest.mark.parametrize("kind", ["script", "http"])
def test_a_server_whose_script_or_page_is_wrong_is_taken_out(
    kind: str, servers: Callable[..., Redis], proxy: Proxies, start_here: Start, tmp_path: Path
) -> None:
    one, other = servers("one"), servers("other")
    port, bare, page = free_port(), free_port(), free_port()
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "health").write_text("well")
    command = Command([sys.executable, "-m", "http.server", str(page), "-b", "127.0.0.1", "-d", str(tmp_path / "page")])
    start_here(command, lambda: answers(page))
    kinds: dict[str, Any] = {
        "script": {"script": {"send": b"GET ill\r\n".hex(), "expect": "^[$]-1"}},
        "http": {"http": {"path": "/health", "port": page}},
    }
    running = proxy(
        two(port, bare, one.port, other.port, health_check={**CHECK, "kind": kinds[kind]}, panic_threshold=0)
    )
    assert becomes(running, one.port, "healthy") and asked(port) == {"one": 10, "other": 10}
    if kind == "script":
        import redis

        with redis.Redis(port=one.port) as direct:
            direct.set("ill", "1")
        assert becomes(running, one.port, "unhealthy")
        assert asked(port) == {"other": 20}
    else:
        (tmp_path / "page" / "health").unlink()
        assert becomes(running, one.port, "unhealthy") and becomes(running, other.port, "unhealthy")
        assert asked(port, 3) == {"error": 3}
        assert "status 404" in running.log()
    assert asked(bare) == {"one": 10, "other": 10}


# -- drain


class Load:
    """Clients that ask all the time. heard: what they were answered, errors included, once it is stopped."""

    def __init__(self, port: int, clients: int = 4) -> None:
        self.heard: Counter[str] = Counter()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port,)) for _ in range(clients)]
        self._lock = threading.Lock()
        for thread in self._threads:
            thread.start()

    def _ask(self, port: int) -> None:
        while not self._over.is_set():
            found = asked(port, 25)
            with self._lock:
                self.heard += found

    def more(self, number: int = 200) -> None:
        """Waits until so many more are answered."""
        before = self.heard.total()
        assert eventually(lambda: self.heard.total() >= before + number, SLOW)

    def stop(self) -> Counter[str]:
        self._over.set()
        for thread in self._threads:
            thread.join(SLOW)
        return self.heard


@redis_peers
def test_a_server_that_is_drained_first_can_be_replaced_without_a_failure(
    servers: Callable[..., Redis], proxy: Proxies
) -> None:
    one, other = servers("one"), servers("other")
    port = free_port()
    running = proxy(two(port, free_port(), one.port, other.port))
    path = f"/clusters/demo/endpoints/127.0.0.1:{one.port}"
    load = Load(port)
    try:
        load.more()
        running.admin(f"{path}/drain", "POST")
        assert eventually(lambda: state(running, one.port, "connections")["open"] == 0, SLOW)
        one.program.kill()
        load.more()
        one.run()
        running.admin(f"{path}/restore", "POST")
        load.more()
    finally:
        heard = load.stop()
    assert heard["error"] == 0 and heard["one"] > 0 and heard["other"] > heard["one"]
    print(f"drain: {heard.total()} requests, none failed")

    load = Load(port)
    try:
        load.more()
        one.program.kill()  # and without
        load.more()
    finally:
        heard = load.stop()
    assert heard["error"] > 0


# -- discovery


@redis_peers
def test_endpoints_follow_a_file(servers: Callable[..., Redis], proxy: Proxies, tmp_path: Path) -> None:
    one, other = servers("one"), servers("other")
    file, port = tmp_path / "endpoints.yaml", free_port()

    def write(*items: Any) -> None:
        new = tmp_path / "new.yaml"
        new.write_text(yaml.safe_dump(list(items)))
        new.replace(file)

    write(f"127.0.0.1:{one.port}")
    demo = {"name": "demo", "discovery": {"file": str(file), "refresh": "50ms"}}
    running = proxy({"listeners": [listener("in", port, "redis", [{"cluster": "demo"}])], "clusters": [demo]})
    assert asked(port) == {"one": 20}
    load = Load(port)
    try:
        load.more(50)
        write({"address": f"127.0.0.1:{other.port}", "weight": 3})
        assert eventually(lambda: set(endpoints(running)) == {other.port}, SLOW)
        load.more(50)
    finally:
        assert load.stop()["error"] == 0
    assert asked(port) == {"other": 20}
    write("nowhere")
    assert eventually(lambda: "'nowhere' is not an address" in running.log(), SLOW)
    assert asked(port) == {"other": 20}


ZONE = """
zone = [SOA("svc", mname="ns.svc", rname="x.svc", serial=1, refresh="1H", retry="1H", expire="1H", minimum="1H"),
%s]
"""


@redis_peers
def test_endpoints_follow_the_domain_name_system_and_outlive_it(
    servers: Callable[..., Redis], proxy: Proxies, start_here: Start, tmp_path: Path
) -> None:
    one, other = servers("one"), servers("other")
    names, port = free_port(), free_port()
    zone = tmp_path / "zone.py"

    def name_server(*records: tuple[int, int]) -> Program:
        """records: priority and port of each server."""
        lines = ['A("here.svc", "127.0.0.1", ttl=1)']
        lines += [f'SRV("_redis._tcp.svc", {priority}, 1, {at}, "here.svc", ttl=1)' for priority, at in records]
        zone.write_text(ZONE % ",\n".join(lines))
        twistd = Path(sys.executable).with_name("twistd")
        argv = [twistd, "-n", "--pidfile=", "dns", "--interface", "127.0.0.1", "--port", names, "--pyzone", zone]
        return start_here(Command([str(each) for each in argv]), lambda: answers(names))

    program = name_server((5, one.port))
    dns = {"dns": "_redis._tcp.svc", "refresh": "200ms", "servers": [f"127.0.0.1:{names}"]}
    running = proxy(
        {
            "listeners": [listener("in", port, "redis", [{"cluster": "demo"}])],
            "clusters": [{"name": "demo", "discovery": dns}],
        }
    )
    assert eventually(lambda: set(endpoints(running)) == {one.port}, SLOW)
    assert asked(port) == {"one": 20}
    program.kill()
    failures = 'metaproxy_cluster_discovery_failures_total{cluster="demo"}'
    assert eventually(lambda: running.stats()[failures] > 0, 2 * SLOW)
    assert asked(port) == {"one": 20}, "the last answer stays"
    name_server((5, one.port), (7, other.port))
    assert eventually(lambda: set(endpoints(running)) == {one.port, other.port}, 4 * SLOW)
    assert {at: found["priority"] for at, found in endpoints(running).items()} == {one.port: 0, other.port: 1}
    assert asked(port) == {"one": 20}


# -- what conf/ shows


@redis_peers
def test_the_configuration_that_shows_it_does_what_it_says(servers: Callable[..., Redis], proxy: Proxies) -> None:
    near = [servers(f"near{number}") for number in range(2)]
    far = servers("far")
    front = free_port()
    ports = {"6379": front, "6381": near[0].port, "6382": near[1].port, "6391": far.port}
    text = (ROOT / "conf" / "cluster.yaml").read_text()
    for written, real in ports.items():
        text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{real}")
    running = proxy(yaml.safe_load(text))
    assert becomes(running, near[0].port, True, "checked", "cache")
    assert asked(front).keys() == {"near0", "near1"}
    for one in near:
        one.program.kill()
        assert becomes(running, one.port, "unhealthy", name="cache")
    assert asked(front) == {"far": 20}
