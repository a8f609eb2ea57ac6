"""
What one update of a mesh costs where it goes over xDS: a metaproxy that is driven, and the control plane that drives.

    python -m bench.updates                       both sides, both protocols, 10 and 1,000 clusters, each in a process
    python -m bench.updates client delta 1000     one of them; `server`, `client`; `delta`, `sotw`
    python -m bench.updates client delta 1000 route      the same, with a profile of one kind of update

Each cluster has 10 endpoints and a listener with 10 routes. A response's bytes go in and the answer's bytes come out;
nothing travels. Costs are CPU time of the side that is measured, medians. Of the state of the world (`sotw`) a response
has all clusters, or all listeners, and an answer all names: that much of it follows the size of the mesh whatever
anyone does. Lives here: the mesh as Envoy's messages, the updates, the table. Does not: sources of a control plane.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import classImplements

from bench.mesh import Stand
from bench.replay import FakeReactor
from metaproxy.app.xds import Xds
from metaproxy.control.fleet import Fleet
from metaproxy.control.nodes import Node
from metaproxy.control.plane import Plane
from metaproxy.control.server import Control
from metaproxy.control.sources.roles import Receiver
from metaproxy.control.stream import Stream
from metaproxy.envoy import aeraki
from metaproxy.xds import grpc_stream
from metaproxy.xds.resource_types import BY_NAME, ResourceType
from metaproxy.xds.subscription import Incremental, StateOfTheWorld

ENDPOINTS, ROUTES, CLIENTS, REPEATS = 10, 10, 11, 20
TYPE = "type.googleapis.com/"
ADS: Mapping[str, object] = {"ads": {}, "resource_api_version": "V3"}
KINDS = ("clusters", "endpoints", "listeners", "routes")
Plain = dict[str, Any]


def of_service(number: int) -> dict[str, Plain]:
    """The resources of one service, by kind, in Envoy's JSON."""
    name = f"service{number}"
    where = [
        {
            "endpoint": {"address": {"socket_address": {"address": f"10.{number >> 8}.{number & 255}.{one + 1}",
                                                        "port_value": 20880}}},
            "load_balancing_weight": 1,
        }
        for one in range(ENDPOINTS)
    ]  # fmt: skip
    routes = [
        {"name": f"{name}-{place}", "route": {"cluster": name, "timeout": "5s"},
         "match": {"prefix": "/", "headers": [{"name": "method", "exact_match": f"m{place}"}]}}
        for place in range(ROUTES)
    ]  # fmt: skip
    proxy = {
        "@type": f"{TYPE}aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy",
        "stat_prefix": name, "application_protocol": "dubbo", "codec": {"name": "aeraki.meta_protocol.codec.dubbo"},
        "meta_protocol_filters": [{"name": "aeraki.meta_protocol.filters.router"}],
        "rds": {"route_config_name": name, "config_source": ADS},
    }  # fmt: skip
    return {
        "clusters": {"name": name, "type": "EDS", "connect_timeout": "1s", "eds_cluster_config": {"eds_config": ADS}},
        "endpoints": {"cluster_name": name, "endpoints": [{"lb_endpoints": where}]},
        "listeners": {
            "name": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10000 + number}},
            "filter_chains": [{"filters": [{"name": "m", "typed_config": proxy}]}],
        },
        "routes": {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }  # fmt: skip


def changed(kind: str, plain: Plain, turn: int) -> Plain:
    """A resource of which one value is another one."""
    copy: Plain = json.loads(json.dumps(plain))
    if kind == "clusters":
        copy["connect_timeout"] = f"{turn + 2}s"
    elif kind == "endpoints":
        copy["endpoints"][0]["lb_endpoints"][3]["load_balancing_weight"] = turn + 2
    elif kind == "listeners":
        copy["address"]["socket_address"]["port_value"] = 30000 + turn
    else:
        copy["virtual_hosts"][0]["routes"][5]["route"]["timeout"] = f"{turn + 6}s"
    return copy


class Stopwatch:
    """Adds up the CPU time of what is called through it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.profile: cProfile.Profile | None = None

    def __call__(self, call: Callable[[], Any]) -> Any:
        if self.profile is not None:
            self.profile.enable()
        began = time.process_time()
        try:
            return call()
        finally:
            self.seconds += time.process_time() - began
            if self.profile is not None:
                self.profile.disable()


# -- a metaproxy that is driven


class Wire:
    """In the place of a connection over gRPC; see `grpc_stream.GrpcServer`."""

    stream: Wire

    def __init__(self, *_: object) -> None:
        Wire.stream = self
        self.requests: list[bytes] = []

    def opener(self, path: str, delta: bool) -> Callable[[Any], Wire]:
        def connect(receiver: Any) -> Wire:
            self.receiver = receiver
            return self

        return connect

    def send(self, request: Any) -> None:
        self.requests.append(request.SerializeToString())

    def close(self) -> None: ...


class Driven:
    """A whole proxy without sockets, and what its control plane says."""

    def __init__(self, folder: Path, delta: bool) -> None:
        grpc_stream.GrpcServer = Wire  # type: ignore[misc,assignment]
        transport = "delta" if delta else "grpc"
        classImplements(FakeReactor, IReactorFromThreads)  # which Wire has no use for
        xds = f"xds: {{name: x, server: 127.0.0.1:1, transport: {transport}}}\n"
        self.stand = Stand(folder, f"node: {{id: bench}}\n{xds}")
        self.delta = delta
        self.nonce = 0
        self.resources: dict[str, dict[str, Message]] = {kind: {} for kind in KINDS}
        builder = self.stand.application._builder
        self.xds = Xds(self.stand.application, self.stand.proxy, builder.service_clusters, self.stand.reactor)
        builder.injected["xds"] = self.xds
        self.stand.reload()
        self.xds.startService()
        self.settle()

    def settle(self) -> None:
        for _ in range(8):
            self.stand.reactor.advance(0)
            while self.stand.application.slices.busy:
                self.stand.reactor.advance(0)

    def put(self, kind: str, changes: Mapping[str, Plain | None], stopwatch: Stopwatch) -> None:
        """Say what is new of a kind."""
        held, of = self.resources[kind], BY_NAME[kind]
        for name, plain in changes.items():
            if plain is None:
                del held[name]
            else:
                held[name] = ParseDict(plain, of.message())  # type: ignore[operator]
        self.nonce += 1
        data = self._response(of, changes).SerializeToString()
        parse = discovery_pb2.DeltaDiscoveryResponse if self.delta else discovery_pb2.DiscoveryResponse

        def take() -> None:
            Wire.stream.receiver.received(parse.FromString(data), lambda: None)
            self.settle()

        stopwatch(take)

    def _response(self, kind: ResourceType, changes: Mapping[str, Plain | None]) -> Any:
        held = self.resources[kind.name]
        if self.delta:
            gone = [name for name, plain in changes.items() if plain is None]
            made = discovery_pb2.DeltaDiscoveryResponse(
                type_url=kind.url, nonce=str(self.nonce), removed_resources=gone
            )
            for name in changes.keys() - set(gone):
                made.resources.add(name=name, version=str(self.nonce)).resource.Pack(held[name])
            return made
        names = held if kind.wildcard else [name for name, plain in changes.items() if plain is not None]
        response = discovery_pb2.DiscoveryResponse(
            type_url=kind.url, version_info=str(self.nonce), nonce=str(self.nonce)
        )
        for name in names:
            response.resources.add().Pack(held[name])
        return response


def client(delta: bool, size: int, profiled: str) -> Iterator[tuple[str, float]]:
    """Yield the costs at a metaproxy."""
    aeraki.load()
    mesh = [of_service(number) for number in range(size)]
    with tempfile.TemporaryDirectory() as folder:
        driven, load = Driven(Path(folder), delta), Stopwatch()
        for kind in KINDS:
            driven.put(kind, {f"service{place}": one[kind] for place, one in enumerate(mesh)}, load)
        assert len(driven.stand.proxy.listeners) == len(driven.stand.proxy.clusters) == size
        yield "load s", load.seconds
        name, one = f"service{size // 2}", mesh[size // 2]

        def change(kind: str, turn: int) -> Iterator[tuple[str, Mapping[str, Plain | None]]]:
            if kind != "another cluster":
                yield kind, {name: changed(kind, one[kind], turn)}
                return
            new = of_service(size + turn)
            gone = {f"service{size + turn - 1}": None} if turn else {}
            yield "clusters", {f"service{size + turn}": new["clusters"], **gone}
            yield "endpoints", {f"service{size + turn}": new["endpoints"]}

        yield from _costs(driven.put, change, profiled)


# -- a control plane that drives


class InMemory:
    """A source whose texts are there already."""

    where, strict = "memory", True

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        self.texts = dict(texts)

    def start(self, receiver: Receiver) -> None:
        self.receiver = receiver
        receiver.update(dict(self.texts))

    def stop(self) -> None: ...

    def write(self, path: str, text: bytes | None) -> Any: ...

    def set(self, texts: Mapping[str, bytes | None]) -> None:
        for path, text in texts.items():
            if text is None:
                del self.texts[path]
            else:
                self.texts[path] = text
        self.receiver.update(texts)


class Client:
    """One that accepts all it gets, by the subscriptions of metaproxy's own client."""

    def __init__(self, control: Control, delta: bool, number: int, names: list[str], watch: Stopwatch) -> None:
        make: Any = Incremental if delta else StateOfTheWorld
        wanted = {kind: () if BY_NAME[kind].wildcard else names for kind in KINDS}
        self.topics = {BY_NAME[kind].url: make(BY_NAME[kind], wanted[kind]) for kind in KINDS}
        self._response: Any = discovery_pb2.DeltaDiscoveryResponse if delta else discovery_pb2.DiscoveryResponse
        self._control, self._watch = control, watch
        self._received: list[bytes] = []
        self.stream: Stream = control.connect(self._received.append, delta, peer="127.0.0.1")
        for place, topic in enumerate(self.topics.values()):
            request = topic.open()
            if not place:
                request.node.id = f"client{number}"
            self._ask(request)
        self.settle()

    def _ask(self, request: Any) -> None:
        if request is not None:
            data = request.SerializeToString()
            self._watch(lambda: self._control.receive(self.stream, data))

    def settle(self) -> None:
        while self._received:
            response = self._response.FromString(self._received.pop(0))
            topic = self.topics[response.type_url]
            update = topic.read(response, {})
            self._ask(topic.ack(update))


def server(delta: bool, size: int, profiled: str) -> Iterator[tuple[str, float]]:
    """Yield the costs at a control plane."""
    aeraki.load()
    mesh = [of_service(number) for number in range(size)]
    texts = {}
    for place, one in enumerate(mesh):
        texts[f"service{place}.yaml"] = _document(one, "clusters", "listeners", "routes")
        texts[f"endpoints{place}.yaml"] = _document(one, "endpoints")
    clock: Any = FakeReactor()
    control = Control(clock, Fleet(clock), "bench")
    source, watch = InMemory(texts), Stopwatch()
    watch(Plane(source, control, clock).startService)
    names = [f"service{place}" for place in range(size)]
    clients = [Client(control, delta, number, names, watch) for number in range(CLIENTS)]
    yield "load s", watch.seconds
    assert len(control.targets.target(Node("client0")).of(BY_NAME["clusters"].url)) == size

    def change(kind: str, turn: int) -> Iterator[tuple[str, Mapping[str, bytes | None]]]:
        place = size // 2
        if kind == "another cluster":
            new = of_service(size + turn)
            gone: dict[str, bytes | None] = {f"service{size + turn - 1}.yaml": None} if turn else {}
            yield kind, {f"service{size + turn}.yaml": _document(new, "clusters"), **gone}
        else:
            one = {**mesh[place], kind: changed(kind, mesh[place][kind], turn)}
            if kind == "endpoints":
                yield kind, {f"endpoints{place}.yaml": _document(one, "endpoints")}
            else:
                yield kind, {f"service{place}.yaml": _document(one, "clusters", "listeners", "routes")}

    def put(kind: str, changes: Mapping[str, bytes | None], watch: Stopwatch) -> None:
        watch(lambda: source.set(changes))
        for one in clients:
            one._watch = watch
        for _ in range(4):
            for one in clients:
                one.settle()
            watch(lambda: clock.advance(0))

    yield from _costs(put, change, profiled)


def _document(service: Mapping[str, Plain], *kinds: str) -> bytes:
    found = [{"@type": BY_NAME[kind].url, **service[kind]} for kind in kinds]
    return json.dumps({"resources": found}).encode()


# -- the table


def _costs(put: Callable[..., None], change: Callable[..., Any], profiled: str) -> Iterator[tuple[str, float]]:
    for kind in (*KINDS, "another cluster"):
        if profiled and profiled not in kind:
            continue
        figures = []
        profile = cProfile.Profile()
        for turn in range(REPEATS):
            watch = Stopwatch()
            watch.profile = profile if profiled else None
            for part in change(kind, turn):
                put(*part, watch)
            figures.append(watch.seconds * 1000)
        if profiled:
            pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        yield f"{kind} ms", median(figures)


def main() -> None:
    if sys.argv[1:]:
        side, protocol, size, *profiled = sys.argv[1:]
        run = client if side == "client" else server
        print(json.dumps(dict(run(protocol == "delta", int(size), profiled[0] if profiled else ""))))
        return
    for side in ("client", "server"):
        for protocol in ("delta", "sotw"):
            rows = {}
            for size in ("10", "1000"):
                done = subprocess.run(
                    [sys.executable, "-m", "bench.updates", side, protocol, size], check=True, stdout=subprocess.PIPE
                )
                rows[size] = json.loads(done.stdout)
            print(f"{side}, {protocol}: 10 clusters, 1,000 clusters, ratio")
            for name, few in rows["10"].items():
                many = rows["1000"][name]
                print(f"  {name:20} {few:8.2f} {many:8.2f} {many / few:6.2f}", flush=True)


if __name__ == "__main__":
    main()
