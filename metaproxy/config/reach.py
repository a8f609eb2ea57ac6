"""
Which listeners reach each cluster, kept from configuration to configuration.

Lives here: `Reach`, in force; `ReachDraft`, what one configuration changes of it. Does not: what a single listener
reaches or asks (`references`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from metaproxy.config import model, references
from metaproxy.config.delta import Delta
from metaproxy.config.schema.reading import Use


class Reached(NamedTuple):
    """
    By one listener. clusters: where its requests may come, copies and `fallback` included; asked: by its filters;
    mirrors: where copies come.
    """

    spec: model.Listener | None
    clusters: frozenset[str]
    asked: Mapping[str, bool]
    mirrors: frozenset[str] = frozenset()


_NOTHING = Reached(None, frozenset(), {})
"""By a listener that is not there."""


class Need(NamedTuple):
    """
    What is sent to a cluster. protocol: of the first listener that does; max_frame: the most of all; asked: whether a
    filter or xDS asks it, and whether over gRPC, None for neither; copies: whether it is a listener's mirror.
    """

    protocol: Use | None
    max_frame: int
    asked: bool | None
    copies: bool = False


MAX_FRAME = 16 << 20
"""Of a cluster that no listener sends to."""


class Reach:
    """
    listeners: name -> what it reaches; senders, askers: cluster -> names of the listeners that do; planes: clusters
    that are control planes -> whether these are asked over gRPC.
    """

    def __init__(self) -> None:
        self.listeners: dict[str, Reached] = {}
        self.senders_of: dict[str, set[str]] = {}
        self.askers: dict[str, set[str]] = {}
        self.fallbacks: Mapping[str, Sequence[str]] = {}
        self.planes: Mapping[str, bool] = {}

    def users_of(self, cluster: str) -> set[str]:
        """Return the names of the listeners that send to a cluster, or ask it."""
        return self.senders_of.get(cluster, set()) | self.askers.get(cluster, set())

    def draft(
        self, config: model.Config, changes: Delta[model.Listener], clusters: Delta[model.Cluster] | None = None
    ) -> ReachDraft:
        """changes: of the listeners, since the configuration in force; clusters: of these; without them all count."""
        return ReachDraft(self, config, changes, clusters)


class ReachDraft:
    """
    What a configuration changes. affected: clusters of which a `need` may be another one than before; fallbacks: those
    of each cluster that has some.
    """

    def __init__(
        self,
        before: Reach,
        config: model.Config,
        changes: Delta[model.Listener],
        clusters: Delta[model.Cluster] | None = None,
    ) -> None:
        self._before = before
        self._config = config
        self.fallbacks = _fallbacks(before.fallbacks, config, clusters)
        self._listeners: dict[str, Reached] = {}
        self._gone: set[str] = set()
        self._senders: dict[str, set[str]] = {}
        self._askers: dict[str, set[str]] = {}
        self.planes: Mapping[str, bool] = references.asked_for_xds(config)
        self.affected: set[str] = set()
        if self.planes != before.planes:
            self.affected |= self.planes.keys() | before.planes.keys()
        self._find(changes)

    def _find(self, changes: Delta[model.Listener]) -> None:
        before, changed = self._before, {listener.name: listener for listener in changes.changed}
        if self.fallbacks != before.fallbacks:
            for name in self.fallbacks.keys() | before.fallbacks.keys():
                if self.fallbacks.get(name) != before.fallbacks.get(name):
                    changed |= {one: self._specs[one] for one in before.senders_of.get(name, ()) if one in self._specs}
        for name, listener in changed.items():
            self._replace(name, before.listeners.get(name), self._reached(listener))
        for name in changes.gone:
            self._gone.add(name)
            self._replace(name, before.listeners[name], None)
        if changes.reordered:  # the first one that sends may be another
            self.affected |= before.senders_of.keys() | self._senders.keys()

    def _reached(self, listener: model.Listener) -> Reached:
        waiting = references.direct(listener)
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += self.fallbacks.get(name, ())
        return Reached(
            listener, frozenset(seen), references.asked_by(listener), frozenset(references.mirrors(listener))
        )

    def _replace(self, name: str, old: Reached | None, new: Reached | None) -> None:
        if new is not None:
            self._listeners[name] = new
        old, new = old or _NOTHING, new or _NOTHING
        self._move(name, old.clusters, new.clusters, self._before.senders_of, self._senders)
        self._move(name, old.asked, new.asked, self._before.askers, self._askers)

    def _move(
        self,
        listener: str,
        left: Iterable[str],
        joined: Iterable[str],
        index: Mapping[str, set[str]],
        draft: dict[str, set[str]],
    ) -> None:
        for cluster in left:
            _of(cluster, index, draft).discard(listener)
        for cluster in joined:
            _of(cluster, index, draft).add(listener)
        self.affected.update(left, joined)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {listener.name: place for place, listener in enumerate(self._config.listeners)}

    @cached_property
    def _specs(self) -> dict[str, model.Listener]:
        return {listener.name: listener for listener in self._config.listeners}

    def of(self, listener: str) -> Reached:
        """What a listener of the configuration reaches."""
        return self._listeners.get(listener) or self._before.listeners[listener]

    def senders(self, cluster: str) -> set[str]:
        """The names of the listeners that reach a cluster."""
        found = self._senders.get(cluster)
        return self._before.senders_of.get(cluster, set()) if found is None else found

    def need(self, cluster: str) -> Need:
        senders, askers = self.senders(cluster), self._askers.get(cluster)
        if askers is None:
            askers = self._before.askers.get(cluster, set())
        asked = any(self.of(name).asked[cluster] for name in askers) if askers else None
        if cluster in self.planes:
            asked = bool(asked) or self.planes[cluster]
        if not senders:
            return Need(None, MAX_FRAME, asked)
        specs = [spec for name in senders if (spec := self.of(name).spec) is not None]
        is_same = all(one.protocol == specs[0].protocol for one in specs)
        first = specs[0] if is_same else min(specs, key=lambda one: self._places[one.name])
        copies = any(cluster in self.of(name).mirrors for name in senders)
        return Need(first.protocol, max(one.max_frame for one in specs), asked, copies)

    def commit(self) -> None:
        """The configuration is in force."""
        before = self._before
        before.fallbacks = self.fallbacks
        before.planes = self.planes
        for name in self._gone:
            del before.listeners[name]
        before.listeners.update(self._listeners)
        for index, draft in ((before.senders_of, self._senders), (before.askers, self._askers)):
            index.update(draft)
            for cluster in [cluster for cluster in draft if not draft[cluster]]:
                del index[cluster]


def _fallbacks(
    before: Mapping[str, Sequence[str]], config: model.Config, changes: Delta[model.Cluster] | None
) -> Mapping[str, Sequence[str]]:
    """Return those of each cluster that has some; the same object as before where no cluster that changed has any."""
    if changes is None:
        return {one.name: one.fallback for one in config.clusters if one.fallback}
    gone = [name for name in (*changes.gone, *(one.name for one in changes.changed)) if name in before]
    come = {one.name: one.fallback for one in changes.changed if one.fallback}
    return {**{name: one for name, one in before.items() if name not in gone}, **come} if gone or come else before


def _of(cluster: str, index: Mapping[str, set[str]], draft: dict[str, set[str]]) -> set[str]:
    """The names at a cluster, as the draft may change them."""
    names = draft.get(cluster)
    if names is None:
        names = draft[cluster] = set(index.get(cluster, ()))
    return names
