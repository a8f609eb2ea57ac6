"""
How the route of a request is found: by look-ups of the values that routes compare, then by the tests that are left.

Lives here: `Entry`, `KeyIndex`, `RouteIndex`; they are compiled, and so know no types that only mypy has. Does not:
which routes there are and what is put into an index (`table`), what a single condition means (`matcher`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count, product
from typing import Any

from metaproxy.message import Message, Shared
from metaproxy.routing.chosen import ChosenRoute

Sticky = Callable[[Callable[[str], "str | None"], Mapping[str, str], int], "float | None"]
"""
What draws a number of [0, 1) for a request by its metadata and its connection's facts, always the same for equal ones;
None when they are not there. The last argument tells draws apart that are to have nothing in common.
"""
PERCENT, WEIGHTS = 1, 2
"""The two draws of a route."""

Rest = tuple[tuple[str, bool, Callable[["str | None"], bool]], ...]
"""Conditions that an index leaves open: name, whether it is a fact, test."""


class Entry:
    """A route as an index holds it. rest: see Rest; share: of 1; sure: nothing is left open."""

    __slots__ = ("place", "rest", "route", "share", "split_by_hash", "sure")

    def __init__(self, place: int, route: ChosenRoute, rest: Rest, share: float, sticky: Sticky | None) -> None:
        self.place = place
        self.route = route
        self.rest = rest
        self.share = share
        self.split_by_hash = sticky
        self.sure = not rest and self.share >= 1.0


class KeyIndex:
    """
    The routes that ask for exact values of the same keys, found by one look-up a key.

    keys: (name, whether it is a fact), in the order of look-ups; root: value of the first key -> value of the second
    -> ... -> entries in the order of their places (without keys: the entries); first: the least place in it; until: the
    least place in the index that is asked next.
    """

    __slots__ = ("first", "keys", "root", "until")

    def __init__(self, keys: tuple[tuple[str, bool], ...], first: int) -> None:
        self.keys = keys
        self.first = first
        self.until = sys.maxsize
        self.root: Any = {} if keys else []

    def add(self, entry: Entry, values: Sequence[Sequence[str]]) -> None:
        for path in product(*values):
            node = self.root
            # Interned, as codecs intern what they read: equal texts are one object, and found without comparing.
            for value in path[:-1]:
                node = node.setdefault(sys.intern(value), {})
            entries = node.setdefault(sys.intern(path[-1]), []) if path else node
            # Behind an entry that takes whatever comes nothing is ever reached.
            if not entries or not entries[-1].sure:
                entries.append(entry)


_numbers = count(1)

MOST_NOTED = 2048
"""Metadata that a table's routes are noted at, and which it keeps: of heads of 1 KiB, each different, 4.5 MiB."""


class RouteIndex:
    """
    All indexes of a route table, in the order of their first routes. uniform: draws a number of [0, 1).

    Where nothing but metadata decides, what was found for messages that share theirs is noted there, with the number of
    the index that found it. It is forgotten with the index, so that no metadata keep a configuration alive that was
    replaced. Messages that come to two tables in turn are looked up by both.
    """

    __slots__ = ("_always", "_by_head", "_indexes", "_looks", "_noted", "_number", "_uniform")

    def __init__(self, uniform: Callable[[], float]) -> None:
        self._uniform = uniform
        self._indexes: list[KeyIndex] = []
        self._always: Any = None
        """The route that a table always answers, if there is one."""
        self._by_head = True
        self._number = next(_numbers)
        self._noted: list[Shared] = []
        """Where its routes are noted; at most MOST_NOTED, as codecs forget metadata, too."""
        self._looks = False
        """Whether the first that is asked is a message's metadata."""

    def append(self, index: KeyIndex) -> None:
        """Puts one behind the others, whose first places are before its own."""
        if self._indexes:
            self._indexes[-1].until = index.first
        else:
            self._looks = bool(index.keys) and not index.keys[0][1]
        if any(fact or name == "kind" for name, fact in index.keys):
            self._by_head = False
        self._indexes.append(index)

    def match(self, message: Message, facts: Mapping[str, str]) -> Any:
        """
        The route of a request, or None. facts: of its connection, such as source.address.

        Raises FrameError when the message's metadata can't be decoded as far as a condition needs it; a route before
        that one may still be found without it.
        """
        if self._always is not None:
            return self._always
        by_head = self._by_head
        if by_head and self._looks and message.metadata is None:
            message.look()
        shared = message.metadata
        looked_up = True  # nothing but look-ups has decided so far
        if by_head and type(shared) is Shared:
            head = shared
            if head.index == self._number:
                return head.route
        # Candidates: (place of the next entry, position of the index, entries, position of the entry in them).
        waiting: list[tuple[int, int, list[Entry], int]] = []
        for position, index in enumerate(self._indexes):
            # Routes above the first one of this index go first: most often its keys need no look at all.
            while waiting and waiting[0][0] < index.first:
                route = self._take(waiting, index.first, message, facts)
                if route is not None:
                    return route
            node = index.root
            for name, fact in index.keys:
                node = node.get(facts.get(name) if fact else message.get(name))
                if node is None:
                    break
            if node:
                entry: Entry = node[0]
                if not waiting and entry.sure and entry.place < index.until:
                    # Another object where more than the head was read.
                    if looked_up and by_head and type(shared) is Shared and message.metadata is shared:
                        self._keep(shared, entry.route)
                    return entry.route
                looked_up = False
                heappush(waiting, (entry.place, position, node, 0))
        while waiting:
            route = self._take(waiting, sys.maxsize, message, facts)
            if route is not None:
                return route
        return None

    def _keep(self, shared: Shared, route: ChosenRoute) -> None:
        """Note what was found by look-ups of these metadata alone."""
        if len(self._noted) >= MOST_NOTED:
            self._forget()
        target: Any = route.only_target
        shared.note(self._number, route, target, None if target is None else target.counts)
        self._noted.append(shared)

    def _forget(self) -> None:
        """Clear the notes, but for those that a newer table has made in their place."""
        for shared in self._noted:
            if shared.index == self._number:
                shared.note(0, None, None, None)
        self._noted.clear()

    def __del__(self) -> None:
        self._forget()

    def _take(
        self,
        waiting: list[tuple[int, int, list[Entry], int]],
        below: int,
        message: Message,
        facts: Mapping[str, str],
    ) -> Any:
        """The route of the first candidate, or of those after it below a place, of which all else holds, too."""
        _, position, entries, at = heappop(waiting)
        if waiting and waiting[0][0] < below:
            below = waiting[0][0]
        for here in range(at, len(entries)):
            entry = entries[here]
            if entry.place >= below:
                heappush(waiting, (entry.place, position, entries, here))
                return None
            if entry.sure or (self._holds(entry, message, facts) and self._draws(entry, message, facts)):
                return entry.route
        return None

    def _holds(self, entry: Entry, message: Message, facts: Mapping[str, str]) -> bool:
        """Whether the conditions hold that the index leaves open."""
        for name, fact, test in entry.rest:  # noqa: SIM110  # no generator for each request
            if not test(facts.get(name) if fact else message.get(name)):
                return False
        return True

    def _draws(self, entry: Entry, message: Message, facts: Mapping[str, str]) -> bool:
        """Whether it is of the route's share."""
        if entry.share >= 1.0 or entry.share <= 0.0:
            return entry.share > 0.0
        drawn = None
        if entry.split_by_hash is not None:
            get = getattr(message, "get")  # noqa: B009  # compiled, `message.get` would be no bound method
            drawn = entry.split_by_hash(get, facts, PERCENT)
        return (self._uniform() if drawn is None else drawn) < entry.share
