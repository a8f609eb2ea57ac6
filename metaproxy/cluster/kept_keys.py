"""
Which endpoint has what only one server has: a cursor, a session, a transaction.

Lives here: `KeptKeys`, one a cluster. Does not: the keys (`Message.override_key`, `ISession.keep`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metaproxy.cluster.endpoint import Endpoint

MOST = 65536
"""Keys that are remembered; the one that was used longest ago is forgotten first."""
LONGEST = 1800.0
"""Seconds for which a key is remembered that is not used."""


class KeptKeys:
    """now: seconds of a clock, as the cluster's network has it once it is in force."""

    def __init__(self, most: int = MOST) -> None:
        self.now: Callable[[], float] = lambda: 0.0
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[Endpoint, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, endpoint: Endpoint, key: Hashable, live: bool) -> None:
        """The endpoint's server has it from now on, or has it no more."""
        if not live:
            self.lose(key)
            return
        self._kept[key] = endpoint, self.now()
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def lose(self, key: Hashable) -> None:
        """It is not known any more which server has it."""
        self._kept.pop(key, None)

    def find(self, key: Hashable) -> Endpoint | None:
        """The endpoint that has it; None where that is not known."""
        found = self._kept.get(key)
        if found is None:
            return None
        endpoint, since = found
        now = self.now()
        if now - since > LONGEST:
            del self._kept[key]
            return None
        self._kept[key] = endpoint, now
        self._kept.move_to_end(key)
        return endpoint
