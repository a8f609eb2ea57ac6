"""
When a failed try is followed by another: by kind of failure, number, budget, and whether the request may be repeated.

Lives here: `RetryPolicy` (a route's, immutable) and the decision. Does not: timers, connections, the next try itself
(`proxy.exchange`). Semantics: Envoy's retry policy and retry budget; ours never repeats what a server may have executed
unless the codec knows it to be safe, or the operator says so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from metaproxy.cluster.breaker import Breaker
from metaproxy.message import ErrorKind

REASONS: dict[str, frozenset[ErrorKind]] = {
    "connect": frozenset((ErrorKind.CONNECT, ErrorKind.NO_ENDPOINT)),
    "reset": frozenset((ErrorKind.RESET, ErrorKind.BAD_RESPONSE)),
    "overload": frozenset((ErrorKind.OVERLOAD,)),
    "timeout": frozenset((ErrorKind.TIMEOUT,)),
    "error": frozenset(),
}
"""What `on:` may list, and the failures that each stands for; 'error' is an answer of kind ERROR."""

UNSENT = frozenset((ErrorKind.CONNECT, ErrorKind.NO_ENDPOINT, ErrorKind.OVERLOAD))
"""Failures before the first byte was sent: trying again repeats nothing."""


class RetryPolicy:
    """
    attempts: further tries after the first; on: names of REASONS; per_try_timeout: seconds of one try, 0 for no limit;
    backoff: seconds before the first further try and at most, doubled from try to try, each with full jitter; unsafe:
    also for requests that the codec does not know to be safe to repeat; hedge_after: seconds after which a second try
    is sent beside the first, 0 for never.
    """

    __slots__ = (
        "_kinds", "_uniform", "attempts", "backoff", "hedge_after", "on", "on_error", "per_try_timeout", "unsafe",
    )  # fmt: skip

    def __init__(
        self,
        attempts: int,
        on: Iterable[str] = ("connect", "overload"),
        per_try_timeout: float = 0.0,
        backoff: tuple[float, float] = (0.025, 0.25),
        unsafe: bool = False,
        hedge_after: float = 0.0,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        names = list(on)
        self.on = tuple(names)
        self.attempts = attempts
        self.on_error = "error" in names
        self.per_try_timeout = per_try_timeout
        self.backoff = backoff
        self.unsafe = unsafe
        self.hedge_after = hedge_after
        self._kinds = frozenset().union(*(REASONS[name] for name in names)) if names else frozenset()
        self._uniform = uniform

    def __str__(self) -> str:
        """Such as `2 more tries on connect, reset; each within 0.5 s`."""
        more = f"{self.attempts} more {'try' if self.attempts == 1 else 'tries'} on {', '.join(self.on) or 'nothing'}"
        parts = [more]
        if self.per_try_timeout:
            parts.append(f"each within {self.per_try_timeout:g} s")
        if self.unsafe:
            parts.append("also where it may be executed twice")
        if self.hedge_after:
            parts.append(f"a second one beside the first after {self.hedge_after:g} s")
        return "; ".join(parts)

    def allows(self, kind: ErrorKind | None, tries: int, safe: bool) -> bool:
        """
        Whether another try may follow. kind: the failure, None for an error answer; tries: made so far; safe: the
        codec knows that the request may be executed twice.
        """
        if tries > self.attempts:
            return False
        if kind is None:
            return self.on_error and (safe or self.unsafe)
        return kind in self._kinds and (kind in UNSENT or safe or self.unsafe)

    def delay(self, tries: int) -> float:
        """Seconds before try number `tries` + 1: full jitter below an exponentially growing bound."""
        base, most = self.backoff
        return self._uniform() * min(most, base * float(1 << min(tries - 1, 30)))


def within_budget(breaker: Breaker) -> bool:
    """
    Whether the cluster bears one more retry: under `retry_budget` percent of the requests under way (at least three at
    a time), or without a budget under `max_retries`.
    """
    if breaker.retry_budget > 0:
        return breaker.retries < max(3.0, breaker.requests * breaker.retry_budget / 100.0)
    return breaker.retries < breaker.max_retries
