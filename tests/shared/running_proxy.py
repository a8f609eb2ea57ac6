"""
A whole proxy in memory, for those who look at it from outside: metrics, the admin API.

Lives here: `Running`: a ProxyService over the data path's MemoryNetwork, with a listener `front` of Quill, two routes
and a cluster `demo`; exchanges that end in each way. Does not: assertions.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from harness import MemoryNetwork, Quill, Wire, answer, call

from metaproxy.app.service import ProxyService
from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.codecs.framing import Codec
from metaproxy.message import ErrorKind, Reply
from metaproxy.plugins import Registry
from metaproxy.proxy.snapshot import NO_ROUTE, ListenerSnapshot, Snapshot
from metaproxy.routing.matcher import compile_condition
from metaproxy.support import addresses as address

REGISTRY = Registry()


class ListeningNetwork(MemoryNetwork):
    """`arrive` makes a client of the listener there. busy: addresses that can't be had."""

    def __init__(self) -> None:
        super().__init__()
        self.accepting: dict[str, Any] = {}
        self.busy: set[str] = set()

    def listen(self, where: address.Address, accepted: Any) -> Any:
        bound = address.show(where.sockaddr)
        if bound in self.busy:
            raise OSError(98, "Address already in use")
        self.accepting[bound] = accepted
        return _Listening(self, bound)

    def arrive(self, where: str) -> Wire:
        wire = Wire(host=where, peer="127.0.0.9:4321")
        wire.protocol = self.accepting[where](wire)
        wire.protocol.makeConnection(wire)
        return wire


class _Listening:
    def __init__(self, network: ListeningNetwork, bound: str) -> None:
        self._network, self.bound = network, bound

    def close(self) -> None:
        self._network.accepting.pop(self.bound, None)


class Running:
    """hooks: of the filters on both routes. codec: in the place of Quill; then route `main` takes everything."""

    FRONT = "127.0.0.1:80"

    def __init__(
        self, hooks: dict[str, tuple[Any, ...]] | None = None, routes: int = 0, codec: Codec | None = None
    ) -> None:
        self.network = ListeningNetwork()
        self.proxy = ProxyService(self.network, REGISTRY)
        self.endpoints = [Endpoint("127.0.0.1:1000"), Endpoint("127.0.0.1:1001", weight=2, metadata={"zone": "b"})]
        self.codec = codec or Quill()
        self.cluster = Cluster("demo", self.codec, self.endpoints, RoundRobin, breaker=Breaker(max_requests=3))
        self.hooks: dict[str, Any] = hooks or {}
        self.extra = routes
        self.apply(1)
        self.proxy.startService()

    def apply(self, version: int) -> None:
        echo = compile_condition("service", {"in": ["echo", "tell"]})
        conditions = [echo] if isinstance(self.codec, Quill) else []
        gone = compile_condition("service", "gone")
        routes = [
            Route("main", conditions, [Target(self.cluster)], timeout=2.0, **self.hooks),
            Route("gone", [gone], reply=Reply(ErrorKind.DENIED, "not here"), **self.hooks),
            *(Route(f"extra{number}", [gone], [Target(self.cluster)]) for number in range(self.extra)),
        ]
        front = ListenerSnapshot(
            "front",
            (address.parse(self.FRONT),),
            self.codec,
            RouteTable(routes, random.Random(1)),
            Route("-", reply=NO_ROUTE, **self.hooks),
            filters=("local_rate_limit",),
        )
        self.proxy.apply(Snapshot(version, "demo.yaml", 1700000000.0, {"front": front}, {"demo": self.cluster}))

    def client(self) -> Wire:
        return self.network.arrive(self.FRONT)

    def say(self, wire: Wire, data: bytes, after: float = 0.0) -> None:
        """`data` arrives, `after` seconds from now."""
        self.network.clock.advance(after)
        self.network.turn.begin()
        wire.protocol.dataReceived(data)
        self.network.turn.end()
        self.network.clock.advance(0)

    def exchange(self, client: Wire, service: str = "echo", lasts: float = 0.003) -> bytes:
        """A call and its answer, of whichever endpoint gets it."""
        before = {wire: len(wire.written) for wire in self.network.upstreams}
        self.say(client, call(1, service))
        for wire in self.network.upstreams:
            if len(wire.written) > before.get(wire, 0):
                id = int.from_bytes(wire.take()[4:12], "big")
                self.say(wire, answer(id), lasts)
        return client.take()


def watch_first(proxy: ProxyService, hook: Callable[[Any], None]) -> None:
    """`hook` is called with a completed exchange before those that watch already."""
    before = proxy.watchers
    for one in before:
        proxy.unwatch(one)
    for one in (hook, *before):
        proxy.watch(one)
