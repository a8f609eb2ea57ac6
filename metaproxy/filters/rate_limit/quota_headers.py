"""
What is left of a limit, shown to clients: metadata of the answer, where the protocol can carry them.

Lives here: `Quota` and how it is written, `ResponseMetadata`, which keeps what an exchange's answer is to tell, and how
much of a limit is enforced. Does not: limits.

The names and the form are those of Envoy's rate limit filters, which follow the third draft of the RateLimit headers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import NamedTuple

from zope.interface import directlyProvides, providedBy

from metaproxy.interfaces import IExchange, IOnComplete, IOnResponse
from metaproxy.units import Percent

LIMIT, REMAINING, RESET = "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"

ALL = Percent(100.0)


def is_enforced(percent: float, rng: random.Random | None = None) -> bool:
    """Whether one request that is over a limit is refused, of which so many percent are."""
    return percent >= 100 or (percent > 0 and (rng or random).random() * 100 < percent)


class Quota(NamedTuple):
    """limit: requests in `per` seconds; remaining: how many are left; reset: seconds until more are there."""

    limit: float
    per: float
    remaining: float
    reset: float

    def metadata(self) -> dict[str, str]:
        limit = f"{self.limit:g}"
        return {
            LIMIT: f"{limit}, {limit};w={self.per:g}",
            REMAINING: str(max(0, math.floor(self.remaining))),
            RESET: str(math.ceil(self.reset)),
        }


class ResponseMetadata:
    """
    Metadata for the answers of exchanges that are under way. It gives a filter the hooks that put them there; one
    without notes does not have these hooks, so that they cost nothing.
    """

    def __init__(self, filter: object) -> None:
        self._of: dict[IExchange, Mapping[str, str]] = {}
        vars(filter).update(on_response=self._put, on_complete=self._forget)
        directlyProvides(filter, IOnResponse, IOnComplete, providedBy(filter))

    def __len__(self) -> int:
        return len(self._of)

    def note(self, exchange: IExchange, metadata: Mapping[str, str]) -> None:
        """What the answer to `exchange` tells, if there will be one."""
        before = self._of.get(exchange)
        self._of[exchange] = {**before, **metadata} if before else metadata

    def _put(self, exchange: IExchange) -> None:
        for key, value in self._of.get(exchange, {}).items():
            exchange.set(key, value)

    def _forget(self, exchange: IExchange) -> None:
        self._of.pop(exchange, None)
