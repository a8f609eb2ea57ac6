"""
Token buckets: one, or one for each value of some keys.

Lives here: `Bucket`, how it fills, and `Buckets`, whose number is bounded. Does not: who is refused,
and with what words.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from hashlib import blake2b

from metaproxy.interfaces import IExchange
from metaproxy.support.bounded_map import BoundedMap

LONGEST = 128
"""Characters of a value that are kept as they are; of a longer one a digest is kept, so that memory is bounded."""


ENOUGH = 1.0 - 1e-9
"""Tokens that count as one: what ten times a tenth makes."""


class Filling:
    """
    How a bucket fills. amount: tokens each `per` seconds; burst: tokens that a full one holds; steady: token by token,
    else all of them at once, at the multiples of `per`.
    """

    __slots__ = ("amount", "burst", "per", "rate", "steady")

    def __init__(self, amount: float, per: float, burst: float, steady: bool = True) -> None:
        self.amount = amount
        self.per = per
        self.burst = burst
        self.steady = steady
        self.rate = amount / per


class Bucket:
    """Tokens, full at first. filled: seconds, as of when `tokens` counts."""

    __slots__ = ("filled", "tokens")

    def __init__(self, tokens: float) -> None:
        self.tokens = tokens
        self.filled = 0.0

    def take(self, filling: Filling, now: float) -> bool:
        """Whether there was a token; it is gone then."""
        if now > self.filled:  # else it waited in another filter, and began before this one was asked
            self.fill(filling, now)
        if self.tokens < ENOUGH:
            return False
        self.tokens -= 1.0
        return True

    def fill(self, filling: Filling, now: float) -> None:
        """now: later than `filled`."""
        if filling.steady:
            tokens = self.tokens + (now - self.filled) * filling.rate
            self.filled = now
        else:
            times = (now - self.filled) // filling.per
            tokens = self.tokens + times * filling.amount
            self.filled += times * filling.per
        self.tokens = tokens if tokens < filling.burst else filling.burst

    def wait(self, filling: Filling, now: float) -> float:
        """Seconds until the next token is there."""
        if self.tokens >= ENOUGH:
            return 0.0
        missing = 1.0 - self.tokens
        if filling.steady:
            return max(0.0, missing / filling.rate - (now - self.filled))
        return max(0.0, self.filled + filling.per * math.ceil(missing / filling.amount) - now)


class Buckets:
    """
    A bucket for each value of `keys`, of no keys one for all. Of more than `most` values those that were not seen for
    the longest are forgotten, and start full when they come again. A key that is missing counts as an empty text.
    """

    def __init__(self, filling: Filling, keys: tuple[str, ...], most: int) -> None:
        self.filling = filling
        self._keys = keys
        self._most = most
        self.alone = Bucket(filling.burst)
        self._found: BoundedMap[Hashable, Bucket] = BoundedMap(most)

    def inherit(self, before: Buckets) -> None:
        """Goes on with what is left in those of before, if the same keys distinguish them."""
        if before._keys != self._keys:
            return
        self.alone, self._found = before.alone, before._found
        self._found.limit(self._most)
        filling = self.filling
        for bucket in (self.alone, *self._found.values()):
            bucket.tokens = min(bucket.tokens, filling.burst)
            if not filling.steady and (before.filling.steady or before.filling.per != filling.per):
                bucket.filled -= bucket.filled % filling.per

    def __len__(self) -> int:
        return len(self._found) if self._keys else 1

    def of(self, exchange: IExchange) -> Bucket:
        """The bucket that an exchange takes from."""
        if not self._keys:
            return self.alone
        found = self._found
        value = value_of(exchange, self._keys)
        bucket = found.get(value)
        if bucket is not None:
            found.move_to_end(value)
            return bucket
        bucket = Bucket(self.filling.burst)
        found.keep(value, bucket)
        return bucket


def value_of(exchange: IExchange, keys: tuple[str, ...]) -> Hashable:
    """What tells exchanges apart by these keys, of bounded size."""
    if len(keys) == 1:
        return _bounded(exchange.get(keys[0]) or "")
    return tuple(_bounded(exchange.get(key) or "") for key in keys)


def _bounded(value: str) -> Hashable:
    return value if len(value) <= LONGEST else blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).digest()
