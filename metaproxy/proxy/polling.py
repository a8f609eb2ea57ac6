"""
Which of many sockets are ready, by an epoll; and who is called for them.

Lives here: `Poll`, in Python, and `new_poll`. Does not: the same in C (`_io.pyx`); when sockets are asked for, and what
a turn is (`rounds`).
"""

from __future__ import annotations

import select
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Protocol, cast

_io: ModuleType | None
try:
    _io = import_module("metaproxy.proxy._io")
except ModuleNotFoundError:  # see setup.py
    _io = None

MOST = 512
"""Sockets that one look finds ready."""


class Watched(Protocol):
    """What is called for a socket: `read` if it can be read and nothing else is of it, else `on_events`."""

    def on_events(self, events: int) -> None: ...
    def read(self) -> None: ...


Failed = Callable[[Watched], None]


class Polling(Protocol):
    """What `Poll` has, and what is in its place in C."""

    @property
    def left(self) -> int: ...

    def fileno(self) -> int: ...
    def register(self, fd: int, one: Watched, events: int) -> None: ...
    def modify(self, fd: int, events: int) -> None: ...
    def forget(self, fd: int) -> bool: ...
    def watched(self) -> list[Watched]: ...
    def wait(self, seconds: float | None) -> int: ...
    def see_to(self, most: int) -> int: ...
    def close(self) -> None: ...


class Poll:
    """left: sockets that were found ready and not seen to. failed: called, while it is handled, for what one raised."""

    def __init__(self, failed: Failed) -> None:
        self._epoll = select.epoll()
        self._failed = failed
        self._watched: dict[int, Watched] = {}
        self._events: list[tuple[int, int]] = []
        self._at = 0
        self._forgotten: set[int] = set()  # their numbers may be those of new sockets, of which the events are not

    @property
    def left(self) -> int:
        return len(self._events) - self._at

    def fileno(self) -> int:
        """Of the epoll, which can be read itself while one of the sockets is ready."""
        return self._epoll.fileno()

    def register(self, fd: int, one: Watched, events: int) -> None:
        self._epoll.register(fd, events)
        self._watched[fd] = one

    def modify(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> bool:
        """Return whether it was there. What was found of it is not seen to any more."""
        if self._watched.pop(fd, None) is None:
            return False
        self._forgotten.add(fd)
        self._epoll.unregister(fd)
        return True

    def watched(self) -> list[Watched]:
        return list(self._watched.values())

    def wait(self, seconds: float | None) -> int:
        """Return how many are ready, after so many seconds at the latest, None for any time; none is left before."""
        self._forgotten.clear()
        self._at = 0
        if self._epoll.closed:
            self._events = []
        else:
            self._events = self._epoll.poll(None if seconds is None else max(seconds, 0), MOST)
        return len(self._events)

    def see_to(self, most: int) -> int:
        """Call up to `most` of those that are left. Return how many then are."""
        watched, forgotten = self._watched, self._forgotten
        at, self._at = self._at, min(self._at + most, len(self._events))
        for fd, event in self._events[at : self._at]:
            one = watched.get(fd)
            if one is None or fd in forgotten:
                continue
            try:
                if event == select.EPOLLIN:
                    one.read()
                else:
                    one.on_events(event)
            except BaseException:  # also SystemExit: out of here the reactor would stop reading for ever
                self._failed(one)
        return self.left

    def close(self) -> None:
        self._epoll.close()


def new_poll(failed: Failed) -> Polling:
    """The quickest there is."""
    return Poll(failed) if _io is None else cast(Polling, _io.Poll(failed))
