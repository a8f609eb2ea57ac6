"""
Holding a cluster's requests while something is done to it: its endpoints are replaced, its servers restarted.

Lives here: `Pause`. Does not: the decision to hold and to go on (`service`, by the admin API).
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.roles import WaitingExchange
from metaproxy.message import ErrorKind

LOOK_EVERY = 1.0
"""Seconds between looks for exchanges that ended while they waited: a full queue would else be walked each time."""


class Pause:
    """
    A bounded queue of exchanges. Each keeps its own deadline while it waits. most: how many may wait; more are refused
    with OVERLOAD. longest: seconds that the one waited that waited longest, of those released. elsewhere: how many wait
    in worker processes, where this is a supervisor's.
    """

    def __init__(self, clock: IReactorTime, most: int) -> None:
        self.most = most
        self.since = clock.seconds()
        self.longest = 0.0
        self.refused = 0
        self.elsewhere = 0
        self._clock = clock
        self._waiting: dict[WaitingExchange[Cluster], float] = {}
        self._looked = float("-inf")

    def take(self, exchange: WaitingExchange[Cluster]) -> None:
        now = self._clock.seconds()
        if len(self._waiting) >= self.most and now - self._looked >= LOOK_EVERY:
            self._looked = now
            self._waiting = {one: since for one, since in self._waiting.items() if not one.outcome}
        if len(self._waiting) >= self.most:
            self.refused += 1
            exchange.failed(None, ErrorKind.OVERLOAD, "the cluster is paused, and too many requests wait for it")
            return
        self._waiting[exchange] = now

    def __len__(self) -> int:
        """Exchanges that wait."""
        return sum(not one.outcome for one in self._waiting) + self.elsewhere

    def follow(self, before: Pause) -> None:
        """What waits in another pause of the cluster waits in this one, which takes its place."""
        self._waiting, before._waiting = before._waiting, {}
        self.elsewhere = before.elsewhere

    def release(self, cluster: Cluster | None) -> int:
        """
        Has all of them go on, in the order in which they came; how many. cluster: what has the name now, not held any
        more; None when nothing has.
        """
        waiting, self._waiting = self._waiting, {}
        now = self._clock.seconds()
        released = 0
        for exchange, since in waiting.items():
            if not exchange.outcome:
                self.longest = max(self.longest, now - since)
                released += 1
                try:
                    exchange.released(cluster)
                except BaseException:  # those behind it go on
                    exchange.broke(Failure())
        return released
