"""
Listeners and clusters that other sources than the file contribute, such as xDS servers.

Lives here: `Part`; `together`, the configuration that the base and all parts make; `clashes`, `owned`. Does not:
putting it in force (`application`), checking it otherwise (`config.value_check`).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from metaproxy.config import model
from metaproxy.config.schema.nodes import Problem
from metaproxy.support import addresses as address

CRDS = "crds"
"""What the source of objects of Kubernetes is called."""


@dataclass(frozen=True, slots=True)
class Part:
    """
    What one source contributes. Its sections are made by `config.values.read_section`, which checks each by itself; one
    that has not changed is best the same object as before. warnings: what is odd in them.
    """

    listeners: Sequence[model.Listener] = ()
    clusters: Sequence[model.Cluster] = ()
    warnings: Sequence[Problem] = ()


def together(base: model.Config, parts: Mapping[str, Part]) -> model.Config:
    """
    Return the configuration that a base and parts make. A listener of a part takes the place of one of the base that
    has its name and waits for routes of an xDS server; a cluster that of one that has a name alone.
    """
    if not parts:
        return base
    waiting = {one.name for one in base.listeners if isinstance(one.routes, model.Rds)}
    given: dict[str, model.Listener] = {}
    if waiting:
        given = {one.name: one for part in parts.values() for one in part.listeners if one.name in waiting}
    listeners = [given.get(one.name, one) for one in base.listeners]
    clusters = list(base.clusters)
    if any(map(_is_named_only, clusters)):
        named = {one.name for part in parts.values() for one in part.clusters}
        clusters = [one for one in clusters if one.name not in named or not _is_named_only(one)]
    for part in parts.values():
        listeners += [one for one in part.listeners if one.name not in given] if given else part.listeners
        clusters += part.clusters
    return replace(base, listeners=tuple(listeners), clusters=tuple(clusters))


def has_replaced(base: model.Config) -> bool:
    """Whether the base has sections that others may take the place of."""
    return any(isinstance(one.routes, model.Rds) for one in base.listeners) or any(map(_is_named_only, base.clusters))


def _is_named_only(cluster: model.Cluster) -> bool:
    """Whether a cluster stands there for one that another source is to give."""
    return not cluster.endpoints and cluster.discovery is None and not cluster.fallback


def clashes(base: model.Config, parts: Mapping[str, Part]) -> list[str]:
    """
    Return a line for each name that two sources have, `clusters['x']: there is one already, of the file ...`, and for
    each address at which two listeners would listen.
    """
    listeners: dict[str, Sequence[model.Listener]] = {
        base.source: [one for one in base.listeners if not isinstance(one.routes, model.Rds)],
        **{name: part.listeners for name, part in parts.items()},
    }
    clusters = {
        base.source: [one for one in base.clusters if not _is_named_only(one)],
        **{name: part.clusters for name, part in parts.items()},
    }
    return [*_clashes("listeners", listeners), *_clashes("clusters", clusters)] or [*_taken(listeners)]


def owned(lines: Sequence[str], source: str, base: model.Config, parts: Mapping[str, Part]) -> list[str]:
    """Return lines of what is wrong with what a source wants, each with the source of the section that it is about."""
    found = []
    for line in lines:
        place = _PLACE.match(line)
        owner = _owner(place[1], place[3], base, parts) if place is not None else source
        named = place is None or owner in (source, "") or f"]: of {source}; " in line
        found.append(f"{source}: {line}" + ("" if named or place is None else f"; {place[0]} is of {owner}"))
    return found


_PLACE = re.compile(r"(listeners|clusters)\[(['\"])((?:[^'\"\\]|\\.)*)\2\]")


def _owner(section: str, name: str, base: model.Config, parts: Mapping[str, Part]) -> str:
    """Return the source of a section, '' where none has one of this name."""
    for source, part in {base.source: Part(base.listeners, base.clusters), **parts}.items():
        if any(repr(one.name)[1:-1] == name for one in (part.listeners if section == "listeners" else part.clusters)):
            return source
    return ""


def _taken(by_source: Mapping[str, Sequence[model.Listener]]) -> Iterator[str]:
    """Return a line for each address that is another listener's already."""
    listens = tuple(address for items in by_source.values() for one in items for address in one.listen)
    again = _again(listens)
    if not again:
        return
    whose = [(source, one) for source, items in by_source.items() for one in items for _ in one.listen]
    for place, first in again:
        (source, one), (other, before) = whose[place], whose[first]
        text = f"{listens[place]} is taken already, by {before.name!r} of {other}; give one of both another address"
        yield f"listeners[{one.name!r}]: of {source}; {text}"


@lru_cache(maxsize=4)
def _again(listens: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return the places of addresses that are there before, each with that place; a free port is always another."""
    seen: dict[tuple[object, ...], int] = {}
    found = []
    for place, text in enumerate(listens):
        where = address.parse(text)
        if where.port or where.family == socket.AF_UNIX:
            first = seen.setdefault((where.family, where.host, where.port), place)
            if first != place:
                found.append((place, first))
    return found


def _clashes(section: str, by_source: Mapping[str, Sequence[model.Listener | model.Cluster]]) -> Iterator[str]:
    names = set().union(*({one.name for one in items} for items in by_source.values()))
    if len(names) == sum(map(len, by_source.values())):
        return
    owner: dict[str, str] = {}
    for source, items in by_source.items():
        for one in items:
            first = owner.setdefault(one.name, source)
            if first != source:
                yield f"{section}[{one.name!r}]: of {source}; {first} has one of this name, too; rename one"
