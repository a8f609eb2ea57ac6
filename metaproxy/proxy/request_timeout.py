"""
How long an exchange may take: its route's time, its cluster's, or less if a filter said so.

Lives here: `watch` and `allowed`. Does not: the queues that time is kept in (`deadlines`), what a time-out does
(`Exchange.time_out`).
"""

from __future__ import annotations

from typing import Protocol

from metaproxy.cluster.routes import Route, Target
from metaproxy.message import Hold, Kind, Message
from metaproxy.proxy.deadlines import Deadlines, Timed
from metaproxy.proxy.roles import ExchangeClient, ExchangeStream

DEFAULT = 15.0
"""Seconds for an exchange that waits in a filter before its cluster is known, when its route has no time-out."""
_STREAM_OPEN = Kind.STREAM_OPEN
_BLOCKING = Hold.BLOCKING


class Bounded(Timed, Protocol):
    """An exchange, as its time sees it. time_limit: what a filter allows, 0 for no limit."""

    deadlines: Deadlines | None
    time_limit: float
    stream: ExchangeStream | None

    @property
    def client(self) -> ExchangeClient: ...
    @property
    def message(self) -> Message: ...
    @property
    def matched_route(self) -> Route: ...
    @property
    def target(self) -> Target | None: ...


def watch(exchange: Bounded) -> None:
    """Starts the clock, unless the client asked to wait for as long as it takes; the cluster's once it is known."""
    message = exchange.message
    if message.hold is _BLOCKING:
        return
    if message.kind is _STREAM_OPEN:
        stream = exchange.stream
        if stream is not None:
            stream.watch()
        return
    timeout = exchange.matched_route.timeout
    if timeout is None or exchange.time_limit:
        target = exchange.target
        if target is not None and not exchange.time_limit:
            timeout = target.cluster.request_timeout
        else:
            timeout = allowed(exchange)
    before, deadlines = exchange.deadlines, exchange.client.network.deadlines.of(timeout)
    if deadlines is before:
        return
    if before is not None:
        before.forget(exchange, None)
    exchange.deadlines = deadlines
    if deadlines is not None:
        deadlines.watch(exchange)


def allowed(exchange: Bounded) -> float:
    """Seconds, 0 for no limit."""
    timeout = exchange.matched_route.timeout
    if timeout is None:
        target = exchange.target
        timeout = target.cluster.request_timeout if target is not None else DEFAULT
    limit = exchange.time_limit
    return timeout if not limit or 0 < timeout < limit else limit
