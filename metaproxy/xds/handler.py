"""
What becomes of the updates of one server: what is new is looked at, what is right is kept, and its user hears so.

Lives here: `ServerState`. Does not: answering (`session`), what a resource means (`source`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from metaproxy.xds.counts import ServerCounts
from metaproxy.xds.resource_types import ResourceType
from metaproxy.xds.store import Change, Store, Verdict
from metaproxy.xds.subscription import Response, Subscription
from metaproxy.xds.update import Update


class Sink(Protocol):
    """What uses the resources of a server."""

    def look(self, server: str, change: Change) -> Deferred[Verdict]:
        """Fire with what is wrong with the resources of a change; nothing of it is in use yet."""

    def use(self, server: str, change: Change) -> None:
        """A change, without what was refused, is in use now."""

    def answered(self, server: str) -> None:
        """A response was taken, be it without a change."""


class ServerState:
    """The resources of one server. counts: what metrics read; wall: the time of day."""

    def __init__(
        self,
        server: str,
        kinds: Sequence[ResourceType],
        sink: Sink,
        counts: ServerCounts,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.server = server
        self.counts = counts
        self.stores: dict[str, Store] = {one.name: Store(one) for one in kinds}
        self._sink = sink
        self._wall = wall

    def opened(self, kind: ResourceType) -> None:
        self.stores[kind.name].look_again()

    def read(self, subscription: Subscription, response: Response) -> Update:
        return subscription.read(response, self.stores[subscription.kind.name].names)

    def want(self, kind: ResourceType, names: Collection[str]) -> None:
        """Keep these names alone of a kind that is asked for by name."""
        self.stores[kind.name].want(names)

    def take(self, kind: ResourceType, update: Update) -> Deferred[list[str]]:
        """See `session.Handler`."""
        store = self.stores[kind.name]
        unwanted = [] if store.kind.wildcard else [name for name in update.resources if name not in store.entries]
        for name in unwanted:
            del update.resources[name]
        change = store.difference(update)
        looked = self._sink.look(self.server, change) if change.resources else succeed(Verdict())
        return looked.addCallback(self._keep, store, update, change)

    def _keep(self, verdict: Verdict, store: Store, update: Update, change: Change) -> list[str]:
        now = self._wall()
        if not store.kind.wildcard:  # names that are not wanted any more since it was looked at
            update.resources = {name: one for name, one in update.resources.items() if name in store.entries}
        store.accept(update, change, verdict, now)
        counts = self.counts.of(store.kind)
        counts.resources = store.used
        if not update.errors:
            counts.updated = now
        used = Change(
            change.kind,
            tuple(one for one in change.resources if one.name not in update.errors and one.name in update.resources),
            change.removed,
        )
        if used:
            self._sink.use(self.server, used)
        self._sink.answered(self.server)
        return [name for name in update.resources if name not in update.errors]
