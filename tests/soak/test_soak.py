"""
Long runs against a real process: `make soak`. Figures are printed (pytest -s); SOAK_SECONDS sets the length (60).

The protocol is the one of docs/examples/quill.py, as a drop-in plugin: what is tested here is no codec's.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from peers import Client, call

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
MIB = 1 << 20
BUFFERED = 16 * MIB
"""`max_buffered`, as it is when nothing is written."""


def memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


class Proxy:
    """metaproxy in a process of its own, and servers behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.admin = free_port(), free_port()
        self.servers = [free_port(), free_port()]
        self.running: list[subprocess.Popen[bytes]] = []
        self.file = folder / "soak.yaml"
        self.log = folder / "proxy.log"

    def start(self, **listener: Any) -> None:
        for port in self.servers:
            self._run([sys.executable, str(Path(__file__).with_name("peers.py")), str(port)])
        self.write(self.config(**listener))
        self._run([sys.executable, "-m", "metaproxy", "--config", str(self.file)])
        for port in (*self.servers, self.port, self.admin):
            self._wait_for(port)

    def _run(self, command: list[str]) -> None:
        with self.log.open("ab") as log:
            self.running.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True))

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"nothing listens on {port}:\n{self.log.read_text()}")

    @property
    def pid(self) -> int:
        return self.running[-1].pid

    def config(self, number: int = 0, **listener: Any) -> dict[str, Any]:
        """Differs with each number: weights, a cluster's settings, a listener and a route that come and go."""
        front = {
            "name": "front", "listen": f"127.0.0.1:{self.port}", "protocol": "quill", "max_connections": 20000,
            "routes": [{"name": "echo", "clusters": {"one": 1 + number % 5, "two": 1}}], **listener,
        }  # fmt: skip
        if number % 2:
            front["routes"].insert(
                0, {"name": "never", "match": {"service": f"s{number}"}, "reply": {"error": "denied"}}
            )
        listeners = [front]
        if number % 3 == 1:
            listeners.append({**front, "name": "side", "listen": "127.0.0.1:0"})
        limits = {"max_requests": 100000, "max_pending": 100000, "max_connections": 10000 + number % 4}
        return {
            "admin": {"listen": f"127.0.0.1:{self.admin}"},
            "plugins": [str(ROOT / "docs" / "examples")],
            "listeners": listeners,
            "clusters": [
                {"name": name, "endpoints": [f"127.0.0.1:{port}"], "breaker": limits}
                for name, port in zip(("one", "two"), self.servers, strict=True)
            ],
        }

    def write(self, config: dict[str, Any]) -> None:
        """Never half of it: a reader sees the old file or the new one."""
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(config))
        new.rename(self.file)

    def stats(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/stats?format=json", timeout=10) as answer:
            return dict(json.load(answer))

    def dump(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/config_dump", timeout=10) as answer:
            return dict(json.load(answer))

    def stop(self) -> None:
        for one in reversed(self.running):
            one.terminate()
        for one in self.running:
            try:
                one.wait(15)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        assert "Traceback" not in self.log.read_text(), self.log.read_text()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    proxy = Proxy(tmp_path)
    try:
        yield proxy
    finally:
        proxy.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def clients(port: int, number: int, flight: int) -> list[Client]:
    loop = asyncio.get_running_loop()
    made = [Client(flight, index) for index in range(number)]
    for client in made:
        await loop.create_connection(client.itself, "127.0.0.1", port)
    return made


def test_a_reload_every_tenth_of_a_second_under_load_loses_nothing(proxy: Proxy) -> None:
    proxy.start()
    reloads = 0

    async def run() -> list[Client]:
        nonlocal reloads
        busy = await clients(proxy.port, 32, 4)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            reloads += 1
            proxy.write(proxy.config(reloads))
            os.kill(proxy.pid, signal.SIGHUP)
            await asyncio.sleep(0.1)
        for client in busy:
            await client.finish()
        return busy

    done = asyncio.run(run())
    wrong = [text for client in done for text in client.wrong]
    answered = sum(client.answered for client in done)
    version = proxy.dump()["version"]
    print(f"\n{answered} requests in {SECONDS:g} s, {reloads} reloads, {version} applied, {len(wrong)} lost or wrong")
    assert not wrong, wrong[:5]
    assert version > reloads * 0.8
    assert proxy.dump()["refused"] is None


def test_a_slow_reader_does_not_fill_the_memory(proxy: Proxy) -> None:
    proxy.start()
    base = memory(proxy.pid)
    most = 0
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.setblocking(False)
        requests = b"".join(call(id, b"big", b"") for id in range(1, 1025))
        sent = taken = 0
        end = time.monotonic() + 15
        while time.monotonic() < end:
            try:
                sent += client.send(requests[sent:]) if sent < len(requests) else 0
            except BlockingIOError:
                pass
            if time.monotonic() > end - 10:  # five seconds of nothing, then a little at a time
                try:
                    taken += len(client.recv(MIB // 4))
                except BlockingIOError:
                    pass
            most = max(most, memory(proxy.pid))
            time.sleep(0.02)
    print(f"\n1 GiB offered, {taken / MIB:.0f} MiB taken in 15 s: {(most - base) / MIB:.1f} MiB above the base")
    assert sent == len(requests)
    assert taken > 50 * MIB
    assert most - base < 3 * BUFFERED  # what waits for it, and what the heap needs around that


def test_ten_thousand_idle_and_two_thousand_busy_connections(proxy: Proxy) -> None:
    proxy.start()

    async def run() -> None:
        warm = await clients(proxy.port, 50, 1)
        for client in warm:
            await client.finish()
        base = memory(proxy.pid)
        idle = await clients(proxy.port, 10_000, 0)
        name = 'metaproxy_listener_connections_active{listener="front",protocol="quill"}'
        deadline = time.monotonic() + 30
        while proxy.stats()[name] < 10_000:
            assert time.monotonic() < deadline, proxy.stats()[name]
            await asyncio.sleep(0.1)
        each = (memory(proxy.pid) - base) / 10_000
        busy = await clients(proxy.port, 2_000, 1)
        await asyncio.sleep(min(SECONDS, 10))
        for client in busy:
            await client.finish()
        wrong = [text for client in (*idle, *busy) for text in client.wrong]
        answered = sum(client.answered for client in busy)
        print(
            f"\n10,000 idle connections: {each / 1024:.1f} KiB each; beside them 2,000 busy ones: {answered} requests, "
            f"{memory(proxy.pid) / MIB:.0f} MiB in all"
        )
        assert not wrong, wrong[:5]
        assert min(client.answered for client in busy) > 0
        assert each < 10 * 1024
        for client in idle:
            client._transport.close()

    asyncio.run(run())
