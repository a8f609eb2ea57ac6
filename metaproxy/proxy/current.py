# cython: auto_pickle=False
# A dataclass is derived from one of these, and copies itself.
"""
What each request reads of a listener, its snapshot and the process, in classes of their own, as these are compiled.

Lives here: `PathSnapshot`, `SnapshotOwner`, `Shedding`. Does not: what else they have (`snapshot.ListenerSnapshot`,
`listener.Listener`, `overload.OverloadMonitor`), and types that only mypy has.
"""

from __future__ import annotations

from typing import Any


class PathSnapshot:
    """See `snapshot.ListenerSnapshot`."""

    __slots__ = ("codec", "no_route", "routes")
    codec: Any
    no_route: Any
    routes: Any


class SnapshotOwner:
    """snapshot: the one in force, a PathSnapshot."""

    __slots__ = ("snapshot",)
    snapshot: Any


class Shedding:
    """shedding: whether some requests are refused, as the process has too much to do."""

    __slots__ = ("shedding",)
    shedding: bool
