"""
A whole control plane in memory: a source whose texts a test sets, and clients without sockets.

Lives here: `Texts`, the source; `Planted`, the plane with its parts; `AdminDesk`, its admin API. Does not: assertions.
"""

from __future__ import annotations

from typing import Any

from browser import Response
from control_client import ALL, Client
from google.protobuf.message import Message
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from metaproxy.admin.guard import Guard
from metaproxy.admin.resource import Json, Root
from metaproxy.admin.site import AdminSite, BoundedRequest
from metaproxy.control.admin.service import endpoints
from metaproxy.control.fleet import Fleet
from metaproxy.control.plane import Plane
from metaproxy.control.resource_types import CLUSTERS
from metaproxy.control.rollout import Rollout
from metaproxy.control.server import Control
from metaproxy.control.sources.roles import Receiver

NOON = 1_800_000_000.0


def cluster_text(stat: str, name: str = "a") -> str:
    return f"resources: [{{'@type': type.googleapis.com/{CLUSTERS.message}, name: {name}, alt_stat_name: '{stat}'}}]"


class Texts:
    """A source. read_only: whether writing fails."""

    where = "texts"
    strict = True

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = {path: text.encode() for path, text in texts.items()}
        self.read_only = False
        self.receiver: Receiver | None = None

    def start(self, receiver: Receiver) -> None:
        self.receiver = receiver
        receiver.update(dict(self.texts))

    def stop(self) -> None:
        self.receiver = None

    def set(self, **texts: str) -> None:
        """Change texts; '__' in a name stands for '/', and a name without `.yaml` gets it."""
        changed = {f"{name.replace('__', '/')}.yaml": text.encode() for name, text in texts.items()}
        self.texts |= changed
        assert self.receiver is not None
        self.receiver.update(changed)

    def write(self, path: str, text: bytes | None) -> Deferred[None]:
        if self.read_only:
            return fail(OSError("read-only"))
        self.texts = {**self.texts, path: text} if text is not None else self.texts
        return succeed(None)


class Planted:
    """wall: the time of day, which goes with the clock."""

    def __init__(self, **texts: str) -> None:
        self.clock = Clock()
        self.source = Texts({f"{name.replace('__', '/')}.yaml": text for name, text in texts.items()})
        self.fleet = Fleet(self.clock)
        self.control = Control(self.clock, self.fleet, "here")
        self.plane = Plane(self.source, self.control, self.clock, self.wall)
        self.clients: dict[str, Client] = {}

    def wall(self) -> float:
        return NOON + self.clock.seconds()

    def start(self) -> None:
        self.plane.startService()

    def client(self, node: str = "n", refuses: str = "never", delta: bool = False) -> Client:
        """Return a node that wants all clusters. refuses: the alt_stat_name of the clusters that it refuses."""
        made = self.clients[node] = Client(delta, lambda one: stat_of(one) == refuses, node)
        made.want(CLUSTERS, [ALL])
        made.connect(self.control)
        made.settle()
        return made

    def settle(self) -> None:
        for client in self.clients.values():
            client.settle()

    def stats(self) -> dict[str, list[str]]:
        """Return what the nodes have: the alt_stat_names of their clusters."""
        return {
            name: [stat_of(one) for one in client.has.get(CLUSTERS.url, {}).values()]
            for name, client in self.clients.items()
        }


def stat_of(message: Message) -> str:
    return str(getattr(message, "alt_stat_name", ""))


class GivenRates:
    """Rates of rollouts, as a test gives them."""

    def __init__(self, rates: Json) -> None:
        self._rates = rates

    def shown(self, rollout: Rollout) -> Json:
        return {"rates": {}, "without_counters": {}, **self._rates}


class AdminDesk:
    """The admin API of a control plane in memory."""

    def __init__(self, planted: Planted, rates: Json | None = None) -> None:
        clock: Any = planted.clock
        self.clock = planted.clock
        self.endpoints = endpoints(planted.control, planted.fleet, planted.plane, GivenRates(rates or {}), clock)
        root = Root(self.endpoints, Guard(), clock)
        self._site = AdminSite(root, requestFactory=BoundedRequest, reactor=clock)

    def ask(self, method: str, path: str, body: bytes = b"") -> Response:
        channel = self._site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 4000))
        transport = StringTransport()
        channel.makeConnection(transport)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        channel.dataReceived(head.encode() + body)
        for _ in range(100):
            self.clock.advance(0)
        return Response(transport.value(), method)
