"""
How much a peer may ask for that costs it nothing: pings, settings, empty frames, resets.

Lives here: `Allowance`, one for each kind of cost. Does not: what counts how much; that stands where it is counted.
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.codecs.http.http2.frames import Code, ConnectionFault


class Allowance:
    """
    A number that frames use up, and that time and useful work fill again.

    most: what it is at first, and at most; rate: what a second adds; clock: seconds, asked only when nothing is left,
    so that counting costs a subtraction.
    """

    __slots__ = ("_clock", "_most", "_rate", "_since", "_what", "left")

    def __init__(self, what: str, most: int, rate: float, clock: Callable[[], float]) -> None:
        self._what = what
        self._most = most
        self._rate = rate
        self._clock = clock
        self._since = clock()
        self.left: float = most

    def use(self, cost: int = 1) -> None:
        """Count a frame. Raises ConnectionFault when the peer sends more than it may."""
        self.left -= cost
        if self.left < 0:
            now = self._clock()
            self.left = min(self._most, self.left + (now - self._since) * self._rate)
            self._since = now
            if self.left < 0:
                raise ConnectionFault(Code.ENHANCE_YOUR_CALM, f"too many {self._what}")

    def earn(self, gain: int) -> None:
        """Useful work was done."""
        if self.left < self._most:
            self.left += gain
