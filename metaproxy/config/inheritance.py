"""
What a filter that is made again takes over from the one that stood in its place: counts survive every configuration.

Lives here: `succeed`, for all filters of a configuration. Does not: which object stands where (`build`); the state of a
filter, such as its buckets, which its own `inherit` takes over.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Protocol, runtime_checkable

from twisted.logger import Logger

log = Logger()

Place = tuple[str, str, int, str]
"""Name of the filter, listener, which of its name it is, and the route whose options it has, '' for all others."""


def succeed(before: Mapping[Place, object], now: Mapping[Place, object]) -> None:
    """
    Has each filter of `now` take over from the one of `before` in its place. One whose place is gone leaves its counts
    to another of its name: the sum of a listener's must not go back.
    """
    for place, new in now.items():
        old = before.get(place)
        if old is not None and old is not new:
            _inherit(new, old)
    for place, old in before.items():
        if place not in now:
            name, listener, number, _ = place
            heir = now.get((name, listener, number, "")) or now.get((name, listener, 1, ""))
            if heir is not None and heir is not old:
                _add_counts(heir, old)


def _inherit(new: object, old: object) -> None:
    inherit = getattr(new, "inherit", None)
    if inherit is not None:
        try:
            inherit(old)
        except BaseException:
            log.failure("{plugin}: inherit failed; it begins without what was before", plugin=type(new).__name__)
    counts = getattr(new, "counters", None)
    # A filter whose own `inherit` has carried them over has some already.
    if isinstance(counts, MutableMapping) and not any(counts.values()):
        _add_counts(new, old)


@runtime_checkable
class _Counting(Protocol):
    """A filter that counts."""

    counters: MutableMapping[str, int]


def _add_counts(new: object, old: object) -> None:
    if not isinstance(new, _Counting) or not isinstance(old, _Counting) or new.counters is old.counters:
        return
    mine, before = new.counters, old.counters
    if not isinstance(mine, MutableMapping) or not isinstance(before, Mapping):  # of somebody else's filter
        return
    for event, number in before.items():
        mine[event] = mine.get(event, 0) + number
    try:
        old.counters = mine  # exchanges that are under way end with the old one
    except AttributeError:  # its class does not let it be changed: what these count is not seen
        pass
