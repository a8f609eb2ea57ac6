"""
Fixed windows of time: so many requests in each second, minute, hour or day.

Lives here: what is counted under which name, what follows from the counts, and the two who count: `InProcess`, and
`OnRedis` for proxies that share a Redis. Does not: token buckets (`bucket`); a service (`rate_limit_service`).

Windows are those of envoyproxy/ratelimit: they begin at multiples of the unit since the epoch, and what is refused
counts, too.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from twisted.internet.interfaces import IReactorTime

from metaproxy.clients.redis import Redis, RedisFailed
from metaproxy.filters.rate_limit.descriptors import Asked, Limit
from metaproxy.filters.rate_limit.quota_headers import Quota
from metaproxy.support.bounded_map import BoundedMap

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

_NOTHING: Mapping[str, str] = {}


class Decision(NamedTuple):
    """
    quota: of the descriptor that has the least left; request, response: metadata that are to be added to them; over:
    place and quota of each descriptor that is over its limit and stays so until the quota's reset.
    """

    passed: bool
    quota: Quota | None = None
    request: Mapping[str, str] = _NOTHING
    response: Mapping[str, str] = _NOTHING
    over: Sequence[tuple[int, Quota]] = ()


def name_of(domain: str, asked: Asked, start: int) -> str:
    """DOMAIN|KEY=VALUE|...|UNIT|START: what is counted under one name. Quoted, so that no value looks like another."""
    parts = [f"{_quoted(key)}={_quoted(value)}" for key, value in asked.entries]
    return "|".join([domain, *parts, _limit(asked).unit, str(start)])


def _limit(asked: Asked) -> Limit:
    """Return the limit of a descriptor; here each has one, as the filter's constructor saw to."""
    assert asked.limit is not None
    return asked.limit


def _quoted(text: str) -> str:
    return quote(text, safe="/.:@$", errors="surrogatepass")


def start_of(limit: Limit, now: float) -> int:
    """Seconds since the epoch at which the window began."""
    return int(now // limit.seconds) * limit.seconds


PASSED, REFUSED = Decision(True), Decision(False)


def decide(asked: Sequence[Asked], counted: Sequence[int], now: float, quotas: bool) -> Decision:
    """counted: how many there were of each in its window, this request included; quotas: whether they are wanted."""
    if not quotas:
        for one, count in zip(asked, counted, strict=True):
            if count > _limit(one).requests:
                return REFUSED
        return PASSED
    found = []
    for one, count in zip(asked, counted, strict=True):
        limit = _limit(one)
        reset = start_of(limit, now) + limit.seconds - now
        found.append(Quota(limit.requests, limit.seconds, limit.requests - count, reset))
    over = [(place, quota) for place, quota in enumerate(found) if quota.remaining < 0]
    return Decision(not over, min(found, key=lambda quota: quota.remaining), over=over)


class InProcess:
    """Counts in this process. Of more than `most` names those that began first are forgotten."""

    failures: tuple[type[Exception], ...] = ()

    def __init__(self, clock: IReactorTime, most: int, quotas: bool = True) -> None:
        self._quotas = quotas
        self._clock = clock
        self._most = most
        self._counts: BoundedMap[Hashable, list[int]] = BoundedMap(most)

    def __len__(self) -> int:
        return len(self._counts)

    def inherit(self, before: object) -> None:
        """Goes on with the counts of another one; with nothing of who counts otherwise."""
        if isinstance(before, InProcess):
            self._counts = before._counts
            self._counts.limit(self._most)

    def ask(self, asked: Sequence[Asked], hits: int) -> Decision:
        now = self._clock.seconds()
        counted = [self._add(one, start_of(_limit(one), now), hits) for one in asked]
        return decide(asked, counted, now, self._quotas)

    def _add(self, asked: Asked, start: int, hits: int) -> int:
        counts = self._counts
        name = (asked.entries, _limit(asked).unit)
        found = counts.get(name)
        if found is None or found[0] != start:
            found = [start, 0]
            counts.keep(name, found)
        found[1] += hits
        return found[1]

    def stop(self) -> None:
        """Nothing is open."""


class OnRedis:
    """Counts on a Redis, together with all others that use it: INCRBY and EXPIRE, in one pipeline a request."""

    failures: tuple[type[Exception], ...] = (RedisFailed,)

    def __init__(self, domain: str, clock: IReactorTime, redis: Redis, prefix: str, quotas: bool = True) -> None:
        self._quotas = quotas
        self._domain = prefix + domain
        self._clock = clock
        self.redis = redis

    def ask(self, asked: Sequence[Asked], hits: int) -> Deferred[Decision]:
        now = self._clock.seconds()
        commands: list[Sequence[bytes]] = []
        for one in asked:
            limit = _limit(one)
            name = name_of(self._domain, one, start_of(limit, now)).encode()
            commands.append((b"INCRBY", name, b"%d" % hits))
            commands.append((b"EXPIRE", name, b"%d" % limit.seconds))
        return self.redis.call(commands).addCallback(
            lambda found: decide(asked, [int(count) for count in found[::2]], now, self._quotas)
        )

    def stop(self) -> None:
        self.redis.close()
