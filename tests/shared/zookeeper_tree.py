"""
An ensemble of ZooKeeper in memory, for what watches nodes.

Lives here: `Ensemble`, its nodes and its clients; changes call the watches as ZooKeeper does, once. Does not: the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock, deferLater

from metaproxy.discovery.zookeeper.client import Gone, Refused


class Ensemble:
    """
    nodes: path -> content; a parent is there when a child is. refused: paths that can't be read. clients: all that were
    opened and not closed. reads: how often each path was asked for. Nothing is answered while it is not `up`.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.nodes: dict[str, bytes] = {}
        self.clients: list[FakeClient] = []
        self.refused: set[str] = set()
        self.reads: list[str] = []
        self.up = True
        self.opened = 0

    def client(self) -> FakeClient:
        return FakeClient(self)

    def put(self, path: str, content: bytes = b"") -> None:
        above, _, _ = path.rpartition("/")
        if above and above not in self.nodes:
            self.put(above)
        is_new = path not in self.nodes
        self.nodes[path] = content
        self._changed(("data", path), *([("children", path), ("children", above)] if is_new else []))

    def drop(self, path: str) -> None:
        del self.nodes[path]
        self._changed(("data", path), ("children", path), ("children", path.rpartition("/")[0]))

    def children(self, path: str) -> list[str] | None:
        if path not in self.nodes:
            return None
        return [name.rpartition("/")[2] for name in self.nodes if name.rpartition("/")[0] == path]

    def _changed(self, *events: tuple[str, str]) -> None:
        for client in self.clients:
            for event in events:
                for watch in client.watches.pop(event, []):
                    self.clock.callLater(0, watch)

    def crash(self, why: str = "the connection is lost") -> None:
        """It is gone: clients notice, their watches and questions are lost."""
        self.up = False
        for client in self.clients:
            client.watches.clear()
            client.lost(why)

    def come_back(self) -> None:
        self.up = True
        for client in self.clients:
            client.connected()


class FakeClient:
    """A session of the ensemble. Answers come in the next turn of the clock."""

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble = ensemble
        self.watches: dict[tuple[str, str], list[Callable[[], None]]] = {}

    def open(self, connected: Callable[[], None], lost: Callable[[str], None]) -> None:
        self.connected, self.lost = connected, lost
        self._ensemble.opened += 1
        self._ensemble.clients.append(self)
        if self._ensemble.up:
            self._ensemble.clock.callLater(0, connected)

    def close(self) -> None:
        self._ensemble.clients.remove(self)

    def children(self, path: str, changed: Callable[[], None]) -> Deferred[list[str] | None]:
        return self._asked("children", path, changed, self._ensemble.children)

    def data(self, path: str, changed: Callable[[], None]) -> Deferred[bytes | None]:
        return self._asked("data", path, changed, self._ensemble.nodes.get)

    def _asked(self, kind: str, path: str, changed: Callable[[], None], read: Callable[[str], Any]) -> Deferred[Any]:
        self._ensemble.reads.append(path)

        def answer() -> Deferred[Any]:
            if self not in self._ensemble.clients:
                return Deferred()
            if not self._ensemble.up:
                return fail(Gone())
            if path in self._ensemble.refused:
                return fail(Refused("NoAuth"))
            self.watches.setdefault((kind, path), []).append(changed)
            return succeed(read(path))

        return deferLater(self._ensemble.clock, 0, answer)
