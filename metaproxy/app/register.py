"""
The names, addresses and files of the sections in force, kept from change to change.

Lives here: `Register`. Does not: saying what is wrong (`parts`, `config.value_check`): it says whether a change can be,
so that these look at all sections only then.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from metaproxy.app.sources import file_stamp
from metaproxy.config import model, references
from metaproxy.config.delta import Changes, Delta
from metaproxy.support import addresses as address

Section = model.Listener | model.Cluster
Key = tuple[object, ...]


class Register:
    """Of the configuration in force. clusters: their names."""

    def __init__(self) -> None:
        self.clusters: set[str] = set()
        self._listeners: dict[str, model.Listener] = {}
        self._sections: dict[tuple[type, str], Section] = {}  # those with certificates in files
        self._owners: dict[Key, str] = {}  # address -> listener
        self._uses: Counter[Path] = Counter()

    def may_clash(self, before: model.Config, now: model.Config, changes: Changes) -> bool:
        """Whether two sections of a configuration may have one name, none, or one address. before: the one in force."""
        listeners, clusters = changes.listeners, changes.clusters
        if _has_two(len(before.listeners), len(now.listeners), listeners, self._listeners):
            return True
        if _has_two(len(before.clusters), len(now.clusters), clusters, self.clusters):
            return True
        replaced = {*listeners.gone, *(one.name for one in listeners.changed)}
        seen: set[Key] = set()
        for key in (key for one in listeners.changed for key in _keys(one)):
            if key in seen or self._owners.get(key, "") not in ("", *replaced):
                return True
            seen.add(key)
        return False

    def known_clusters(self, changes: Changes) -> Known:
        """Return the names of the clusters after a change."""
        return Known(self.clusters, changes.clusters)

    def stamps_of(self, config: model.Config, changes: Changes, known: Mapping[Path, object]) -> dict[Path, object]:
        """As `sources.stamps_of`, of a configuration after a change."""
        found = {*references.files_beside(config), *self._uses_after(changes)}
        return {path: known[path] if path in known else file_stamp(str(path)) for path in found}

    def commit(self, changes: Changes) -> None:
        """The change is in force."""
        self._uses = self._uses_after(changes)
        for section, delta in _each(changes):
            for name in (*delta.gone, *(one.name for one in delta.changed)):
                self._sections.pop((section, name), None)
            self._sections.update({(section, one.name): one for one in delta.changed if one.tls is not None})
        listeners = changes.listeners
        for name in (*listeners.gone, *(one.name for one in listeners.changed)):
            for key in _keys(self._listeners.pop(name, None)):
                if self._owners.get(key) == name:
                    del self._owners[key]
        for listener in listeners.changed:
            self._listeners[listener.name] = listener
            self._owners.update(dict.fromkeys(_keys(listener), listener.name))
        self.clusters.difference_update(changes.clusters.gone)
        self.clusters.update(one.name for one in changes.clusters.changed)

    def _uses_after(self, changes: Changes) -> Counter[Path]:
        """Return how many sections use each file after a change."""
        uses = self._uses.copy()
        for section, delta in _each(changes):
            for name in (*delta.gone, *(one.name for one in delta.changed)):
                before = self._sections.get((section, name))
                uses.subtract(references.tls_files(before) if before is not None else ())
            for one in delta.changed:
                uses.update(references.tls_files(one))
        return +uses


class Known:
    """Names after a change, looked up in those before it."""

    def __init__(self, before: set[str], changes: Delta[model.Cluster]) -> None:
        self._before = before
        self._gone = set(changes.gone)
        self._come = {one.name for one in changes.changed}

    def __contains__(self, name: object) -> bool:
        return name in self._come or (name in self._before and name not in self._gone)

    def __iter__(self) -> Iterator[str]:
        return iter((self._before - self._gone) | self._come)

    def __len__(self) -> int:
        return len((self._before - self._gone) | self._come)


def _each(changes: Changes) -> Iterable[tuple[type, Delta[model.Listener] | Delta[model.Cluster]]]:
    return (model.Listener, changes.listeners), (model.Cluster, changes.clusters)


def _has_two(
    before: int,
    now: int,
    changes: Delta[model.Listener] | Delta[model.Cluster],
    names: Iterable[str] | Mapping[str, object] | set[str],
) -> bool:
    """Whether a name is there twice, or empty. before, now: how many sections there are."""
    changed = {one.name for one in changes.changed}
    return "" in changed or now != before - len(changes.gone) + sum(name not in names for name in changed)


def _keys(listener: model.Listener | None) -> list[Key]:
    """Return what no other listener may have; a free port is always another."""
    parsed = [address.parse(text) for text in listener.listen] if listener is not None else []
    return [(one.family, one.host, one.port) for one in parsed if one.port or one.family == socket.AF_UNIX]
