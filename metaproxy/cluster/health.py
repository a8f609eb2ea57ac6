"""
Active health checks: when an endpoint is asked how it is, and what so many answers in a row mean.

Lives here: `HealthChecks` of a cluster. Does not: what is asked, over which connection (`proxy.probes`). Semantics:
Envoy's health checking, but for the first check, which decides at once either way.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metaproxy.cluster.roles import Network

if TYPE_CHECKING:
    from metaproxy.cluster.cluster import Cluster
    from metaproxy.cluster.endpoint import Endpoint

AT_ONCE = 32
"""Checks of a cluster under way at a time; further ones wait."""

Done = Callable[[bool, str], None]
"""Called with how a check ended: whether the endpoint is well, and if not, why."""
Probe = Callable[["Cluster", "Endpoint", Network, float, Done], Callable[[], None]]
"""probe(cluster, endpoint, network, timeout, done) begins a check; what it returns ends it without a word to `done`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """
    interval, timeout: seconds; healthy, unhealthy: checks in a row that change the verdict; jitter: percent of the
    interval that is added at random, so that proxies do not check in step.
    """

    interval: float = 5.0
    timeout: float = 1.0
    healthy: int = 2
    unhealthy: int = 3
    jitter: float = 10.0


class _Checked:
    """An endpoint between its checks. against: checks in a row that contradict the verdict."""

    __slots__ = ("against", "cancel", "endpoint", "timer")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.against = 0
        self.timer: IDelayedCall | None = None
        self.cancel: Callable[[], None] | None = None


class HealthChecks:
    """
    The checks of one cluster, from `start` to `stop`.

    Endpoints that are there at the start are used until their first check says otherwise; one that joins later, while
    others have been checked, is used after its first check has passed.
    """

    def __init__(
        self,
        settings: Settings,
        probe: Probe,
        clock: IReactorTime,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.probe = probe
        self._clock = clock
        self._uniform = uniform
        self._cluster: Cluster | None = None
        self._network: Network | None = None
        self._all: dict[Endpoint, _Checked] = {}
        self._running = 0
        self._waiting: deque[_Checked] = deque()

    # -- life

    def start(self, cluster: Cluster, network: Network) -> None:
        self._cluster, self._network = cluster, network
        self.changed()

    def stop(self) -> None:
        self._cluster = None
        self._waiting.clear()
        for one in list(self._all.values()):
            self._drop(one)

    def changed(self) -> None:
        endpoints = self._cluster.endpoints if self._cluster is not None else []
        for one in [one for endpoint, one in self._all.items() if endpoint not in endpoints]:
            self._drop(one)
        others = any(endpoint.checked for endpoint in self._all)
        for endpoint in endpoints:
            if endpoint not in self._all:
                one = self._all[endpoint] = _Checked(endpoint)
                if others and not endpoint.checked:
                    endpoint.healthy = False
                one.timer = self._clock.callLater(0, self._due, one)

    def _drop(self, one: _Checked) -> None:
        del self._all[one.endpoint]
        if one.timer is not None and one.timer.active():
            one.timer.cancel()
        if one in self._waiting:
            self._waiting.remove(one)
        if one.cancel is not None:
            one.cancel()
            self._ended(one)

    # -- a check

    def _due(self, one: _Checked) -> None:
        one.timer = None
        if self._running >= AT_ONCE:
            self._waiting.append(one)
        else:
            self._begin(one)

    def _begin(self, one: _Checked) -> None:
        assert self._cluster is not None and self._network is not None
        self._running += 1
        self._cluster.counts.checks += 1
        cancel = self.probe(
            self._cluster, one.endpoint, self._network, self.settings.timeout,
            lambda well, text: self._done(one, well, text),
        )  # fmt: skip
        one.cancel = cancel

    def _ended(self, one: _Checked) -> None:
        one.cancel = None
        self._running -= 1
        if self._waiting:
            self._begin(self._waiting.popleft())

    def _done(self, one: _Checked, well: bool, text: str) -> None:
        self._ended(one)
        if self._cluster is None or one.endpoint not in self._all:
            return
        settings = self.settings
        wait = settings.interval * (1.0 + settings.jitter / 100.0 * self._uniform())
        one.timer = self._clock.callLater(wait, self._due, one)
        self._cluster.counts.check_failures += not well
        self._judge(one, well, text)

    def _judge(self, one: _Checked, well: bool, text: str) -> None:
        endpoint = one.endpoint
        if endpoint.checked:
            if well == endpoint.healthy:
                one.against = 0
                return
            one.against += 1
            if one.against < (self.settings.healthy if well else self.settings.unhealthy):
                return
        one.against = 0
        endpoint.checked = True
        if well == endpoint.healthy:
            return
        endpoint.healthy = well
        assert self._cluster is not None
        self._cluster.tell(f"{endpoint.address} is {'healthy' if well else f'unhealthy: {text}'}")
        if well:
            self._cluster.recovered(endpoint)
        else:
            self._cluster.refresh()
