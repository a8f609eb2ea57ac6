"""
What a large mesh costs: to load it, and to change one thing of it.

    python -m bench.mesh                          all sizes and shapes, each in a process of its own
    python -m bench.mesh 1000 many                one: clusters, and `many` listeners of 10 routes each or `few`

Each cluster has 10 endpoints, of a discovery; there are 10 routes a cluster. Nothing listens: sockets cost the same
whatever the mesh. Costs are CPU time of this process, medians. Lives here: the mesh, the changes, the table. Does not:
requests (`bench.run`), what a control plane sends on the wire.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from bench.replay import FakeReactor
from metaproxy.app.application import Application
from metaproxy.app.parts import Part
from metaproxy.app.service import ProxyService
from metaproxy.config import model
from metaproxy.config.build import Builder
from metaproxy.config.values import read_section
from metaproxy.interfaces import IDiscovery
from metaproxy.plugins import Registry
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.transport import Network
from metaproxy.telemetry.access_log.filter import LogFiles
from metaproxy.telemetry.metrics.windows import Windows, sources

ENDPOINTS, ROUTES = 10, 10
"""Of each cluster."""
FEW = 10
"""Listeners of the shape `few`, at most."""
PLUGINS = Path(__file__).parent / "held"
REPEATS = 20
IDLE = 6.0
"""Seconds for which a proxy that does nothing is watched."""


class Socketless(Network):
    """A network whose listeners get no sockets."""

    def listen(self, where: Any, accepted: Any) -> Any:
        return Nothing()


class Nothing:
    bound = "nowhere"

    def hand_to(self, accepted: Any) -> None: ...

    def close(self) -> None: ...


class Mesh:
    """Plain data of a mesh, as a source of configuration has them."""

    def __init__(self, clusters: int, shape: str) -> None:
        self.endpoints = {f"service{n}": self._endpoints(n) for n in range(clusters)}
        self.clusters = {name: self.cluster(name) for name in self.endpoints}
        size = 1 if shape == "many" else max(1, clusters // FEW)
        self.listeners = {
            f"in{place}": self.listener(f"in{place}", range(place * size, (place + 1) * size))
            for place in range(clusters // size)
        }

    def _endpoints(self, number: int) -> list[dict[str, object]]:
        return [
            {"address": f"10.{number >> 8}.{number & 255}.{one + 1}:20880", "weight": 1, "metadata": {"version": "v1"}}
            for one in range(ENDPOINTS)
        ]

    def cluster(self, name: str, timeout: str = "1s") -> dict[str, object]:
        return {"name": name, "discovery": {"held": name}, "connect_timeout": timeout, "balancer": "round_robin"}

    def listener(self, name: str, services: range, timeout: str = "5s") -> dict[str, Any]:
        routes = [
            {
                "name": f"service{n}-{place}",
                "match": {
                    "interface": f"org.mesh.Service{n}",
                    "method": f"method{place}",
                    "x-canary": {"present": True},
                }
                if place % 2
                else {"interface": f"org.mesh.Service{n}", "method": f"method{place}"},
                "cluster": f"service{n}",
                "timeout": timeout,
            }
            for n in services
            for place in range(ROUTES)
        ]
        port = 10000 + int(name.removeprefix("in"))
        return {"name": name, "listen": f"127.0.0.1:{port}", "protocol": "dubbo", "routes": routes}


class Stand:
    """A proxy without sockets, a base configuration, and a source that contributes."""

    def __init__(self, folder: Path, text: str) -> None:
        reactor: Any = FakeReactor()
        self.reactor = reactor
        self.file = folder / "proxy.yaml"
        self.file.write_text(text)
        self.registry = Registry([PLUGINS])
        self.proxy = ProxyService(Socketless(reactor, FlushQueue(reactor)), self.registry)
        builder = Builder(self.registry, reactor, LogFiles(reactor))
        self.application = Application(str(self.file), [str(PLUGINS)], self.proxy, builder, reactor)
        self.held: Any = self.registry.load(IDiscovery, "held")

    def reload(self) -> None:
        expect_none(self.application.reload())


class Source:
    """A source that keeps the sections of a mesh, and reads again those that changed."""

    def __init__(self, stand: Stand, mesh: Mesh) -> None:
        self._stand = stand
        self.mesh = mesh
        self._context = stand.application.reading("mesh")
        self.listeners: dict[str, model.Listener] = {}
        self.clusters: dict[str, model.Cluster] = {}

    def load(self) -> None:
        for name, data in self.mesh.clusters.items():
            self.read_cluster(name, data)
        for name, data in self.mesh.listeners.items():
            self.read_listener(name, data)
        self.contribute()

    def read_cluster(self, name: str, data: object) -> None:
        section, problems = read_section(model.Cluster, data, self._context)
        expect_none(problems)
        assert section is not None
        self.clusters[name] = section

    def read_listener(self, name: str, data: object) -> None:
        section, problems = read_section(model.Listener, data, self._context)
        expect_none(problems)
        assert section is not None
        self.listeners[name] = section

    def contribute(self) -> None:
        part = Part(tuple(self.listeners.values()), tuple(self.clusters.values()))
        expect_none(self._stand.application.contribute("mesh", part))


def expect_none(problems: list[Any]) -> None:
    if problems:
        sys.exit("\n".join(map(str, problems[:10])))


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of CPU."""
    began = time.process_time()
    call()
    return (time.process_time() - began) * 1000


def memory() -> float:
    """MiB that the process has now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


# -- the changes


def endpoint_change(stand: Stand, mesh: Mesh) -> Iterator[float]:
    """One endpoint of a cluster of 10 gets another weight, then one leaves and comes back."""
    name = list(mesh.endpoints)[len(mesh.endpoints) // 2]
    update = stand.held.RUNNING[name]
    for turn in range(REPEATS):
        changed = [dict(one) for one in mesh.endpoints[name]]
        changed[3]["weight"] = 2 + turn % 2
        if turn % 4 == 3:
            changed.pop()
        yield timed(lambda endpoints=changed: update(endpoints))  # type: ignore[misc]


def route_change(stand: Stand, source: Source) -> Iterator[float]:
    """The source gets a listener in which one route has another time-out."""
    name = list(source.listeners)[len(source.listeners) // 2]
    for turn in range(REPEATS):
        data = dict(source.mesh.listeners[name])
        data["routes"] = list(data["routes"])
        data["routes"][5] = {**data["routes"][5], "timeout": f"{turn + 1}s"}

        def change(data: object = data) -> None:
            source.read_listener(name, data)
            source.contribute()

        yield timed(change)


def cluster_change(stand: Stand, source: Source) -> Iterator[float]:
    """The source gets a cluster with another time-out."""
    name = list(source.clusters)[len(source.clusters) // 2]
    for turn in range(REPEATS):
        data = source.mesh.cluster(name, f"{turn + 2}s")

        def change(data: object = data) -> None:
            source.read_cluster(name, data)
            source.contribute()

        yield timed(change)


def coming_and_going(stand: Stand, source: Source) -> Iterator[float]:
    """A cluster comes that nothing leads to yet, and goes."""
    for turn in range(REPEATS):

        def change(turn: int = turn) -> None:
            if turn % 2:
                del source.clusters["new"]
            else:
                source.read_cluster("new", {**source.mesh.cluster("new"), "protocol": "dubbo"})
            source.contribute()

        yield timed(change)


def idle_cost(stand: Stand) -> float:
    """Milliseconds of CPU in a second in which nothing happens, for what is looked at from time to time."""
    windows = Windows(partial(sources, stand.proxy), stand.reactor)
    windows.start()
    stand.proxy.startService()
    stand.application.startService()
    wait(stand, 1.0)
    cost = timed(partial(wait, stand, IDLE)) / IDLE
    windows.stop()
    stand.application.stopService()
    return cost


def wait(stand: Stand, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        stand.reactor.advance(0)
        time.sleep(0.01)


def measure(clusters: int, shape: str) -> dict[str, object]:
    """All figures of one size and shape."""
    mesh = Mesh(clusters, shape)
    with tempfile.TemporaryDirectory() as folder:
        text = "{}" if clusters else ""
        stand = Stand(Path(folder), text)
        stand.held.ENDPOINTS.update(mesh.endpoints)
        stand.reload()
        source = Source(stand, mesh)
        gc.collect()
        before = memory()
        began = time.perf_counter()
        cpu = timed(source.load)
        found: dict[str, object] = {
            "clusters": clusters,
            "listeners": len(mesh.listeners),
            "routes": clusters * ROUTES,
            "endpoints": clusters * ENDPOINTS,
            "load s": time.perf_counter() - began,
            "load CPU s": cpu / 1000,
            "MiB": memory(),
            "MiB before": before,
        }
        costs = {
            "endpoint ms": endpoint_change(stand, mesh),
            "route ms": route_change(stand, source),
            "cluster ms": cluster_change(stand, source),
            "new cluster ms": coming_and_going(stand, source),
        }
        for name, figures in costs.items():
            found[name] = median(figures)
        found["idle ms/s"] = idle_cost(stand)
        found["MiB at the end"] = memory()
    return found


def measure_file(clusters: int, shape: str) -> dict[str, object]:
    """The same mesh as a file, with the endpoints written out."""
    mesh = Mesh(clusters, shape)
    for name, data in mesh.clusters.items():
        del data["discovery"]
        data["endpoints"] = mesh.endpoints[name]
    with tempfile.TemporaryDirectory() as folder:
        data = {"listeners": list(mesh.listeners.values()), "clusters": list(mesh.clusters.values())}
        stand = Stand(Path(folder), yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
        del mesh, data
        gc.collect()
        began = time.perf_counter()
        cpu = timed(stand.reload)
        wall, most = time.perf_counter() - began, memory()
        again = timed(stand.reload)
    return {
        "clusters": clusters, "file": shape, "load s": wall, "load CPU s": cpu / 1000, "MiB": most,
        "load again CPU s": again / 1000,
    }  # fmt: skip


def main() -> None:
    if sys.argv[1:]:
        size, shape, *rest = sys.argv[1:]
        print(json.dumps((measure_file if rest else measure)(int(size), shape)))
        return
    for shape in ("many", "few"):
        for kind in ([], ["file"]):
            for size in ("10", "1000"):
                run = subprocess.run(
                    [sys.executable, "-m", "bench.mesh", size, shape, *kind], check=True, stdout=subprocess.PIPE
                )
                figures = json.loads(run.stdout)
                shown = ", ".join(
                    f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                    for name, value in figures.items()
                )
                print(f"{shape}: {shown}", flush=True)


if __name__ == "__main__":
    main()
