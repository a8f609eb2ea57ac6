"""
Ten metaproxies and one Envoy, driven by one control plane through many updates while requests pass.

    python -m bench.fleet                         1000 updates
    python -m bench.fleet --updates 50 --proxies 3

Each update writes the control plane's folder: another route, other endpoints, or another cluster with the one before
gone. It is in force at a proxy when a request there is answered by it: by the header that the route sets and the
server that answers. Lost: not in force within 10 seconds. Lives here: the updates, the clients, the figures. Does
not: the control plane, the proxies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.processes import Running
from bench.programs import programs

LONGEST = 10.0
"""Seconds after which an update is lost."""
PACE = 0.02
"""Seconds between two requests to one proxy."""
HEADER = "x-update"
TYPES = "type.googleapis.com/envoy"
Json = dict[str, Any]


@dataclass
class Outcome:
    """seconds: from writing an update until it is in force, by proxy; all: until it is at all; failed: requests."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    all: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    requests: int = 0
    failed: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        every = sorted(one for each in self.seconds.values() for one in each)
        together = sorted(self.all)
        return [
            f"{len(self.all)} updates at {len(self.seconds)} proxies, {self.requests} requests",
            f"lost: {len(self.lost)} {self.lost[:3]}; failed requests: {len(self.failed)} {self.failed[:3]}",
            f"in force at a proxy:  p50 {percentile(every, 50):.3f} s, p99 {percentile(every, 99):.3f} s",
            f"in force at all:      p50 {percentile(together, 50):.3f} s, p99 {percentile(together, 99):.3f} s, "
            f"max {max(self.all, default=0):.3f} s",
            *(f"  {name}: p99 {percentile(sorted(each), 99):.3f} s" for name, each in self.seconds.items()),
        ]


def percentile(values: Sequence[float], percent: float) -> float:
    return values[min(len(values) - 1, int(len(values) * percent / 100))] if values else 0.0


# -- what is served


def resources(number: int, backends: Mapping[str, int], rest: bool = False) -> tuple[Json, str]:
    """Return the documents of an update, and which server is to answer. rest: clusters have their endpoints inline."""
    cluster = f"c{number // 3}"  # a new one with every third update
    name = sorted(backends)[(number // 2) % len(backends)]  # other endpoints with every second one
    endpoints = _endpoints(cluster, backends[name])
    clusters = [_cluster(cluster, endpoints)] if rest else [_cluster(cluster), endpoints]
    return {"resources": [*clusters, _routes(cluster, number)]}, name


def _cluster(name: str, inline: Json | None = None) -> Json:
    made: Json = {"@type": f"{TYPES}.config.cluster.v3.Cluster", "name": name, "connect_timeout": "1s"}
    if inline is not None:
        assignment = {key: value for key, value in inline.items() if key != "@type"}
        return {**made, "type": "STATIC", "load_assignment": assignment}
    eds = {"eds_config": {"ads": {}, "resource_api_version": "V3"}}
    return {**made, "type": "EDS", "eds_cluster_config": eds}


def _endpoints(cluster: str, port: int) -> Json:
    endpoint = {"endpoint": {"address": _address(port)}}
    kind = f"{TYPES}.config.endpoint.v3.ClusterLoadAssignment"
    return {"@type": kind, "cluster_name": cluster, "endpoints": [{"lb_endpoints": [endpoint]}]}


def _routes(cluster: str, number: int) -> Json:
    set_header = {"header": {"key": HEADER, "value": str(number)}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster}, "response_headers_to_add": [set_header]}
    host = {"name": "all", "domains": ["*"], "routes": [route]}
    return {"@type": f"{TYPES}.config.route.v3.RouteConfiguration", "name": "web", "virtual_hosts": [host]}


def listener(port: int, rest: bool = False) -> Json:
    """The listener of one proxy, in the file of its group. rest: whether its routes come over REST, too."""
    polled = {
        "api_type": "REST", "transport_api_version": "V3", "cluster_names": ["control"], "refresh_delay": "0.1s",
        "request_timeout": "1s",
    }  # fmt: skip
    source: Json = {"api_config_source": polled} if rest else {"ads": {}}
    extensions = f"{TYPES}.extensions.filters"
    manager = {
        "@type": f"{extensions}.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "web",
        "rds": {"route_config_name": "web", "config_source": {**source, "resource_api_version": "V3"}},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{extensions}.http.router.v3.Router"}}],
    }  # fmt: skip
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    kind = f"{TYPES}.config.listener.v3.Listener"
    return {"resources": [{"@type": kind, "name": "web", "address": _address(port), "filter_chains": [chain]}]}


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


# -- who is driven


def metaproxy_file(name: str, control: int, admin: int, transport: str, metadata: Json) -> Json:
    return {
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "node": {"id": name, "cluster": name, "metadata": {"admin": admin, **metadata}},
        "xds": {"name": "control", "server": f"127.0.0.1:{control}", "transport": transport},
    }


def envoy_file(name: str, control: int, admin: int, rest: int = 0, delta: bool = False) -> Json:
    """rest: the port of the control plane's REST; 0 for gRPC, and then delta: for what changed alone."""
    options = f"{TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {"@type": options, "explicit_http_config": {"http2_protocol_options": {}}}
    assignment = {
        "cluster_name": "control",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(control)}}]}],
    }
    grpc = {
        "api_type": "DELTA_GRPC" if delta else "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "control"}}],
    }
    ads: Json = {"ads": {}, "resource_api_version": "V3"}
    if rest:
        return _envoy_over_rest(name, rest, admin)
    return {
        "node": {"id": name, "cluster": name, "metadata": {"admin": admin}},
        "admin": {"address": _address(admin)},
        "dynamic_resources": {"ads_config": grpc, "cds_config": ads, "lds_config": ads},
        "static_resources": {"clusters": [{
            "name": "control", "type": "STATIC", "load_assignment": assignment,
            "typed_extension_protocol_options": {options.rpartition("/")[2]: http2},
        }]},
    }  # fmt: skip


def _envoy_over_rest(name: str, control: int, admin: int) -> Json:
    made = envoy_file(name, control, admin)
    rest = {
        "api_type": "REST", "transport_api_version": "V3", "cluster_names": ["control"], "refresh_delay": "0.1s",
        "request_timeout": "1s",
    }  # fmt: skip
    source = {"api_config_source": rest, "resource_api_version": "V3"}
    made["dynamic_resources"] = {"cds_config": source, "lds_config": source}
    del made["static_resources"]["clusters"][0]["typed_extension_protocol_options"]
    return made


class Fleet:
    """
    A control plane, its folder, and the proxies: `metaproxies` of ours, half of them over delta, and one Envoy where
    `envoy`, the path of its binary, is not empty.

    first: names of proxies with `canary: "true"` in their metadata. scrape: time between two looks at error rates.
    rest: whether the Envoy polls over REST; delta: whether all are sent what changed alone.
    """

    def __init__(
        self, folder: Path, metaproxies: int, envoy: str, twistd: str, first: Collection[str] = (), scrape: str = "5s",
        rest: bool = False, delta: bool = False,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.source = folder / "source"
        self.control, self.control_admin = _free_port(), _free_port()
        names = [f"metaproxy-{number}" for number in range(metaproxies)] + (["envoy"] if envoy else [])
        self.ports = {name: _free_port() for name in names}
        self.admins = {name: _free_port() for name in names}
        self.rest = rest
        self._delta = delta
        self._rest = _free_port() if rest else 0
        self._first = first
        self._scrape = scrape
        self._envoy = envoy
        self._twistd = twistd
        self._running: dict[str, ExitStack] = {}

    def __enter__(self) -> Fleet:
        self.source.mkdir()
        admin = {"listen": f"127.0.0.1:{self.control_admin}"}
        settings: Json = {"listen": f"127.0.0.1:{self.control}", "admin": admin, "scrape": {"every": self._scrape}}
        settings |= {"rest": f"127.0.0.1:{self._rest}"} if self._rest else {}
        (self.source / "control.yaml").write_text(json.dumps(settings))
        for name, port in self.ports.items():
            place = self.source / "groups" / name
            place.mkdir(parents=True)
            (place / "listener.yaml").write_text(json.dumps(listener(port, bool(self._rest))))
        self.start_control()
        for place, name in enumerate(self.ports):
            self._start_proxy(name, "delta" if place % 2 or self._delta else "grpc")
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            self.stop(name)

    def start(self, name: str, command: list[str]) -> None:
        stack = self._running[name] = ExitStack()
        stack.enter_context(Running(command, self.folder / f"{name}.log", self.folder))

    def stop(self, name: str) -> None:
        self._running.pop(name).close()

    def start_control(self) -> None:
        self.start("control", [self._twistd, "-n", "--pidfile=", "metaproxy-control", "--config", str(self.source)])

    def _start_proxy(self, name: str, transport: str) -> None:
        file = self.folder / f"{name}.json"
        if name == "envoy":
            file.write_text(json.dumps(envoy_file(name, self.control, self.admins[name], self._rest, self._delta)))
            self.start(
                name, [self._envoy, "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
            )
            return
        metadata = {"canary": "true"} if name in self._first else {}
        file.write_text(json.dumps(metaproxy_file(name, self.control, self.admins[name], transport, metadata)))
        self.start(name, [self._twistd, "-n", "--pidfile=", "metaproxy", "--config", str(file)])

    def publish(self, documents: Json) -> None:
        """Write the documents, in one step, as `mv` and `git checkout` of one file do."""
        beside = self.source / ".update"
        beside.write_text(json.dumps(documents))
        beside.rename(self.source / "mesh.json")

    def shown(self, path: str) -> Any:
        """Return what the control plane's admin API says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.control_admin}{path}", timeout=5) as answer:
            return json.loads(answer.read())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# -- who asks


class Client:
    """Sends one request after the other to a proxy over one connection, and knows what answered last."""

    def __init__(self, name: str, port: int, outcome: Outcome) -> None:
        self.name = name
        self.seen: tuple[str, str] = "", ""
        self.changed = asyncio.Event()
        self._port = port
        self._outcome = outcome
        self._counts = False

    async def run(self) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as error:
                self._fail(str(error))
                await asyncio.sleep(0.05)
                continue
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._requests(reader, writer)
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            except (OSError, asyncio.IncompleteReadError) as error:
                self._fail(f"no answer: {error}")
                raise
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self._outcome.requests += self._counts
            if " 200 " not in head[0]:
                self._fail(f"{head[0]}: {body.decode(errors='replace')[:200]}")
            else:
                self.seen = headers.get(HEADER, ""), body.decode()
                self._counts = True
                self.changed.set()
            if headers.get("connection") == "close":
                return
            await asyncio.sleep(PACE)

    def _fail(self, text: str) -> None:
        """Note a request that failed, once there was one that did not: before that a proxy has no listener."""
        if self._counts:
            self._outcome.failed.append(f"{self.name}: {text}")

    async def shows(self, wanted: tuple[str, str], limit: float) -> float | None:
        """Return when this was seen; None for not within `limit` seconds."""
        deadline = time.monotonic() + limit
        while self.seen != wanted:
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), deadline - time.monotonic())
            except TimeoutError:
                return None
        return time.monotonic()


async def _serve(name: str, port: int) -> asyncio.Server:
    """A server that answers with its name."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):  # cancelled: the bench is over
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\n\r\n{name}".encode())
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", port)


async def drive(
    fleet: Fleet, updates: int, before: Callable[[int], Awaitable[None]] | None = None, settle: float = 60.0
) -> Outcome:
    """
    Run the updates, each behind the one before. before: what is done before each; settle: seconds that the proxies have
    for the first one.
    """
    backends = {"a": _free_port(), "b": _free_port()}
    servers = [await _serve(name, port) for name, port in backends.items()]
    outcome = Outcome({name: [] for name in fleet.ports})
    clients = [Client(name, port, outcome) for name, port in fleet.ports.items()]
    running = [asyncio.create_task(one.run()) for one in clients]
    try:
        for number in range(updates + 1):
            if before is not None:
                await before(number)
            documents, answers = resources(number, backends, fleet.rest)
            began = time.monotonic()
            fleet.publish(documents)
            wanted = str(number), answers
            when = await asyncio.gather(*(one.shows(wanted, LONGEST if number else settle) for one in clients))
            for client, at in zip(clients, when, strict=True):
                if at is None:
                    outcome.lost.append(f"{client.name}: {wanted}, seen {client.seen}")
                elif number:
                    outcome.seconds[client.name].append(at - began)
            if number:
                outcome.all.append(max((at or began + LONGEST) - began for at in when))
            elif outcome.lost:
                break
    finally:
        for task in running:
            task.cancel()
        for server in servers:
            server.close()
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=(__doc__ or "").strip().split("\n")[0])
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--proxies", type=int, default=10, help="metaproxies, besides one Envoy")
    given = parser.parse_args()
    found = programs()
    paths = found["envoy"].path, found["metaproxy"].path
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder), given.proxies, *paths) as fleet:
        outcome = asyncio.run(drive(fleet, given.updates))
        print("\n".join(outcome.lines()))
        print(f"control plane: {fleet.shown('/fleet')['states']}")
    sys.exit(1 if outcome.lost or outcome.failed else 0)


if __name__ == "__main__":
    main()
