"""
New endpoints get few requests at first, and more as their caches fill and their code is compiled.

Lives here: `SlowStart` of a cluster: who is starting, and how much of its weight counts. Does not: what is made of the
weights (`cluster`). Semantics: Envoy's slow start with `aggression` 1 and `min_weight_percent` 10, in steps.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.roles import EndpointSet

STEPS = 20
"""Weights grow so many times: each time balancers are built again."""
LEAST = 10
"""Percent of its weight that an endpoint begins with."""


class SlowStart:
    """
    window: seconds. Begins for an endpoint that joins others, that becomes healthy, or that an operator restores; not
    for those that are there when the cluster begins, of which none is warmer than another.
    """

    def __init__(self, window: float, clock: IReactorTime) -> None:
        self.window = window
        self._clock = clock
        self._cluster: EndpointSet[Endpoint] | None = None
        self._known: set[Endpoint] = set()
        self._timer: IDelayedCall | None = None

    def start(self, cluster: EndpointSet[Endpoint], network: object) -> None:
        self._cluster = cluster
        self._known = set(cluster.endpoints)
        self._arrange()

    def stop(self) -> None:
        self._cluster = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def changed(self) -> None:
        if self._cluster is not None:
            before, self._known = self._known, set(self._cluster.endpoints)
            for endpoint in self._known - before if before else ():
                self.begin(endpoint)

    def begin(self, endpoint: Endpoint) -> None:
        """The caller must call cluster.refresh()."""
        if self._cluster is not None:
            endpoint.started = self._clock.seconds()
            self._arrange()

    def percent(self, endpoint: Endpoint) -> int:
        """How much of its weight counts now."""
        if endpoint.started is None:
            return 100
        step = int((self._clock.seconds() - endpoint.started) / self.window * STEPS + 1e-6)
        return max(LEAST, min(100, step * 100 // STEPS))

    def _arrange(self) -> None:
        endpoints = self._cluster.endpoints if self._cluster is not None else []
        if self._timer is None and any(endpoint.started is not None for endpoint in endpoints):
            self._timer = self._clock.callLater(self.window / STEPS, self._step)

    def _step(self) -> None:
        self._timer = None
        assert self._cluster is not None
        for endpoint in self._cluster.endpoints:
            if self.percent(endpoint) == 100:
                endpoint.started = None
        self._arrange()
        self._cluster.refresh()
