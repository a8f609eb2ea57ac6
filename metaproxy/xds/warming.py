"""
Which versions of listeners and clusters are in force while newer ones wait for what they need. No server, no timer.

Lives here: `Warming`. Does not: what a resource becomes (`translate`), who waits how long (`source`).

Make before break: a new version takes the place of the old one when what it needs is there, or did not come in time.
A listener, with its routes, waits besides until the clusters that it leads to are in force, as far as a server has
them. A cluster that is gone stays while a listener in force leads to it, for a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from metaproxy.config import model, references
from metaproxy.xds.offers import ClusterOffer, ListenerOffer
from metaproxy.xds.translate import ListenerForm, Need


@dataclass(frozen=True, slots=True)
class InForce:
    """
    What to put in force. warm: whether nothing waits; gone: clusters that are kept for listeners alone.

    changed_listeners, changed_clusters: those that are others than in force, None for no more; leads: of changed
    listeners, the clusters that they lead to; made_up: clusters of which nothing is known but that a listener names
    them.
    """

    listeners: dict[str, model.Listener]
    clusters: dict[str, model.Cluster]
    waiting: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    changed_listeners: Mapping[str, model.Listener | None] = field(default_factory=dict)
    changed_clusters: Mapping[str, model.Cluster | None] = field(default_factory=dict)
    leads: Mapping[str, Leads] = field(default_factory=dict)
    made_up: Mapping[str, model.Cluster] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether it is another state than in force."""
        return bool(self.changed_listeners or self.changed_clusters)

    def changes_as(self, other: InForce) -> bool:
        """Whether both change the same of what is in force."""
        return _are(self.changed_listeners, other.changed_listeners) and _are(
            self.changed_clusters, other.changed_clusters
        )


Leads = tuple[model.Listener, frozenset[str]]
"""A listener with the clusters that its routes and filters name."""
Compose = Callable[[ListenerForm], model.Listener | None]
"""Gives a listener its routes; None while they are not there."""


class Warming:
    """
    ready: whether a need is there; expired: whether it did not come in time; compose: see `Compose`; linger: whether a
    cluster that is gone may still be kept; early: whether not all clusters of a server came yet. listeners, clusters:
    in force; all_clusters: with those of which nothing is known but that a listener names them.

    A look costs what has changed since the one before, and what waits, is kept or is made up.
    """

    def __init__(
        self,
        ready: Callable[[Need], bool],
        expired: Callable[[Need], bool],
        compose: Compose,
        linger: Callable[[str], bool],
        early: Callable[[str], bool] = lambda server: False,
    ) -> None:
        self._ready = ready
        self._expired = expired
        self._compose = compose
        self._linger = linger
        self._early = early
        self.listeners: dict[str, model.Listener] = {}
        self.clusters: dict[str, model.Cluster] = {}
        self.all_clusters: dict[str, model.Cluster] = {}
        self._made_up: Mapping[str, model.Cluster] = {}
        self._open: tuple[str, ...] = ()  # names that waited or were kept at the last look
        self._leads: dict[str, Leads] = {}  # of listeners in force
        self._users: Counter[str] = Counter()  # how many listeners in force lead to a cluster

    def next(
        self,
        clusters: Mapping[str, ClusterOffer],
        listeners: Mapping[str, ListenerOffer],
        known: Collection[str] = (),
        touched: Iterable[str] | None = None,
    ) -> InForce:
        """
        Return what to put in force now. known: clusters that the file has; touched: names that are offered otherwise
        since what is in force was offered, None to look at all.
        """
        if touched is None:
            touched = (*clusters, *listeners, *self.all_clusters, *self.listeners)
        looked = dict.fromkeys((*touched, *self._open))
        fresh = {name: self._cluster(name, clusters[name]) for name in looked if name in clusters}
        waiting = [name for name, one in fresh.items() if one is not clusters[name].section]
        made: dict[str, model.Listener | None] = {}
        for name in looked:
            offer = listeners.get(name)
            listener = self._listener(offer, clusters, fresh) if offer is not None else None
            if offer is not None and listener is None:
                waiting.append(name)
                listener = self.listeners.get(name)
            made[name] = listener
        changed = {name: one for name, one in made.items() if self.listeners.get(name) is not one}
        leads = {name: self._leads_of(one) for name, one in changed.items() if one is not None}
        more = self._other_users(changed, leads)
        gone: list[str] = []
        for name in looked:
            if name not in clusters:
                is_kept = name in self.clusters and self._users[name] + more[name] > 0 and self._linger(name)
                fresh[name] = self.clusters[name] if is_kept else None
                gone += [name] if is_kept else []
        made_up = self._make_up({**fresh, **dict.fromkeys((*more, *self._made_up))}, fresh, more, known)
        left = {name: None for name in self._made_up if name not in self.clusters}
        now: dict[str, model.Cluster | None] = {**left, **fresh, **made_up}
        others = {name: one for name, one in now.items() if self.all_clusters.get(name) is not one}
        self._made_up, self._open = made_up, (*waiting, *gone)
        return InForce(
            _with(self.listeners, changed), _with(self.all_clusters, others), tuple(waiting), tuple(gone), changed,
            others, leads, made_up,
        )  # fmt: skip

    def accept(self, found: InForce) -> None:
        """`found` is in force now."""
        self._users.update(self._other_users(found.changed_listeners, found.leads))
        for name, listener in found.changed_listeners.items():
            for cluster in self._leads.pop(name, _NOWHERE)[1]:
                if not self._users[cluster]:
                    del self._users[cluster]
            if listener is not None:
                self._leads[name] = found.leads[name]
        self.listeners = found.listeners
        self.all_clusters = found.clusters
        real = {name: None if name in found.made_up else one for name, one in found.changed_clusters.items()}
        self.clusters = _with(self.clusters, real)

    def _cluster(self, name: str, offer: ClusterOffer) -> model.Cluster | None:
        """Return the version to use, None while there is none that could be used."""
        before = self.clusters.get(name)
        if before is offer.section or self._settled(offer.needs):
            return offer.section
        return before

    def _listener(
        self,
        offer: ListenerOffer,
        clusters: Mapping[str, ClusterOffer],
        fresh: Mapping[str, model.Cluster | None],
    ) -> model.Listener | None:
        """Return the newest version, None while it has to wait."""
        if self._early(offer.server) or not self._settled(offer.needs):
            return None
        listener = self._compose(offer.form)
        if listener is None:
            before = self.listeners.get(offer.form.section.name)
            rds = offer.form.rds
            if before is not None or rds is None or not self._expired(rds):
                return None
            listener = offer.form.section
        leads = self._leads_of(listener)[1]
        waits = any(name in clusters and fresh.get(name, self.clusters.get(name)) is None for name in leads)
        return None if waits else listener

    def _leads_of(self, listener: model.Listener) -> Leads:
        """Return a listener with the clusters that it names, found out once for each version in force."""
        known = self._leads.get(listener.name)
        if known is not None and known[0] is listener:
            return known
        return listener, frozenset((*references.direct(listener), *references.asked_by(listener)))

    def _other_users(self, changed: Mapping[str, model.Listener | None], leads: Mapping[str, Leads]) -> Counter[str]:
        """Return how many listeners more lead to each cluster than in force, or less."""
        more: Counter[str] = Counter()
        for name in changed:
            before, now = self._leads.get(name, _NOWHERE)[1], leads.get(name, _NOWHERE)[1]
            more.update(now - before)
            more.subtract(before - now)
        return more

    def _make_up(
        self,
        names: Iterable[str],
        fresh: Mapping[str, model.Cluster | None],
        more: Counter[str],
        known: Collection[str],
    ) -> dict[str, model.Cluster]:
        """Return a cluster without endpoints for each of these that a listener names and that is nowhere."""
        return {
            name: self._made_up.get(name) or self._made_up_before(name) or model.Cluster(name=name)
            for name in names
            if (fresh[name] if name in fresh else self.clusters.get(name)) is None
            and self._users[name] + more[name] > 0
            and name not in known
        }

    def _made_up_before(self, name: str) -> model.Cluster | None:
        return self.all_clusters.get(name) if name not in self.clusters else None

    def _settled(self, needs: Iterable[Need]) -> bool:
        return all(self._ready(need) or self._expired(need) for need in needs)


_NOWHERE: tuple[None, frozenset[str]] = None, frozenset()
"""Where a listener leads that there is not."""
V = TypeVar("V")


def _with(before: dict[str, V], changed: Mapping[str, V | None]) -> dict[str, V]:
    """Return a map with these in the place of those before, None for no more; the same one without any."""
    if not changed:
        return before
    now = dict(before)
    for name, one in changed.items():
        if one is not None:
            now[name] = one
        else:
            now.pop(name, None)
    return now


def _are(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return one.keys() == other.keys() and all(other[name] is value for name, value in one.items())
