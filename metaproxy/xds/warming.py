"""
Which versions of listeners and clusters are in force while newer ones wait for what they need. No server, no timer.

Lives here: `Warming`. Does not: what a resource becomes (`translate`), who waits how long (`source`).

Make before break: a new version takes the place of the old one when what it needs is there, or did not come in time.
A listener, with its routes, waits besides until the clusters that it leads to are in force, as far as a server has
them. A cluster that is gone stays while a listener in force leads to it, for a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from metaproxy.config import model, references
from metaproxy.xds.translate import ListenerForm, Need


@dataclass(frozen=True, slots=True)
class ClusterOffer:
    """A cluster as its server has it now."""

    section: model.Cluster
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, slots=True)
class ListenerOffer:
    """
    A listener as its server has it now. waits_for_clusters: whether its server's clusters have not come yet.
    """

    form: ListenerForm
    needs: tuple[Need, ...] = ()
    waits_for_clusters: bool = False


@dataclass(frozen=True, slots=True)
class InForce:
    """What to put in force. warm: whether nothing waits; gone: clusters that are kept for listeners alone."""

    listeners: dict[str, model.Listener]
    clusters: dict[str, model.Cluster]
    waiting: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


Compose = Callable[[ListenerForm], model.Listener | None]
"""Gives a listener its routes; None while they are not there."""


class Warming:
    """
    ready: whether a need is there; expired: whether it did not come in time; compose: see `Compose`; linger: whether a
    cluster that is gone may still be kept. listeners, clusters: in force; all_clusters: with those of which nothing is
    known but that a listener names them.
    """

    def __init__(
        self,
        ready: Callable[[Need], bool],
        expired: Callable[[Need], bool],
        compose: Compose,
        linger: Callable[[str], bool],
    ) -> None:
        self._ready = ready
        self._expired = expired
        self._compose = compose
        self._linger = linger
        self.listeners: dict[str, model.Listener] = {}
        self.clusters: dict[str, model.Cluster] = {}
        self.all_clusters: dict[str, model.Cluster] = {}
        self._missing: dict[str, model.Cluster] = {}
        self._leads: dict[str, tuple[model.Listener, frozenset[str]]] = {}

    def next(
        self,
        clusters: Mapping[str, ClusterOffer],
        listeners: Mapping[str, ListenerOffer],
        known: Iterable[str] = (),
    ) -> InForce:
        """Return what to put in force now. known: clusters that the file has."""
        warm = {name: self._cluster(name, offer) for name, offer in clusters.items()}
        in_force = {name: one for name, one in warm.items() if one is not None}
        made: dict[str, model.Listener] = {}
        waiting = [name for name, offer in clusters.items() if warm[name] is not offer.section]
        for name, offer in listeners.items():
            listener = self._listener(offer, clusters, in_force)
            if listener is None:
                waiting.append(name)
                listener = self.listeners.get(name)
            if listener is not None:
                made[name] = listener
        self._leads = {name: self._leads_of(one) for name, one in made.items()}
        wanted = frozenset().union(*(clusters for _, clusters in self._leads.values()))
        gone = [
            name
            for name in self.clusters
            if name not in in_force and name not in clusters and name in wanted and self._linger(name)
        ]
        in_force |= {name: self.clusters[name] for name in gone}
        missing = wanted - in_force.keys() - set(known)
        self._missing = {name: self._missing.get(name) or model.Cluster(name=name) for name in missing}
        return InForce(made, in_force | self._missing, tuple(waiting), tuple(gone))

    def accept(self, found: InForce) -> None:
        """`found` is in force now."""
        self.listeners = found.listeners
        self.all_clusters = found.clusters
        self.clusters = {name: one for name, one in found.clusters.items() if name not in self._missing}

    def _cluster(self, name: str, offer: ClusterOffer) -> model.Cluster | None:
        """Return the version to use, None while there is none that could be used."""
        before = self.clusters.get(name)
        if before is offer.section or self._settled(offer.needs):
            return offer.section
        return before

    def _listener(
        self, offer: ListenerOffer, clusters: Mapping[str, ClusterOffer], in_force: Mapping[str, model.Cluster]
    ) -> model.Listener | None:
        """Return the newest version, None while it has to wait."""
        if offer.waits_for_clusters or not self._settled(offer.needs):
            return None
        listener = self._compose(offer.form)
        if listener is None:
            before = self.listeners.get(offer.form.section.name)
            rds = offer.form.rds
            if before is not None or rds is None or not self._expired(rds):
                return None
            listener = offer.form.section
        leads = self._leads_of(listener)[1]
        return None if any(name in clusters and name not in in_force for name in leads) else listener

    def _leads_of(self, listener: model.Listener) -> tuple[model.Listener, frozenset[str]]:
        """Return a listener with the clusters that its routes and filters name, found out once for each version."""
        known = self._leads.get(listener.name)
        if known is not None and known[0] is listener:
            return known
        return listener, frozenset((*references.direct(listener), *references.asked_by(listener)))

    def _settled(self, needs: Iterable[Need]) -> bool:
        return all(self._ready(need) or self._expired(need) for need in needs)
