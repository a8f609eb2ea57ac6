"""
`quota`: what is over it waits, and answers say for how long.

Lives here: what an exchange costs, for how long its sender waits. Does not: how buckets fill (`token_bucket`), refusals
(`local`).

As brokers count their quotas: what passes is taken from a bucket that may get empty and below that. Who comes then
waits until it is filled up again; an answer says how long that is, so that a client that understands it waits by
itself.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from metaproxy.filters.options import matching
from metaproxy.filters.rate_limit.token_bucket import Bucket, Buckets, Filling
from metaproxy.interfaces import IExchange, IOnComplete, IOnRequest, IOnResponse
from metaproxy.message import Reply
from metaproxy.support.worker_share import part
from metaproxy.units import Bytes, Option, Seconds

_SECOND = Seconds(1.0)
_LONGEST = Seconds(5.0)
_NO_BYTES = Bytes(0)


class _Paid:
    """bucket: that of an exchange; cost: what it has taken so far; timer: what it waits for."""

    __slots__ = ("bucket", "cost", "timer")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.cost = 0.0
        self.timer: IDelayedCall | None = None


@implementer(IOnRequest, IOnResponse, IOnComplete)
class Quota:
    """Has senders of more than so many requests, or bytes, per `per` wait; none is refused."""

    def __init__(
        self,
        clock: IReactorTime,
        requests: Annotated[
            float, Option("Requests that may pass in the time `per`.", default="none: `bytes` counts", least=0)
        ] = 0.0,
        bytes: Annotated[
            Bytes, Option("Bytes that may pass in the time `per`, in the place of `requests`.")
        ] = _NO_BYTES,
        of: Annotated[
            Literal["both", "requests", "answers"], Option("Whose `bytes` count. Those of streams count at their end.")
        ] = "both",
        per: Annotated[Seconds, Option("The time that the quota is for.", above="0s")] = _SECOND,
        key: Annotated[
            str | list[str],
            Option("A metadata key, or several: each of their values (a client, a topic) has a quota of its own."),
        ] = "",
        max_keys: Annotated[int, Option("Values that have a quota at a time.", least=1)] = 10000,
        match: Annotated[
            dict[str, object] | None,
            Option("As a route's [`match`](routing.md), also with `and`, `or`, `not`.", default="every request"),
        ] = None,
        max_delay: Annotated[
            Seconds,
            Option("The longest that a request waits; more is not owed.", above="0s", most="60s"),
        ] = _LONGEST,
        delay_key: Annotated[
            str,
            Option(
                "A metadata key of answers that says for how many milliseconds the client is to wait: "
                "`throttle_time_ms` of Kafka.",
                default="none",
            ),
        ] = "",
    ) -> None:
        if (requests > 0) == (bytes > 0):
            raise ValueError("write requests, such as 100, or bytes, such as 10MiB")
        if of not in ("both", "requests", "answers"):
            raise ValueError(f"of is {of!r}; write both, requests or answers")
        if requests and of != "both":
            raise ValueError("of goes with bytes; leave it out")
        amount = requests or float(bytes)
        keys = (key,) if isinstance(key, str) and key else tuple(key)
        self._clock = clock
        # Several workers have a part each; a bucket that holds no whole request lets nothing pass.
        self._buckets = Buckets(Filling(part(amount), per, max(part(amount), 1.0)), keys, max_keys)
        self._holds = matching(match).holds
        self._counts_bytes = bool(bytes)
        self._of = of
        self._longest = max_delay
        self._delay_key = delay_key
        self._under_way: dict[IExchange, _Paid] = {}
        self.counters = {"ok": 0, "delayed": 0, "announced": 0}

    def inherit(self, previous: object) -> None:
        """Goes on with its buckets, where they count the same."""
        if isinstance(previous, Quota) and previous._counts_bytes == self._counts_bytes:
            self._buckets.inherit(previous._buckets)

    @property
    def gauges(self) -> dict[str, float]:
        return {
            "buckets": len(self._buckets),
            "waiting": sum(one.timer is not None for one in self._under_way.values()),
        }

    def on_request(self, exchange: IExchange) -> Deferred[Reply | None] | None:
        if not self._holds(exchange.get):
            return None
        paid = _Paid(self._buckets.of(exchange))
        self._under_way[exchange] = paid
        seconds = self._owed(paid.bucket)
        self._pay(paid, float(exchange.request_bytes) if self._counts_bytes and self._of != "answers" else 0.0)
        if not self._counts_bytes:
            self._pay(paid, 1.0)
        if seconds <= 0:
            self.counters["ok"] += 1
            return None
        self.counters["delayed"] += 1
        waiting: Deferred[Reply | None] = Deferred()

        def fire() -> None:
            paid.timer = None
            waiting.callback(None)

        paid.timer = self._clock.callLater(seconds, fire)
        return waiting

    def on_response(self, exchange: IExchange) -> None:
        paid = self._under_way.get(exchange)
        if paid is None or not self._delay_key:
            return
        response = exchange.response
        if self._counts_bytes:
            self._count(paid, exchange.request_bytes, 0 if response is None else len(response.frame))
        if (seconds := self._owed(paid.bucket)) > 0:
            self.counters["announced"] += 1
            exchange.set(self._delay_key, str(math.ceil(seconds * 1000)))

    def on_complete(self, exchange: IExchange) -> None:
        paid = self._under_way.pop(exchange, None)
        if paid is None:
            return
        if paid.timer is not None:
            paid.timer.cancel()
        if self._counts_bytes:
            self._count(paid, exchange.request_bytes, exchange.response_bytes)

    def explain(self, get: object) -> str:
        return "waits where its quota is used up"

    def _owed(self, bucket: Bucket) -> float:
        """Seconds until the bucket has something again."""
        filling, now = self._buckets.filling, self._clock.seconds()
        if now > bucket.filled:
            bucket.fill(filling, now)
        return max(0.0, min(-bucket.tokens / filling.rate, self._longest))

    def _count(self, paid: _Paid, asked: int, answered: int) -> None:
        """Take what these bytes cost more than was known before."""
        asked = asked if self._of != "answers" else 0
        answered = answered if self._of != "requests" else 0
        self._pay(paid, asked + answered - paid.cost)

    def _pay(self, paid: _Paid, cost: float) -> None:
        """Take what an exchange costs; not more than what is waited for."""
        paid.cost += cost
        paid.bucket.tokens = max(paid.bucket.tokens - cost, -self._longest * self._buckets.filling.rate)
