"""
The data path in memory: a real listener, cluster and clients over a network whose connections are kept in lists.

Lives here: `Stage`, which puts them together around a codec and filters; `Wire`, one connection in memory;
`MemoryNetwork`. Does not: assertions. No socket, no timer: a test turns `Stage.clock`.

    stage = Stage(Quill(), hooks={"on_request": (tenants.on_request,)})
    client = stage.client()
    stage.say(client, CALL)            # a client's bytes arrive
    assert stage.server.take() == ...  # what the server was sent
    stage.say(stage.server, ANSWER)
    assert client.take() == ...
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.interfaces import ICodec, ILoadBalancer
from metaproxy.message import Written, joined
from metaproxy.proxy.deadlines import DeadlineQueues
from metaproxy.proxy.descriptor_reserve import DescriptorReserve
from metaproxy.proxy.downstream import Downstream
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.listener import Listener
from metaproxy.proxy.overload import OverloadMonitor
from metaproxy.proxy.snapshot import NO_ROUTE, ListenerSnapshot
from metaproxy.support import addresses as address
from metaproxy.wire import Accepted, ConnectingProtocol, ListeningSocket, WireProtocol


class Wire:
    """One connection in memory: what was written to it, and the protocol that reads it."""

    def __init__(self, host: str = "127.0.0.1:1", peer: str = "127.0.0.1:2") -> None:
        self.host, self.peer = host, peer
        self.written = b""
        self.writes = 0
        self.protocol: Any = None
        self.paused = False
        self.closed = False
        self.was_reset = False
        self.facts: dict[str, str] = {}
        self.finished = False
        self.buffered = 0
        self.unread = False
        self.producer: WireProtocol | None = None

    def weigh(self, size: int, messages: int) -> None:
        """What is read is given."""

    def keep_alive(self, idle: float, interval: float, count: int) -> None:
        """Nothing to keep."""

    def find_original_destination(self) -> None:
        """Nothing was redirected."""

    def getHost(self) -> str:
        return self.host

    def getPeer(self) -> str:
        return self.peer

    def write(self, data: Written) -> None:
        self.written += bytes(data)
        self.writes += 1

    def writeSequence(self, pieces: list[Written]) -> None:
        self.write(joined(pieces))

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def loseConnection(self) -> None:
        self.end()

    def loseWriteConnection(self) -> None:
        self.finished = True

    def hand_to(self, protocol: Any) -> None:
        self.protocol = protocol

    def abortConnection(self) -> None:
        self.end()

    def resetConnection(self) -> None:
        self.was_reset = True
        self.end()

    def end(self) -> None:
        if not self.closed:
            self.closed = True
            self.protocol.connectionLost(Failure(ConnectionDone()))

    def take(self) -> bytes:
        """What was written since the last look."""
        data, self.written = self.written, b""
        return data


class MemoryNetwork:
    """What proxy.transport.Network does, in memory. `dialled`: (address, protocol) of each connect, oldest first."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.turn = FlushQueue(self.clock)
        self.deadlines = DeadlineQueues(self.clock)
        self.overload = OverloadMonitor(self.clock)
        self.descriptors = DescriptorReserve(self.clock)
        self.dialled: list[tuple[str, Any]] = []
        self.upstreams: list[Wire] = []
        self.accept = True

    def connect(self, where: address.Address, protocol: ConnectingProtocol, timeout: float, source: str = "") -> None:
        self.dialled.append((address.show(where.sockaddr), protocol))
        if self.accept:
            self.clock.callLater(0, self.establish, protocol, address.show(where.sockaddr))

    def establish(self, protocol: ConnectingProtocol, peer: str) -> Wire:
        wire = Wire(peer=peer)
        wire.protocol = protocol
        self.upstreams.append(wire)
        protocol.makeConnection(wire)
        return wire

    def listen(self, where: address.Address, accepted: Accepted) -> ListeningSocket:
        raise OSError("not in memory")

    def soon(self, call: Callable[[], object]) -> None:
        self.clock.callLater(0, call)


class Stage:
    """
    One listener, one cluster with `endpoints` addresses, routes to it. hooks: of a filter, by name, each a tuple.

    Reads are turns, as in production: what they cause is written when `say` returns.
    """

    def __init__(
        self,
        codec: ICodec,
        endpoints: int = 1,
        routes: Sequence[Route] | None = None,
        balancer: Callable[[Sequence[Endpoint]], ILoadBalancer] = RoundRobin,
        hooks: dict[str, Any] | None = None,
        breaker: Breaker | None = None,
        connections: ConnectionSettings | None = None,
        request_timeout: float = 15.0,
        **settings: Any,
    ) -> None:
        self.network = MemoryNetwork()
        self.clock = self.network.clock
        self.codec = codec
        self.endpoints = [Endpoint(f"127.0.0.1:{1000 + number}") for number in range(endpoints)]
        settings_up = connections or ConnectionSettings(mode=self.codec.connections)
        self.cluster = Cluster(
            "demo", self.codec, self.endpoints, balancer, breaker=breaker, connections=settings_up,
            request_timeout=request_timeout,
        )  # fmt: skip
        hooks = dict(hooks or {})
        self.route = Route("all", targets=[Target(self.cluster)], **hooks)
        table = RouteTable(routes if routes is not None else [self.route], random.Random(1))
        self.no_route = Route("-", reply=NO_ROUTE, **hooks)
        self.snapshot = ListenerSnapshot("front", (), self.codec, table, self.no_route, **settings)
        self.listener = Listener(self.snapshot, self.network)

    def client(self) -> Wire:
        wire = Wire(host="127.0.0.1:80", peer="127.0.0.9:4321")
        protocol = self.listener.accepted(wire)
        if protocol is None:
            wire.closed = True
            return wire
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return wire

    def say(self, wire: Wire, data: bytes) -> None:
        """`data` arrives on `wire`, in a turn of its own."""
        self.network.turn.begin()
        wire.protocol.dataReceived(data)
        self.network.turn.end()
        self.clock.advance(0)

    def finish(self, wire: Wire) -> None:
        """The peer of `wire` sends its FIN."""
        self.network.turn.begin()
        wire.protocol.readConnectionLost()
        self.network.turn.end()
        self.clock.advance(0)

    @property
    def server(self) -> Wire:
        """The only upstream connection."""
        (wire,) = self.network.upstreams
        return wire

    def downstream(self, wire: Wire) -> Downstream:
        protocol: Downstream = wire.protocol
        return protocol
