"""
The data path in memory: a network whose connections are kept in lists, a clock that a test turns.

Lives here: `Stage`, which puts a listener, a cluster and clients together. Does not: assertions.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.cluster import Cluster, ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.codecs.framing import Codec, Session
from metaproxy.message import Correlation, ErrorKind, FrameError, Hold, Kind, Message, Side
from metaproxy.proxy import address
from metaproxy.proxy.deadlines import DeadlineQueues
from metaproxy.proxy.downstream import Downstream
from metaproxy.proxy.listener import Listener
from metaproxy.proxy.overload import OverloadMonitor
from metaproxy.proxy.snapshot import NO_ROUTE, ListenerSnapshot
from metaproxy.proxy.turn import Turn
from metaproxy.routing.table import Route, RouteTable, Target

sys.path.insert(0, str(Path(__file__).parents[3] / "docs" / "examples"))
from quill import HEAD, Quill


def call(id: int, service: str = "echo", body: bytes = b"hi") -> bytes:
    """A Quill request."""
    return HEAD.pack(9 + len(service) + len(body), id, len(service)) + service.encode() + body


def answer(id: int, body: bytes = b"hi") -> bytes:
    """A Quill answer."""
    return HEAD.pack(9 + len(body), id, 0) + body


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
        self.buffered = 0

    def getHost(self) -> str:
        return self.host

    def getPeer(self) -> str:
        return self.peer

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1

    def writeSequence(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def loseConnection(self) -> None:
        self.end()

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
        self.turn = Turn(self.clock)
        self.deadlines = DeadlineQueues(self.clock)
        self.overload = OverloadMonitor(self.clock)
        self.dialled: list[tuple[str, Any]] = []
        self.upstreams: list[Wire] = []
        self.accept = True

    def connect(self, where: address.Address, protocol: Any, timeout: float) -> None:
        self.dialled.append((address.show(where.sockaddr), protocol))
        if self.accept:
            self.clock.callLater(0, self.establish, protocol, address.show(where.sockaddr))

    def establish(self, protocol: Any, peer: str) -> Wire:
        wire = Wire(peer=peer)
        wire.protocol = protocol
        self.upstreams.append(wire)
        protocol.makeConnection(wire)
        return wire

    def listen(self, where: address.Address, accepted: Any) -> Any:
        raise OSError("not in memory")

    def soon(self, call: Any) -> None:
        self.clock.callLater(0, call)


class Stage:
    """
    One listener, one cluster with `endpoints` addresses, routes to it.

    Reads are turns, as in production: what they cause is written when `say` returns.
    """

    def __init__(
        self,
        codec: Codec | None = None,
        endpoints: int = 1,
        routes: Sequence[Route] | None = None,
        balancer: Any = RoundRobin,
        hooks: dict[str, tuple[Any, ...]] | None = None,
        breaker: Breaker | None = None,
        connections: ConnectionSettings | None = None,
        request_timeout: float = 15.0,
        **settings: Any,
    ) -> None:
        self.network = MemoryNetwork()
        self.clock = self.network.clock
        self.codec = codec or Quill()
        self.endpoints = [Endpoint(f"127.0.0.1:{1000 + number}") for number in range(endpoints)]
        settings_up = connections or ConnectionSettings(mode=self.codec.connections)
        self.cluster = Cluster(
            "demo", self.codec, self.endpoints, balancer, breaker=breaker, connections=settings_up,
            request_timeout=request_timeout,
        )  # fmt: skip
        hooks = hooks or {}
        self.route = Route("all", targets=[Target(self.cluster)], **hooks)
        table = RouteTable(routes if routes is not None else [self.route], random.Random(1))
        self.no_route = Route("-", reply=NO_ROUTE, **hooks)
        self.snapshot = ListenerSnapshot("front", (), self.codec, table, self.no_route, **settings)
        self.listener = Listener(self.snapshot, self.network)

    def client(self) -> Wire:
        wire = Wire(host="127.0.0.1:80", peer="127.0.0.9:4321")
        protocol = self.listener._accepted(wire)
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


class Lines(Session):
    """A session of `LineCodec`: one line a message; the first word says what it does to the connection."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._rest = b""
        self.subscribed = 0

    @property
    def reusable(self) -> bool:  # type: ignore[override]
        return not self.subscribed

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        return f"profile {profile}\n".encode() if profile is not None else b""

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None:
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.buffered = len(self._rest)
        messages = []
        for line in lines:
            if line.startswith(b"!!"):
                self.error = FrameError("line begins with !!")
                break
            messages.append(self._message(line + b"\n"))
        return messages

    def _message(self, line: bytes) -> Message:
        word, *rest = line.decode().split()
        if self._side is Side.SERVER:
            hold = Hold.CLOSE if word == "unsubscribed" else Hold.NONE
            if hold:
                self.subscribed = 0
            kinds = {"event": Kind.EVENT, "unsubscribed": Kind.EVENT, "fail": Kind.ERROR}
            return Message(kinds.get(word, Kind.RESPONSE), line, hold=hold)
        metadata = {"word": word, "key": rest[0] if rest else "", "operation": word}
        holds = {"begin": Hold.OPEN, "end": Hold.CLOSE, "block": Hold.EXCHANGE, "subscribe": Hold.OPEN}
        message = Message(Kind.REQUEST, line, 0, metadata, hold=holds.get(word, Hold.NONE))
        if word in ("subscribe", "unsubscribe", "tell"):
            message.kind = Kind.ONEWAY
        elif word == "local":
            message.answer = b"local\n"
        elif word == "bye":
            message.answer, self.closing = b"bye\n", True
        elif word == "select":
            message.answer, message.hold = b"selected\n", Hold.WAIT
            self.database = rest[0]
        message.profile = getattr(self, "database", None)
        return message

    def send(self, message: Message, id: int) -> bytes:
        if message.frame.startswith(b"subscribe"):
            self.subscribed += 1
        return message.frame


class LineCodec(Codec):
    """Answers in the order of the requests, and every way in which a request can bind a connection."""

    name = "line"
    correlation = Correlation.FIFO
    ordered = True
    stateful = True

    def session(self, side: Side, max_frame: int) -> Lines:
        return Lines(side)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return b"" if request.kind is Kind.ONEWAY else f"fail {kind.value} {text}\n".encode()
