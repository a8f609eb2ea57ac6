"""
Very many connections, and more than the process may have descriptors for: a real process. Figures are printed.

SOAK_CONNECTIONS: how many are held (15,000); SOAK_HOLDERS: by so many client processes (3). SOAK_WORKERS: the proxy's
`workers`, for more than one process has descriptors for: SOAK_CONNECTIONS=100000 SOAK_HOLDERS=6 SOAK_WORKERS=6.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from holders import connected, is_answered

ROOT = Path(__file__).parents[2]
CONNECTIONS = int(os.environ.get("SOAK_CONNECTIONS", "15000"))
HOLDERS = int(os.environ.get("SOAK_HOLDERS", "3"))
WORKERS = os.environ.get("SOAK_WORKERS", "")
MOST = 5 * 1024
"""Bytes that an idle connection may take."""
LOW_LIMIT = 64
"""Descriptors of the proxy in the test of its limit."""


class Proxy:
    """metaproxy and a server behind it; limit: descriptors that the proxy may have, 0: as many as this process."""

    def __init__(self, folder: Path, limit: int = 0) -> None:
        self.port, self.admin, self.server = free_port(), free_port(), free_port()
        self.log = folder / "proxy.log"
        self._file = folder / "proxy.yaml"
        self._running: list[subprocess.Popen[bytes]] = []
        self._file.write_text(json.dumps(self._config()))
        command = [sys.executable, "-m", "metaproxy", "--config", str(self._file)]
        if limit:
            command = ["sh", "-c", f'ulimit -n {limit} && exec "$@"', "sh", *command]
        self._run([sys.executable, str(Path(__file__).with_name("peers.py")), str(self.server)])
        self._run(command)
        self._wait_for(self.server)
        self._wait_for(self.port)

    def _config(self) -> dict[str, Any]:
        return {
            "admin": {"listen": f"127.0.0.1:{self.admin}"},
            "plugins": [str(ROOT / "docs" / "examples")],
            **({"workers": int(WORKERS)} if WORKERS else {}),
            "listeners": [
                {
                    "name": "front", "listen": f"127.0.0.1:{self.port}", "protocol": "quill", "idle_timeout": "1h",
                    "max_connections": 1_000_000, "routes": [{"cluster": "one"}],
                }
            ],
            "clusters": [{"name": "one", "endpoints": [f"127.0.0.1:{self.server}"]}],
        }  # fmt: skip

    def _run(self, command: list[str]) -> None:
        with self.log.open("ab") as log:
            self._running.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True))

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"nothing listens on {port}:\n{self.log.read_text()}")

    def memory(self) -> list[int]:
        """Resident bytes of each of its processes, that of the supervisor first."""
        ids = [self._running[-1].pid]
        for pid in ids:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                ids.extend(map(int, children.read_text().split()))
        return [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() for pid in ids]

    def cpu(self) -> float:
        """Seconds of user and system time."""
        fields = Path(f"/proc/{self._running[-1].pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=30) as response:
            return json.load(response)

    def active(self) -> int:
        """How many connections of clients it has."""
        return sum(int(one["counts"]["connections_active"]) for one in self.ask("/listeners")["listeners"])

    def stop(self) -> None:
        for one in reversed(self._running):
            one.terminate()
        for one in self._running:
            try:
                one.wait(15)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        assert "Traceback" not in self.log.read_text(), self.log.read_text()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as stack:
            yield stack
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def started(stack: ExitStack, folder: Path, limit: int = 0) -> Proxy:
    proxy = Proxy(folder, limit)
    stack.callback(proxy.stop)
    return proxy


class Holder:
    """A client process that holds connections from two addresses of its own."""

    def __init__(self, number: int, port: int, count: int) -> None:
        sources = [f"127.0.{number + 1}.{last}" for last in (1, 2)]
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("holders.py")), str(port), str(count), *sources],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("again\n")
        self._process.stdin.flush()

    def answered(self) -> int:
        """How many connections were answered since it was asked last; waits for all."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def test_very_many_connections_from_several_addresses_are_held_and_each_is_answered_again(
    stack: ExitStack, tmp_path: Path
) -> None:
    proxy = started(stack, tmp_path)
    warm_up(proxy)
    before = proxy.memory()
    shares = [CONNECTIONS // HOLDERS + (number < CONNECTIONS % HOLDERS) for number in range(HOLDERS)]
    holders = [Holder(number, proxy.port, share) for number, share in enumerate(shares)]
    for holder in holders:
        stack.callback(holder.end)
    began = time.monotonic()
    assert [holder.answered() for holder in holders] == shares
    taken = [now - then for now, then in zip(proxy.memory(), before, strict=True)]
    each = sum(taken) / CONNECTIONS
    print(f"\n{CONNECTIONS} connections in {time.monotonic() - began:.1f} s, {each:.0f} bytes each")
    print("MiB that each process took: " + " ".join(f"{one / (1 << 20):.1f}" for one in taken))
    began = time.monotonic()
    for holder in holders:
        holder.ask()
    assert [holder.answered() for holder in holders] == shares
    print(f"all answered again in {time.monotonic() - began:.1f} s")
    assert proxy.active() == CONNECTIONS
    assert each < MOST
    if WORKERS:
        held = [one["connections"] for one in proxy.ask("/workers")["workers"]]
        print(f"held by the workers: {held}")
        assert sum(held) == CONNECTIONS
        assert max(held) - min(held) <= 1 + CONNECTIONS // 100


def warm_up(proxy: Proxy) -> None:
    """What a process loads with its first connections is no connection's own."""
    clients, refused = admitted(proxy.port, 30 * int(WORKERS or "1"))
    assert refused == 0
    close(clients)
    deadline = time.monotonic() + 10
    while proxy.active() and time.monotonic() < deadline:
        time.sleep(0.1)


def admitted(port: int, count: int) -> tuple[list[socket.socket], int]:
    """Those of so many new clients that are answered, and how many were refused."""
    found = []
    for number in range(count):
        sock = connected(port, "127.0.0.1")
        if is_answered(sock, number + 1):
            found.append(sock)
        else:
            sock.close()
    return found, count - len(found)


def close(clients: list[socket.socket]) -> None:
    for client in clients:
        client.close()


def test_near_its_limit_of_descriptors_clients_are_refused_and_all_else_goes_on(
    stack: ExitStack, tmp_path: Path
) -> None:
    proxy = started(stack, tmp_path, LOW_LIMIT)
    clients, refused = admitted(proxy.port, LOW_LIMIT * int(WORKERS or "1"))  # each worker has as many
    stack.callback(close, clients)
    print(f"\n{len(clients)} clients with {LOW_LIMIT} descriptors, {refused} refused")
    assert len(clients) >= 8
    assert refused >= 16
    assert all(is_answered(client, 1) for client in clients)

    assert proxy.ask("/healthz") == {"status": "ok"}
    deadline = time.monotonic() + 10  # workers report once a second
    while not (kinds := [one["kind"] for one in proxy.ask("/problems?seconds=60")["problems"]]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "descriptors" in kinds
    counted = proxy.ask("/stats?format=json&filter=descriptors_refused")
    assert list(counted.values()) == [refused]
    assert 1 <= proxy.log.read_text().count("clients are refused") <= int(WORKERS or "1")
    used = proxy.cpu()
    time.sleep(1.0)
    assert proxy.cpu() - used < 0.5  # it does not spin on a socket that it can't accept from

    for client in clients[:5]:
        client.close()
    del clients[:5]
    deadline = time.monotonic() + 10
    more: list[socket.socket] = []
    while len(more) < 5 and time.monotonic() < deadline:
        new, _ = admitted(proxy.port, 1)
        more += new
    clients += more
    assert len(more) == 5
    assert all(is_answered(client, 2) for client in clients)
