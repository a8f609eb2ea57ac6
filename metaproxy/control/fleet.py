"""
Who runs what: the nodes that came, what each has accepted and refused, and how long it took.

Lives here: `Fleet`, `NodeRecord`. Does not: streams (`stream`), what the admin API shows of it (`admin`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metaproxy.control.nodes import Node
from metaproxy.control.resource_types import ResourceType
from metaproxy.control.snapshot import Snapshot
from metaproxy.control.stream import Stream
from metaproxy.control.subscription import ALL, Refusal
from metaproxy.support.log_throttle import LogThrottle

log = Logger()

MAX_AWAY = 10_000
"""Nodes without a stream that are remembered, the latest ones."""
MAX_POLLING = 10_000
"""Nodes that poll and count as being there, the latest ones."""
POLLING = 180.0
"""Seconds after which a client that polls is away."""
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Of the histogram of times until a change is in force, seconds."""


@dataclass(slots=True)
class Poll:
    """What a client that polls has of a type. version: what it has; target: what it is to have; at: when it asked."""

    kind: ResourceType
    version: str
    target: str
    at: float
    refusal: Refusal | None = None


@dataclass(slots=True, eq=False)
class NodeRecord:
    """
    One node. streams: its own, those of another one with the same id, too. since: when it came; away_since: when the
    last stream ended, None while there is one; behind_since: since when it has not accepted all that it is to have.
    """

    node: Node
    since: float
    streams: dict[Stream, None] = field(default_factory=dict)
    away_since: float | None = None
    behind_since: float | None = None
    version: str = ""
    polls: dict[str, Poll] = field(default_factory=dict)

    @property
    def here(self) -> bool:
        """Whether it has a stream, or asked not long ago."""
        return bool(self.streams) or bool(self.polls)

    @property
    def refused(self) -> Iterator[tuple[str, str, Refusal]]:
        """What the node refused that is still meant for it: type, name, what it said."""
        for stream in self.streams:
            for one in stream.subscriptions.values():
                for name, refusal in one.refused.items():
                    if name not in one.leaving:
                        yield one.kind.name, name, refusal
        for poll in self.polls.values():
            if poll.refusal is not None:
                yield poll.kind.name, ALL, poll.refusal

    @property
    def state(self) -> str:
        """`away`, `refused`, `behind` or `in force`."""
        if not self.here:
            return "away"
        if any(stream.refused for stream in self.streams) or any(one.refusal for one in self.polls.values()):
            return "refused"
        behind = self.behind_since is not None or any(one.version != one.target for one in self.polls.values())
        return "behind" if behind else "in force"


class Fleet:
    """
    The observer of a server. converged: how many changes were in force at a node within each of BOUNDS, and beyond.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.nodes: OrderedDict[str, NodeRecord] = OrderedDict()
        self.converged = [0] * (len(BOUNDS) + 1)
        self.converged_seconds = 0.0
        self.refusals = 0
        self.listeners: list[Callable[[NodeRecord], None]] = []
        """Called with a node that refuses something it did not refuse before."""
        self._clock = clock
        self._away: OrderedDict[str, None] = OrderedDict()
        self._polling: OrderedDict[str, None] = OrderedDict()
        self._lines = LogThrottle(clock.seconds, most=3)
        self._refused: dict[Stream, frozenset[tuple[str, str, str]]] = {}

    def joined(self, stream: Stream) -> None:
        node = stream.node
        assert node is not None
        self._came(node).streams[stream] = None
        self.aimed(stream)

    def _came(self, node: Node) -> NodeRecord:
        record = self.nodes.get(node.id)
        if record is None:
            record = self.nodes[node.id] = NodeRecord(node, self._clock.seconds())
        record.node = node
        record.away_since = None
        self._away.pop(node.id, None)
        return record

    def polled(
        self, node: Node, kind: ResourceType, version: str, nonce: str, error: str | None, target: str, whole: Snapshot
    ) -> None:
        """
        A client has asked for a type. version: what it has; nonce: what it answers for; error: why it refuses it;
        target: the version that it is to have; whole: all that its node is to have.
        """
        self._forget_polls()
        record = self._came(node)
        before = record.polls.get(kind.name)
        poll = record.polls[kind.name] = Poll(kind, version, target, self._clock.seconds())
        if error is not None and nonce == target:
            poll.refusal = Refusal(nonce, error, self._clock.seconds())
        elif before is not None and before.refusal is not None and before.refusal.version == target != version:
            poll.refusal = before.refusal
        if poll.refusal is not None and (before is None or before.refusal is None):
            self._say(record, [(kind.name, ALL)])
        if record.state == "in force":
            record.version = whole.version
        self._polling[node.id] = None
        self._polling.move_to_end(node.id)
        if len(self._polling) > MAX_POLLING:
            self._forget_poll(next(iter(self._polling)))

    def _forget_polls(self) -> None:
        """Nodes that have not asked for a while are away."""
        now = self._clock.seconds()
        while self._polling:
            name = next(iter(self._polling))
            if now - max(one.at for one in self.nodes[name].polls.values()) < POLLING:
                return
            self._forget_poll(name)

    def _forget_poll(self, name: str) -> None:
        record = self.nodes[name]
        del self._polling[name]
        record.polls.clear()
        if not record.streams:
            self._leave(record)

    def aimed(self, stream: Stream) -> None:
        record = self._record(stream)
        if record.behind_since is None:
            record.behind_since = self._clock.seconds()

    def heard(self, stream: Stream) -> None:
        record = self._record(stream)
        self._note_refusals(stream, record)
        if record.behind_since is None or not all(one.settled for one in record.streams):
            return
        took = self._clock.seconds() - record.behind_since
        record.behind_since = None
        record.version = stream.target.version
        if not any(one.refused for one in record.streams):
            self.converged[next((i for i, bound in enumerate(BOUNDS) if took <= bound), len(BOUNDS))] += 1
            self.converged_seconds += took

    def left(self, stream: Stream) -> None:
        record = self._record(stream)
        record.streams.pop(stream, None)
        self._refused.pop(stream, None)
        if not record.here:
            self._leave(record)

    def _leave(self, record: NodeRecord) -> None:
        record.away_since = self._clock.seconds()
        record.behind_since = None
        self._away[record.node.id] = None
        while len(self._away) > MAX_AWAY:
            oldest, _ = self._away.popitem(last=False)
            del self.nodes[oldest]

    def _record(self, stream: Stream) -> NodeRecord:
        assert stream.node is not None
        return self.nodes[stream.node.id]

    def _note_refusals(self, stream: Stream, record: NodeRecord) -> None:
        found = frozenset(
            (one.kind.name, name, refusal.version)
            for one in stream.subscriptions.values()
            for name, refusal in one.refused.items()
        )
        new = found - self._refused.get(stream, frozenset())
        if not found and not self._refused.get(stream):
            return
        self._refused[stream] = found
        if new:
            self._say(record, [(kind, name) for kind, name, _ in new])

    def _say(self, record: NodeRecord, new: Iterable[tuple[str, str]]) -> None:
        for listener in self.listeners:
            listener(record)
        for kind, name in new:
            self.refusals += 1
            if self._lines.allows(record.node.id):
                error = next((one.error for type, other, one in record.refused if (type, other) == (kind, name)), "")
                text = "node {node} refuses {name} of {kind}: {error}"
                log.warn(text, node=record.node.id, name=name, kind=kind, error=error[:500])
