"""
Listening sockets that a process did not bind itself: those of the process before it (an upgrade), or of systemd.

Lives here: `InheritedSockets`, by address, and whether what listens accepts yet. Does not: how they come
(`app.handover`, `app.systemd`); who listens (`proxy.transport`, `admin.port`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import NamedTuple

from metaproxy.support.addresses import Address, show

LISTENER, ADMIN = "listener", "admin"
"""Whom a socket is for; '' for any with its address."""


class InheritedSocket(NamedTuple):
    """
    where: as a configuration writes it, so that a port 0 finds its socket again. kind: one of the above. keeps_file:
    the file of a Unix socket is another's, such as systemd's, and stays when the socket is closed.
    """

    sock: socket.socket
    where: Address
    kind: str = ""
    name: str = ""
    keeps_file: bool = False

    @property
    def bound(self) -> str:
        return show(self.sock.getsockname())


class InheritedSockets:
    """
    waiting: what listens does not accept before `begin`. taken: the descriptors of those that were asked for, by the
    numbers that they came with.
    """

    def __init__(self, sockets: Iterable[InheritedSocket] = (), waiting: bool = False) -> None:
        self.waiting = waiting
        self.taken: list[InheritedSocket] = []
        self._left = list(sockets)
        self._calls: list[Callable[[], None]] = []

    def take(self, where: Address, kind: str = LISTENER) -> InheritedSocket | None:
        """Return the socket of an address, which is then no longer here; None when none has come for it."""
        for one in self._left:
            if one.where == where and one.kind in ("", kind):
                self._left.remove(one)
                self.taken.append(one)
                return one
        return None

    def has(self, where: Address, kind: str) -> bool:
        return any(one.where == where and one.kind in ("", kind) for one in self._left)

    def when_begun(self, call: Callable[[], None]) -> None:
        """Call it in `begin`, at once when there is nothing to wait for."""
        if self.waiting:
            self._calls.append(call)
        else:
            call()

    def begin(self) -> None:
        """Have all that listens accept."""
        self.waiting = False
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def close_left(self) -> list[str]:
        """Close the sockets that no listener asked for. Return their addresses."""
        left, self._left = self._left, []
        names = [one.bound + (f" ({one.name})" if one.name else "") for one in left]
        for one in left:
            one.sock.close()
        return names
