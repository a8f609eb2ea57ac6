"""
The objects of a mesh, and what each proxy gets of them.

Lives here: `Generator`: what was made is kept, and made again when something that it was made of has changed. Does not:
making it (`listeners`, `gateways`), which version of an object holds (`metaproxy.mesh.store`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from google.protobuf.message import Message

from metaproxy.envoy.resources import Resources
from metaproxy.mesh.generator.gateways import gateway
from metaproxy.mesh.generator.index import Index, Topic, View
from metaproxy.mesh.generator.listeners import Made, inbound, outbound
from metaproxy.mesh.generator.node import ProxyNode
from metaproxy.mesh.objects.reading import Key, Object

Maker = Callable[[View, str, ProxyNode], Made]


class UnitKey(NamedTuple):
    """What is made in one go. what: by which maker; name: of what, such as a host; node: for whom."""

    what: str
    name: str
    node: ProxyNode


class _Maker(NamedTuple):
    """
    make: makes a unit; names: of what units are made; reduced: the node, without what these units do not depend on.
    """

    make: Maker
    names: Callable[[Index], Iterable[str]]
    reduced: Callable[[ProxyNode], ProxyNode]


MAKERS: Mapping[str, _Maker] = {
    "outbound": _Maker(outbound, lambda index: index.hosts, lambda node: replace(node, labels={}, application="")),
    "inbound": _Maker(inbound, lambda index: index.hosts, lambda node: node),
    "gateway": _Maker(gateway, lambda index: index.gateways, lambda node: node),
}
"""What is made of each host and of each gateway."""


@dataclass(slots=True)
class _Unit:
    """What was made, and of what. made_of: the topics that were asked for; notes: what is to be said of objects."""

    made: Made
    made_of: set[Topic]
    notes: dict[Key, list[str]]


class Generator:
    """
    Makes Envoy resources of objects.

    made: how many units were made so far, for tests and metrics.
    """

    def __init__(self) -> None:
        self._index = Index()
        self._units: dict[UnitKey, _Unit] = {}
        self._before: dict[UnitKey, Made] = {}
        self._readers: dict[Topic, set[UnitKey]] = {}
        self.made = 0

    # -- objects

    def put(self, object: Object) -> None:
        """Take an object, new or in another version."""
        self._changed(self._index.put(object))

    def remove(self, key: Key) -> None:
        """Forget an object."""
        self._changed(self._index.remove(key))

    def _changed(self, topics: set[Topic]) -> None:
        for topic in topics:
            for unit in self._readers.pop(topic, ()):
                self._forget(unit)

    def _forget(self, key: UnitKey) -> None:
        unit = self._units.pop(key, None)
        if unit is None:
            return
        self._before[key] = unit.made
        for topic in unit.made_of:
            readers = self._readers.get(topic)
            if readers is not None:
                readers.discard(key)
                if not readers:
                    del self._readers[topic]

    # -- resources

    def resources(self, node: ProxyNode) -> Resources:
        """
        Return all that a proxy gets. A message that has not changed is the object that it was before.
        """
        listeners: dict[str, Message] = {}
        clusters: dict[str, Message] = {}
        endpoints: dict[str, Message] = {}
        routes: dict[str, Message] = {}
        for _, unit in self._all(node):
            for name, listener in unit.made.listeners.items():
                listeners.setdefault(name, listener)
            clusters.update(unit.made.clusters)
            endpoints.update(unit.made.endpoints)
            routes.update(unit.made.routes)
        return Resources(listeners, clusters, endpoints, routes)

    def _all(self, node: ProxyNode) -> Iterator[tuple[UnitKey, _Unit]]:
        for what, maker in MAKERS.items():
            reduced = maker.reduced(node)
            for name in sorted(maker.names(self._index)):
                key = UnitKey(what, name, reduced)
                yield key, self._units.get(key) or self._make(key, maker.make)

    def _make(self, key: UnitKey, make: Maker) -> _Unit:
        view = View(self._index)
        made = make(view, key.name, key.node)
        before = self._before.pop(key, None)
        unit = _Unit(made if before is None else made.keeping(before), view.asked, view.notes)
        self._units[key] = unit
        for topic in view.asked:
            self._readers.setdefault(topic, set()).add(key)
        self.made += 1
        return unit

    # -- what is to be said of objects

    def notes(self, node: ProxyNode) -> dict[Key, list[str]]:
        """Return what became of objects for a node, other than what their keys say; no key for one that is in order."""
        found: dict[Key, list[str]] = {}
        taken: dict[str, str] = {}
        for key, unit in self._all(node):
            for object, texts in unit.notes.items():
                found.setdefault(object, []).extend(text for text in texts if text not in found.get(object, ()))
            for name in unit.made.listeners:
                first = taken.setdefault(name, key.name)
                if first != key.name:
                    for object in self._index.owners(key.name):
                        text = f"{name} is where {first} listens already; give {key.name} an address of its own"
                        found.setdefault(object, []).append(text)
        return found
