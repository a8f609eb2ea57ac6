"""
What reads and writes a connected socket: the socket itself, or C where that is compiled.

Lives here: `calls_of`, `PlainCalls`, `CLOSED`. Does not: what C does (`_io.pyx`), when there is something to read
(`connection`).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from metaproxy.message import Written, flat, joined

_io: ModuleType | None
try:
    _io = import_module("metaproxy.proxy._io")
except ModuleNotFoundError:  # see setup.py
    _io = None


LARGE = 4096
"""Bytes of pieces, on average, from which each is sent from where it lies; smaller ones are joined."""
MOST = 65536
"""Bytes of pieces that are sent at a time, or one that is larger."""


class SocketCalls:
    """As those of a socket that does not block: BlockingIOError where there is nothing to read, or no room."""

    __slots__ = ()

    def recv(self, size: int) -> bytes:
        raise NotImplementedError

    def send(self, data: bytes | memoryview) -> int:
        raise NotImplementedError

    def send_pieces(self, pieces: list[Written]) -> int:
        """How many bytes of all pieces were taken, -1 for all, and 0 where there is no room."""
        raise NotImplementedError


class PlainCalls(SocketCalls):
    """Calls of the socket itself."""

    __slots__ = ("_socket", "recv", "send")

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        # Its own methods in the place of these: a call less.
        self.recv: Callable[[int], bytes] = sock.recv  # type: ignore[assignment]
        self.send: Callable[[bytes | memoryview], int] = sock.send  # type: ignore[assignment]

    def send_pieces(self, pieces: list[Written]) -> int:
        taken = 0
        for some, size in _batches(pieces):
            try:
                sent = self._socket.sendmsg(flat(some)) if size >= LARGE * len(some) else self.send(joined(some))
            except BlockingIOError:
                return taken
            taken += sent
            if sent < size:
                return taken
        return -1


def _batches(pieces: list[Written]) -> Iterator[tuple[list[Written], int]]:
    """The pieces in portions of up to MOST bytes, or of one, with their bytes."""
    size = sum(map(len, pieces))
    if size <= MOST:
        yield pieces, size
        return
    some: list[Written] = []
    size = 0
    for piece in pieces:
        if some and size + len(piece) > MOST:
            yield some, size
            some, size = [], 0
        some.append(piece)
        size += len(piece)
    yield some, size


def calls_of(sock: socket.socket) -> SocketCalls:
    """
    Return what is quickest for a socket that does not block. It knows the descriptor's number only: once the socket is
    closed, which another may have by then, CLOSED takes its place.
    """
    if _io is None or type(sock) is not socket.socket:
        return PlainCalls(sock)
    made: SocketCalls = _io.DescriptorCalls(sock.fileno())
    return made


def _closed() -> NoReturn:
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class Closed(SocketCalls):
    """Calls of a closed socket, which all raise OSError."""

    __slots__ = ()

    def recv(self, size: int) -> NoReturn:
        _closed()

    def send(self, data: object) -> NoReturn:
        _closed()

    def send_pieces(self, pieces: object) -> NoReturn:
        _closed()


CLOSED: SocketCalls = Closed()
