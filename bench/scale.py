"""
What a very large configuration costs a running proxy: 10,000 routes, 1,000 clusters, 10,000 endpoints.

    python -m bench.scale                          each of them has been asked once
    python -m bench.scale --clusters 100 --silent  a smaller one, which was asked nothing
    python -m bench.scale --workers 2              the longest pause of all processes, those of workers among them

Printed are the time to load it, memory, and for a reload and for each question to the admin API how long it took, how
large the answer was, and the longest pause of the reactor meanwhile, as CPU time (`pauses/pauses.py`). Lives here: the
run, the table. Does not: what one change of such a configuration costs (`mesh`).
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from bench.memory import resident
from bench.pauses.pauses import DOUBLE
from bench.processes import Running, free_ports, listens, wait_for
from bench.replayed_rpc import RPC
from metaproxy.support.compiled import running

ENDPOINTS, ROUTES = 10, 10
"""Of each cluster."""
LISTENERS = 10
LIMIT = 0.02
"""Seconds that a pause is to last at most."""
QUIET = 5.0
"""Seconds in which nothing is asked."""
_, answers = RPC["dubbo"].peers(b"y" * 64, 1)
QUESTIONS = (
    "/metrics", "/stats", "/stats?format=json", "/clusters", "/clusters?format=envoy", "/clusters?format=envoy_json",
    "/routes", "/listeners", "/problems", "/flows", "/config_dump", "/",
)  # fmt: skip


def configuration(
    clusters: int, backend: int, admin: int, ports: list[int], timeout: str = "5s", workers: int = 1
) -> dict[str, Any]:
    """Each endpoint is an address of the loopback interface of its own, where one server listens."""
    size = max(1, clusters // LISTENERS)
    return {
        "workers": workers,
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "plugins": [str(Path(__file__).parent / "pauses")],
        "listeners": [
            {
                "name": f"in{place}", "listen": f"127.0.0.1:{port}", "protocol": "dubbo", "idle_timeout": "1h",
                "routes": [
                    {
                        "name": f"service{n}-{one}", "cluster": f"service{n}", "timeout": timeout,
                        "match": {"interface": service(n), "method": f"method{one}"},
                    }
                    for n in range(place * size, (place + 1) * size) for one in range(ROUTES)
                ],
            }
            for place, port in enumerate(ports)
        ],
        "clusters": [
            {
                "name": f"service{n}",
                "endpoints": [f"127.{1 + n // 250}.{n % 250}.{one + 1}:{backend}" for one in range(ENDPOINTS)],
            }
            for n in range(clusters)
        ],
    }  # fmt: skip


def service(number: int) -> str:
    return f"org.mesh.Service{number:04}"


def dubbo_call(id: int, service: str, method: str) -> bytes:
    words = ("2.0.2", service, "0.0.0", method, "Ljava/lang/String;", "y" * 20)
    pairs = ("path", service, "interface", service, "version", "0.0.0")
    body = b"".join(map(_text, words)) + b"H" + b"".join(map(_text, pairs)) + b"Z"
    return struct.pack(">HBBQI", 0xDABB, 0xC2, 0, id, len(body)) + body


def _text(value: str) -> bytes:
    """In Hessian 2, up to 31 characters of ASCII."""
    data = value.encode()
    if len(data) > 31:
        raise ValueError(f"{value!r} is too long")
    return bytes([len(data)]) + data


class Backend:
    """A server at all addresses of the loopback interface, in a thread."""

    def __init__(self, port: int) -> None:
        self._listening = socket.create_server(("0.0.0.0", port), backlog=1024)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listening:
                    self._selector.register(self._listening.accept()[0], selectors.EVENT_READ)
                    continue
                sock: Any = key.fileobj
                try:
                    data = sock.recv(1 << 16)
                except OSError:
                    data = b""
                if data:
                    sock.sendall(answers(data))
                else:
                    self._selector.unregister(sock)
                    sock.close()


def ask_all(clusters: int, ports: list[int]) -> None:
    """One request a route: as many as endpoints, which take turns."""
    size = max(1, clusters // LISTENERS)
    for place, port in enumerate(ports):
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            for n in range(place * size, (place + 1) * size):
                for one in range(ROUTES):
                    sock.sendall(dubbo_call(n * ROUTES + one, service(n), f"method{one}"))
                    head = sock.recv(1 << 16)
                    if len(head) < 4 or head[3] != 20:
                        raise SystemExit(f"{service(n)} was not answered well: {head!r:.300}")


class Watched:
    """A proxy, and the longest pause of its reactors. folder: of `pauses`."""

    def __init__(self, folder: Path, admin: int, pid: int) -> None:
        self._folder, self._admin, self.pid = folder, admin, pid

    def processes(self) -> list[str]:
        return [file.name for file in self._folder.iterdir()]

    def pause(self, processes: Iterable[str]) -> float:
        """Seconds, of any of these processes, since they were asked for last."""
        longest = 0.0
        for name in processes:
            with (self._folder / name).open("r+b") as file:
                (pause,) = DOUBLE.unpack(file.read())
                file.seek(0)
                file.write(DOUBLE.pack(0.0))
            longest = max(longest, pause)
        return longest

    def ask(self, path: str, method: str = "GET") -> int:
        """How many bytes the answer has."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._admin}{path}", method=method)
        with urllib.request.urlopen(request, timeout=300) as response:
            size = 0
            while piece := response.read(1 << 20):
                size += len(piece)
            return size

    def restart_worker(self, proxy: Running) -> None:
        """One of them is ended, and is ready again."""
        first, before = self._workers()[0], self._restarts()
        os.kill(first["pid"], signal.SIGKILL)
        wait_for("a worker's start", 60.0, proxy, lambda: self._restarts() > before)
        wait_for("a worker", 60.0, proxy, lambda: all(one["state"] == "ready" for one in self._workers()))

    def _restarts(self) -> int:
        return sum(one["restarts"] for one in self._workers())

    def _workers(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/workers", timeout=60) as response:
            found: list[dict[str, Any]] = json.load(response)["workers"]
        return found


def measure(clusters: int, silent: bool, workers: int = 1) -> Iterator[tuple[str, float, str, float]]:
    """What was done, seconds, what came of it, the longest pause."""
    backend, admin, *ports = free_ports(2 + LISTENERS)
    Backend(backend)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        file, pauses = folder / "metaproxy.yaml", folder / "pauses"
        pauses.mkdir()
        os.environ["BENCH_PAUSES"] = str(pauses)

        def write(timeout: str) -> None:
            data = configuration(clusters, backend, admin, ports, timeout, workers)
            file.write_text(yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))

        write("5s")
        began = time.monotonic()
        command = [sys.executable, "-m", "metaproxy", "--config", str(file)]
        with Running(command, folder / "log") as proxy:
            wait_for("the proxy", 300.0, proxy, lambda: listens(ports[-1]) and listens(admin))
            watched = Watched(pauses, admin, proxy.ids()[0])
            yield "load", time.monotonic() - began, mebibytes(watched.pid), float("nan")
            if not silent:
                yield timed("one request a route", watched, lambda: ask_all(clusters, ports))
            yield timed("nothing", watched, lambda: time.sleep(QUIET))
            for path in QUESTIONS:
                yield timed(path, watched, lambda path=path: watched.ask(path))  # type: ignore[misc]
            write("6s")
            yield timed("reload", watched, lambda: watched.ask("/reload", "POST"))
            if workers > 1:
                yield timed("a worker is started again", watched, lambda: watched.restart_worker(proxy))


def timed(what: str, watched: Watched, call: Callable[[], object]) -> tuple[str, float, str, float]:
    """The pause is that of the processes that are there before: one that starts has no connections yet."""
    time.sleep(0.2)
    processes = watched.processes()
    watched.pause(processes)
    began = time.monotonic()
    size = call()
    seconds = time.monotonic() - began
    time.sleep(0.2)
    shown = f"{size / (1 << 20):.1f} MiB" if isinstance(size, int) else ""
    return what, seconds, shown or mebibytes(watched.pid), watched.pause(processes)


def mebibytes(pid: int) -> str:
    return f"{resident(pid) >> 20} MiB of memory"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__.split("\n\n")[0])
    parser.add_argument("--clusters", type=int, default=1000, help="each with 10 endpoints and 10 routes; %(default)s")
    parser.add_argument("--silent", action="store_true", help="no request before")
    parser.add_argument("--workers", type=int, default=1, help="see `workers:`; %(default)s")
    given = parser.parse_args()
    print(f"| {running()} | s | | longest pause, ms |\n|---|---|---|---|", flush=True)
    for what, seconds, shown, pause in measure(given.clusters, given.silent, given.workers):
        mark = " (more than 20)" if pause > LIMIT else ""
        print(f"| {what} | {seconds:.2f} | {shown} | {1000 * pause:.1f}{mark} |", flush=True)


if __name__ == "__main__":
    main()
