"""
Which names are asked for, and how long each is waited for.

Lives here: `Interest`. Does not: asking (`server`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.xds.translate import Need


class Interest:
    """
    The resources that something needs now. timeout(server): seconds that one is waited for, 0 for no limit; expire: is
    called with one that did not come in that time.
    """

    def __init__(self, clock: IReactorTime, timeout: Callable[[str], float], expire: Callable[[Need], None]) -> None:
        self._clock = clock
        self._timeout = timeout
        self._expire = expire
        self._waiting: dict[Need, IDelayedCall | None] = {}
        self.expired: set[Need] = set()
        self.needs: frozenset[Need] = frozenset()

    def set(self, needs: Iterable[Need]) -> bool:
        """Take these in the place of those before. Return whether they differ."""
        now = frozenset(needs)
        if now == self.needs:
            return False
        for need in self.needs - now:
            self._forget(need)
            self.expired.discard(need)
        for need in now - self.needs:
            seconds = self._timeout(need.server)
            self._waiting[need] = self._clock.callLater(seconds, self._late, need) if seconds else None
        self.needs = now
        return True

    def came(self, need: Need) -> None:
        """Wait for it no longer."""
        self._forget(need)
        self.expired.discard(need)

    def names(self, server: str, kind: str) -> list[str]:
        """Return the names of a kind that a server is asked for."""
        return sorted(need.name for need in self.needs if need.server == server and need.kind == kind)

    def stop(self) -> None:
        """Wait for nothing."""
        self.set(())

    def _late(self, need: Need) -> None:
        self._waiting.pop(need, None)
        self.expired.add(need)
        self._expire(need)

    def _forget(self, need: Need) -> None:
        timer = self._waiting.pop(need, None)
        if timer is not None and timer.active():
            timer.cancel()
