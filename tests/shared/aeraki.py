"""
A stand-in for Aeraki's server of routes, made from what is known of it: it is not to be had as a program.

Lives here: `Aeraki`: RouteDiscoveryService.StreamRoutes as go-control-plane speaks it, with its oddities as switches;
`route`, a metaprotocol route in the form of an HTTP route. Does not: assertions. Needs grpcio and xds-protos.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3 import discovery_pb2
from envoy.service.route.v3 import rds_pb2_grpc
from google.protobuf import any_pb2, json_format

ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_CHANGED = object()
_ENDED = object()

Routes = Sequence[Mapping[str, Any]]


def route(cluster: str | Mapping[str, int], name: str = "", mirror: str = "", **match: Any) -> dict[str, Any]:
    """
    A route as Aeraki writes it. cluster: one, or several with their weights; match: matchers by attribute: a text is to
    be met exactly, a mapping is a matcher such as {"prefix_match": "say"}.
    """
    headers = [
        {"name": key, **({"exact_match": value} if isinstance(value, str) else value)} for key, value in match.items()
    ]
    action: dict[str, Any]
    if isinstance(cluster, str):
        action = {"cluster": cluster}
    else:
        weighted = [{"name": each, "weight": weight} for each, weight in cluster.items()]
        action = {"weighted_clusters": {"clusters": weighted, "total_weight": sum(cluster.values())}}
    if mirror:
        action["request_mirror_policies"] = [{"cluster": mirror}]
    return {"name": name, "match": {"prefix": "/", "headers": headers}, "route": action}


class _Stream:
    """One client. names, version, nonce: of the last answer."""

    def __init__(self) -> None:
        self.events: queue.Queue[Any] = queue.Queue()
        self.node = ""
        self.names: list[str] = []
        self.sent: list[str] = []
        self.version = ""
        self.nonce = 0


class Aeraki:
    """
    Serves routes on a port of 127.0.0.1.

    debounce: seconds before the first answer to a node that is not known. orphans: whether the end of one stream of a
    node leaves its others without updates. refused: what clients said of answers that they did not take; streams: how
    many there were.
    """

    def __init__(self, port: int, debounce: float = 0.1, orphans: bool = True) -> None:
        self.address = f"127.0.0.1:{port}"
        self._debounce = debounce
        self._orphans = orphans
        self._lock = threading.RLock()
        self._routes: dict[str, Any] = {}
        self._version = ""
        self._nodes: dict[str, float] = {}
        self._streams: list[_Stream] = []
        self._server: grpc.Server | None = None
        self.refused: list[str] = []
        self.nodes: list[str] = []
        self.streams = 0
        self._recompute()
        self.start()

    # -- life

    def start(self) -> None:
        """Serve, on the port of before."""
        server = grpc.server(ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
        rds_pb2_grpc.add_RouteDiscoveryServiceServicer_to_server(_Service(self), server)
        assert server.add_insecure_port(self.address)
        server.start()
        self._server = server

    def kill(self) -> None:
        """Cut all streams off; what it knew of nodes is gone."""
        server, self._server = self._server, None
        if server is not None:
            with self._lock:
                self._nodes.clear()
                for stream in self._streams:
                    stream.events.put(_ENDED)
            server.stop(0).wait(5)

    # -- routes

    def serve(self, named: Mapping[str, Routes | None]) -> None:
        """Have these names mean these routes from now on; None: nothing more."""
        with self._lock:
            for name, routes in named.items():
                if routes is None:
                    self._routes.pop(name, None)
                else:
                    self._routes[name] = _configuration(name, routes)
            self._recompute()

    def send_again(self) -> None:
        """Give all a new version without a change, as it does whenever anything in the mesh changes."""
        with self._lock:
            self._recompute()

    def _recompute(self) -> None:
        seconds = int(time.time())
        while str(seconds) == self._version:
            seconds += 1
        self._version = str(seconds)
        for stream in self._streams:
            if not self._orphans or stream.node in self._nodes:
                stream.events.put(_CHANGED)

    # -- streams

    def stream(self, requests: Iterator[Any]) -> Iterator[Any]:
        stream = _Stream()
        with self._lock:
            self.streams += 1
            self._streams.append(stream)
        threading.Thread(target=_read, args=(requests, stream.events), daemon=True).start()
        try:
            while (event := stream.events.get()) is not _ENDED:
                if event is not _CHANGED and not self._takes(stream, event):
                    continue
                answer = self._answer(stream)
                if answer is not None:
                    yield answer
        finally:
            with self._lock:
                self._streams.remove(stream)
                if self._orphans:
                    self._nodes.pop(stream.node, None)

    def _takes(self, stream: _Stream, request: Any) -> bool:
        """Take a request. Return False for one that answers an older answer."""
        if request.response_nonce and request.response_nonce != str(stream.nonce):
            return False
        if request.HasField("error_detail"):
            self.refused.append(request.error_detail.message)
        if request.node.id:
            stream.node = request.node.id
            self.nodes.append(request.node.id)
            with self._lock:
                known = self._nodes.setdefault(stream.node, time.monotonic() + self._debounce)
            time.sleep(max(0.0, known - time.monotonic()))
        stream.names, stream.version = list(request.resource_names), request.version_info
        return True

    def _answer(self, stream: _Stream) -> Any:
        """Return what is to be sent; None for nothing. A refusal has an older version, so it is answered at once."""
        with self._lock:
            grown = set(stream.names) - set(stream.sent)
            if not stream.names or (stream.version == self._version and not grown):
                return None
            stream.nonce += 1
            stream.sent, stream.version = stream.names, self._version
            found = [self._routes[name] for name in stream.names if name in self._routes]
            return discovery_pb2.DiscoveryResponse(
                version_info=self._version, type_url=ROUTES, nonce=str(stream.nonce), resources=found
            )


class _Service(rds_pb2_grpc.RouteDiscoveryServiceServicer):  # type: ignore[misc]
    def __init__(self, aeraki: Aeraki) -> None:
        self._aeraki = aeraki

    def StreamRoutes(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        return self._aeraki.stream(requests)


def _read(requests: Iterator[Any], events: queue.Queue[Any]) -> None:
    try:
        for request in requests:
            events.put(request)
    except Exception:  # grpcio's own kinds, when the client has gone
        pass
    events.put(_ENDED)


def _configuration(name: str, routes: Routes) -> Any:
    host = {"name": "dummy", "domains": ["*"], "routes": list(routes)}
    made = json_format.ParseDict({"name": name, "virtual_hosts": [host]}, route_pb2.RouteConfiguration())
    packed = any_pb2.Any()
    packed.Pack(made)
    return packed
