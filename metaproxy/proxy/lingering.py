"""
The end of a connection whose last bytes are still on their way when everything was handed to the kernel.

Lives here: `Lingering`, which reads on in the protocol's place. Does not: when a connection closes (`connection`).
"""

from __future__ import annotations

import fcntl
import socket
import termios
from struct import unpack
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from metaproxy.wire import Wire, WireProtocol

LOOK_EVERY = 0.2
"""Seconds between looks at what the peer has not taken. A peer that closes is noticed at once."""
LOOKS = 150
"""How many: 30 seconds, as nginx's lingering_time."""
MOST = 4 << 20
"""Bytes that a peer may send meanwhile."""


def untaken(sock: socket.socket) -> int:
    """How many of the bytes that the kernel was given the peer has not acknowledged."""
    (size,) = unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))
    return int(size)


class Closing(Protocol):
    """The connection, whose own half is closed."""

    @property
    def untaken(self) -> int:
        """Bytes on their way to the peer."""

    def lose(self) -> None:
        """End now."""


class Lingering:
    """
    Reads and drops what a peer sends to a connection that was closed, in the place of its protocol, until the peer has
    taken all that was written or has closed as well. Bytes that come to a closed socket are answered with a reset, and
    by that the peer loses what is on its way to it: the end of a body, for the WINDOW_UPDATE that its beginning caused.
    """

    def __init__(self, connection: Closing, protocol: WireProtocol, clock: IReactorTime) -> None:
        self._connection = connection
        self._protocol = protocol
        self._clock = clock
        self._dropped = self._looks = 0
        self._timer: IDelayedCall | None = clock.callLater(LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._timer = None
        self._looks += 1
        if self._looks >= LOOKS or not self._connection.untaken:
            self._connection.lose()
        else:
            self._timer = self._clock.callLater(LOOK_EVERY, self._look)

    def makeConnection(self, transport: Wire) -> None:
        """Not called: the connection was there before."""

    def dataReceived(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > MOST:
            self._connection.lose()

    def readConnectionLost(self) -> None:
        self._connection.lose()

    def connectionLost(self, reason: Failure) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._protocol.connectionLost(reason)

    def pauseProducing(self) -> None:
        """Nothing is written any more."""

    def resumeProducing(self) -> None:
        """As above."""
