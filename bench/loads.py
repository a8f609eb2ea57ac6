"""
What is asked: the cases of a run, one run of the load generator, and what comes of it.

Lives here: `Case`, `Result`, the backends. Does not: how proxies start (`subjects`), the order of the run (`__main__`).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Running, free_ports, wait_for

METHOD = "echo"
MANY_ROUTES = 1000
KEYS = 1000
_START = 10.0
"""Seconds that a backend may take to start."""


@dataclass(frozen=True, slots=True)
class Case:
    """
    One load. protocol: as load.c calls it. command: of Redis, else empty. depth: requests in flight on each
    connection. body: bytes of the argument or value. routes: entries of the proxy's route table, each hit in turn.
    """

    protocol: str
    command: str
    connections: int
    depth: int
    body: int
    routes: int

    def __str__(self) -> str:
        size = f"{self.body // 1024} KiB" if self.body >= 1024 else f"{self.body} B"
        routes = "" if self.protocol == "redis" else f", {self.routes} route{'s' * (self.routes > 1)}"
        name = f"{self.protocol} {self.command.upper()}".strip()
        connections = f"{self.connections} connection{'s' * (self.connections > 1)}"
        return f"{name}, {connections} x {self.depth} in flight, {size}{routes}"


@dataclass(frozen=True, slots=True)
class Result:
    """
    One measured window. Latencies in ms; cpu: µs of the proxy a request; proxy_busy, load_busy: share of its core that
    the proxy, or load and backend together, used; proxy_waited: share of the time in which one of its
    threads was ready to run and others had its core; peak: MiB. What is a proxy's is None without one.
    Of an open loop, in requests that were due in the window: due: all of them; late: sent more than 1 ms behind their
    time; unsent: given up, as no connection had room for one in time; refused: answered with an error.
    """

    requests_per_second: float
    p50: float
    p99: float
    p999: float
    cpu: float | None
    proxy_busy: float | None
    load_busy: float
    proxy_waited: float | None
    peak: float | None
    errors: int
    first_error: str
    due: int = 0
    late: int = 0
    unsent: int = 0
    refused: int = 0


class LoadFailed(Exception):
    """The load could not be run; its text is for the table."""


def service(index: int) -> str:
    return f"org.bench.Service{index:04d}"


def method(index: int) -> str:
    """Thrift has no service names: its routes differ by method."""
    return f"{METHOD}{index:04d}"


class Backends:
    """The servers behind every proxy, their ports and processes by protocol."""

    def __init__(self, load: str, ports: dict[str, int], processes: dict[str, Running]) -> None:
        self._load, self._ports, self._processes = load, ports, processes

    def port(self, protocol: str) -> int:
        return self._ports[protocol]

    def ask(
        self,
        case: Case,
        port: int,
        warmup: float,
        seconds: float,
        proxy: Running | None = None,
        rate: float = 0.0,
        patience: float = 1.0,
    ) -> Result:
        """
        Runs the load against the port, a proxy's or the backend's own. Raises LoadFailed.

        rate: requests a second, each due at its time, in an open loop; 0: a closed loop. patience: seconds that a
        request of an open loop waits for a connection with room.
        """
        command = [self._load, "ask", *_words(case), "--warmup", str(warmup), "--seconds", str(seconds)]
        command += ["--rate", str(rate), "--patience", str(patience)] if rate else []
        command += ["--backend", _ids(self._processes[case.protocol])]
        if proxy is not None:
            command += ["--proxy", _ids(proxy)]
            proxy.forget_peak()
        began, before = time.monotonic(), proxy.waited() if proxy else {}
        try:
            ran = subprocess.run(
                [*command, str(port)], check=False, capture_output=True, text=True, timeout=warmup + seconds + 10
            )
        except subprocess.TimeoutExpired as error:
            raise LoadFailed("the load generator did not end") from error
        if ran.returncode != 0:
            raise LoadFailed(ran.stderr.strip())
        after = proxy.waited() if proxy else {}
        waited = max((after[task] - before.get(task, 0.0) for task in after), default=0.0)
        return _result(json.loads(ran.stdout), proxy, waited / (time.monotonic() - began))


@contextmanager
def backends(load: str, redis: str, protocols: list[str], bodies: tuple[int, ...], folder: Path) -> Iterator[Backends]:
    """Started for these protocols; Redis with the keys that will be asked for. load, redis: paths of the programs."""
    with ExitStack() as stack:
        ours = stack.enter_context(Running([load, "backend"], folder / "backend.log"))
        wait_for("the backend", _START, ours, ours.first_words)
        ports = json.loads(ours.first_words())
        ports["theader"] = ports["thrift"]
        processes = dict.fromkeys(ports, ours)
        if "redis" in protocols:
            (port,) = free_ports(1)
            server = Running(_redis_command(load, redis, port, folder), folder / "redis.log")
            processes["redis"] = stack.enter_context(server)
            wait_for("redis-server", _START, server, lambda: _pings(port))
            ports["redis"] = port
            for body in bodies:
                _fill_redis(port, body)
        yield Backends(load, ports, processes)


def _redis_command(load: str, redis: str, port: int, folder: Path) -> list[str]:
    """Through `load pin`, so that it ends with the bench."""
    (core,) = os.sched_getaffinity(0)
    command = [load, "pin", str(core), redis, "--bind", "127.0.0.1", "--port", str(port)]
    return [*command, "--save", "", "--appendonly", "no", "--dir", str(folder)]


def _fill_redis(port: int, body: int) -> None:
    """Sets every key that GET will ask for; a value begins with its key's number, which load.c checks."""
    with socket.create_connection(("127.0.0.1", port), timeout=_START) as connection:
        for index in range(KEYS):
            key, value = f"{_key(body)[:-4]}{index:04d}".encode(), f"{index:04d}".encode().ljust(body, b"x")
            words = [b"SET", key, value]
            connection.sendall(b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
            assert connection.recv(64) == b"+OK\r\n"


def _key(body: int) -> str:
    return f"bench:{body}:####"


def _words(case: Case) -> list[str]:
    """The case as load.c's options; it writes each request's own number in the place of ####."""
    words = ["--protocol", case.protocol, "--connections", str(case.connections), "--depth", str(case.depth)]
    words += ["--body", str(case.body), "--spread", str(KEYS if case.protocol == "redis" else case.routes)]
    if case.protocol == "redis":
        return [*words, "--command", case.command, "--key", _key(case.body)]
    if case.protocol != "dubbo":
        return [*words, "--method", f"{METHOD}####"]
    name = "org.bench.Service####"
    attachments = [f"path={name}", f"interface={name}", "version=0.0.0", "remote.application=bench"]
    return [*words, "--interface", name, "--method", METHOD, *(f"--attachment={text}" for text in attachments)]


def _result(told: dict[str, float | str], proxy: Running | None, proxy_waited: float) -> Result:
    number = {name: float(value) for name, value in told.items() if not isinstance(value, str)}
    requests, seconds = number["requests"], number["seconds"] or 1.0
    if not requests:
        raise LoadFailed(f"no request answered; {number['errors']:.0f} errors: {told['first_error']}")
    return Result(
        requests_per_second=requests / seconds,
        p50=number["p50_us"] / 1e3,
        p99=number["p99_us"] / 1e3,
        p999=number["p999_us"] / 1e3,
        cpu=None if proxy is None else number["proxy_cpu"] * 1e6 / requests,
        proxy_busy=None if proxy is None else number["proxy_cpu"] / seconds,
        load_busy=(number["load_cpu"] + number["backend_cpu"]) / seconds,
        proxy_waited=None if proxy is None else proxy_waited,
        peak=None if proxy is None else proxy.peak(),
        errors=int(number["errors"]),
        first_error=str(told["first_error"]),
        due=int(number["due"]),
        late=int(number["late"]),
        unsent=int(number["unsent"]),
        refused=int(number["refused"]),
    )


def _ids(process: Running) -> str:
    return ",".join(map(str, process.ids()))


def _pings(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16) == b"+PONG\r\n"
    except OSError:
        return False
