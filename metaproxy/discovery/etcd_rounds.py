"""
The keys of etcd below a prefix, kept in step: read once, then watched from that revision.

Lives here: `KeyRounds`: when they are read and watched, and from which revision. Does not: the API (`etcd_api`), what
is kept of the keys (`etcd_keys`, `control.sources.etcd`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.discovery.etcd_api import Api, Event, Forgotten, Page, Value
from metaproxy.discovery.http_registry import RegistryError, Rounds

LIFE = 60.0
"""Seconds of one watch: a server that is gone without a word is found at its end."""
PAUSE = 0.5
"""Seconds until all is read again when etcd has forgotten the revision."""
GATHER = 0.05
"""Seconds in which changes are gathered before they are reported: a transaction, and writes that follow each other."""


class Keeper(Protocol):
    """What keeps the keys. Each method may raise RegistryError where there is no more room: all is read again."""

    def begin(self) -> None:
        """All keys are going to be read. What was known holds until they are."""

    def add(self, values: Sequence[Value]) -> None:
        """Some of them."""

    def complete(self) -> None:
        """Those are all there are."""

    def change(self, values: Sequence[tuple[str, bytes | None]]) -> None:
        """Changes since, in their order; None for a key that is gone."""

    def failed(self, text: str) -> None:
        """etcd is not there, or gave what it must not."""


class KeyRounds:
    """All keys that begin with the prefix, for one keeper."""

    def __init__(self, clock: IReactorTime, api: Api, prefix: str, keeper: Keeper) -> None:
        self._api = api
        self._prefix = prefix
        self._keeper = keeper
        self._revision = 0  # of what the keeper knows; 0: all is to be read
        self._rounds = Rounds(clock, self._round, self._failed)

    def start(self) -> None:
        self._rounds.start()

    def stop(self) -> None:
        self._rounds.stop()
        self._api.close()

    def _failed(self, text: str) -> None:
        self._revision = 0  # it may come back as another one, or as it was yesterday
        self._keeper.failed(text)

    def _round(self) -> Deferred[float]:
        if self._revision:
            return self._watch()
        self._keeper.begin()
        return self._read("", 0)

    def _read(self, after: str, revision: int) -> Deferred[float]:
        def taken(page: Page) -> Deferred[float]:
            self._keeper.add(page.values)
            if page.rest and page.values:
                return self._read(page.values[-1][0], revision or page.revision)
            self._revision = revision or page.revision
            self._keeper.complete()
            return succeed(0.0)

        return self._api.range(self._prefix, after, revision).addCallback(taken)

    def _watch(self) -> Deferred[float]:
        watched = self._api.watch(self._prefix, self._revision + 1, LIFE, self._take)

        def ended(is_over: bool) -> float:
            if not is_over:
                raise RegistryError("etcd: the watch has ended before its time")
            return 0.0

        def forgotten(why: Failure) -> float:
            why.trap(Forgotten)
            self._revision = 0
            return PAUSE

        return watched.addCallbacks(ended, forgotten)

    def _take(self, event: Event) -> None:
        """Take changes. Raises Forgotten for an etcd that is behind what it had: its data are others."""
        if event.store < self._revision:
            raise Forgotten("etcd: an older revision than before")
        if event.values:
            self._keeper.change(event.values)
        self._revision = max(self._revision, event.revision)
