"""
Which sections of one list are other objects than in the list before: what a change of a configuration touches.

Lives here: `delta`, and `changes`, of both lists. Does not: differences that are shown to people (`difference`), which
go by what sections hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Generic, NamedTuple, Protocol, TypeVar

from metaproxy.config import model


class Named(Protocol):
    """A section with a name that no other one of its list has."""

    @property
    def name(self) -> str: ...


S = TypeVar("S", bound=Named)


class Delta(NamedTuple, Generic[S]):
    """
    changed: sections that are new or other objects than before, in their order; gone: names that are not there any
    more; reordered: whether sections that were there before come in another order; appended: whether what is new stands
    at the end.
    """

    changed: list[S]
    gone: list[str]
    reordered: bool
    appended: bool


class Changes(NamedTuple):
    """Of both lists of a configuration."""

    listeners: Delta[model.Listener]
    clusters: Delta[model.Cluster]


def changes(before: model.Config, now: model.Config) -> Changes:
    """Return what differs by identity."""
    return Changes(delta(before.listeners, now.listeners), delta(before.clusters, now.clusters))


def delta(before: Sequence[S], now: Sequence[S]) -> Delta[S]:
    """
    Return what differs by identity. Names are unique in each list. What both begin and end with costs next to nothing.
    """
    if before is now:
        return Delta([], [], False, True)
    start = _same(before, now, min(len(before), len(now)))
    end = _same(before[::-1], now[::-1], min(len(before), len(now)) - start)
    old, new = before[start : len(before) - end], now[start : len(now) - end]
    known = {section.name: section for section in old}
    names = {section.name for section in new}
    changed = [section for section in new if known.get(section.name) is not section]
    gone = [name for name in known if name not in names]
    kept = [section.name for section in new if section.name in known]
    reordered = kept != [name for name in known if name in names]
    added = [section.name not in known for section in new]
    appended = not reordered and added == sorted(added) and (not end or not any(added))
    return Delta(changed, gone, reordered, appended)


def _same(before: Sequence[S], now: Sequence[S], most: int) -> int:
    """How many sections both begin with, `most` at most."""
    found = bytes(map(is_, before[:most], now[:most])).find(0)
    return most if found < 0 else found
