"""
`local_rate_limit`: token buckets in this process.

Lives here: which bucket a request takes its token from, and what its answer says. Does not: how buckets fill
(`bucket`); limits shared between processes (`global_rate_limit`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Literal

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from metaproxy.filters.options import matching
from metaproxy.filters.rate_limit.common_case import CommonCase
from metaproxy.filters.rate_limit.quota_headers import ALL, Quota, ResponseMetadata, is_enforced
from metaproxy.filters.rate_limit.token_bucket import Bucket, Buckets, Filling
from metaproxy.interfaces import IExchange, IOnRequest
from metaproxy.message import ErrorKind, Reply
from metaproxy.options import made
from metaproxy.routing.expression import Expression, FirstMatch
from metaproxy.support.worker_share import part
from metaproxy.units import Option, OptionsOf, Percent, Seconds

_SECOND, _NONE = Seconds(1.0), Seconds(0.0)
_TEXT = "local_rate_limit: too many requests"
_REFUSAL = Reply(ErrorKind.LIMITED, _TEXT)
MOST_KEYS = 10000

_LIMIT = "Requests that may pass in the time `per`."
Limit = Annotated[float, Option(_LIMIT, above=0)]
Per = Annotated[Seconds, Option("The time that `limit` is for.", above="0s")]
Burst = Annotated[float, Option("Tokens that a full bucket holds, 1 or more.", default="`limit`")]
Refill = Annotated[
    Literal["steady", "interval"],
    Option("Token by token, or `limit` of them at once at the end of each `per`."),
]
Key = Annotated[
    str | list[str],
    Option("A metadata key, or several: each of their values (a caller, a tenant) has a bucket of its own."),
]
MaxKeys = Annotated[int, Option("Values that have a bucket at a time.", least=1)]
Match = Annotated[
    dict[str, object] | None,
    Option("As a route's [`match`](routing.md), also with `and`, `or`, `not`.", default="every request"),
]


def _filling(limit: float, per: float, burst: float, refill: str) -> Filling:
    """Raises ValueError for what would let nothing pass, ever."""
    if burst and burst < 1:
        raise ValueError("burst must be 1 or more, or nothing would ever pass")
    # Several workers have a part each; a bucket that holds no whole token lets nothing pass.
    return Filling(part(limit), per, max(part(burst or limit), 1.0), refill == "steady")


def _buckets(filling: Filling, key: str | list[str], max_keys: int) -> Buckets:
    keys = (key,) if isinstance(key, str) and key else tuple(key)
    return Buckets(filling, keys, max_keys)


class _Condition:
    """An item of `conditions`."""

    def __init__(
        self,
        limit: Limit,
        match: Match = None,
        per: Per = _SECOND,
        burst: Burst = 0.0,
        refill: Refill = "steady",
        key: Key = "",
        max_keys: MaxKeys = MOST_KEYS,
    ) -> None:
        self.match: Expression = matching(match)
        self.name = json.dumps(match or {}, sort_keys=True, default=str)
        self.buckets = _buckets(_filling(limit, per, burst, refill), key, max_keys)


@implementer(IOnRequest)
class LocalRateLimit(CommonCase):
    """
    Refuses what exceeds `limit` requests per `per`, or has it wait; the first of the `conditions` that holds decides in
    the place of `limit`, `burst`, `key` and the rest.
    """

    def __init__(
        self,
        limit: Annotated[
            Limit | None,
            Option("Requests that may pass in the time `per`.", default="required, unless there are `conditions`"),
        ] = None,
        per: Per = _SECOND,
        burst: Burst = 0.0,
        refill: Refill = "steady",
        key: Key = "",
        max_keys: MaxKeys = MOST_KEYS,
        conditions: Annotated[
            list[Annotated[object, OptionsOf(_Condition)]] | None,
            Option("Limits of their own: the first whose `match` holds decides alone."),
        ] = None,
        enforced: Annotated[
            Percent, Option("Share of what is over the limit that is refused; the rest passes, and is counted.")
        ] = ALL,
        headers: Annotated[bool, Option("Tell clients what is left, see [Remaining](#remaining).")] = False,
        max_wait: Annotated[
            Seconds, Option("How long what is over the limit may wait for its turn. What would wait longer is refused.")
        ] = _NONE,
        clock: IReactorTime | None = None,
    ) -> None:
        if limit is None and not conditions:
            raise ValueError("limit is missing; write how many requests may pass, or conditions that say so")
        if limit is None and (burst or key):
            raise ValueError("burst and key go with limit, and limit is missing")
        self._rest = None if limit is None else _buckets(_filling(limit, per, burst, refill), key, max_keys)
        listed = [made(_Condition, one, "conditions", place) for place, one in enumerate(conditions or ())]
        self._buckets = (*(one.buckets for one in listed), self._rest)
        self._names = [*(one.name for one in listed), ""]
        self._find: Callable[[Callable[[str], str | None]], int] | None = None
        if listed:
            self._find = FirstMatch([one.match for one in listed]).find
        self._enforced = enforced
        self._notes = ResponseMetadata(self) if headers else None
        alone = self._rest if not listed and not key and not headers else None
        self._only = None
        if alone is not None:
            self._only, self._filling = alone.alone, alone.filling
        self._max_wait, self._clock = max_wait, clock
        self.counters = {"ok": 0, "rate_limited": 0, "enforced": 0}
        if max_wait:
            self.counters["waited"] = 0

    def inherit(self, previous: object) -> None:
        """Goes on with its buckets; those of a condition with those of the same condition, wherever it stood."""
        if not isinstance(previous, LocalRateLimit):
            return
        before = list(zip(previous._names, previous._buckets, strict=True))
        for name, buckets in zip(self._names, self._buckets, strict=True):
            place = next((place for place, (other, _) in enumerate(before) if other == name), None)
            if place is not None:
                _, found = before.pop(place)
                if buckets is not None and found is not None:
                    buckets.inherit(found)
        if self._only is not None and self._rest is not None:
            self._only = self._rest.alone

    @property
    def gauges(self) -> dict[str, float]:
        return {"buckets": sum(len(one) for one in self._buckets if one is not None)}

    def decide(self, exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        find = self._find
        # Where no condition holds it is -1: the last ones, which are the filter's own.
        buckets = self._rest if find is None else self._buckets[find(exchange.get)]
        if buckets is None:
            return None
        now = exchange.started
        bucket = buckets.of(exchange)
        passed = bucket.take(buckets.filling, now)
        if passed:
            self.counters["ok"] += 1
        else:
            self.counters["rate_limited"] += 1
            if self._max_wait and self._clock is not None:
                seconds = bucket.wait(buckets.filling, now)
                if seconds <= self._max_wait:
                    return self._turn_in(seconds, bucket, self._clock)
            passed = not is_enforced(self._enforced)
            self.counters["enforced"] += not passed
        if self._notes is not None:
            return self._told(exchange, self._notes, buckets.filling, bucket, passed)
        return None if passed else _REFUSAL

    def _turn_in(self, seconds: float, bucket: Bucket, clock: IReactorTime) -> Deferred[Reply | None]:
        """The token that comes then is taken now, so that who comes later waits for a later one."""
        bucket.tokens -= 1.0
        self.counters["waited"] += 1
        turn: Deferred[Reply | None] = Deferred()
        clock.callLater(seconds, turn.callback, None)
        return turn

    def _told(
        self, exchange: IExchange, notes: ResponseMetadata, filling: Filling, bucket: Bucket, passed: bool
    ) -> Reply | None:
        wait = bucket.wait(filling, exchange.started)
        metadata = Quota(filling.amount, filling.per, bucket.tokens, wait).metadata()
        if passed:
            notes.note(exchange, metadata)
            return None
        return Reply(ErrorKind.LIMITED, f"{_TEXT}; retry in {wait:.3g} s", details=_TEXT, metadata=metadata)
