"""
`concurrency_limit`: so many requests under way, a fixed number or one that follows how long answers take.

Lives here: counting what is under way, for all or for each value of a key. Does not: finding the limit (`gradient`).
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Hashable
from typing import Annotated

from zope.interface import implementer

from metaproxy.filters.concurrency_limit.gradient import Adaptive, Gradient
from metaproxy.filters.rate_limit.token_bucket import value_of
from metaproxy.interfaces import IExchange, IOnComplete, IOnRequest
from metaproxy.message import ErrorKind, FrameError, Hold, Reply
from metaproxy.options import made
from metaproxy.support.worker_share import whole_part
from metaproxy.units import Option, OptionsOf

_REFUSAL = Reply(ErrorKind.OVERLOAD, "concurrency_limit: too many requests under way")
_SAMPLED = ("ok", "error", ErrorKind.TIMEOUT.value)
"""Outcomes that tell how long a server takes."""
_TRIES = 8


class _Lane:
    """The requests of one value of the key. under_way: how many; gradient: finds their limit, None for a fixed one."""

    __slots__ = ("gradient", "key", "under_way")

    def __init__(self, key: Hashable, gradient: Gradient | None) -> None:
        self.key = key
        self.gradient = gradient
        self.under_way = 0


@implementer(IOnRequest, IOnComplete)
class ConcurrencyLimit:
    """Refuses requests while too many are under way, as an overload."""

    def __init__(
        self,
        limit: Annotated[int, Option("How many may be under way.", least=1, default="one of both")] = 0,
        adaptive: Annotated[
            dict[str, object] | None,
            OptionsOf(Adaptive),
            Option("A limit that follows how long answers take; `{}` for all defaults.", default="one of both"),
        ] = None,
        key: Annotated[
            str | list[str], Option("A metadata key, or several: each of their values has a limit of its own.")
        ] = "",
        max_keys: Annotated[
            int,
            Option(
                "Values that an adaptive limit remembers; those with requests under way are never forgotten.", least=1
            ),
        ] = 1000,
    ) -> None:
        if (adaptive is None) == (limit == 0):
            raise ValueError("write limit, how many requests may be under way, or adaptive: {}; one of them")
        self._limit = whole_part(limit)  # of several workers each has a part
        self._adaptive = None if adaptive is None else made(Adaptive, adaptive, "adaptive")
        self._keys = (key,) if isinstance(key, str) and key else tuple(key)
        self._most = max_keys
        self._rng = random.Random()
        self._lanes: OrderedDict[Hashable, _Lane] = OrderedDict()
        self._under_way: dict[IExchange, _Lane] = {}
        self.counters = {"ok": 0, "blocked": 0}

    def inherit(self, previous: object) -> None:
        """Goes on with what is under way, and with the limits that were found."""
        if not isinstance(previous, ConcurrencyLimit):
            return
        # Exchanges that are under way end with the old one: both look into the same tables from now on.
        self._lanes, self._under_way = previous._lanes, previous._under_way
        if previous._keys != self._keys:
            self._lanes.clear()
            for exchange in self._under_way:
                self._under_way[exchange] = lane = self._lane(self._key(exchange), exchange.started)
                lane.under_way += 1
        for lane in self._lanes.values():
            if self._adaptive is None:
                lane.gradient = None
            elif lane.gradient is None:
                lane.gradient = Gradient(self._adaptive, self._rng, 0.0)
            else:
                lane.gradient.adapt(self._adaptive, 0.0)

    def _key(self, exchange: IExchange) -> Hashable:
        """As `on_request` has it, of an exchange that came here before."""
        try:
            return value_of(exchange, self._keys) if self._keys else ()
        except FrameError:
            return ("",) * len(self._keys) if len(self._keys) > 1 else ""

    per_worker = ("gradient", "min_rtt_seconds", "sample_rtt_seconds")

    @property
    def gauges(self) -> dict[str, float]:
        values: dict[str, float] = {"under_way": len(self._under_way)}
        if self._keys:
            values["keys"] = len(self._lanes)
            return values
        lane = self._lanes.get(())
        if self._adaptive is None or lane is None or lane.gradient is None:
            return {**values, "limit": self._limit or 0}
        found = lane.gradient
        return {
            **values,
            "limit": found.limit,
            "gradient": found.gradient,
            "headroom": found.headroom,
            "min_rtt_seconds": found.min_rtt,
            "sample_rtt_seconds": found.sample_rtt,
            "measuring": found.measuring,
        }

    def on_request(self, exchange: IExchange) -> Reply | None:
        lane = self._lane(value_of(exchange, self._keys) if self._keys else (), exchange.started)
        limit = self._limit
        gradient = lane.gradient
        if gradient is not None:
            gradient.turn(exchange.started)
            limit = gradient.limit
        if lane.under_way >= limit:
            self.counters["blocked"] += 1
            return _REFUSAL
        lane.under_way += 1
        self._under_way[exchange] = lane
        self.counters["ok"] += 1
        return None

    def on_complete(self, exchange: IExchange) -> None:
        lane = self._under_way.pop(exchange, None)
        if lane is None:  # refused, or it never came here
            return
        lane.under_way -= 1
        gradient = lane.gradient
        if not lane.under_way and (gradient is None or len(self._lanes) > self._most):
            del self._lanes[lane.key]
        elif (
            gradient is not None
            and exchange.outcome in _SAMPLED
            and exchange.message.hold is not Hold.BLOCKING
            and not exchange.streamed
        ):
            gradient.record(exchange.started, exchange.ended)

    def _lane(self, key: Hashable, now: float) -> _Lane:
        lanes = self._lanes
        lane = lanes.get(key)
        if lane is None:
            if len(lanes) >= self._most:
                self._forget_one()
            gradient = None if self._adaptive is None else Gradient(self._adaptive, self._rng, now)
            lane = lanes[key] = _Lane(key, gradient)
        elif self._keys:
            lanes.move_to_end(key)
        return lane

    def _forget_one(self) -> None:
        """The one that was silent for the longest. Those with requests under way stay, and so bound themselves."""
        for _ in range(_TRIES):
            key, lane = next(iter(self._lanes.items()))
            if not lane.under_way:
                del self._lanes[key]
                return
            self._lanes.move_to_end(key)
