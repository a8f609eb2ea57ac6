"""A session of the xDS client on a clock that stands still, with a server whose lines the test speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from metaproxy.xds.backoff import Backoff
from metaproxy.xds.counts import ServerCounts
from metaproxy.xds.handler import ServerState
from metaproxy.xds.resource_types import BY_NAME, ResourceType
from metaproxy.xds.session import Receiver, Session
from metaproxy.xds.store import Change, Verdict
from metaproxy.xds.subscription import Incremental, Request, StateOfTheWorld, Subscription

CLUSTERS, ENDPOINTS = BY_NAME["clusters"], BY_NAME["endpoints"]
LISTENERS, ROUTES = BY_NAME["listeners"], BY_NAME["routes"]


def cluster(name: str, seconds: int = 1) -> cluster_pb2.Cluster:
    """Return a cluster; seconds: its time to connect, so that two of one name differ."""
    made = cluster_pb2.Cluster(name=name)
    made.connect_timeout.seconds = seconds
    return made


def assignment(name: str, *ports: int) -> endpoint_pb2.ClusterLoadAssignment:
    """Return endpoints of this machine."""
    made = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    group = made.endpoints.add()
    for port in ports:
        where = group.lb_endpoints.add().endpoint.address.socket_address
        where.address, where.port_value = "127.0.0.1", port
    return made


def routes(name: str, cluster: str = "demo") -> route_pb2.RouteConfiguration:
    """Return routes that send everything to one cluster."""
    made = route_pb2.RouteConfiguration(name=name)
    host = made.virtual_hosts.add(name="dummy", domains=["*"])
    route = host.routes.add(name="default")
    route.match.prefix, route.route.cluster = "/", cluster
    return made


def packed(message: Message) -> Packed:
    made = Packed()
    made.Pack(message)
    return made


def response(
    kind: ResourceType, version: str, nonce: str, *resources: Message | Packed
) -> discovery_pb2.DiscoveryResponse:
    """Return a response of the state of the world."""
    values = [one if isinstance(one, Packed) else packed(one) for one in resources]
    return discovery_pb2.DiscoveryResponse(type_url=kind.url, version_info=version, nonce=nonce, resources=values)


def delta(
    kind: ResourceType, nonce: str, resources: Mapping[str, tuple[str, Message]], removed: Sequence[str] = ()
) -> discovery_pb2.DeltaDiscoveryResponse:
    """Return an incremental response; resources: version and message by name."""
    made = discovery_pb2.DeltaDiscoveryResponse(type_url=kind.url, nonce=nonce, removed_resources=removed)
    for name, (version, message) in resources.items():
        made.resources.add(name=name, version=version, resource=packed(message))
    return made


class FakeStream:
    """A stream to nowhere. sent: what the client sent and the test has not read yet."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.sent: list[Any] = []
        self.closed = False
        self.room = 0

    def send(self, request: Request) -> None:
        copy = type(request)()
        copy.ParseFromString(request.SerializeToString())  # type: ignore[attr-defined]
        self.sent.append(copy)

    def close(self) -> None:
        self.closed = True

    # -- the server's lines

    def say(self, response: Any) -> None:
        def done() -> None:
            self.room += 1

        self.receiver.received(response, done)

    def end(self, reason: str = "UNAVAILABLE") -> None:
        self.receiver.ended(reason)

    def read(self) -> Any:
        """Return what the client sent, which must be one message."""
        (one,) = self.sent
        self.sent = []
        return one


@dataclass
class RecordingSink:
    """Refuses and skips what it is set to; notes what is in use. waits: whether looking takes until `go_on`."""

    refused: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    used: list[Change] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    waits: bool = False
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def look(self, server: str, change: Change) -> Deferred[Verdict]:
        names = {one.name for one in change.resources}
        self.looked += sorted(names)
        verdict = Verdict(
            {name: text for name, text in self.refused.items() if name in names},
            {name: text for name, text in self.skipped.items() if name in names},
        )
        if not self.waits:
            return succeed(verdict)
        later: Deferred[Verdict] = Deferred()
        self.waiting.append(lambda: later.callback(verdict))
        return later

    def use(self, server: str, change: Change) -> None:
        self.used.append(change)

    def answered(self, server: str) -> None:
        """Nothing waits for it here."""

    def go_on(self) -> None:
        self.waiting.pop(0)()


class XdsStage:
    """One server, its session, and all that a test looks at."""

    def __init__(
        self,
        *kinds: ResourceType,
        delta: bool = False,
        names: Mapping[str, Sequence[str]] | None = None,
        silence: float = 0.0,
        start: bool = True,
    ) -> None:
        self.clock = Clock()
        self.streams: list[FakeStream] = []
        self.sink = RecordingSink()
        self.counts = ServerCounts()
        self.state = ServerState("demo", kinds, self.sink, self.counts, lambda: 1000.0 + self.clock.seconds())
        make = Incremental if delta else StateOfTheWorld
        self.subscriptions: list[Subscription] = [make(one) for one in kinds]
        self.session = Session(
            "demo", self.subscriptions, self._connect, base_pb2.Node(id="n1"), self.state, self.counts, self.clock,
            Backoff(share=lambda: 1.0), silence,
        )  # fmt: skip
        for name, wanted in (names or {}).items():
            self.want(BY_NAME[name], *wanted)
        if start:
            self.session.start()

    def _connect(self, receiver: Receiver) -> FakeStream:
        self.streams.append(FakeStream(receiver))
        return self.streams[-1]

    @property
    def stream(self) -> FakeStream:
        return self.streams[-1]

    def want(self, kind: ResourceType, *names: str) -> None:
        self.state.want(kind, names)
        self.session.want(kind, names)

    def held(self, kind: ResourceType) -> dict[str, bytes]:
        """Return what is in use."""
        return {one.name: one.value for one in self.state.stores[kind.name]}
