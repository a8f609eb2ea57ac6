"""
What an exchange runs on: immutable once built; `config.build` builds it, nothing here knows of files.

Lives here: `ListenerSnapshot`, `Snapshot`, and mutations whose values are filled in per exchange. Does not: sockets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.routes import Route, RouteTable
from metaproxy.interfaces import ICodec, IExchange
from metaproxy.message import ErrorKind, Mutation, Reply
from metaproxy.proxy.chains import ChainTable
from metaproxy.proxy.current import PathSnapshot
from metaproxy.proxy.doors import Doors
from metaproxy.proxy.overload import NO_LIMITS, OverloadLimits
from metaproxy.proxy.tls import ServerTls

if TYPE_CHECKING:
    from metaproxy.support.addresses import Address

NONE: Mapping[str, str] = MappingProxyType({})
NO_ROUTE = Reply(ErrorKind.NOT_FOUND, "no route matched")


class Template(Mutation):
    """
    A mutation with values such as `%upstream_address%`: an attribute of the exchange, or else a metadata key. append:
    what is put behind the value that a message has, with a comma between; add: what it gets where it has none.
    """

    __slots__ = ("_add", "_append", "_filled", "_same")

    PLACE = re.compile(r"%([\w.\-]+)%")

    def __init__(
        self,
        set: Mapping[str, str],
        remove: tuple[str, ...] = (),
        append: Mapping[str, str] = NONE,
        add: Mapping[str, str] = NONE,
    ) -> None:
        super().__init__(set, remove)
        self._filled = [key for key, value in self.set.items() if self.PLACE.search(value)]
        self._append, self._add = append, add
        self._same = not (self._filled or append or add)

    def fill(self, exchange: IExchange) -> Mutation:
        if self._same:
            return self
        values = dict(self.set)
        for key in self._filled:
            values[key] = self._text(values[key], exchange)
        if self._append or self._add:
            self._look(exchange, values)
        return Mutation(values, self.remove)

    def _look(self, exchange: IExchange, values: dict[str, str]) -> None:
        """Add what depends on what the message has. Raises FrameError."""
        message = exchange.message if exchange.response is None else exchange.response
        gone = {key.lower() for key in self.remove}
        for key, value in self._append.items():
            there = None if key.lower() in gone else message.get(key.lower())
            text = self._text(value, exchange)
            values[key] = f"{there}, {text}" if there else text
        for key, value in self._add.items():
            if key.lower() in gone or message.get(key.lower()) is None:
                values[key] = self._text(value, exchange)

    def _text(self, value: str, exchange: IExchange) -> str:
        return self.PLACE.sub(lambda match: _value(exchange, match[1]), value)


PLACES = ("upstream_address", "listener", "protocol", "route", "cluster")
"""The attributes of an exchange that a mutation's value may name; any other name is a metadata key."""


class RewritingTemplate(Template):
    """path: gives another path for that of the request, None to leave it; see routing.pattern."""

    __slots__ = ("_path",)

    def __init__(
        self,
        set: Mapping[str, str],
        remove: tuple[str, ...] = (),
        append: Mapping[str, str] = NONE,
        add: Mapping[str, str] = NONE,
        path: Callable[[str], str | None] | None = None,
    ) -> None:
        super().__init__(set, remove, append, add)
        self._path = path

    def fill(self, exchange: IExchange) -> Mutation:
        mutation = super().fill(exchange)
        path = self._path(exchange.get("path") or "") if self._path is not None else None
        return mutation if path is None else Mutation({**mutation.set, "path": path}, mutation.remove)


class RouteReply(Reply):
    """The `reply:` of a route. The values of its metadata may name attributes of the exchange, as a Template's do."""

    __slots__ = ("_template",)

    def __init__(
        self, kind: ErrorKind | None, text: str = "", name: str = "", metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(kind, text, name=name, metadata=metadata or None)
        self._template = Template(metadata) if metadata else None

    def filled(self, exchange: IExchange) -> Reply:
        """The same with the values of this exchange."""
        if self._template is None or (mutation := self._template.fill(exchange)) is self._template:
            return self
        return Reply(self.kind, self.text, name=self.name, metadata=mutation.set)


def _value(exchange: IExchange, name: str) -> str:
    if name in PLACES:
        return str(getattr(exchange, name))
    return exchange.get(name) or "-"


@dataclass(frozen=True, slots=True, eq=False)
class ListenerSnapshot(PathSnapshot):
    """
    One listener of a configuration. no_route: the pseudo-route of requests that match none, with the listener's
    filters; its reply is NO_ROUTE. codec: the same object in two snapshots when it is the same code with the same
    options. Times in seconds, 0 for no limit; max_frame and max_buffered in bytes. keepalive: idle, interval, count.
    filters: their names in order, for listings. proxy_trusted: tells of a peer whether it may send a PROXY header;
    None: all may. candidates: the listeners one of which a client is handed to, by its first bytes; chains: by what its
    connection is; hand_over: by the `meant_for` of others, `host:port`, first.
    statements: whether these are counted always; doors: how each node of its cluster is reached.
    """

    name: str
    addresses: tuple[Address, ...]
    codec: ICodec
    routes: RouteTable
    no_route: Route
    max_connections: int = 10000
    max_frame: int = 16 << 20
    max_inflight: int = 1024
    max_buffered: int = 16 << 20
    idle_timeout: float = 3600.0
    stall_timeout: float = 30.0
    stream_idle: float = 300.0
    drain_timeout: float = 30.0
    proxy_protocol: bool = False
    original_destination: bool = False
    keepalive: tuple[float, float, int] | None = None
    proxy_trusted: Callable[[str], bool] | None = None
    tls: ServerTls | None = None
    filters: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    detection_wait: float = 10.0
    chains: ChainTable | None = None
    meant_for: tuple[str, ...] = ()
    hand_over: bool = False
    statements: bool = False
    doors: Doors | None = None

    def places(self) -> Sequence[Address]:
        """Where it listens, its doors included."""
        return self.addresses if self.doors is None else (*self.addresses, *self.doors.addresses)


class FilterUse(NamedTuple):
    """A filter as it runs: plugin is its object, which several routes share, or listeners when it is an access log."""

    listener: str
    name: str
    plugin: object


class Since(NamedTuple):
    """
    What differs from the snapshot of a version. listeners: those that are new or have changed; gone: names of those
    that are no more; come, left: clusters.
    """

    version: int
    listeners: Mapping[str, ListenerSnapshot]
    gone: Sequence[str]
    come: Sequence[Cluster]
    left: list[Cluster]


def since(before: Snapshot | None, now: Snapshot) -> Since:
    """Return what differs from the snapshot in force, if there is one."""
    if before is not None and now.since is not None and now.since.version == before.version:
        return now.since
    listeners = before.listeners if before is not None else {}
    clusters = set(before.clusters.values()) if before is not None else set()
    return Since(
        before.version if before is not None else 0,
        {name: one for name, one in now.listeners.items() if listeners.get(name) is not one},
        [name for name in listeners if name not in now.listeners],
        [cluster for cluster in now.clusters.values() if cluster not in clusters],
        list(clusters - set(now.clusters.values())),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """
    A whole configuration as it runs. version: counts up from 1; source: where it came from; made: Unix time; filters:
    the objects that act on its exchanges, for their counters and their end; since: what differs from the one before.
    """

    version: int
    source: str
    made: float
    listeners: Mapping[str, ListenerSnapshot] = field(default_factory=dict)
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    filters: Sequence[FilterUse] = ()
    overload: OverloadLimits = NO_LIMITS
    config: object = None
    config_build: object = None
    since: Since | None = None
