"""
Putting listeners and clusters in force as soon as they may be, and leaving out those that can't be.

Lives here: `Enforcement`. Does not: which version counts (`warming`), what a resource becomes (`built`).

What is refused, such as a listener whose address is taken, is left out and everything else tried again at once; after a
time it is tried again itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from metaproxy.config import model
from metaproxy.config.slices import Slices
from metaproxy.xds.offers import ClusterOffer, Offers
from metaproxy.xds.translate import ListenerForm
from metaproxy.xds.warming import InForce, Warming

log = Logger()

LINGER = 15.0
"""Seconds that a cluster stays which its server has no more while routes lead to it: they may be about to change."""
RETRY = 30.0
"""Seconds after which what was refused is tried again: an address may be free then."""


class Target(Protocol):
    """Where sections are put."""

    @property
    def slices(self) -> Slices:
        """What runs what takes long."""

    def put(self, listeners: Sequence[model.Listener], clusters: Sequence[model.Cluster]) -> list[str]:
        """Put these in the place of those before. Return the lines of what is wrong; [] when they are in force."""

    def others(self) -> Collection[str]:
        """
        Return the names of the clusters that are in force from elsewhere; the same object while these are the same.
        """


class Enforcement:
    """
    offers: what the servers have now; compose: gives a listener its routes; begin: is called before each look.
    problems: why a listener or cluster is not in force as its server has it.
    """

    def __init__(
        self,
        target: Target,
        offers: Offers,
        compose: Callable[[ListenerForm], tuple[model.Listener | None, str]],
        warming: Callable[[Callable[[ListenerForm], model.Listener | None], Callable[[str], bool]], Warming],
        begin: Callable[[], None],
        reactor: IReactorTime,
    ) -> None:
        self.problems: dict[str, str] = {}
        self.waiting: tuple[str, ...] = ()
        self._target = target
        self._offers = offers
        self._with_routes = compose
        self._begin = begin
        self._reactor = reactor
        self._warming = warming(self._compose, self._lingers)
        self._lingering: dict[str, IDelayedCall] = {}
        self._blocked: dict[str, object] = {}
        self._others: Collection[str] = ()
        self._refused: InForce | None = None
        self._soon: IDelayedCall | None = None
        self._retry: IDelayedCall | None = None
        self._looking = False
        self._putting = False
        self._dirty = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits, and nothing is about to be put in force."""
        return self._soon is None and not self._looking and not self._putting and not self.waiting

    @property
    def names(self) -> tuple[set[str], set[str]]:
        """The names of listeners and of clusters that are in force."""
        return set(self._warming.listeners), set(self._warming.all_clusters)

    def settle_soon(self) -> None:
        """Look in the next turn at what may be put in force."""
        if self._soon is None:
            self._soon = self._reactor.callLater(0, self._settle)

    def stop(self) -> None:
        for timer in (self._soon, self._retry, *self._lingering.values()):
            if timer is not None and timer.active():
                timer.cancel()
        self._soon = None

    # -- a look

    def _settle(self) -> None:
        self._soon = None
        if self._putting:
            self._dirty = True
            return
        self._looking = True
        try:
            self._look()
        finally:
            self._looking = False

    def _look(self) -> None:
        self._begin()
        self.problems = {name: text for name, text in self.problems.items() if name in self._blocked}
        offers, others = self._offers, self._target.others()
        looked, offers.touched = offers.touched, {}
        is_same, self._others = others is self._others, others
        found = self._warming.next(self._clusters(), offers.listeners, others, looked if is_same else None)
        self.waiting = found.waiting
        self._linger(found)
        if not found:
            return
        if self._refused is not None and found.changes_as(self._refused):
            self._touch(found)
            return
        self._putting = True
        listeners_now, clusters_now = list(found.listeners.values()), list(found.clusters.values())
        put = self._target.slices.run(partial(self._target.put, listeners_now, clusters_now))
        put.addCallback(self._put, found)
        put.addErrback(self._not_put, found)

    def _clusters(self) -> Mapping[str, ClusterOffer]:
        """
        Return what is offered. Of a cluster that was refused it is the version before; a new one without endpoints
        where there is none.
        """
        offered = self._offers.clusters
        blocked = [name for name, one in self._blocked.items() if name in offered and offered[name].section is one]
        if not blocked:
            return offered
        known = self._warming.clusters
        before = {name: ClusterOffer(known.get(name) or model.Cluster(name=name)) for name in blocked}
        return {**offered, **before}

    def _touch(self, found: InForce) -> None:
        """Look at these again: they are not in force."""
        self._offers.touched.update(dict.fromkeys((*found.changed_listeners, *found.changed_clusters)))

    def _compose(self, form: ListenerForm) -> model.Listener | None:
        """See `warming.Compose`."""
        name = form.section.name
        listener, problem = self._with_routes(form)
        if problem:
            self.problems[name] = problem
        if listener is not None and self._blocked.get(name) is listener:
            return None
        return listener

    # -- what became of it

    def _put(self, lines: list[str], found: InForce) -> None:
        self._putting = False
        if lines:
            self._refused = found
            self._touch(found)
            self._block(lines, found)
        else:
            self._refused = None
            self._warming.accept(found)
        if self._dirty or lines:
            self._dirty = False
            self.settle_soon()

    def _not_put(self, failure: Failure, found: InForce) -> None:
        log.failure("xds: could not be put in force", failure)
        self._put([f"{type(failure.value).__name__}: {failure.getErrorMessage()}"], found)

    def _block(self, lines: list[str], found: InForce) -> None:
        """Leave out the versions that are at fault: those that the lines name, or else all that are new."""
        named = {name for line in lines for name in _named(line)}
        changed = {**found.changed_clusters, **found.changed_listeners}
        new = {name: one for name, one in changed.items() if one is not None}
        blamed = {name: one for name, one in new.items() if name in named} or new
        for name, one in blamed.items():
            self._blocked[name] = one
            self.problems[name] = next((line for line in lines if name in _named(line)), "; ".join(lines[:3]))
        if self._retry is None or not self._retry.active():
            self._retry = self._reactor.callLater(RETRY, self._unblock)

    def _unblock(self) -> None:
        self._offers.touched.update(dict.fromkeys(self._blocked))
        self._blocked, self._refused = {}, None
        self.settle_soon()

    # -- clusters that are gone

    def _linger(self, found: InForce) -> None:
        for name in found.gone:
            if name not in self._lingering:
                self._lingering[name] = self._reactor.callLater(LINGER, self.settle_soon)
        offered = self._offers.clusters
        for name in [name for name in self._lingering if name in offered or name not in self._warming.clusters]:
            timer = self._lingering.pop(name)
            if timer.active():
                timer.cancel()

    def _lingers(self, name: str) -> bool:
        timer = self._lingering.get(name)
        return timer is None or timer.active()


_PLACE = re.compile(r"(?:listeners|clusters)\[(?:'((?:[^'\\]|\\.)*)'|\"([^\"]*)\")\]|\blistener (.+?): ")


def _named(line: str) -> list[str]:
    """Return the names of listeners and clusters that a line is about."""
    return [next(part for part in found.groups() if part is not None) for found in _PLACE.finditer(line)]
