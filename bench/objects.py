"""
What a mesh that is written as objects costs: to load it, and to change the endpoints of one service.

    python -m bench.objects                       the table: folder and kubernetes, 10 and 1,000 services, one by one
    python -m bench.objects 1000 folder           one of them; or `kubernetes`
    python -m bench.objects 1000 folder profile   one of them, with the functions that its changes spend their time in

Each service has 10 servers, in 3 clusters: all of them and two subsets. There are 10 routes a service. In the folder
each service is a file, with its servers, subsets and routes; at the API server it has a ServiceEntry, a
DestinationRule, a MetaRouter, and a WorkloadEntry a server. Nothing listens. Costs are CPU time of this process,
medians. Lives here: the objects, the changes, the table. Does not: sections that come ready from elsewhere
(`bench.mesh`), requests.
"""

from __future__ import annotations

import cProfile
import gc
import json
import pstats
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from twisted.internet.defer import Deferred, succeed

from bench.mesh import Stand, memory, timed
from metaproxy.app import mesh as app_mesh
from metaproxy.app.mesh import Mesh
from metaproxy.config import model
from metaproxy.kubernetes.api import Page
from metaproxy.kubernetes.resources import Scope

ENDPOINTS, ROUTES = 10, 10
"""Of each service."""
REPEATS = 20
NAMESPACE = "demo"

Json = dict[str, Any]
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def host(service: int) -> str:
    return f"s{service}.{NAMESPACE}.svc.cluster.local"


def _object(group: str, kind: str, name: str, spec: Json, version: int) -> Json:
    metadata = {"name": name, "namespace": NAMESPACE, "resourceVersion": str(version)}
    return {"apiVersion": group, "kind": kind, "metadata": metadata, "spec": spec}


def server(service: int, number: int, version: int = 0) -> Json:
    """A server of a service, with a weight that differs from version to version."""
    return {
        "address": f"10.{service >> 8}.{service & 255}.{number + 1}",
        "labels": {"version": f"v{number % 2 + 1}", "app": f"s{service}"},
        "weight": 1 + version % 3 if number == 3 else 1,
    }


def workload(service: int, number: int, version: int = 0) -> Json:
    name = f"s{service}-{number}"
    return _object("networking.istio.io/v1beta1", "WorkloadEntry", name, server(service, number, version), version)


def objects(service: int, version: int = 0, apart: bool = False) -> list[Json]:
    """The objects of a service. apart: whether its servers are objects of their own."""
    name, istio = f"s{service}", "networking.istio.io/v1beta1"
    servers: Json = {"endpoints": [server(service, number, version) for number in range(ENDPOINTS)]}
    entry = {
        "hosts": [host(service)],
        "addresses": [f"240.240.{service >> 8}.{service & 255}"],
        "ports": [{"number": 20880, "name": "tcp-metaprotocol-dubbo", "protocol": "TCP"}],
        "resolution": "STATIC",
        **({"workloadSelector": {"labels": {"app": name}}} if apart else servers),
    }
    subsets = [{"name": one, "labels": {"version": one}} for one in ("v1", "v2")]
    routes = [
        {
            "name": f"r{number}",
            "match": {"attributes": {"method": {"exact": f"m{number}"}}},
            "route": [{"destination": {"host": host(service), "subset": f"v{number % 2 + 1}"}}],
        }
        for number in range(ROUTES)
    ]
    return [
        _object(istio, "ServiceEntry", name, entry, version),
        _object(istio, "DestinationRule", name, {"host": host(service), "subsets": subsets}, version),
        _object("metaprotocol.aeraki.io/v1alpha1", "MetaRouter", name, {"hosts": [host(service)], "routes": routes}, 0),
    ]


class Cluster:
    """An API server of these objects, in the place of an `Api`."""

    def __init__(self, services: int) -> None:
        self._received: dict[str, Callable[[bytes], None]] = {}
        self._objects: dict[str, list[Json]] = {}
        for service in range(services):
            for one in objects(service, apart=True):
                self._objects.setdefault(one["kind"], []).append(one)
            for number in range(ENDPOINTS):
                self._objects.setdefault("WorkloadEntry", []).append(workload(service, number))

    def page(self, scope: Scope, rest: str = "") -> Deferred[Page]:
        return succeed(Page(list(self._objects.pop(scope.resource.kind, [])), "1", "", 100))

    def watch(self, scope: Scope, version: str, seconds: float, received: Callable[[bytes], None]) -> Deferred[None]:
        self._received[scope.resource.kind] = received
        return Deferred()

    def modify(self, found: Json) -> None:
        line = json.dumps({"type": "MODIFIED", "object": found}).encode() + b"\n"
        self._received[found["kind"]](line)

    def close(self) -> None: ...


def folder_changes(services: int, folder: Path, mesh: Mesh, stand: Stand) -> Iterator[Callable[[], object]]:
    """Endpoints of one service change in its file, which is read at the next look."""
    service = services // 2
    for turn in range(REPEATS):
        _write(folder, service, turn + 1)
        yield mesh.look


def kubernetes_changes(services: int, cluster: Cluster, mesh: Mesh, stand: Stand) -> Iterator[Callable[[], object]]:
    """A WorkloadEntry of one service changes."""

    def change(found: Json) -> None:
        cluster.modify(found)
        stand.reactor.advance(0)
        mesh.look()

    for turn in range(REPEATS):
        yield partial(change, workload(services // 2, 3, turn + 1))


def _write(folder: Path, service: int, version: int) -> None:
    text = yaml.dump_all(objects(service, version), Dumper=_Dumper, sort_keys=False)
    (folder / f"s{service}.yaml").write_text(text)


def measure(services: int, kind: str, profile: cProfile.Profile | None = None) -> Json:
    """All figures of one size."""
    with tempfile.TemporaryDirectory() as place:
        objects_folder = Path(place) / "mesh"
        objects_folder.mkdir()
        stand = Stand(Path(place), "{}")
        stand.reload()
        node = model.Node(id="sidecar~10.9.9.9~a.demo~demo.svc.cluster.local", metadata={"NAMESPACE": NAMESPACE})
        cluster: Any = Cluster(services)
        app_mesh.Api = app_mesh.source = lambda *given: cluster  # type: ignore[assignment, misc]
        if kind == "folder":
            for service in range(services):
                _write(objects_folder, service, 0)
            crds = model.Crds(folder=objects_folder)
        else:
            crds = model.Crds(kubernetes=model.KubernetesApi(status=False))
        mesh = Mesh(stand.application, (crds, node), stand.reactor, lambda: None)
        gc.collect()

        def load() -> None:
            stand.reactor.advance(0)
            stand.reactor.advance(0)
            mesh.look()

        cpu = timed(load)
        status = mesh.status()
        assert status["clusters"] == 3 * services, status["refused"][:3]
        given: Any = (services, objects_folder if kind == "folder" else cluster, mesh, stand)
        changes = folder_changes(*given) if kind == "folder" else kubernetes_changes(*given)
        gc.collect()
        costs = []
        for change in changes:
            if profile is not None:
                profile.enable()
            costs.append(timed(change))
            if profile is not None:
                profile.disable()
        return {
            "services": services,
            "objects in": kind,
            "load CPU s": cpu / 1000,
            "endpoint ms": median(costs),
            "a look at what did not change ms": median(timed(mesh.look) for _ in range(REPEATS)),
            "MiB": memory(),
        }


def main() -> None:
    if sys.argv[1:]:
        size, kind, *rest = sys.argv[1:]
        profile = cProfile.Profile() if rest else None
        print(json.dumps(measure(int(size), kind, profile)))
        if profile is not None:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(70)
        return
    for kind in ("folder", "kubernetes"):
        for size in ("10", "1000"):
            run = subprocess.run(
                [sys.executable, "-m", "bench.objects", size, kind], check=True, stdout=subprocess.PIPE
            )
            figures = json.loads(run.stdout)
            print(
                ", ".join(
                    f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                    for name, value in figures.items()
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
