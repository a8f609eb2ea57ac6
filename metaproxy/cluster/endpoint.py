"""
One address of a cluster and what is counted of it.

Lives here: `Endpoint`. Does not: its connections (`proxy.pool`), the choice between endpoints (`cluster.cluster`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zope.interface import classImplements

from metaproxy.cluster.roles import Connections, FailureMonitor
from metaproxy.counts import EndpointCounts
from metaproxy.interfaces import IEndpoint


class Endpoint:
    """
    address: 'host:port', '[v6]:port' or 'unix:/path'. weight: what a balancer goes by: configured_weight, or a part of
    it while the endpoint starts slowly. priority: 0 before 1 and so on; zone: where it runs, '' for nowhere known.
    active: exchanges under way on it. pool: the connections to it, owned by `proxy.pool`, which sets it; None before
    the first.

    checked: whether a health check has decided about it; healthy: what it decided. drained: an operator takes it out of
    service. ejected_until: seconds of the reactor's clock, 0 for not ejected, inf for until an operator restores it;
    ejections: how often, which goes down again in good times. logged_off_until: seconds of the clock, 0 unless its
    server said that it leaves: until then it gets requests only while no other is usable. started: when it joined or
    became healthy, seconds of the clock, while it starts slowly, else None. monitor: what hears of its failures, or
    None. learnt: what its server says of itself, such as its role; metadata: that and what is configured. doubted:
    called when no answer came, as what was learnt may be true no more. fresh: seconds of the clock; what the primary
    had acknowledged by then a replica has, too, as far as is known. lag: seconds that a replica is behind its primary;
    None where that is not known.
    """

    __slots__ = (
        "active",
        "address",
        "checked",
        "configured_metadata",
        "configured_weight",
        "counts",
        "doubted",
        "drained",
        "ejected_until",
        "ejections",
        "fresh",
        "healthy",
        "lag",
        "learnt",
        "logged_off_until",
        "metadata",
        "monitor",
        "pool",
        "priority",
        "started",
        "weight",
        "zone",
    )  # fmt: skip

    def __init__(
        self,
        address: str,
        weight: int = 1,
        metadata: Mapping[str, str] | None = None,
        priority: int = 0,
        zone: str = "",
    ) -> None:
        self.address = address
        self.weight = self.configured_weight = weight
        self.metadata: dict[str, str] = dict(metadata or {})
        self.configured_metadata: Mapping[str, str] = self.metadata
        self.learnt: Mapping[str, str] = {}
        self.doubted: Callable[[], None] | None = None
        self.fresh = float("-inf")
        self.lag: float | None = None
        self.priority = priority
        self.zone = zone
        self.active = 0
        self.counts = EndpointCounts()
        self.pool: Connections | None = None
        self.checked = False
        self.healthy = True
        self.drained = False
        self.ejected_until = 0.0
        self.ejections = 0
        self.logged_off_until = 0.0
        self.started: float | None = None
        self.monitor: FailureMonitor | None = None

    # -- what is known of it

    @property
    def ejected(self) -> bool:
        return self.ejected_until > 0

    @property
    def logged_off(self) -> bool:
        return self.logged_off_until > 0

    @property
    def usable(self) -> bool:
        """Whether requests should go to it."""
        return self.healthy and not self.ejected_until and not self.drained

    def take(self, other: Endpoint) -> None:
        """Be as `other`, of the same address, is configured; connections, counts and what is under way stay."""
        self.configured_weight = other.configured_weight
        self.configured_metadata = other.configured_metadata
        self.metadata = {**self.configured_metadata, **self.learnt}
        self.priority = other.priority
        self.zone = other.zone

    def inherit(self, other: Endpoint) -> None:
        """Take over what is known of `other`, which a new configuration of the cluster replaces by this one."""
        self.checked, self.healthy, self.drained = other.checked, other.healthy, other.drained
        self.ejected_until, self.ejections, self.started = other.ejected_until, other.ejections, other.started
        self.logged_off_until = other.logged_off_until
        self.learn(other.learnt)
        self.fresh = other.fresh

    def learn(self, traits: Mapping[str, str]) -> bool:
        """Its server says this of itself. Gives whether that is new."""
        if traits == self.learnt:
            return False
        self.learnt = traits
        self.metadata = {**self.configured_metadata, **traits}
        return True

    def configured(self) -> tuple[object, ...]:
        """Equal while nothing that `take` may change has changed."""
        return self, self.configured_weight, self.configured_metadata, self.priority, self.zone

    @property
    def in_use(self) -> bool:
        """Whether anything is under way on it, or a connection to it is open."""
        return self.active > 0 or (self.pool is not None and len(self.pool.connections) > 0)

    def answered(self, failed: bool) -> None:
        """An answer came; failed: it is an error. The common path counts this in line."""
        if failed:
            self.counts.errors += 1
            if self.monitor is not None:
                self.monitor.erred()
        else:
            self.counts.successes += 1

    def timed_out(self) -> None:
        """No answer came in time."""
        self.counts.timeouts += 1
        if self.monitor is not None:
            self.monitor.lost()

    def lost(self, reset: bool) -> None:
        """No answer will come: there is no connection, or it ended; reset: while a request was under way on it."""
        self.counts.resets += reset
        if self.monitor is not None:
            self.monitor.lost()
        if self.doubted is not None:
            self.doubted()

    def __repr__(self) -> str:
        return f"Endpoint({self.address})"


classImplements(Endpoint, IEndpoint)
