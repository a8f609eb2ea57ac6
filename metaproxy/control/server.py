"""
All streams, and the snapshot that each is to have. No sockets.

Lives here: `Control`. Does not: which snapshot a node gets (`Targets`, see `plan`), a stream's order (`stream`),
bytes of the network (`grpc_server`, `rest`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest
from twisted.internet.interfaces import IReactorTime

from metaproxy.control import wire
from metaproxy.control.nodes import Node
from metaproxy.control.repeated_names import RepeatedNames
from metaproxy.control.resource_types import ResourceType
from metaproxy.control.snapshot import EMPTY, Changes, Snapshot, difference
from metaproxy.control.stream import LINGER, Refused, Stream
from metaproxy.control.subscription import Had

MAX_STREAMS = 10_000


class Targets(Protocol):
    """What nodes are to have."""

    def target(self, node: Node) -> Snapshot:
        """Return the node's snapshot. The same object as long as nothing changes for it."""


class Observer(Protocol):
    """Who keeps the records of the fleet."""

    def joined(self, stream: Stream) -> None:
        """A stream has said which node it is of."""

    def aimed(self, stream: Stream) -> None:
        """A stream is to have another snapshot than before."""

    def heard(self, stream: Stream) -> None:
        """A request of a stream was taken."""

    def left(self, stream: Stream) -> None:
        """A stream has ended."""


class NoTargets:
    """Before a source was read: nothing for anyone."""

    def target(self, node: Node) -> Snapshot:
        return EMPTY


class Control:
    """identifier: this server's name in responses."""

    def __init__(
        self,
        clock: IReactorTime,
        observer: Observer,
        identifier: str = "metaproxy-control",
        max_streams: int = MAX_STREAMS,
        linger: float = LINGER,
    ) -> None:
        self.streams: dict[Stream, None] = {}
        self.targets: Targets = NoTargets()
        self.identifier = identifier
        self._clock = clock
        self._observer = observer
        self._max_streams = max_streams
        self._linger = linger
        self._names = RepeatedNames()
        self._had: OrderedDict[str, Had] = OrderedDict()
        """
        Clusters of nodes whose stream has ended: of the state of the world, clients say no names of what they have.
        """

    def connect(
        self, send: Callable[[bytes], None], delta: bool = False, only: ResourceType | None = None, peer: str = ""
    ) -> Stream:
        """Begin a stream. Raises Refused when there are too many."""
        if len(self.streams) >= self._max_streams:
            raise Refused(f"this server has {self._max_streams} streams, as many as it takes; ask another one")
        stream = Stream(self._clock, send, delta, only, peer, self.identifier, self._linger)
        self.streams[stream] = None
        return stream

    def receive(self, stream: Stream, data: bytes) -> None:
        """Take a request. Raises Refused when it ends its stream."""
        rest, names = (data, None) if stream.delta else self._names.split(data)
        try:
            request = wire.parse(rest, stream.delta)
            if names is not None and isinstance(request, DiscoveryRequest) and request.resource_names:
                request, names = wire.parse(data, stream.delta), None  # more of them stand elsewhere
        except ValueError as error:
            raise Refused(str(error)) from None
        if names is None and isinstance(request, DiscoveryRequest):
            self._names.learn(request)
        node = stream.identify(request)
        if node is not None:
            stream.had = self._had.pop(node.id, None)
            stream.aim(self.targets.target(node))
            self._observer.joined(stream)
        stream.receive(request, names)
        self._observer.heard(stream)

    def disconnect(self, stream: Stream) -> None:
        if stream in self.streams:
            del self.streams[stream]
            stream.close()
            if stream.node is not None:
                self._remember(stream.node.id, stream.clusters())
                self._observer.left(stream)

    def _remember(self, node: str, had: Had | None) -> None:
        if had is None:
            return
        self._had[node] = had
        self._had.move_to_end(node)
        if len(self._had) > self._max_streams:
            self._had.popitem(last=False)

    def publish(self, targets: Targets) -> None:
        """Serve these from now on; a stream whose snapshot is another than before is sent the difference."""
        self.targets = targets
        self.again(list(self.streams))

    def again(self, streams: Iterable[Stream]) -> None:
        """Look again at what these streams are to have: a rollout has gone on, for one."""
        known: dict[tuple[int, int], Changes] = {}
        moved = []
        for stream in streams:
            if stream.node is None or stream not in self.streams:
                continue
            before, after = stream.target, self.targets.target(stream.node)
            if before is after:
                continue
            pair = id(before), id(after)
            if pair not in known:
                known[pair] = difference(before, after)
            stream.aim(after, known[pair])
            moved.append(stream)
        for stream in moved:
            self._observer.aimed(stream)
            stream.flush()
