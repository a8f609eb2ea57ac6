"""
The records of all listeners, or of all clusters, from one build to the next.

Lives here: `Records`, `FilterUses`. Does not: making a record (`build_listener`, `build_cluster`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Generic, Protocol, TypeVar, overload

from metaproxy.config import model
from metaproxy.config.build_listener import ListenerRecord
from metaproxy.config.delta import Delta, delta
from metaproxy.config.slices import checkpoint
from metaproxy.proxy.snapshot import FilterUse

S = TypeVar("S", model.Listener, model.Cluster)
S_co = TypeVar("S_co", covariant=True)
B = TypeVar("B")
T = TypeVar("T")


class Record(Protocol[S_co]):
    """What is kept of a section."""

    @property
    def spec(self) -> S_co: ...

    @property
    def stamps(self) -> Mapping[Path, object] | None: ...


R = TypeVar("R", bound="Record[model.Listener | model.Cluster]")


class Book(Generic[S, R, B]):
    """
    The records in force, by name. specs: the sections that they are of; built: what runs; with_files: the names of
    those with certificates in files. built_of: gives what runs of a record, None if nothing does.
    """

    def __init__(self, built_of: Callable[[R], B | None]) -> None:
        self.specs: Sequence[S] = ()
        self.records: dict[str, R] = {}
        self.built: dict[str, B] = {}
        self.with_files: set[str] = set()
        self.built_of = built_of


class Records(Generic[S, R, B]):
    """
    The records of a build. book: those in force; made: those that the build makes, by name; changes: which sections of
    `specs`, all of the configuration, are others than in force.
    """

    def __init__(self, book: Book[S, R, B], specs: Sequence[S], changes: Delta[S] | None = None) -> None:
        self.book: Book[S, R, B] = book
        self.made: dict[str, R] = {}
        self.changes: Delta[S] = changes if changes is not None else delta(book.specs, specs)
        self._specs: Sequence[S] = specs

    def before(self, name: str) -> R | None:
        """The one in force."""
        return self.book.records.get(name)

    def with_files(self) -> list[R]:
        """Those in force with certificates in files, which may have changed."""
        return [self.book.records[name] for name in self.book.with_files]

    def to_build(self, fresh: bool, touched: Collection[str]) -> Iterator[S]:
        """Yield the sections that are to be built: all if `fresh`, else those that changed and those `touched`."""
        if fresh:
            yield from self._specs
            return
        yield from self.changes.changed
        if touched:
            changed = {section.name for section in self.changes.changed}
            yield from (one for one in self._specs if one.name in touched and one.name not in changed)

    @cached_property
    def all(self) -> dict[str, R]:
        """Those of the configuration, in its order. Once `made` is complete."""
        return self._ordered({**self.book.records, **self.made}, self.changes.appended)

    @cached_property
    def built(self) -> dict[str, B]:
        """What runs, in the same order."""
        found = dict(self.book.built)
        for name, record in self.made.items():
            built = self.book.built_of(record)
            if built is not None:
                found[name] = built
            else:
                found.pop(name, None)
        known = self.book.records
        begins = any(name in known and name not in self.book.built for name in found.keys() & self.made.keys())
        return self._ordered(found, self.changes.appended and not begins)

    def _ordered(self, found: dict[str, T], in_order: bool) -> dict[str, T]:
        for name in self.changes.gone:
            found.pop(name, None)
        if in_order:
            return found
        return {section.name: found[section.name] for section in self._specs if section.name in found}

    def replaced(self) -> list[R]:
        """Those in force that will be so no more."""
        records = self.book.records
        return [records[name] for name in (*self.changes.gone, *self.made) if name in records]

    def commit(self) -> None:
        """They are in force. Those that they replace are freed in slices: ten listeners of 1,000 routes take 20 ms."""
        book: Book[S, R, B] = self.book
        before: list[object] = [*self.replaced()]
        before += [book.built[name] for name in (*self.changes.gone, *self.made) if name in book.built]
        book.specs, book.records, book.built = self._specs, self.all, self.built
        book.with_files.difference_update(self.changes.gone, self.made)
        book.with_files.update(name for name, record in self.made.items() if record.spec.tls is not None)
        self.made = {}
        while before:
            checkpoint()
            before.pop()


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
