"""
A client of a control plane that holds what it accepted, and messages between the two that wait until a test delivers
them.

Lives here: `Client`, in both variants of the protocol; `messages`, a small mesh; `publish`. Does not: sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from metaproxy.control.nodes import Node
from metaproxy.control.resource_types import BY_URL, CLUSTERS, ENDPOINTS, LISTENERS, ROUTES, ResourceType
from metaproxy.control.server import Control
from metaproxy.control.snapshot import EMPTY, Snapshot, snapshot
from metaproxy.control.stream import Stream

ALL = "*"


def cluster(name: str, value: int = 0, eds: bool = True) -> Message:
    made: Message = Cluster(name=name, alt_stat_name=str(value), type=Cluster.EDS if eds else Cluster.STATIC)
    return made


def endpoints(name: str, value: int = 0) -> Message:
    made = ClusterLoadAssignment(cluster_name=name)
    made.policy.overprovisioning_factor.value = value + 1
    message: Message = made
    return message


def listener(name: str, value: int = 0) -> Message:
    made: Message = Listener(name=name, stat_prefix=str(value))
    return made


def routes(name: str, value: int = 0, cluster: str = "") -> Message:
    made = RouteConfiguration(name=name)
    made.virtual_hosts.add(name=str(value), domains=["*"]).routes.add().route.cluster = cluster
    message: Message = made
    return message


MAKERS: Mapping[str, Callable[[str, int], Message]] = {
    CLUSTERS.url: cluster,
    ENDPOINTS.url: endpoints,
    LISTENERS.url: listener,
    ROUTES.url: routes,
}
CLASSES: Mapping[str, Callable[[], Message]] = {
    CLUSTERS.url: Cluster,
    ENDPOINTS.url: ClusterLoadAssignment,
    LISTENERS.url: Listener,
    ROUTES.url: RouteConfiguration,
}


class Everyone:
    """The same snapshot for all nodes."""

    def __init__(self, found: Snapshot = EMPTY) -> None:
        self.snapshot = found

    def target(self, node: Node) -> Snapshot:
        return self.snapshot


class Silent:
    """An observer that notes nothing."""

    def joined(self, stream: Stream) -> None: ...
    def aimed(self, stream: Stream) -> None: ...
    def heard(self, stream: Stream) -> None: ...
    def left(self, stream: Stream) -> None: ...


def publish(control: Control, messages: Mapping[str, Mapping[str, Message]]) -> Snapshot:
    """Serve these to every node. Return the snapshot."""
    before = control.targets.snapshot if isinstance(control.targets, Everyone) else EMPTY
    made = snapshot(messages, before)
    control.publish(Everyone(made))
    return made


class Client:
    """
    has: what it accepted, by type and name. refuses: whether it refuses a response with this resource. only: of a
    stream of one type. Nothing arrives anywhere before `to_server` or `to_client` is called, once for each message.
    """

    def __init__(
        self,
        delta: bool,
        refuses: Callable[[Message], bool] = lambda _: False,
        node: str = "a",
        only: ResourceType | None = None,
        follows: bool = False,
    ) -> None:
        self.delta = delta
        self.node = node
        self.has: dict[str, dict[str, Message]] = {}
        self.names: dict[str, set[str]] = {}
        self.responses = 0
        self.resources = 0
        self.refusals = 0
        self.log: list[tuple[str, list[str], list[str]]] = []
        self._only = only
        self._follows = follows
        self._refuses = refuses
        self._versions: dict[str, str] = {}
        self._nonces: dict[str, str] = {}
        self._has_versions: dict[str, dict[str, str]] = {}
        self._first = True
        self._control: Control | None = None
        self._stream: Stream | None = None
        self._out: deque[bytes] = deque()
        self._in: deque[bytes] = deque()

    def connect(self, control: Control) -> None:
        """Begin a stream, in the place of the one before, and ask for what was wanted before."""
        self.disconnect()
        self._control = control
        self._stream = control.connect(self._in.append, self.delta, self._only, "127.0.0.1")
        self._first = True
        self._nonces.clear()
        for url, names in self.names.items():
            if self.delta:
                known = self._has_versions.get(url, {})
                self._ask_delta(url, names, known=known)
            else:
                self._ask(url)

    def disconnect(self) -> None:
        if self._control is not None and self._stream is not None:
            self._control.disconnect(self._stream)
        self._stream = None
        self._out.clear()
        self._in.clear()

    def want(self, kind: ResourceType, names: Iterable[str]) -> None:
        """Ask for exactly these, '*' for all."""
        url, wanted = kind.url, set(names)
        before = self.names.get(url, set())
        first = url not in self.names
        self.names[url] = wanted
        if ALL not in wanted:
            for name in [one for one in self.has.get(url, {}) if one not in wanted]:
                del self.has[url][name]
                self._has_versions.get(url, {}).pop(name, None)
        if self._stream is None:
            return
        if self.delta:
            if first or wanted != before:
                self._ask_delta(url, wanted - before, before - wanted)
        else:
            self._ask(url)

    # -- messages on their way

    def to_server(self) -> bool:
        """Deliver a request. Return whether there was one."""
        if not self._out or self._control is None or self._stream is None:
            return False
        self._control.receive(self._stream, self._out.popleft())
        return True

    def to_client(self) -> bool:
        """Deliver a response, which is answered. Return whether there was one."""
        if not self._in:
            return False
        data = self._in.popleft()
        self.responses += 1
        if self.delta:
            self._take_delta(data)
        else:
            self._take(data)
        return True

    def settle(self, most: int = 10_000) -> None:
        """Deliver all there is until nothing is on its way. Fails when that does not end."""
        for _ in range(most):
            if not (self.to_server() or self.to_client()):
                return
        raise AssertionError("messages go round in circles")

    # -- the protocol

    def _ask(self, url: str, error: str | None = None) -> None:
        request = DiscoveryRequest(
            type_url=url,
            resource_names=sorted(self.names[url] - {ALL}) if self.names[url] == {ALL} else sorted(self.names[url]),
            version_info=self._versions.get(url, ""),
            response_nonce=self._nonces.get(url, ""),
        )
        self._post(request, error)

    def _ask_delta(
        self,
        url: str,
        more: Iterable[str] = (),
        less: Iterable[str] = (),
        known: Mapping[str, str] | None = None,
        nonce: str = "",
        error: str | None = None,
    ) -> None:
        request = DeltaDiscoveryRequest(
            type_url=url,
            resource_names_subscribe=sorted(more),
            resource_names_unsubscribe=sorted(less),
            initial_resource_versions=known or {},
            response_nonce=nonce,
        )
        self._post(request, error)

    def _post(self, request: DiscoveryRequest | DeltaDiscoveryRequest, error: str | None) -> None:
        if self._first:
            request.node.id = self.node
        self._first = False
        if error is not None:
            request.error_detail.message = error
        self._out.append(request.SerializeToString())

    def _take(self, data: bytes) -> None:
        response = DiscoveryResponse.FromString(data)
        url = response.type_url
        self._nonces[url] = response.nonce
        found = {name: one for name, one in map(self._unpacked, response.resources) if self._wants(url, name)}
        self._note(url, list(found), [])
        if self._bad(found):
            self._ask(url, "refused by the test")
            return
        if BY_URL[url].wildcard:
            self.has[url] = found
        else:
            self.has.setdefault(url, {}).update(found)
        self._versions[url] = response.version_info
        self._ask(url)
        self._follow(url)

    def _take_delta(self, data: bytes) -> None:
        response = DeltaDiscoveryResponse.FromString(data)
        url = response.type_url
        found = dict(self._unpacked(each.resource) for each in response.resources)
        wanted = {name: one for name, one in found.items() if self._wants(url, name)}
        self._note(url, list(found), list(response.removed_resources))
        if self._bad(found):
            self._ask_delta(url, nonce=response.nonce, error="refused by the test")
            return
        has, versions = self.has.setdefault(url, {}), self._has_versions.setdefault(url, {})
        has.update(wanted)
        versions.update({one.name: one.version for one in response.resources if one.name in wanted})
        for name in response.removed_resources:
            has.pop(name, None)
            versions.pop(name, None)
        self._ask_delta(url, nonce=response.nonce)
        self._follow(url)

    def _follow(self, url: str) -> None:
        """As Envoy does: ask for the endpoints of the clusters that there are, and the routes of the listeners."""
        if self._follows and url == CLUSTERS.url:
            self.want(ENDPOINTS, self.has[url])
        if self._follows and url == LISTENERS.url:
            self.want(ROUTES, self.has[url])

    def _note(self, url: str, names: list[str], removed: list[str]) -> None:
        self.resources += len(names)
        self.log.append((BY_URL[url].name, sorted(names), sorted(removed)))

    def _bad(self, found: Mapping[str, Message]) -> bool:
        bad = any(self._refuses(one) for one in found.values())
        self.refusals += bad
        return bad

    def _wants(self, url: str, name: str) -> bool:
        return name in self.names[url] or ALL in self.names[url]

    def _unpacked(self, packed: Any) -> tuple[str, Message]:
        url: str = packed.type_url
        message = CLASSES[url]()
        message.ParseFromString(packed.value)
        name: str = getattr(message, "cluster_name" if isinstance(message, ClusterLoadAssignment) else "name")
        return name, message
