"""
What reads and writes a connected socket: the socket itself, or C where that is compiled.

Lives here: `calls_of`. Does not: what C does (`_io.pyx`), when there is something to read (`connection`).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn, Protocol

_io: ModuleType | None
try:
    _io = import_module("metaproxy.proxy._io")
except ModuleNotFoundError:  # see setup.py
    _io = None


class SocketCalls(Protocol):
    """As those of a socket that does not block: BlockingIOError where there is nothing to read, or no room."""

    @property
    def recv(self) -> Callable[[int], bytes]: ...
    @property
    def send(self) -> Callable[[bytes | memoryview], int]: ...


def calls_of(sock: socket.socket) -> SocketCalls:
    """
    Return what is quickest for a socket that does not block. It knows the descriptor's number only: once the socket is
    closed, which another may have by then, `closed` takes its place.
    """
    if _io is None or type(sock) is not socket.socket:
        return sock
    made: SocketCalls = _io.SocketCalls(sock.fileno())
    return made


def closed(*_: Any) -> NoReturn:
    """Raise what a call of a closed socket raises."""
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))
