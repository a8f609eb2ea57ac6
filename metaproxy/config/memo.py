"""
What sections were read from, so that those that come again as they were need not be read.

Lives here: `Memo`. Does not: reading (`values`).

A source whose server sends all it has at each change would otherwise pay for the whole at each change. What is kept of
the data is a digest: these are the data of whole meshes.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from metaproxy.config import model

Digest = bytes
Listed = model.Listener | model.Cluster
"""Sections of which a configuration has many."""


@dataclass(slots=True)
class _Kept:
    """
    whole: of all data of the section; rest: without the routes; routes: digest of a route's data -> its section, of
    those that look at nothing else of their listener when they are checked.
    """

    section: Listed
    whole: Digest
    rest: Digest | None = None
    routes: dict[Digest, model.Route] = field(default_factory=dict)


class Memo:
    """Sections by kind and name, with what they were read from."""

    def __init__(self) -> None:
        self._kept: dict[tuple[type, str], _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def same(self, kind: type, data: object) -> Listed | None:
        """The section that was read from equal data."""
        kept = self._of(kind, data)
        return kept.section if kept is not None and kept.whole == digest(data) else None

    def routes(self, data: object) -> dict[int, model.Route]:
        """Place -> section of the routes of a listener's data that are as they were, all else of it being the same."""
        kept = self._of(model.Listener, data)
        routes = _routes(data)
        if kept is None or routes is None or kept.rest is None or kept.rest != _rest(data):
            return {}
        found = ((place, kept.routes.get(digest(one) or b"")) for place, one in enumerate(routes))
        return {place: route for place, route in found if route is not None}

    def keep(self, data: object, section: object) -> None:
        """A section was read from data, and is right."""
        whole = digest(data)
        if whole is None or not isinstance(section, (model.Listener, model.Cluster)):
            return
        kept = _Kept(section, whole)
        routes = _routes(data)
        if isinstance(section, model.Listener) and routes is not None and len(routes) == len(section.routes):
            kept.rest = _rest(data)
            pairs = zip(map(digest, routes), section.routes, strict=True)
            kept.routes = {one: route for one, route in pairs if one is not None and _stands_alone(route)}
        self._kept[type(section), section.name] = kept

    def forget(self, but: Iterable[Listed]) -> None:
        """Forget all sections that are none of these."""
        names = {(type(section), section.name) for section in but}
        for gone in [key for key in self._kept if key not in names]:
            del self._kept[gone]

    def _of(self, kind: type, data: object) -> _Kept | None:
        name = data.get("name") if isinstance(data, Mapping) else None
        return self._kept.get((kind, name)) if isinstance(name, str) else None


def _stands_alone(route: model.Route) -> bool:
    """Whether no rule looks at what is within a route beside its listener, other routes and clusters."""
    within = (route.filters, route.request, route.response, route.rewrite, route.reply, route.mirror)
    return not any(within)


def digest(data: object) -> Digest | None:
    """What is equal for equal plain data alone; None for what is not quite plain, such as secrets."""
    if not isinstance(data, (dict, list, tuple, str, int, float, type(None))):
        return None
    try:
        return blake2b(marshal.dumps(data, 2), digest_size=16).digest()
    except ValueError:
        return None


def _routes(data: object) -> list[object] | None:
    routes = data.get("routes") if isinstance(data, Mapping) else None
    return routes if isinstance(routes, list) else None


def _rest(data: object) -> Digest | None:
    return digest({key: one for key, one in data.items() if key != "routes"}) if isinstance(data, Mapping) else None
