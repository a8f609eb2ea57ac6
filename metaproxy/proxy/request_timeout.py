"""
How long an exchange may take: its route's time, its cluster's, or less if a filter said so.

Lives here: `TimedExchange`, between `exchange_facts.ExchangeFacts` and `exchange.Exchange`. Does not: the queues that
time is kept in (`deadlines`), what a time-out does (`Exchange.time_out`).
"""

from __future__ import annotations

from twisted.python.failure import Failure

from metaproxy.message import Hold, Kind
from metaproxy.proxy.exchange_facts import ExchangeFacts

DEFAULT = 15.0
"""Seconds for an exchange that waits in a filter before its cluster is known, when its route has no time-out."""
_STREAM_OPEN = Kind.STREAM_OPEN
_BLOCKING = Hold.BLOCKING


class TimedExchange(ExchangeFacts):
    """time_limit: what a filter allows, 0 for no limit."""

    __slots__ = ()

    def watch(self) -> None:
        """Starts the clock, unless the client asked to wait for as long as it takes; the cluster's once it is known."""
        message = self.message
        if message.hold is _BLOCKING:
            return
        if message.kind is _STREAM_OPEN:
            if self.stream is not None:
                self.stream.watch()
            return
        timeout = self.matched_route.action.timeout
        if timeout is None or self.time_limit:
            target = self.target
            if target is None or self.time_limit:
                timeout = self.allowed()
            else:
                cluster = target.cluster
                timeout = cluster.request_timeout
        before, deadlines = self.deadlines, self.client.deadlines.of(timeout)
        if deadlines is before:
            return
        if before is not None:
            before.forget(self, None)
        self.deadlines = deadlines
        if deadlines is not None:
            deadlines.watch(self)

    def allowed(self) -> float:
        """Seconds, 0 for no limit."""
        timeout = self.matched_route.action.timeout
        if timeout is None:
            target = self.target
            timeout = target.cluster.request_timeout if target is not None else DEFAULT
        limit = self.time_limit
        return timeout if not limit or 0 < timeout < limit else limit

    def limit(self, seconds: float) -> None:
        """See IExchange."""
        self.time_limit = seconds

    def forward(self) -> None:
        """Sends it to its target."""
        raise NotImplementedError

    def deliver(self) -> None:
        """Gives the client the answer that there is."""
        raise NotImplementedError

    def time_out(self) -> None:
        """Called by the deadlines' queue."""
        raise NotImplementedError

    def broke(self, failure: Failure) -> None:
        """See deadlines.Timed."""
        raise NotImplementedError
