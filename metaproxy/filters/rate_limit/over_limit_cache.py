"""
What a service has said to be over its limit: known here until its window ends, so that a flood is not asked about.

Lives here: `OverLimitCache`, which stands before a service. Does not: services (`windows`, `rate_limit_service`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IReactorTime

from metaproxy.filters.rate_limit.descriptors import Asked
from metaproxy.filters.rate_limit.fixed_window import Decision
from metaproxy.filters.rate_limit.quota_headers import Quota
from metaproxy.support.bounded_map import BoundedMap

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class Service(Protocol):
    """Who counts. failures: what its Deferreds may fail with when it can't be asked."""

    @property
    def failures(self) -> tuple[type[Exception], ...]: ...

    def ask(self, asked: Sequence[Asked], hits: int) -> Decision | Deferred[Decision]: ...

    def stop(self) -> None: ...


class OverLimitCache:
    """service: who is asked; most: descriptors that are remembered, of more the oldest are forgotten."""

    def __init__(self, service: Service, clock: IReactorTime, most: int) -> None:
        self.failures: tuple[type[Exception], ...] = service.failures
        self.service = service
        self._clock = clock
        self._most = most
        self._over: BoundedMap[Asked, tuple[float, Quota]] = BoundedMap(most)

    def __len__(self) -> int:
        return len(self._over)

    def ask(self, asked: Sequence[Asked], hits: int) -> Decision | Deferred[Decision]:
        if self._over:
            now = self._clock.seconds()
            for one in asked:
                found = self._over.get(one)
                if found is None:
                    continue
                until, quota = found
                if now < until:
                    return Decision(False, Quota(quota.limit, quota.per, 0, until - now))
                del self._over[one]
        answer = self.service.ask(asked, hits)
        return self._noted(answer, asked) if isinstance(answer, Decision) else answer.addCallback(self._noted, asked)

    def inherit(self, before: object) -> None:
        """Goes on with what another one knows; nothing of who counts otherwise."""
        if isinstance(before, OverLimitCache):
            self._over = before._over
            self._over.limit(self._most)

    def stop(self) -> None:
        self.service.stop()

    def _noted(self, decision: Decision, asked: Sequence[Asked]) -> Decision:
        for place, quota in decision.over:
            self._over.keep(asked[place], (self._clock.seconds() + quota.reset, quota))
        return decision
