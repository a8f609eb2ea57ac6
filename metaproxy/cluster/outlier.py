"""
Finding endpoints that fail more than the others, by what their requests come to, and keeping away from them for a time.

Lives here: `OutlierDetector`, of a cluster, and `EndpointMonitor`, of an endpoint: when to eject, for how long. Does
not: what follows (`cluster`), active checks (`health`). Semantics: Envoy's outlier detection. A success costs nothing:
what it counted anyway is looked at when the next failure comes, or at the interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.roles import EndpointSet
from metaproxy.counts import Histogram


@dataclass(frozen=True, slots=True)
class Settings:
    """
    consecutive_errors, consecutive_local: failures in a row, 0 for never; success_rate: standard deviations below the
    mean of all, 0 for never; failure_percent: 0 for never; latency: seconds of the 99th percentile, 0 for never;
    min_hosts: endpoints with min_requests in an interval that the two rates need; times in seconds; max_ejected:
    percent; split: failures that the server did not answer are counted apart from those that it did.
    """

    consecutive_errors: int = 5
    consecutive_local: int = 5
    success_rate: float = 1.9
    failure_percent: float = 0.0
    latency: float = 0.0
    interval: float = 10.0
    ejection_time: float = 30.0
    max_ejection_time: float = 300.0
    max_ejected: float = 50.0
    min_hosts: int = 5
    min_requests: int = 100
    split: bool = False


class EndpointMonitor:
    """
    Counts an endpoint's failures; `Endpoint.monitor` while there is an outlier detection. losses: failures
    without an answer.
    """

    __slots__ = ("_answers", "_errors", "_lost", "_outliers", "_successes", "endpoint", "losses", "seen")

    def __init__(self, outliers: OutlierDetector, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.losses = 0
        self.seen = CountsSnapshot.of(self)
        self._outliers = outliers
        self.forget()

    def forget(self) -> None:
        """What was in a row so far no longer counts."""
        counts = self.endpoint.counts
        self._errors = self._lost = 0
        self._successes = counts.successes
        self._answers = counts.successes + counts.errors

    def erred(self) -> None:
        """The server answered with an error."""
        successes = self.endpoint.counts.successes
        if successes != self._successes:
            self._successes = successes
            self._errors = 0
        self._errors += 1
        limit = self._outliers.settings.consecutive_errors
        if 0 < limit <= self._errors:
            self._outliers.eject(self, "consecutive_errors")

    def lost(self) -> None:
        """There was no answer: no connection, none in time, or the connection ended."""
        self.losses += 1
        settings = self._outliers.settings
        if not settings.split:
            self.erred()
            return
        counts = self.endpoint.counts
        answers = counts.successes + counts.errors
        if answers != self._answers:
            self._answers = answers
            self._lost = 0
        self._lost += 1
        if 0 < settings.consecutive_local <= self._lost:
            self._outliers.eject(self, "consecutive_local")


class CountsSnapshot(NamedTuple):
    """An endpoint's counts at one time, or what was added to them since another."""

    successes: int
    errors: int
    losses: int
    buckets: tuple[int, ...]

    @classmethod
    def of(cls, watch: EndpointMonitor) -> CountsSnapshot:
        counts = watch.endpoint.counts
        return cls(counts.successes, counts.errors, watch.losses, tuple(counts.latency.buckets))

    def since(self, before: CountsSnapshot) -> CountsSnapshot:
        buckets = tuple(now - then for now, then in zip(self.buckets, before.buckets, strict=True))
        return CountsSnapshot(
            self.successes - before.successes, self.errors - before.errors, self.losses - before.losses, buckets
        )

    def p99(self) -> float:
        return Histogram(dict(enumerate(self.buckets))).percentile(0.99) or 0.0


class OutlierDetector:
    """The outlier detection of a cluster, from `start` to `stop`. Ejections go on when another takes its place."""

    def __init__(self, settings: Settings, clock: IReactorTime) -> None:
        self.settings = settings
        self._clock = clock
        self._cluster: EndpointSet[Endpoint] | None = None
        self._timer: IDelayedCall | None = None
        self._returns: dict[Endpoint, IDelayedCall] = {}
        self._watches: dict[Endpoint, EndpointMonitor] = {}

    # -- life

    def start(self, cluster: EndpointSet[Endpoint], network: object) -> None:
        self._cluster = cluster
        self.changed()
        self._timer = self._clock.callLater(self.settings.interval, self._look)

    def stop(self) -> None:
        for timer in (self._timer, *self._returns.values()):
            if timer is not None and timer.active():
                timer.cancel()
        self._returns.clear()
        for endpoint in self._watches:
            endpoint.monitor = None
        self._watches.clear()
        self._cluster = None

    def changed(self) -> None:
        """Other endpoints, or an operator ended an ejection."""
        endpoints = self._cluster.endpoints if self._cluster is not None else []
        for endpoint in [one for one in self._returns if not one.ejected or one not in endpoints]:
            timer = self._returns.pop(endpoint)
            if timer.active():
                timer.cancel()
            if endpoint in self._watches:
                self._watches[endpoint].forget()
        before, self._watches = self._watches, {}
        for endpoint in endpoints:
            self._watches[endpoint] = endpoint.monitor = before.pop(endpoint, None) or EndpointMonitor(self, endpoint)
            if endpoint.ejected and endpoint not in self._returns and endpoint.ejected_until < float("inf"):
                self._arrange(endpoint)
        for left in before:
            left.monitor = None

    # -- out and back

    def eject(self, watch: EndpointMonitor, cause: str) -> None:
        endpoint, cluster, settings = watch.endpoint, self._cluster, self.settings
        if cluster is None or endpoint.ejected or endpoint not in cluster.endpoints:
            return
        out = sum(one.ejected for one in cluster.endpoints)
        too_many = 100.0 * (out + 1) / len(cluster.endpoints) > settings.max_ejected
        if too_many and (out or not settings.max_ejected):  # one may always be ejected, unless none may
            cluster.counts.ejections_refused += 1
            watch.forget()
            return
        endpoint.ejections += 1
        seconds = min(
            settings.ejection_time * endpoint.ejections, max(settings.max_ejection_time, settings.ejection_time)
        )
        endpoint.ejected_until = self._clock.seconds() + seconds
        counted = cluster.counts.ejections
        counted[cause] = counted.get(cause, 0) + 1
        cluster.tell(f"{endpoint.address} is ejected for {seconds:g} s ({cause})")
        self._arrange(endpoint)
        cluster.refresh()

    def _arrange(self, endpoint: Endpoint) -> None:
        rest = max(0.0, endpoint.ejected_until - self._clock.seconds())
        self._returns[endpoint] = self._clock.callLater(rest, self._back, endpoint)

    def _back(self, endpoint: Endpoint) -> None:
        self._returns.pop(endpoint, None)
        endpoint.ejected_until = 0.0
        if endpoint in self._watches:
            self._watches[endpoint].forget()
        if self._cluster is not None:
            self._cluster.tell(f"{endpoint.address} is used again")
            self._cluster.refresh()

    # -- at the interval

    def _look(self) -> None:
        self._timer = self._clock.callLater(self.settings.interval, self._look)
        settings = self.settings
        added: dict[EndpointMonitor, CountsSnapshot] = {}
        for endpoint, watch in self._watches.items():
            now = CountsSnapshot.of(watch)
            added[watch] = now.since(watch.seen)
            watch.seen = now
            if not endpoint.ejected and endpoint.ejections:
                endpoint.ejections -= 1
        self._compare(added, _answered if settings.split else _all)
        if settings.split:
            self._compare(added, _local)
        if settings.latency:
            for watch, one in added.items():
                if sum(one.buckets) >= settings.min_requests and one.p99() > settings.latency:
                    self.eject(watch, "latency")

    def _compare(
        self, added: dict[EndpointMonitor, CountsSnapshot], outcome: Callable[[CountsSnapshot], tuple[int, int]]
    ) -> None:
        """Ejects by the rates of the last interval."""
        settings = self.settings
        rates: dict[EndpointMonitor, float] = {}
        for watch, one in added.items():
            successes, total = outcome(one)
            if total >= max(1, settings.min_requests) and not watch.endpoint.ejected:
                rates[watch] = 100.0 * successes / total
        if len(rates) < settings.min_hosts:
            return
        if settings.success_rate:
            least = threshold(list(rates.values()), settings.success_rate)
            for watch in [watch for watch, rate in rates.items() if rate < least]:
                self.eject(watch, "success_rate")
        if settings.failure_percent:
            for watch in [watch for watch, rate in rates.items() if 100.0 - rate >= settings.failure_percent]:
                self.eject(watch, "failure_percent")


def threshold(rates: Sequence[float], factor: float) -> float:
    """The success rate, percent, below which one stands out: `factor` standard deviations below the mean."""
    mean = sum(rates) / len(rates)
    deviation = sqrt(sum((rate - mean) ** 2 for rate in rates) / len(rates))
    return mean - factor * deviation


def _all(one: CountsSnapshot) -> tuple[int, int]:
    return one.successes, one.successes + one.errors + one.losses


def _answered(one: CountsSnapshot) -> tuple[int, int]:
    return one.successes, one.successes + one.errors


def _local(one: CountsSnapshot) -> tuple[int, int]:
    return one.successes + one.errors, one.successes + one.errors + one.losses
