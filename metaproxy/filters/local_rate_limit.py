"""
`local_rate_limit`: a token bucket in this process.

Lives here: one bucket a listener (or a route that overrides the options). Does not: limits shared between processes.
"""

from __future__ import annotations

from zope.interface import implementer

from metaproxy.interfaces import IExchange, IOnRequest
from metaproxy.message import ErrorKind, Reply
from metaproxy.units import Seconds

_SECOND = Seconds(1.0)


@implementer(IOnRequest)
class LocalRateLimit:
    """
    Refuses what exceeds `limit` requests per `per`; an empty bucket refills evenly.

    limit: requests; per: seconds; burst: tokens a full bucket holds, 1 or more; `limit` by default.
    """

    def __init__(self, limit: float, per: Seconds = _SECOND, burst: float = 0.0) -> None:
        if limit <= 0 or per <= 0:
            raise ValueError("limit and per must be greater than 0")
        if burst and burst < 1:
            raise ValueError("burst must be 1 or more, or nothing would ever pass")
        self._rate = limit / per
        self._burst = burst or max(limit, 1.0)
        self._tokens = self._burst
        self._filled = 0.0
        self._refusal = Reply(ErrorKind.LIMITED, "local_rate_limit: too many requests")

    def on_request(self, exchange: IExchange) -> Reply | None:
        now = exchange.started
        if now > self._filled:
            self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
            self._filled = now
        if self._tokens < 1.0:
            return self._refusal
        self._tokens -= 1.0
        return None
