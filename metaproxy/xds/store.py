"""
What was received of each resource, and how it stands: what is in use, what was refused and why.

Lives here: `Entry`, `Store` of one kind from one server. Does not: answering (`subscription`), what becomes of a
resource (`handler`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from metaproxy.xds.resource_types import ResourceType
from metaproxy.xds.update import Resource, Update


class Status(Enum):
    """How a resource stands, in the words and with the numbers of envoy.admin.v3.ClientResourceStatus."""

    REQUESTED = 1
    DOES_NOT_EXIST = 2
    ACKED = 3
    NACKED = 4
    TIMEOUT = 6


@dataclass(slots=True)
class Entry:
    """
    One resource. resource: what is in use, None for nothing; updated: when that came, Unix time; status: of what came
    last; refused, error, refused_at: what was refused last and why; skipped: why what is in use stays without effect.
    """

    resource: Resource | None = None
    updated: float = 0.0
    status: Status = Status.REQUESTED
    refused: Resource | None = None
    error: str = ""
    refused_at: float = 0.0
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What is new in an update: resources whose bytes differ from those in use, and names that are gone."""

    kind: ResourceType
    resources: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.resources or self.removed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What became of a change: resources that are refused, and those that are right but beyond this proxy; each with the
    reason.
    """

    refused: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


class Store:
    """
    The resources of one kind from one server. names: their names by their bytes; version: of the response that was
    accepted last; used: how many are in use.
    """

    def __init__(self, kind: ResourceType) -> None:
        self.kind = kind
        self.entries: dict[str, Entry] = {}
        self.names: dict[bytes, str] = {}
        self.used = 0

    def __iter__(self) -> Iterator[Resource]:
        """Yield the resources that are in use."""
        return (one.resource for one in self.entries.values() if one.resource is not None)

    def get(self, name: str) -> bytes | None:
        """Return the bytes of what is in use, None for nothing."""
        entry = self.entries.get(name)
        return entry.resource.value if entry is not None and entry.resource is not None else None

    def want(self, names: Collection[str]) -> list[str]:
        """Keep these names alone, of a kind that is asked for by name. Return those that were dropped."""
        dropped = self.entries.keys() - names
        for name in dropped:
            self._forget(name)
            del self.entries[name]
        for name in sorted(frozenset(names) - self.entries.keys()):
            self.entries[name] = Entry()
        return sorted(dropped)

    def difference(self, update: Update) -> Change:
        """
        Return what is new in an update. Note its errors, and the errors of resources that were refused before with the
        same bytes. Nothing is removed for being absent
        where something malformed has no name: that may be it.
        """
        changed = []
        for name, one in update.resources.items():
            entry = self.entries.get(name)
            if entry is not None and entry.refused is not None and entry.refused.value == one.value:
                update.errors[name] = entry.error
            elif entry is None or entry.resource is None or entry.resource.value != one.value:
                changed.append(one)
        removed = [name for name in update.removed if name in self.entries]
        if update.whole and not update.nameless:
            there = update.resources.keys() | update.errors.keys()
            removed += [name for name in self.entries if name not in there]
        return Change(self.kind, tuple(changed), tuple(removed))

    def accept(self, update: Update, change: Change, verdict: Verdict, now: float) -> None:
        """Note what became of an update; its errors then include what was refused."""
        update.errors |= verdict.refused
        changed = {one.name for one in change.resources}
        for name, one in update.resources.items():
            if name in update.errors:
                self._refuse(name, one, update.errors[name], now)
                continue
            entry = self.entries.setdefault(name, Entry())
            if name in changed:
                self._forget(name)
                entry.updated, entry.skipped = now, verdict.skipped.get(name, "")
                self.names[one.value] = name
            self.used += entry.resource is None
            entry.resource, entry.status = one, Status.ACKED
            entry.refused, entry.error = None, ""
        for name, text in update.errors.items():
            if name not in update.resources and name in self.entries:
                self._refuse(name, None, text, now)
        for name in change.removed:
            self._remove(name)

    def timed_out(self, name: str) -> None:
        """Note that a resource did not come in time."""
        entry = self.entries.get(name)
        if entry is not None and entry.resource is None and entry.refused is None:
            entry.status = Status.TIMEOUT

    def look_again(self) -> None:
        """Forget what was refused: a new stream sends it again, and it may be right now (as a plugin was added)."""
        for entry in self.entries.values():
            entry.refused = None

    def absent(self, names: Collection[str]) -> None:
        """Note which names a response did not have, of a kind that is asked for by name. What is in use stays."""
        for name in names:
            entry = self.entries.get(name)
            if entry is not None and entry.resource is None and entry.refused is None:
                entry.status = Status.DOES_NOT_EXIST

    def _refuse(self, name: str, one: Resource | None, text: str, now: float) -> None:
        entry = self.entries.setdefault(name, Entry())
        entry.status, entry.refused, entry.error, entry.refused_at = Status.NACKED, one, text, now

    def _remove(self, name: str) -> None:
        """Of a kind with a wildcard the resource goes; else what is in use stays, as whatever needs it is there."""
        if self.kind.wildcard:
            self._forget(name)
            del self.entries[name]
        else:
            self.entries[name].status = Status.DOES_NOT_EXIST

    def _forget(self, name: str) -> None:
        """What was in use of it is not any more."""
        entry = self.entries[name]
        if entry.resource is not None:
            self.names.pop(entry.resource.value, None)
            entry.resource = None
            self.used -= 1
