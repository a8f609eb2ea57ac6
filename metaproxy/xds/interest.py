"""
Which names are asked for, and how long each is waited for.

Lives here: `Interest`. Does not: asking (`server`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.xds.translate import Need


class Interest:
    """
    The resources that something needs now. timeout(server): seconds that one is waited for, 0 for no limit; expire: is
    called with one that did not come in that time. needs: as of the last `settle`.
    """

    def __init__(self, clock: IReactorTime, timeout: Callable[[str], float], expire: Callable[[Need], None]) -> None:
        self._clock = clock
        self._timeout = timeout
        self._expire = expire
        self._waiting: dict[Need, IDelayedCall | None] = {}
        self._users: Counter[Need] = Counter()
        self._moved: dict[Need, None] = {}  # needs with more or fewer users since the last `settle`
        self._names: dict[tuple[str, str], set[str]] = {}
        self.expired: set[Need] = set()
        self.needs: set[Need] = set()

    def add(self, need: Need) -> None:
        """One more thing needs it."""
        self._users[need] += 1
        self._moved[need] = None

    def remove(self, need: Need) -> None:
        """One thing less needs it."""
        self._users[need] -= 1
        if not self._users[need]:
            del self._users[need]
        self._moved[need] = None

    def settle(self) -> tuple[list[Need], list[Need]]:
        """Wait for what is needed, and for nothing else. Return what is needed since the last call, and no longer."""
        moved, self._moved = self._moved, {}
        come = [need for need in moved if need in self._users and need not in self.needs]
        gone = [need for need in moved if need not in self._users and need in self.needs]
        for need in gone:
            self._forget(need)
            self.expired.discard(need)
            self._names[need.server, need.kind].discard(need.name)
        for need in come:
            seconds = self._timeout(need.server)
            self._waiting[need] = self._clock.callLater(seconds, self._late, need) if seconds else None
            self._names.setdefault((need.server, need.kind), set()).add(need.name)
        self.needs.update(come)
        self.needs.difference_update(gone)
        return come, gone

    def came(self, need: Need) -> None:
        """Wait for it no longer."""
        self._forget(need)
        self.expired.discard(need)

    def names(self, server: str, kind: str) -> Set[str]:
        """Return the names of a kind that a server is asked for."""
        return self._names.get((server, kind), set())

    def stop(self) -> None:
        """Wait for nothing."""
        for need in list(self._waiting):
            self._forget(need)

    def _late(self, need: Need) -> None:
        self._waiting.pop(need, None)
        self.expired.add(need)
        self._expire(need)

    def _forget(self, need: Need) -> None:
        timer = self._waiting.pop(need, None)
        if timer is not None and timer.active():
            timer.cancel()
