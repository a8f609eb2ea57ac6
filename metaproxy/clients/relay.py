"""
A socket that only this user can reach, whose connections go on over connections of ours: for libraries that connect by
themselves, and can't be given a transport.

Lives here: `Relay`. Does not: where connections go to, and their TLS (the caller says so).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IReactorUNIX, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as Connection
from twisted.python.failure import Failure


class Relay:
    """target: where it listens, as gRPC writes it; connector: gives the IStreamClientEndpoint of each connection."""

    def __init__(self, reactor: IReactorUNIX, connector: Callable[[], IStreamClientEndpoint]) -> None:
        self.connector = connector
        self._folder = Path(tempfile.mkdtemp(prefix="metaproxy-"))
        path = self._folder / "grpc"
        self.target = f"unix:{path}"
        factory: Factory[Any] = Factory.forProtocol(lambda: _Here(self))
        factory.noisy = False
        self._port = reactor.listenUNIX(str(path), factory, mode=0o600)

    def close(self) -> None:
        """Connections that are there end with their calls."""
        closed = maybeDeferred(self._port.stopListening)  # which removes the socket
        closed.addBoth(lambda _: shutil.rmtree(self._folder, ignore_errors=True))


class _Here(Connection):
    """gRPC's side. What it says before the other side is there waits; HTTP/2's windows bound it."""

    transport: ITCPTransport

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._there: _There | None = None
        self._waiting: list[bytes] = []
        self._over = False

    def connectionMade(self) -> None:
        factory = Factory.forProtocol(lambda: _There(self))
        factory.noisy = False
        self._relay.connector().connect(factory).addErrback(lambda _: self.transport.abortConnection())

    def joined(self, there: _There) -> None:
        if self._over:
            there.transport.loseConnection()
            return
        self._there = there
        there.transport.writeSequence(self._waiting)
        self._waiting = []

    def dataReceived(self, data: bytes) -> None:
        if self._there is None:
            self._waiting.append(data)
        else:
            self._there.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over = True
        if self._there is not None:
            self._there.transport.loseConnection()


class _There(Connection):
    """The endpoint's side."""

    transport: ITCPTransport

    def __init__(self, here: _Here) -> None:
        self._here = here

    def connectionMade(self) -> None:
        self._here.joined(self)

    def dataReceived(self, data: bytes) -> None:
        self._here.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._here.transport.loseConnection()
