"""
The common case of a local rate limit, without detours: one bucket for all requests, which has a token.

Lives here: `CommonCase`; it is compiled. Does not: all other cases (`local`).
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from metaproxy.filters.rate_limit.token_bucket import ENOUGH, Bucket, Filling
from metaproxy.interfaces import IExchange
from metaproxy.message import Reply


class CommonCase:
    """
    What LocalRateLimit is derived from. _only: the bucket of all requests, of which no answer says anything; None where
    there are others. _filling: how it fills.
    """

    __slots__ = ("_filling", "_only", "counters")
    _filling: Filling
    _only: Bucket | None
    counters: dict[str, int]

    def on_request(self, exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        bucket = self._only
        if bucket is not None:
            now = exchange.started
            if now > bucket.filled:
                bucket.fill(self._filling, now)
            if bucket.tokens >= ENOUGH:
                bucket.tokens -= 1.0
                self.counters["ok"] += 1
                return None
        return self.decide(exchange)

    def decide(self, exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        """What becomes of any request."""
        raise NotImplementedError
