"""
The streams of a connection of HTTP/2 that were given up, of which the peer may not know yet.

Lives here: `GivenUp`. Does not: what gives a stream up (`client`, `server`, `reading`).
"""

from __future__ import annotations

from collections import deque


class GivenUp:
    """
    Numbers of streams, in little memory: the newest `most`, and of the older ones the highest.

    A stream up to that one counts as given up. What comes on it may have been on its way all the time that the others
    took, and an error of the connection would end the exchanges of all others for it.
    """

    __slots__ = ("_forgotten", "_known", "_most", "_order")

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[int] = set()
        self._order: deque[int] = deque()
        self._forgotten = 0

    def add(self, number: int) -> None:
        if number in self._known:
            return
        self._known.add(number)
        self._order.append(number)
        if len(self._order) > self._most:
            oldest = self._order.popleft()
            self._known.remove(oldest)
            self._forgotten = max(self._forgotten, oldest)

    def __contains__(self, number: int) -> bool:
        return number <= self._forgotten or number in self._known
