"""
Chaos: real servers are killed, hung, restarted and cut off and clients stop reading, while Dubbo, Thrift, Redis, HTTP
and gRPC are called, the latter two with streams, and the configuration is changed: `make chaos`. Figures are printed;
CHAOS_SECONDS sets the length (60), CHAOS_WAIT the longest wait that a neighbour of one fault alone may have (0.25 on an
idle machine).

Lives here: the proxy, and the balance: every request has one end, nothing is left behind, who is not concerned does
not wait. Does not: the load (chaos_load.py), measuring (chaos_neighbours.py), what goes wrong (chaos_faults.py).
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from authority import Authority
from calls import Caller, LargeRedis, Redis
from chaos_faults import HANG, KINDS, STORM, allowed, alone, nothing, storm
from chaos_load import PROTOCOLS, STREAMS, Load, all_ended
from chaos_neighbours import Neighbours, Report
from chaos_servers import INSIDE, SPACE, Server, Space, answers, wait_for
from free_ports import free_port
from stream_callers import GIVEN_UP, Streams
from stream_calls import FILE

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
import catalogue  # noqa: E402
import grpc_peers  # noqa: E402
import http_peers  # noqa: E402

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
WARMUP = 100
"""Reloads before memory is looked at."""
SETTLED = 2.5
"""Seconds after which a storm has no consequences: connections are made, servers healthy again."""
CALM = 2.0
"""Seconds without any fault, for comparison."""
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""Has the C library return large blocks at once: what the process still has at the end is not its heap's gaps."""
MIB = 1 << 20


def protocol(name: str) -> str:
    return PROTOCOLS[name].__name__.lower() if name in PROTOCOLS else name


class Proxy:
    """metaproxy in a process of its own."""

    def __init__(self, folder: Path, clusters: dict[str, list[str]]) -> None:
        self.file, self.log = folder / "chaos.yaml", folder / "proxy.log"
        self.clusters = clusters
        self.ports = {name: free_port() for name in {**PROTOCOLS, **STREAMS}}
        self.authority = Authority(folder, "ca")
        self.rotate()
        self.admin = free_port()
        self.write(0)
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "metaproxy", "--config", str(self.file)]
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **GIVEN_BACK}
            )
        wait_for(lambda: answers("127.0.0.1", self.admin), self.log)

    def rotate(self) -> None:
        """Another certificate; what is only half written is refused, and the old one stays in force."""
        self.authority.issue("proxy", "localhost", "127.0.0.1", file="proxy")

    def write(self, number: int) -> None:
        """Differs with each number: a weight, a retry's wait, a cluster's bound, the order of endpoints."""
        retry = {"attempts": 2, "on": ["connect", "overload"], "backoff": f"5ms..{50 + number % 3}ms"}
        config = {
            "admin": {"listen": f"127.0.0.1:{self.admin}"},
            "listeners": [
                {
                    "name": name, "listen": f"127.0.0.1:{port}", "protocol": protocol(name),
                    "routes": [
                        {"name": "files", "match": {"path": {"prefix": "/files/"}}, "cluster": "files", "retry": retry}
                    ] * (name == "http") + [{"name": "all", "cluster": name.partition("-")[0], "retry": retry}],
                    **({"tls": {"certificate": "proxy.pem", "key": "proxy.key"}} if name.endswith("-tls") else {}),
                }
                for name, port in self.ports.items()
            ],
            "clusters": [
                {
                    "name": name,
                    "endpoints": [
                        {"address": address, "weight": 1 + (index + number) % 3}
                        for index, address in enumerate(addresses)
                    ],
                    **({"protocol": {"name": "http", "version": 2}} if name == "http" else {}),
                    "connect_timeout": "300ms", "request_timeout": "1s",
                    "connections": {"idle_timeout": "2s"},
                    "health_check": {"interval": "500ms", "timeout": "300ms", "healthy": 1, "unhealthy": 2},
                    "outlier": {"consecutive_errors": 20, "interval": "1s", "ejection_time": "1s"},
                    "breaker": {"max_retries": 1000, "max_connections": 500 + number % 2},
                }
                for name, addresses in self.clusters.items()
            ],
        }  # fmt: skip
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(config))
        new.rename(self.file)

    def stats(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/stats?format=json", timeout=10) as answer:
            return dict(json.load(answer))

    def outcomes(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for name, value in self.stats().items():
            if name.startswith("metaproxy_exchanges_total{"):
                found[name.partition('outcome="')[2].partition('"')[0]] += int(value)
        return +found

    def sum(self, metric: str) -> int:
        return int(sum(value for name, value in self.stats().items() if name.partition("{")[0] == metric))

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def reload(self, number: int) -> None:
        self.write(number)
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}/reload", method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def come_and_go(proxy: Proxy, done: Counter[str]) -> None:
    """A client that connects by TLS, asks once and leaves: certificates are only looked at then."""
    context = ssl.create_default_context(cafile=str(proxy.authority.ca))
    with socket.create_connection(("127.0.0.1", proxy.ports["redis-tls"]), 5) as plain:
        secured = context.wrap_socket(plain, server_hostname="localhost")
        secured.sendall(Redis.call(0, "once"))
        done["visit"] += 1
        done["visit answered"] += secured.recv(1000)[:1] in (b"$", b"-")
        secured.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[dict[str, list[Server]], Space]]:
    """Two of each protocol, and one that nothing happens to."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    kinds = ("dubbo", "thrift", "redis", "calm", "http", "files", "grpc")
    found: dict[str, list[Server]] = {kind: [] for kind in kinds}
    log = tmp_path / "servers.log"
    with Space() as space:
        try:
            for index in range(2):
                port = free_port()
                found["dubbo"].append(Server(catalogue.dubbo_server("npm", f"d{index}", port), port, log))
                port = free_port()
                command = catalogue.thrift_server("py", f"s{index}", f"{port}:framed:binary")
                found["thrift"].append(Server(command, port, log))
                port = free_port()
                found["http"].append(Server(http_peers.h2_server(port), port, log))
                port = free_port()
                found["grpc"].append(Server(grpc_peers.server("grpcio", f"g{index}", port), port, log))
                port = free_port()
                (folder := tmp_path / f"nginx{index}").mkdir()
                found["files"].append(Server(http_peers.nginx(folder, h1=port), port, log))
                (folder / "files" / "large").write_bytes(FILE)
            port = free_port()
            found["redis"].append(Server(catalogue.redis_server(port, tmp_path), port, log))
            store_large_values(port)
            command = catalogue.redis_server(6379, tmp_path, "--bind", INSIDE, "--protected-mode", "no")
            prefix = ("ip", "netns", "exec", SPACE)
            found["redis"].append(Server(command, 6379, log, INSIDE, prefix))
            port = free_port()
            found["calm"].append(Server(catalogue.redis_server(port, tmp_path), port, log))
            yield found, space
        finally:
            for server in (server for group in found.values() for server in group):
                server.signal(signal.SIGCONT)
                server.kill()


def store_large_values(port: int) -> None:
    """In the file that each redis-server reads when it starts, also when it starts again."""
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(LargeRedis.fill() + b"SAVE\r\n")
        data = b""
        while data.count(b"+OK") <= LargeRedis.COUNT:
            data += client.recv(1000)


def reload_until(proxy: Proxy, until: float, done: Counter[str]) -> None:
    """Configurations, certificates and clients come and go."""
    while time.monotonic() < until:
        done["reload"] += 1
        proxy.reload(done["reload"])
        if done["reload"] % 4 == 0:
            done["rotation"] += 1
            proxy.rotate()
        come_and_go(proxy, done)
        time.sleep(0.5)


def still_owed(callers: Sequence[Caller | Streams]) -> list[str]:
    """Whose requests have no end, and what went wrong before."""
    return [
        f"{caller.number}: {caller.owed} {caller.under_way() if isinstance(caller, Streams) else ''} {caller.wrong}"
        for caller in callers
        if caller.owed
    ]


def warm_up(proxy: Proxy, load: Load) -> None:
    """The first reloads and large answers fill caches and the heap's gaps: what grows after them is a leak."""
    for number in range(WARMUP):
        proxy.reload(number)
        time.sleep(0.05)
    readers = load.slow_readers()
    time.sleep(1)
    load.read_on(readers)
    streams = load.slow_streams()
    time.sleep(1)
    load.read_on(streams)
    assert all_ended(streams) and all_ended(readers) and all_ended(load.burst("redis"))
    load.release()


def test_every_request_has_one_end_whatever_happens(
    servers: tuple[dict[str, list[Server]], Space], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    groups, space = servers
    bound = allowed()
    proxy = Proxy(tmp_path, {name: [f"{one.host}:{one.port}" for one in group] for name, group in groups.items()})
    load = Load(proxy.ports, proxy.authority.ca)
    measured = {name: port for name, port in proxy.ports.items() if name not in ("redis-tls", "grpc")}
    neighbours = Neighbours(measured, tmp_path / "neighbours.log")
    harmed = {name: group for name, group in groups.items() if name != "calm"}
    done: Counter[str] = Counter()
    windows = []
    try:
        load.begin()
        warm_up(proxy, load)
        memory, descriptors = proxy.memory(), proxy.descriptors()
        rounds = max(len(KINDS), int(SECONDS // 15))
        stormy = max(2.0, SECONDS / rounds - SETTLED - CALM - HANG)
        for number in range(rounds):
            until = time.monotonic() + stormy
            trouble = threading.Thread(target=storm, args=(harmed, space, load, until, done, number), daemon=True)
            trouble.start()
            reload_until(proxy, until, done)
            trouble.join(30)
            stopping = [caller for caller in load.made if caller.stopping]
            assert all_ended(stopping), still_owed(stopping)
            load.release()
            time.sleep(SETTLED)
            windows += [nothing(CALM), alone(KINDS[number % len(KINDS)], groups, load)]
            load.release()
        load.stop()
        assert all_ended(load.made), still_owed(load.made)
        callers, reports = load.made, neighbours.finish()
        time.sleep(6)  # connections that are not needed any more are let go
        after_memory, after_descriptors = proxy.memory(), proxy.descriptors()
        sent = sum(caller.sent for caller in callers) + sum(report.sent for report in reports.values()) + done["visit"]
        heard: list[Caller | Streams | Report] = [*callers, *reports.values()]
        seen: Counter[str] = sum((Counter(each.outcomes) for each in heard), Counter())
        told = proxy.outcomes()
        late = proxy.sum("metaproxy_endpoint_late_answers_total")
        active = proxy.sum("metaproxy_listener_exchanges_active") + proxy.sum("metaproxy_streams_active")
        load.close()
    finally:
        neighbours.stop()
        proxy.stop()
    longest = {kind: max(w.longest(reports) for w in windows if w.kind == kind) for kind in ("nothing", *KINDS)}
    with capsys.disabled():
        print(f"\nchaos, {SECONDS:g} s: {dict(done)}")
        print(f"  {sent:,} requests; clients saw {dict(seen)}, the proxy counted {dict(told)}")
        print(f"  late answers dropped: {late}; memory {memory / MIB:.1f} -> {after_memory / MIB:.1f} MiB", end="")
        print(f"; descriptors {descriptors} -> {after_descriptors}")
        waits = ", ".join(f"{kind} {1000 * wait:.0f} ({name})" for kind, (wait, name, _) in longest.items())
        print(f"  the longest wait of neighbours, ms: {waits} (bound {1000 * bound:.0f})")
    assert [text for each in heard for text in each.wrong] == []
    assert sum(each.owed for each in heard) == 0 and active == 0
    assert done["visit answered"] == done["visit"]
    assert sum(seen.values()) + done["visit"] == sent == sum(told.values())
    assert 0 <= told["ok"] - seen["ok"] <= done["visit"] + seen[GIVEN_UP] and told["ok"] > 0.5 * sent
    assert all(done[what] for what in (*STORM, "restart", "reload", "rotation"))
    assert max(longest.values())[0] <= bound
    assert after_memory - memory < 12 * MIB
    assert after_descriptors <= descriptors + 8
    assert "Traceback" not in proxy.log.read_text()
