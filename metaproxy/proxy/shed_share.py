"""
Which part of the requests of one priority is refused while the process is overloaded, and whose they are.

To read a request that comes alone and to refuse it costs about as much as to serve it. So a client of which one was
refused is *parked*: it is not read for a while, and what it asks next waits in its socket. What it would have asked
counts as refused, too: once as large a part of the clients is parked as is to be refused, nothing more is refused. So
the refusals are few, about two for each time that a client is parked, and the others are served as if it were away.

All take their turn: at each look a few of those that are parked are read again, the first ones first. What waited in
the socket has waited too long and is refused; what comes after that is as good as anybody's.

Lives here: `ShedShare`. Does not: how large the share is (`gauges`); which clients can be parked (`client_requests`).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Protocol
from weakref import ref

from metaproxy.proxy.gauges import LOOK_EVERY, Share

PARKED = "parked"
"""The reason of the pause of a connection that is parked."""
TURNS, MOST_TURNS = 20, 50
"""Looks in which all that are parked have their turn: with a few, and with so many that it would cost too much."""
COST = 40
"""For so many requests that pass one client is read again at most, until it is MOST_TURNS looks that all would take."""
QUICKEST = 4
"""Looks in which those are read again that are too many. All at once would be asking at once, and so be late."""
LONGEST = 6.0
"""Seconds after which one is read again in any case: those behind it may have gone."""
COUNTED = 1.0
"""Seconds in which those are counted that ask anything."""


class Turn(Protocol):
    @property
    def now(self) -> float: ...


class AskingConnection(Protocol):
    """A client's. turn: in which it is read."""

    @property
    def turn(self) -> Turn: ...


class Parkable(AskingConnection, Protocol):
    """One that can be paused."""

    def resume(self, reason: object) -> None: ...


class _Return:
    """
    client: one that was read again, kept so that no other gets its id. since: when. turn: in which something of it was
    read first, -1 before.
    """

    __slots__ = ("client", "since", "turn")

    def __init__(self, client: Parkable, since: float) -> None:
        self.client = client
        self.since = since
        self.turn = -1.0


class ShedShare(Share):
    """value, count: see Share, of the requests of one priority."""

    def __init__(self, uniform: Callable[[], float] = random.random) -> None:
        super().__init__(uniform)
        # One that has ended is not kept, and counts all the same until its turn: another has come in its place.
        self._parked: deque[tuple[float, ref[Parkable]]] = deque()
        self._brief: deque[tuple[float, ref[Parkable]]] = deque()
        self._returned: dict[int, _Return] = {}
        self._asking: set[int] = set()
        self._asked = self._passed = 0
        self._counted = 0.0

    @property
    def parked(self) -> int:
        """Clients that are not read at present."""
        return len(self._parked) + len(self._brief)

    @property
    def active(self) -> int:
        """Clients that asked something within about a second, and are not parked."""
        return max(len(self._asking), self._asked)

    @property
    def asked(self) -> bool:
        """Whether there are any requests of this priority."""
        return bool(self.active or self.parked)

    def refuses_one_of(self, client: AskingConnection) -> bool:
        """Whether this request of the client's is refused, which is counted."""
        value = self.value
        if self._returned and self._waited_long(id(client), client.turn.now):
            self.count += 1
            return True
        if not value:
            return False
        self._asking.add(id(client))
        if self._uniform() >= value - (1.0 - value) * self.parked / self.active:
            self._passed += 1
            return False
        self.count += 1
        return True

    def _waited_long(self, key: int, now: float) -> bool:
        """Whether this was sent while its client was parked: it is among what was read first after that."""
        back = self._returned.get(key)
        if back is None:
            return False
        if back.turn < 0:
            back.turn = now
        elif back.turn != now:
            del self._returned[key]
            return False
        return True

    def park(self, client: Parkable, brief: bool) -> bool:
        """
        A request of the client's was refused: the caller must pause it, with PARKED, if this gives True. brief: only
        until the next look but one, as what it asks next may be of a higher priority.
        """
        key = id(client)
        if key in self._returned:
            return False
        self._asking.discard(key)
        self._asked = max(self._asked - 1, 0)
        (self._brief if brief else self._parked).append((client.turn.now, ref(client)))
        return True

    def look(self, now: float, lag: float) -> None:
        """Read some again of those that are parked. lag: seconds that what is read by now may have waited."""
        returned, parked = self._returned, self._parked
        while returned and now - next(iter(returned.values())).since > 3 * LOOK_EVERY + 2 * lag:
            del returned[next(iter(returned))]
        number = len(parked)
        excess = number - self.value * (self.active + self.parked)
        turns = max(number / MOST_TURNS, min(number / TURNS, self._passed / COST))
        room = max(min(excess, number / QUICKEST + 1), turns)
        self._passed = 0
        while parked and (room > 0 or now - parked[0][0] >= LONGEST):
            room -= 1
            if (client := parked.popleft()[1]()) is not None:
                self._read_again(client, now)
        while self._brief and now - self._brief[0][0] >= LOOK_EVERY:
            _resume(self._brief.popleft()[1])
        if now - self._counted >= COUNTED:
            self._counted = now
            self._asked = len(self._asking)
            self._asking.clear()

    def _read_again(self, client: Parkable, now: float) -> None:
        self._returned[id(client)] = _Return(client, now)
        client.resume(PARKED)

    @property
    def owes(self) -> bool:
        """Whether what waited in the sockets of some clients is to be refused, also once the overload is over."""
        return bool(self._parked or self._returned)

    def forget(self) -> None:
        """Nothing of this priority is refused any more: who asks is not counted."""
        self._asking.clear()
        self._asked = 0

    def release(self) -> None:
        """Read all again that are parked."""
        for waiting in (self._parked, self._brief):
            while waiting:
                _resume(waiting.popleft()[1])


def _resume(one: ref[Parkable]) -> None:
    client = one()
    if client is not None:
        client.resume(PARKED)
