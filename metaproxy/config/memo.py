"""
What sections were read from, so that those that come again as they were need not be read.

Lives here: `Memo`. Does not: reading (`values`).

A source whose server sends all it has at each change would otherwise pay for the whole at each change. What is kept of
the data is a digest: these are the data of whole meshes.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Mapping, Sequence
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


@dataclass(slots=True)
class Marks:
    """The digests of a section's data; see `_Kept`. rest and routes: of listeners with a list of routes."""

    whole: Digest | None
    rest: Digest | None = None
    routes: Sequence[Digest | None] = ()


class Memo:
    """Sections by kind and name, with what they were read from."""

    def __init__(self) -> None:
        self._kept: dict[tuple[type, str], _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def same(self, kind: type, data: object, whole: Digest | None) -> Listed | None:
        """The section that was read from equal data. whole: their digest."""
        kept = self._of(kind, data)
        return kept.section if kept is not None and kept.whole == whole else None

    def routes(self, data: object, marks: Marks) -> dict[int, model.Route]:
        """Place -> section of the routes of a listener's data that are as they were, all else of it being the same."""
        kept = self._of(model.Listener, data)
        if kept is None or kept.rest is None or kept.rest != marks.rest:
            return {}
        found = ((place, kept.routes.get(one or b"")) for place, one in enumerate(marks.routes))
        return {place: route for place, route in found if route is not None}

    def keep(self, marks: Marks, section: object) -> None:
        """A section was read from data with these marks, and is right."""
        if marks.whole is None or not isinstance(section, (model.Listener, model.Cluster)):
            return
        kept = _Kept(section, marks.whole)
        if isinstance(section, model.Listener) and marks.rest is not None and len(marks.routes) == len(section.routes):
            kept.rest = marks.rest
            pairs = zip(marks.routes, section.routes, strict=True)
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


def marks_of(kind: type, data: object, whole: Digest | None) -> Marks:
    """Return the digests of data. whole: that of all of them."""
    routes = data.get("routes") if isinstance(data, Mapping) and kind is model.Listener else None
    if not isinstance(data, Mapping) or not isinstance(routes, list) or whole is None:
        return Marks(whole)
    rest = digest({key: one for key, one in data.items() if key != "routes"})
    return Marks(whole, rest, [digest(one) for one in routes])
