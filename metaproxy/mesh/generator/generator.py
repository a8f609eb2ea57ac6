"""
The objects of a mesh, and what each proxy gets of them.

Lives here: `Generator`: what was made is kept, and made again when something that it was made of has changed. Does not:
making it (`listeners`, `gateways`), which version of an object holds (`metaproxy.mesh.store`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from google.protobuf.message import Message

from metaproxy.config.slices import checkpoint
from metaproxy.envoy.resources import Resources
from metaproxy.mesh.generator.gateways import gateway
from metaproxy.mesh.generator.index import Index, Topic, View
from metaproxy.mesh.generator.listeners import Made, inbound, outbound
from metaproxy.mesh.generator.node import ProxyNode
from metaproxy.mesh.generator.whole import Part, Whole
from metaproxy.mesh.objects.reading import Key, Object

Maker = Callable[[View, str, ProxyNode], Made]


@dataclass(frozen=True, slots=True)
class Update:
    """All that a node gets. listeners, clusters: names of those that may have changed, or are gone, since the last."""

    resources: Resources
    listeners: set[str]
    clusters: set[str]


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
    names: Callable[[Index], Collection[str]]
    reduced: Callable[[ProxyNode, Index], ProxyNode]


def _as_client(node: ProxyNode, index: Index) -> ProxyNode:
    """What counts of a node that calls services: nodes that do not differ in it share what is made."""
    own = tuple(address for address in node.addresses if address in index.addresses)
    return replace(node, labels={}, application="", addresses=own)


def _as_it_is(node: ProxyNode, index: Index) -> ProxyNode:
    return node


MAKERS: Mapping[str, _Maker] = {
    "outbound": _Maker(outbound, lambda index: index.hosts, _as_client),
    "inbound": _Maker(inbound, lambda index: index.hosts, _as_it_is),
    "gateway": _Maker(gateway, lambda index: index.gateways, _as_it_is),
}
"""What is made of each host and of each gateway."""
_MADE_OF = {"service": ("outbound", "inbound"), "Gateway": ("gateway",)}
"""Topic -> the makers that make something of what it names."""


@dataclass(slots=True)
class _Unit:
    """
    What was made, and of what. made_of: the topics that were asked for; notes: what is to be said of objects; messages:
    what was made, by digest.
    """

    made: Made
    made_of: set[Topic]
    notes: dict[Key, list[str]]
    messages: Mapping[bytes, Message]


class Generator:
    """
    Makes Envoy resources of objects.

    made, messages: how many units were made so far, and how many messages, for tests and metrics.
    """

    def __init__(self) -> None:
        self._index = Index()
        self._units: dict[UnitKey, _Unit] = {}
        self._before: dict[UnitKey, Mapping[bytes, Message]] = {}  # messages of units that are to be made again
        self._readers: dict[Topic, set[UnitKey]] = {}
        self._wholes: dict[ProxyNode, Whole] = {}
        self.made = self.messages = 0

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
            for what in _MADE_OF.get(topic.what, ()):
                name = topic.name if what != "gateway" else f"{topic.namespace}/{topic.name}"
                self._touch((what, name))

    def _forget(self, key: UnitKey) -> None:
        unit = self._units.pop(key, None)
        if unit is None:
            return
        self._before[key] = unit.messages
        for topic in unit.made_of:
            readers = self._readers.get(topic)
            if readers is not None:
                readers.discard(key)
                if not readers:
                    del self._readers[topic]
        self._touch((key.what, key.name))

    def _touch(self, part: Part) -> None:
        for whole in self._wholes.values():
            whole.stale.add(part)

    # -- resources

    def resources(self, node: ProxyNode) -> Resources:
        """Return all that a proxy gets. A message that has not changed is the object that it was before."""
        return self._whole(node).resources()

    def update(self, node: ProxyNode) -> Update:
        """Return all that a proxy gets, and what of it may have changed since this was asked the last time."""
        whole = self._whole(node)
        listeners, clusters = whole.take_changed()
        return Update(whole.resources(), listeners, clusters)

    def _whole(self, node: ProxyNode) -> Whole:
        """Return what a node gets, with all that is stale made again."""
        whole = self._wholes.get(node)
        if whole is None:
            whole = self._wholes[node] = Whole()
            whole.stale.update((what, name) for what, maker in MAKERS.items() for name in maker.names(self._index))
        stale, whole.stale = sorted(whole.stale), set()
        for what, name in stale:
            unit = self._unit(what, name, node)
            whole.put((what, name), unit.made if unit is not None else None)
        return whole

    def forget(self, node: ProxyNode) -> None:
        """Keep nothing for a node that is gone."""
        self._wholes.pop(node, None)
        self._before = {key: messages for key, messages in self._before.items() if key.node != node}

    def _unit(self, what: str, name: str, node: ProxyNode) -> _Unit | None:
        """Return a unit, made now if need be; None when there is nothing of this name any more."""
        maker = MAKERS[what]
        key = UnitKey(what, name, maker.reduced(node, self._index))
        if name not in maker.names(self._index):
            self._before.pop(key, None)
            return None
        return self._units.get(key) or self._make(key, maker.make)

    def _make(self, key: UnitKey, make: Maker) -> _Unit:
        checkpoint()
        view = View(self._index, self._before.pop(key, None))
        made = make(view, key.name, key.node)
        unit = self._units[key] = _Unit(made, view.asked, view.notes, view.messages.made)
        for topic in view.asked:
            self._readers.setdefault(topic, set()).add(key)
        self.made += 1
        self.messages += view.messages.new
        return unit

    # -- what is to be said of objects

    def notes(self, node: ProxyNode) -> dict[Key, list[str]]:
        """Return what became of objects for a node, other than what their keys say; no key for one that is in order."""
        found: dict[Key, list[str]] = {}
        taken: dict[str, str] = {}
        for name, unit in self._all(node):
            for object, texts in unit.notes.items():
                found.setdefault(object, []).extend(text for text in texts if text not in found.get(object, ()))
            for listener in unit.made.listeners:
                first = taken.setdefault(listener, name)
                if first != name:
                    for object in self._index.owners(name):
                        text = f"{listener} is where {first} listens already; give {name} an address of its own"
                        found.setdefault(object, []).append(text)
        return found

    def _all(self, node: ProxyNode) -> Iterator[tuple[str, _Unit]]:
        for what in sorted(MAKERS):
            for name in sorted(MAKERS[what].names(self._index)):
                unit = self._unit(what, name, node)
                if unit is not None:
                    yield name, unit
