"""
Chaos: real servers are killed, stalled, restarted and cut off while three protocols are called and the configuration is
changed: `make chaos`. Figures are printed; CHAOS_SECONDS sets the length (60).

Lives here: what goes wrong and when, and the balance: every request has one end, nothing is left behind. Does not: the
calls (callers.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from callers import Caller, Dubbo, Redis, Thrift, run

ROOT = Path(__file__).parents[2]
INTEROP = ROOT / "tests" / "interop"
sys.path.insert(0, str(INTEROP))
import catalogue  # noqa: E402

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
WARMUP = 100
"""Reloads before memory is looked at."""
MIB = 1 << 20
SPACE, HOST, INSIDE = "metaproxy-chaos", "10.211.7.1", "10.211.7.2"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def sh(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Space:
    """A network namespace with one address, which can be cut off: what it sends back is dropped, nobody is told."""

    def __enter__(self) -> Space:
        self.leave()
        sh("ip", "netns", "add", SPACE)
        sh("ip", "link", "add", "mpchaos0", "type", "veth", "peer", "name", "mpchaos1", "netns", SPACE)
        sh("ip", "addr", "add", f"{HOST}/30", "dev", "mpchaos0")
        sh("ip", "link", "set", "mpchaos0", "up")
        self.inside("ip", "addr", "add", f"{INSIDE}/30", "dev", "mpchaos1")
        self.inside("ip", "link", "set", "mpchaos1", "up")
        self.inside("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        subprocess.run(["ip", "link", "del", "mpchaos0"], capture_output=True)
        subprocess.run(["ip", "netns", "del", SPACE], capture_output=True)

    def inside(self, *command: str) -> None:
        sh("ip", "netns", "exec", SPACE, *command)

    def cut(self) -> None:
        self.inside("ip", "route", "replace", "blackhole", f"{HOST}/32")

    def join(self) -> None:
        self.inside("ip", "route", "del", "blackhole", f"{HOST}/32")


class Server:
    """A real server that can be killed, stalled and started again at the same port."""

    def __init__(
        self, command: Any, port: int, log: Path, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()
    ) -> None:
        self.argv = [*prefix, *map(str, command.argv)]
        self.env = {**os.environ, **(command.env or {})}
        self.host, self.port, self.log = host, port, log
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.argv, env=self.env, stdout=log, stderr=log, start_new_session=True)
        wait_for(lambda: answers(self.host, self.port), self.log)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 0.5).close()
    except OSError:
        return False
    return True


def wait_for(check: Callable[[], bool], log: Path, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
        time.sleep(0.05)


class Proxy:
    """metaproxy in a process of its own."""

    def __init__(self, folder: Path, clusters: dict[str, list[str]]) -> None:
        self.file, self.log = folder / "chaos.yaml", folder / "proxy.log"
        self.clusters = clusters
        self.ports = {name: free_port() for name in (*clusters, "redis-tls")}
        self.authority = Authority(folder, "ca")
        self.rotate()
        self.admin = free_port()
        self.write(0)
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "metaproxy", "--config", str(self.file)]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
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
                    "name": name, "listen": f"127.0.0.1:{port}", "protocol": name.partition("-")[0],
                    "routes": [{"name": "all", "cluster": name.partition("-")[0], "retry": retry}],
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


class Load(threading.Thread):
    """The callers, in a loop of their own."""

    def __init__(self, ports: dict[str, int], ca: Path) -> None:
        super().__init__(daemon=True)
        self.tls_port = ports["redis-tls"]
        self.context = ssl.create_default_context(cafile=str(ca))
        self.plan = [
            (Dubbo, ports["dubbo"], 6, 4), (Thrift, ports["thrift"], 6, 1), (Redis, ports["redis"], 6, 4),
            (Redis, ports["redis-tls"], 4, 4),
        ]  # fmt: skip
        self.made: list[Caller] = []
        self.stopping = False

    def run(self) -> None:
        def connect(loop: asyncio.AbstractEventLoop, caller: Caller, port: int) -> Any:
            secured = {"ssl": self.context, "server_hostname": "localhost"} if port == self.tls_port else {}
            return loop.create_connection(lambda: caller, "127.0.0.1", port, **secured)

        asyncio.run(self._run(connect))

    async def _run(self, connect: Any) -> None:
        await run(self.plan, lambda: self.stopping, self.made, connect)  # type: ignore[arg-type]
        self.ended.set()
        while not self.closing:
            await asyncio.sleep(0.05)
        for caller in self.made:
            caller.closing = True
            caller._transport.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0.2)

    ended: threading.Event
    closing = False


def chaos(servers: dict[str, list[Server]], space: Space, until: float, done: Counter[str]) -> None:
    """One thing after the other goes wrong and right again; never all servers of a kind at once."""
    rng = random.Random(11)
    while time.monotonic() < until:
        server = rng.choice([one for group in servers.values() for one in group])
        what = rng.choice(["kill", "stall", "cut"])
        done[what] += 1
        if what == "kill":
            server.kill()
            time.sleep(rng.uniform(0.2, 1.0))
            server.start()
            done["restart"] += 1
        elif what == "stall":
            server.signal(signal.SIGSTOP)
            time.sleep(rng.uniform(0.3, 2.0))
            server.signal(signal.SIGCONT)
        else:
            space.cut()
            time.sleep(rng.uniform(0.5, 2.5))
            space.join()
        time.sleep(rng.uniform(0.1, 0.5))


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
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    found: dict[str, list[Server]] = {"dubbo": [], "thrift": [], "redis": []}
    with Space() as space:
        try:
            for index in range(2):
                port = free_port()
                found["dubbo"].append(
                    Server(catalogue.dubbo_server("npm", f"d{index}", port), port, tmp_path / "servers.log")
                )
                port = free_port()
                command = catalogue.thrift_server("py", f"s{index}", f"{port}:framed:binary")
                found["thrift"].append(Server(command, port, tmp_path / "servers.log"))
            port = free_port()
            found["redis"].append(Server(catalogue.redis_server(port, tmp_path), port, tmp_path / "servers.log"))
            command = catalogue.redis_server(6379, tmp_path, "--bind", INSIDE, "--protected-mode", "no")
            prefix = ("ip", "netns", "exec", SPACE)
            found["redis"].append(Server(command, 6379, tmp_path / "servers.log", INSIDE, prefix))
            yield found, space
        finally:
            for one in (one for group in found.values() for one in group):
                one.signal(signal.SIGCONT)
                one.kill()


def test_every_request_has_one_end_whatever_happens(
    servers: tuple[dict[str, list[Server]], Space], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    groups, space = servers
    proxy = Proxy(tmp_path, {name: [f"{one.host}:{one.port}" for one in group] for name, group in groups.items()})
    load = Load(proxy.ports, proxy.authority.ca)
    load.ended = threading.Event()
    done: Counter[str] = Counter()
    try:
        load.start()
        for number in range(WARMUP):  # the first reloads fill caches and the heap's gaps; what grows then is a leak
            proxy.reload(number)
            time.sleep(0.05)
        memory, descriptors = proxy.memory(), proxy.descriptors()
        until = time.monotonic() + SECONDS
        trouble = threading.Thread(target=chaos, args=(groups, space, until, done), daemon=True)
        trouble.start()
        while time.monotonic() < until:
            done["reload"] += 1
            proxy.reload(done["reload"])
            if done["reload"] % 4 == 0:
                done["rotation"] += 1
                proxy.rotate()
            come_and_go(proxy, done)
            time.sleep(0.5)
        trouble.join(30)
        load.stopping = True
        assert load.ended.wait(20)
        callers = load.made
        time.sleep(6)  # connections that are not needed any more are let go
        after_memory, after_descriptors = proxy.memory(), proxy.descriptors()
        sent = sum(caller.sent for caller in callers) + done["visit"]
        seen = sum((caller.outcomes for caller in callers), Counter())
        told = proxy.outcomes()
        late, active = (
            proxy.sum("metaproxy_endpoint_late_answers_total"),
            proxy.sum("metaproxy_listener_exchanges_active"),
        )
        load.closing = True
        load.join(10)
    finally:
        proxy.stop()
    with capsys.disabled():
        print(f"\nchaos, {SECONDS:g} s: {dict(done)}")
        print(f"  {sent:,} requests; clients saw {dict(seen)}, the proxy counted {dict(told)}")
        print(f"  late answers dropped: {late}; memory {memory / MIB:.1f} -> {after_memory / MIB:.1f} MiB", end="")
        print(f"; descriptors {descriptors} -> {after_descriptors}")
    assert [text for caller in callers for text in caller.wrong] == []
    assert sum(caller.owed for caller in callers) == 0 and active == 0
    assert done["visit answered"] == done["visit"]
    assert sum(seen.values()) + done["visit"] == sent == sum(told.values())
    assert 0 <= told["ok"] - seen["ok"] <= done["visit"] and told["ok"] > 0.5 * sent
    assert all(done[what] for what in ("kill", "restart", "stall", "cut", "reload", "rotation"))
    assert after_memory - memory < 12 * MIB
    assert after_descriptors <= descriptors + 8
    assert "Traceback" not in proxy.log.read_text()
