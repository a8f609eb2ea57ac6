"""
The listeners and clusters that the servers have now, by name.

Lives here: `Offers`, kept up to date resource by resource, and what it offers of each name. Does not: which version
counts (`warming`), what a resource becomes (`translate`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from metaproxy.config import model
from metaproxy.xds.translate import PARTS, Built, ListenerForm, Need

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ClusterOffer:
    """A cluster as its server has it now."""

    section: model.Cluster
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, slots=True)
class ListenerOffer:
    """A listener as its server has it now. server: whose it is, '' for the file's."""

    form: ListenerForm
    needs: tuple[Need, ...] = ()
    server: str = ""


class _ByName(Generic[T]):
    """first: of each name what the file says, or else the first resource that has it; the others wait."""

    def __init__(self) -> None:
        self.first: dict[str, T] = {}
        self._all: dict[str, dict[Need, T]] = {}

    def replace(self, need: Need, before: Iterable[str], now: Mapping[str, T]) -> None:
        """A resource has these in the place of those before."""
        for name in before:
            if name not in now:
                del self._all[name][need]
                self._choose(name)
        for name, one in now.items():
            self._all.setdefault(name, {})[need] = one
            self._choose(name)

    def _choose(self, name: str) -> None:
        found = self._all[name]
        if found:
            need = next((need for need in found if not need.server), next(iter(found)))
            self.first[name] = found[need]
        else:
            del self._all[name], self.first[name]


class Offers:
    """touched: names of listeners and clusters that are offered otherwise since it was emptied last."""

    def __init__(self) -> None:
        self.touched: dict[str, None] = {}
        self._clusters: _ByName[ClusterOffer] = _ByName()
        self._listeners: _ByName[ListenerOffer] = _ByName()
        self._static: dict[str, ListenerForm] = {}
        self._waiting: dict[Need, dict[str, None]] = {}  # routes -> the listeners that wait for them

    @property
    def clusters(self) -> Mapping[str, ClusterOffer]:
        return self._clusters.first

    @property
    def listeners(self) -> Mapping[str, ListenerOffer]:
        return self._listeners.first

    def replace(self, need: Need, before: Built | None, now: Built | None) -> None:
        """A resource has become this."""
        clusters = (
            {one.name: ClusterOffer(one, _of(now, "endpoints", "secrets")) for one in now.clusters} if now else {}
        )
        listeners = (
            {one.section.name: ListenerOffer(one, _of(now, *PARTS), need.server) for one in now.listeners}
            if now
            else {}
        )
        self._clusters.replace(need, [one.name for one in before.clusters] if before else (), clusters)
        self._replace(need, before.listeners if before else (), listeners)
        self.touched.update(dict.fromkeys((*_names(before), *_names(now))))

    def set_static(self, forms: Mapping[str, ListenerForm]) -> None:
        """The file has these listeners that wait for routes."""
        for name in {**self._static, **forms}:
            old, new = self._static.get(name), forms.get(name)
            now = {name: ListenerOffer(new)} if new is not None else {}
            self._replace(Need("", "file", name), [old] if old is not None else [], now)
            self.touched[name] = None
        self._static = dict(forms)

    def waiting_for(self, routes: Need) -> Iterator[ListenerForm]:
        """Yield the listeners that routes are for."""
        for name in self._waiting.get(routes, ()):
            yield self.listeners[name].form

    def routes_changed(self, routes: Need) -> None:
        """There are other routes for the listeners that wait for them."""
        self.touched.update(self._waiting.get(routes, {}))

    def _replace(self, need: Need, before: Iterable[ListenerForm], now: Mapping[str, ListenerOffer]) -> None:
        names = [one.section.name for one in before]
        touched = dict.fromkeys((*names, *now))
        for name in touched:
            self._wait(name, False)
        self._listeners.replace(need, names, now)
        for name in touched:
            self._wait(name, True)

    def _wait(self, name: str, waits: bool) -> None:
        """Note for which routes the offer of a name waits, or forget that."""
        offer = self.listeners.get(name)
        routes = offer.form.rds if offer is not None else None
        if routes is None:
            return
        if waits:
            self._waiting.setdefault(routes, {})[name] = None
        else:
            del self._waiting[routes][name]
            if not self._waiting[routes]:
                del self._waiting[routes]


def _names(built: Built | None) -> Iterator[str]:
    if built is not None:
        yield from (one.name for one in built.clusters)
        yield from (one.section.name for one in built.listeners)


def _of(built: Built, *kinds: str) -> tuple[Need, ...]:
    return tuple(need for need in built.needs if need.kind in kinds and need not in built.hurried)
