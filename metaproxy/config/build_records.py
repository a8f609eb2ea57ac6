"""
The records of all listeners, or of all clusters, from one build to the next.

Lives here: `Records`, `FilterUses`. Does not: making a record (`build_listener`, `build_cluster`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Generic, Protocol, TypeVar, overload

from metaproxy.config import model
from metaproxy.config.build_listener import ListenerRecord
from metaproxy.config.delta import Delta, delta
from metaproxy.proxy.snapshot import FilterUse

S = TypeVar("S", model.Listener, model.Cluster)
S_co = TypeVar("S_co", covariant=True)


class Record(Protocol[S_co]):
    """What is kept of a section."""

    @property
    def spec(self) -> S_co: ...

    @property
    def stamps(self) -> Mapping[Path, object] | None: ...


R = TypeVar("R", bound="Record[model.Listener | model.Cluster]")


class Records(Generic[S, R]):
    """
    before: by name, in force; made: those that this build makes; specs: all sections of the configuration, changes:
    which of them are others than in force. with_files: of `before`, those with certificates, if these may have changed.
    """

    def __init__(self, before: dict[str, R], in_force: Sequence[S], specs: Sequence[S]) -> None:
        self.before = before
        self.made: dict[str, R] = {}
        self.changes: Delta[S] = delta(in_force, specs)
        self._specs: Sequence[S] = specs

    @cached_property
    def with_files(self) -> dict[str, R]:
        return {name: record for name, record in self.before.items() if record.spec.tls is not None}

    def to_build(self, fresh: bool, touched: Collection[str]) -> Iterator[S]:
        """Yield the sections that are to be built: all if `fresh`, else those that changed and those `touched`."""
        if fresh:
            yield from self._specs
            return
        yield from self.changes.changed
        if touched:
            changed = {section.name for section in self.changes.changed}
            yield from (one for one in self._specs if one.name in touched and one.name not in changed)

    def all(self) -> dict[str, R]:
        """Those of the configuration, in its order. Once `made` is complete."""
        return self._all

    @cached_property
    def _all(self) -> dict[str, R]:
        found = dict(self.before)
        for name in self.changes.gone:
            del found[name]
        found.update(self.made)
        if not self.changes.appended:
            found = {section.name: found[section.name] for section in self._specs}
        return found

    def replaced(self) -> list[R]:
        """Those of `before` that are not in force any more."""
        names = (*self.changes.gone, *self.made)
        return [self.before[name] for name in names if name in self.before]

    def settle(self) -> dict[str, R]:
        """Return all, and forget what was in force before: a snapshot that is kept keeps no other one."""
        found = self._all
        self.before, self.made = {}, {}
        return found


class FilterUses(Sequence[FilterUse]):
    """The filters of all listeners, put together when somebody looks."""

    def __init__(self, listeners: Mapping[str, ListenerRecord]) -> None:
        self._listeners = listeners

    @cached_property
    def _all(self) -> list[FilterUse]:
        return [use for record in self._listeners.values() for use in record.filters]

    @overload
    def __getitem__(self, place: int) -> FilterUse: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[FilterUse]: ...

    def __getitem__(self, place: int | slice) -> FilterUse | Sequence[FilterUse]:
        return self._all[place]

    def __len__(self) -> int:
        return len(self._all)
