"""
What a connection and its protocol are to each other, whether it is a socket, TLS in front of one, or in memory.

Lives here: `Wire` (what bytes are written to), `WireProtocol` (what they are read into), `ListeningSocket`. Does not:
behaviour. Twisted's ITransport and IProtocol are the models; these have what the data path needs besides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.python.failure import Failure

from metaproxy.message import Written
from metaproxy.support.addresses import Address

READ_SIZE = 65536
"""Bytes that are read at a time: so many of small messages take a millisecond or more."""


class Wire(Protocol):
    """buffered: bytes that the peer did not take yet; unread: whether bytes have come that were not read."""

    @property
    def buffered(self) -> int: ...
    @property
    def unread(self) -> bool: ...

    def getPeer(self) -> str: ...
    def getHost(self) -> str: ...
    def write(self, data: Written) -> None: ...
    def writeSequence(self, pieces: list[Written]) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def loseConnection(self) -> None: ...
    def loseWriteConnection(self) -> None: ...
    def hand_to(self, protocol: WireProtocol) -> None: ...
    def abortConnection(self) -> None: ...
    def resetConnection(self) -> None: ...
    def weigh(self, size: int, messages: int) -> None:
        """Tell it that a read of READ_SIZE or more held so many messages: of large ones more may be read at a time."""

    def keep_alive(self, idle: float, interval: float, count: int) -> None: ...


class WireProtocol(Protocol):
    """It is paused and resumed as the producer of what is written, too."""

    def makeConnection(self, transport: Wire) -> None: ...
    def dataReceived(self, data: bytes) -> None: ...
    def readConnectionLost(self) -> None: ...
    def connectionLost(self, reason: Failure) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


class ConnectingProtocol(WireProtocol, Protocol):
    """The protocol of a connection that is being opened."""

    def connectionFailed(self, text: str, timed_out: bool) -> None:
        """Called in place of makeConnection."""


class NewConnection(Wire, Protocol):
    """
    A connection that was just accepted. peer, host: 'address:port' of its two ends; protocol, producer: who reads it,
    and who is paused when its peer is slow.
    """

    peer: str
    host: str
    protocol: WireProtocol | None
    producer: WireProtocol | None

    def find_original_destination(self) -> None:
        """Make `host` the address that redirected traffic was meant for."""


Accepted = Callable[[NewConnection], "WireProtocol | None"]
"""Gives a new connection its protocol; None: it is refused."""


class ListeningSocket(Protocol):
    @property
    def bound(self) -> str: ...
    @property
    def address(self) -> Address: ...

    def hand_to(self, accepted: Accepted) -> None: ...
    def close(self) -> None: ...
