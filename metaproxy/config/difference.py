"""
The difference of two configurations, by name: listeners, clusters and other sections.

Lives here: `diff`. Does not: how it is shown (`admin`, `cli`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

from metaproxy.config.model import Cluster, Config, Listener


class Changes(NamedTuple):
    """Names, each list sorted."""

    added: list[str]
    changed: list[str]
    removed: list[str]


class Difference(NamedTuple):
    """sections: the other top-level keys that differ, such as 'admin'."""

    listeners: Changes
    clusters: Changes
    sections: list[str]


def diff(old: Config, new: Config) -> Difference:
    """What applying `new` in the place of `old` would change."""
    listed = ("listeners", "clusters", "source", "warnings")
    others = [one.name for one in fields(Config) if one.name not in listed]
    return Difference(
        _changes(old.listeners, new.listeners),
        _changes(old.clusters, new.clusters),
        [name for name in others if getattr(old, name) != getattr(new, name)],
    )


def _changes(old: Sequence[Listener | Cluster], new: Sequence[Listener | Cluster]) -> Changes:
    before, after = {one.name: one for one in old}, {one.name: one for one in new}
    return Changes(
        sorted(after.keys() - before.keys()),
        sorted(name for name in after.keys() & before.keys() if after[name] != before[name]),
        sorted(before.keys() - after.keys()),
    )
