"""
`python -m bench.web`: HTTP/1.1, HTTP/2 with gRPC's shape, and large bodies, beside Envoy, nginx and haproxy.

Lives here: the subjects, their loads (wrk, h2load, sockets) and one table. Does not: protocols of RPC and Redis
(`run`). What each row costs is the proxy's CPU clock over the load, divided by what passed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.envoy import http_proxy
from bench.processes import Cores, NotStarted, Running, free_ports, listens, wait_for
from bench.programs import COMPILED, machine, programs

CHUNK = 65536
TOOLS = ("nginx", "haproxy", "nghttpd", "wrk", "h2load")
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
_START = 15.0

RELAY = """
import socket, sys
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = listening.accept()
    server = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    server.sendall(client.recv(65536))
    while data := server.recv(65536):
        client.sendall(data)
    client.close()
    server.close()
"""
"""The least that a relay in Python does: one recv and one send a chunk."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: cost in µs of the proxy's CPU for each `unit`; rate: units a second."""

    load: str
    subject: str
    unit: str
    cost: float
    rate: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a subject listens, and where the backend is; folder: for its files; second: whether it speaks HTTP/2."""

    listen: int
    admin: int
    backend: int
    folder: Path
    second: bool


Command = Callable[[Place, dict[str, str]], list[str]]


def _metaproxy(place: Place, programs: dict[str, str]) -> list[str]:
    protocol: object = {"name": "http", "version": 2} if place.second else "http"
    limits = dict.fromkeys(("max_connections", "max_pending", "max_requests"), 100_000)
    cluster = {"name": "web", "protocol": protocol, "endpoints": [f"127.0.0.1:{place.backend}"], "breaker": limits}
    listener = {
        "name": "bench",
        "listen": f"127.0.0.1:{place.listen}",
        "protocol": "http",
        "routes": [{"match": {"path": {"prefix": "/"}}, "cluster": "web"}],
    }
    config = {"listeners": [listener], "clusters": [cluster], "admin": {"listen": f"127.0.0.1:{place.admin}"}}
    file = place.folder / "metaproxy.yaml"
    file.write_text(yaml.safe_dump(config))
    return [programs["metaproxy"], "-n", "--pidfile=", "metaproxy", "-c", str(file)]


def _compiled(place: Place, programs: dict[str, str]) -> list[str]:
    """The same, from a copy of the tree whose data path is compiled."""
    return ["env", "-u", "METAPROXY_PURE", f"PYTHONPATH={COMPILED}", *_metaproxy(place, programs)]


def _envoy(place: Place, programs: dict[str, str]) -> list[str]:
    file = place.folder / "envoy.json"
    file.write_text(json.dumps(http_proxy(place.listen, place.admin, place.backend, place.second)))
    return [programs["envoy"], "-c", str(file), "--concurrency", "1", "-l", "error"]


def _nginx(place: Place, programs: dict[str, str]) -> list[str]:
    """nginx speaks HTTP/2 to servers as gRPC only."""
    forward = "grpc_pass grpc://back" if place.second else "proxy_pass http://back"
    listen = f"127.0.0.1:{place.listen}{' http2' if place.second else ''}"
    return _nginx_at(
        place.folder / "proxy",
        f"upstream back {{ server 127.0.0.1:{place.backend}; keepalive 64; }}"
        f"server {{ listen {listen}; keepalive_requests 100000000; location / {{ {forward}; proxy_http_version 1.1;"
        ' proxy_set_header Connection ""; proxy_buffering off; } }',
        programs,
    )


def _haproxy(place: Place, programs: dict[str, str]) -> list[str]:
    proto = " proto h2" if place.second else ""
    file = place.folder / "haproxy.cfg"
    file.write_text(
        "global\n nbthread 1\ndefaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n"
        f"frontend f\n bind 127.0.0.1:{place.listen}{proto}\n default_backend b\n"
        f"backend b\n http-reuse always\n server s 127.0.0.1:{place.backend}{proto}\n"
    )
    return [programs["haproxy"], "-f", str(file)]


def _relay(place: Place, programs: dict[str, str]) -> list[str]:
    return [sys.executable, "-c", RELAY, str(place.listen), str(place.backend)]


SUBJECTS: dict[str, Command] = {
    "metaproxy": _metaproxy, "compiled metaproxy": _compiled, "envoy": _envoy, "nginx": _nginx, "haproxy": _haproxy,
}  # fmt: skip


def _nginx_at(folder: Path, servers: str, programs: dict[str, str]) -> list[str]:
    folder.mkdir(exist_ok=True)
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy"))
    (folder / "nginx.conf").write_text(
        f"worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log; user root;"
        "events { worker_connections 4096; }"
        f"http {{ access_log off; client_max_body_size 0; {temporary} {servers} }}"
    )
    return [programs["nginx"], "-p", str(folder), "-c", str(folder / "nginx.conf")]


# -- what is measured


class Bench:
    """One run. folder: for files of all subjects; seconds: of each load."""

    def __init__(self, folder: Path, found: dict[str, str], cores: Cores, seconds: float) -> None:
        self.folder = folder
        self.programs = found
        self.cores = cores
        self.seconds = seconds
        self.rows: list[Row] = []
        (folder / "www").mkdir()
        (folder / "www" / "small").write_bytes(b"x" * 64)
        (folder / "www" / "reply.grpc").write_bytes(b"\0\0\0\0\x40" + b"x" * 64)
        (folder / "www" / "mega").write_bytes(bytes(1 << 20))
        with (folder / "www" / "large").open("wb") as file:
            file.truncate(256 << 20)
        (folder / "ask").write_bytes(b"\0\0\0\0\x40" + b"x" * 64)
        (folder / "types").write_text("application/grpc grpc\n")

    @contextmanager
    def backend(self, second: bool) -> Iterator[int]:
        (port,) = free_ports(1)
        if second:
            command = [
                self.programs["nghttpd"], "--no-tls", "-d", str(self.folder / "www"), "--trailer=grpc-status: 0",
                f"--mime-types-file={self.folder / 'types'}", str(port),
            ]  # fmt: skip
        else:
            root = f"server {{ listen 127.0.0.1:{port}; root {self.folder}/www; keepalive_requests 100000000; }}"
            command = _nginx_at(self.folder / "backend", root, self.programs)
        with Running(command, self.folder / "backend.log") as process:
            wait_for("the backend does not listen", _START, process, lambda: listens(port))
            yield port

    @contextmanager
    def subject(self, name: str, command: Command, backend: int, second: bool) -> Iterator[tuple[Running, int]]:
        listen, admin = free_ports(2)
        folder = self.folder / f"{name}-{listen}"
        folder.mkdir()
        line = command(Place(listen, admin, backend, folder, second), self.programs)
        pinned = ["taskset", "-c", str(self.cores.proxy), *line]
        with Running(pinned, folder / "log") as process:
            wait_for(f"{name} does not listen", _START, process, lambda: listens(listen))
            yield process, listen

    def measure(self, load: str, name: str, process: Running, unit: str, run: Callable[[], float]) -> None:
        """run: makes the load and gives how many units passed."""
        before, began = process.cpu(), time.monotonic()
        units = run()
        taken, used = time.monotonic() - began, process.cpu() - before
        self.rows.append(Row(load, name, unit, used * 1e6 / max(units, 1), units / taken))

    def every(
        self, load: str, unit: str, second: bool, run: Callable[[int], float], *more: tuple[str, Command]
    ) -> None:
        """A load for each subject: a short one first, so that connections and code are warm."""
        with self.backend(second) as backend:
            for name, command in (*SUBJECTS.items(), *more):
                try:
                    with self.subject(name, command, backend, second) as (process, port):
                        run(port)
                        self.measure(load, name, process, unit, lambda port=port: run(port))  # type: ignore[misc]
                except (NotStarted, subprocess.SubprocessError, OSError, ValueError) as error:
                    print(f"bench.web: {load}, {name}: {error}", file=sys.stderr)

    # -- loads

    def wrk(self, connections: int) -> Callable[[int], float]:
        def run(port: int) -> float:
            command = [
                self.programs["wrk"], "-t1", f"-c{connections}", f"-d{self.seconds:g}s",
                f"http://127.0.0.1:{port}/small",
            ]  # fmt: skip
            said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
            if "Non-2xx" in said:
                raise ValueError(said)
            return float(_found(r"(\d+) requests in", said))

        return run

    def h2load(self, path: str, connections: int, streams: int, count: int, post: bool) -> Callable[[int], float]:
        def run(port: int) -> float:
            command = [
                self.programs["h2load"], "-t1", f"-c{connections}", f"-m{streams}", f"-n{count}",
                f"http://127.0.0.1:{port}/{path}",
            ]  # fmt: skip
            if post:
                command += [
                    "-d",
                    str(self.folder / "ask"),
                    "-H",
                    "content-type: application/grpc",
                    "-H",
                    "te: trailers",
                ]
            said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
            done = float(_found(r"(\d+) succeeded", said))
            if done < count:
                raise ValueError(f"{done:g} of {count} succeeded")
            return done

        return run

    def large(self, port: int) -> float:
        """Chunks of 64 KiB of long answers, several: CPU is counted in hundredths of a second, and one lasts 0.25 s."""
        return sum(self._large(port) for _ in range(8))

    def _large(self, port: int) -> float:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /large HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            received = 0
            buffer = bytearray(1 << 20)
            while size := client.recv_into(buffer):
                received += size
        if received < 256 << 20:
            raise ValueError(f"{received} bytes of {256 << 20}")
        return received / CHUNK

    def beside_a_slow_stream(self) -> None:
        """Whether one stream whose client hardly reads slows the others of its connections to the server."""
        run = self.h2load("reply.grpc", 4, 16, 8000, True)
        with self.backend(True) as backend, self.subject("metaproxy", _metaproxy, backend, True) as (process, port):
            run(port)
            self.measure("gRPC unary, 4 x 16", "metaproxy, alone", process, "request", lambda: run(port))
            stop = threading.Event()
            slow = threading.Thread(target=_read_slowly, args=(port, stop))
            slow.start()
            try:
                time.sleep(0.5)
                name = "metaproxy, beside a stream that is not read"
                self.measure("gRPC unary, 4 x 16", name, process, "request", lambda: run(port))
            finally:
                stop.set()
                slow.join()

    def run(self) -> None:
        self.every("HTTP/1.1 GET, 64 connections", "request", False, self.wrk(64))
        self.every("HTTP/1.1 GET, 1 connection", "request", False, self.wrk(1))
        count = int(4000 * self.seconds)
        self.every("gRPC unary, 4 x 16 in flight", "request", True, self.h2load("reply.grpc", 4, 16, count, True))
        self.every("gRPC unary, 64 x 1 in flight", "request", True, self.h2load("reply.grpc", 64, 1, count, True))
        self.every("HTTP/2 answers of 1 MiB, 4 x 4", "MiB", True, self.h2load("mega", 4, 4, 400, False))
        self.every("HTTP/1.1 body of 256 MiB", "64 KiB", False, self.large, ("bare recv and send", _relay))
        self.beside_a_slow_stream()


def _read_slowly(port: int, stop: threading.Event) -> None:
    """Asks for 256 MiB by HTTP/1.1, on a listener that goes on in HTTP/2, and reads a little now and then."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: bench\r\n\r\n")
        while not stop.wait(0.2):
            client.recv(1024)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"nothing like {pattern} in {text[-300:]!r}")
    return match[1]


def table(rows: list[Row]) -> str:
    """One line a load and subject; beside it how often the first subject's cost goes into it."""
    lines = ["| load | proxy | CPU µs | per | a second | of Envoy's CPU |", "|---|---|---|---|---|---|"]
    for row in rows:
        envoy = next((one.cost for one in rows if one.load == row.load and one.subject == "envoy"), 0.0)
        ratio = f"{row.cost / envoy:.2f}" if envoy else ""
        lines.append(f"| {row.load} | {row.subject} | {row.cost:.1f} | {row.unit} | {row.rate:,.0f} | {ratio} |")
    return "\n".join(lines)


def median(rounds: list[list[Row]]) -> list[Row]:
    """Of each load and subject the round in the middle by cost."""
    found: dict[tuple[str, str], list[Row]] = {}
    for rows in rounds:
        for row in rows:
            found.setdefault((row.load, row.subject), []).append(row)
    return [sorted(same, key=lambda row: row.cost)[(len(same) - 1) // 2] for same in found.values()]


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.web", description="HTTP and gRPC beside other proxies.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load in each round; %(default)s")
    options = parser.parse_args()
    cores = Cores()
    own = programs()
    found = {name: own[name].path for name in ("metaproxy", "envoy")}
    for tool in (*TOOLS, "taskset"):
        path = shutil.which(tool, path=_PATH)
        if path is None:
            raise SystemExit(f"bench.web: {tool} is missing; run tests/interop/install, which installs it")
        found[tool] = path
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="bench-web-") as folder:
            bench = Bench(Path(folder), found, cores, options.seconds)
            bench.run()
            rounds.append(bench.rows)
    print(f"{own['metaproxy'].version}; Envoy {own['envoy'].version}; {machine()}; {options.rounds} rounds\n")
    print(table(median(rounds)))


if __name__ == "__main__":
    main()
