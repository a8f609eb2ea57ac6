"""
What clusters that use the same registry share: one session, however many they are.

Lives here: `Shared`. Does not: any session.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IReactorTime


class Session(Protocol):
    """A session ends when nothing uses it."""

    def close(self) -> None: ...


S = TypeVar("S", bound=Session)


class Shared(Generic[S]):
    """
    Sessions by reactor and key (the servers and all that makes sessions differ). `take` gives the one that is there, or
    makes it. It is closed a turn of the reactor after its last user released it: a cluster that replaces another in
    that turn goes on with the same session.
    """

    def __init__(self) -> None:
        self._sessions: WeakKeyDictionary[IReactorTime, dict[Hashable, tuple[S, int]]] = WeakKeyDictionary()

    def take(self, clock: IReactorTime, key: Hashable, make: Callable[[], S]) -> S:
        sessions = self._sessions.setdefault(clock, {})
        session, users = sessions.get(key) or (make(), 0)
        sessions[key] = session, users + 1
        return session

    def release(self, clock: IReactorTime, key: Hashable) -> None:
        sessions = self._sessions[clock]
        session, users = sessions[key]
        sessions[key] = session, users - 1
        if users == 1:
            clock.callLater(0, self._close_unused, sessions, key)

    def _close_unused(self, sessions: dict[Hashable, tuple[S, int]], key: Hashable) -> None:
        session, users = sessions.get(key) or (None, 1)
        if session is not None and not users:
            del sessions[key]
            session.close()
