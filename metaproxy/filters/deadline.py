"""
`deadline`: the time limit that a request carries, honoured and shortened on its way.

Lives here: reading, bounding and writing it. Does not: watching it (`proxy.deadlines`).
"""

from __future__ import annotations

from math import floor, log10
from typing import Annotated, Literal

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from metaproxy.interfaces import IExchange, IOnRequest
from metaproxy.message import ErrorKind, Reply
from metaproxy.units import Option, Seconds

UNITS = {"ms": 1000.0, "s": 1.0}
"""How many of a unit are a second."""
MAX_DIGITS = 12
"""Of a value; a longer one, or one that is no number above 0, is taken for none."""
_LEAST = Seconds(0.0)


@implementer(IOnRequest)
class Deadline:
    """
    A request that names its time limit gets no more time than that, whatever route and cluster allow, and what is
    forwarded names what is left of it.

    Put it last: what later filters wait is not subtracted from what is forwarded.
    """

    def __init__(
        self,
        clock: IReactorTime,
        key: Annotated[
            str,
            Option(
                "The metadata key that holds the limit, such as Dubbo's attachment `timeout` or THeader's "
                "`client_timeout`.",
                least=1,
            ),
        ] = "timeout",
        unit: Annotated[Literal["ms", "s"], Option("What its number counts.")] = "ms",
        forward: Annotated[
            bool, Option("Write the rest into the request, where the protocol has a place for it.")
        ] = True,
        reserve: Annotated[
            Seconds,
            Option("Kept back for the way of the answer: the client learns of a time-out before it gives up."),
        ] = _LEAST,
    ) -> None:
        self.counters = {"shortened": 0, "expired": 0, "ignored": 0}
        self._clock = clock
        self._key = key
        self._scale = UNITS[unit]
        self._forward = forward
        self._reserve = reserve

    def on_request(self, exchange: IExchange) -> Reply | None:
        text = exchange.get(self._key)
        if text is None:
            return None
        named = _number(text) / self._scale
        if not named:
            self.counters["ignored"] += 1
            return None
        allowed = named - self._reserve
        left = allowed - (self._clock.seconds() - exchange.started)
        if left <= 0:
            self.counters["expired"] += 1
            return Reply(ErrorKind.TIMEOUT, f"its {self._key} of {text} has passed")
        self.counters["shortened"] += 1
        exchange.limit(rounded(allowed))
        if self._forward:
            exchange.set(self._key, str(max(1, round(left * self._scale))))
        return None


def _number(text: str) -> float:
    """0.0 for what is no number above 0."""
    if len(text) > MAX_DIGITS or not text.isascii() or not text.replace(".", "", 1).isdigit():
        return 0.0
    return float(text)


def rounded(seconds: float) -> float:
    """Down to two digits, a millisecond at least: clients choose these values, and each different one has a queue."""
    seconds = max(seconds, 0.001)
    step = 10.0 ** (floor(log10(seconds)) - 1)
    return max(0.001, round(floor(seconds / step + 1e-9) * step, 6))
