"""
Both ends of the handing of connections: the listener that gives them away, and the network that takes them.

Lives here: `HandingListener` of the supervisor, `HandedNetwork` of a worker. Does not: who gets which (`supervisor`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from metaproxy.app.service import Find
from metaproxy.proxy.connection import Connection
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.listener import Listener
from metaproxy.proxy.roles import Network as RoleNetwork
from metaproxy.proxy.snapshot import ListenerSnapshot
from metaproxy.proxy.transport import Network
from metaproxy.support import addresses
from metaproxy.support.addresses import Address
from metaproxy.wire import Accepted, NewConnection, WireProtocol

log = Logger()


class Takers(Protocol):
    """The workers, as a listener sees them."""

    def hand(self, listener: str, descriptor: int, host: str, peer: str) -> bool:
        """Give them a connection. Return whether one takes it."""

    def drain(self, listener: str, patient: bool = False) -> Deferred[None]:
        """Have the clients of a listener finish. Fires when the last one is gone. patient: see Listener.drain."""


class HandingListener(Listener):
    """A listener of the supervisor: each connection that it accepts is a worker's."""

    def __init__(self, workers: Takers, snapshot: ListenerSnapshot, network: RoleNetwork, *find: Find) -> None:
        super().__init__(snapshot, network, *find)
        self._workers = workers

    def accepted(self, connection: NewConnection) -> WireProtocol | None:
        """None: here the connection is closed, the worker has it open."""
        assert isinstance(connection, Connection)
        given = self._workers.hand(self.name, connection.fileno(), connection.host, connection.peer)
        if not given:  # what a worker refuses it counts itself
            self.counts.connections += 1
            self.counts.connections_refused += 1
        return None

    def drain(self, patient: bool = False) -> Deferred[None]:
        """Accepts no more, has the workers drain what they have of it."""
        if not self.draining:
            self.draining, self.patient = True, patient
            self._stop_listening()
        return self._workers.drain(self.name, self.patient)


class _Place:
    """An address that the supervisor listens on."""

    def __init__(self, where: Address) -> None:
        self.address = where
        self.bound = addresses.show(where.sockaddr)

    def hand_to(self, accepted: Accepted) -> None:
        """Connections are handed by the name of their listener."""

    def close(self) -> None:
        """There is no socket here."""


class HandedNetwork(Network):
    """
    The network of a worker: it opens no sockets that listen. left: called with the listener of a connection that was
    handed to it, when it has ended.
    """

    def __init__(self, reactor: IReactorTime, turn: FlushQueue, left: Callable[[str], None]) -> None:
        super().__init__(reactor, turn)
        self._left = left
        self._handed: dict[int, str] = {}

    def listen(self, where: Address, accepted: Accepted, backlog: int = 0) -> _Place:  # type: ignore[override]
        return _Place(where)

    def take(self, sock: socket.socket, listener: str, host: str, peer: str, accepted: Accepted) -> None:
        """A connection that the supervisor accepted."""
        self.descriptors.look()
        if self.descriptors.refuses_client(sock.fileno(), host):
            sock.close()
            self._left(listener)
            return
        sock.setblocking(False)
        connection = Connection(self, sock, host, peer)
        descriptor = sock.fileno()
        try:
            protocol = accepted(connection)
        except BaseException:
            log.failure("{where}: a new connection was closed after an internal error", where=host)
            protocol = None
        if protocol is None:
            sock.close()
            self._left(listener)
            return
        self._handed[descriptor] = listener
        self.attach(connection, protocol)

    def forget(self, fd: int) -> None:
        super().forget(fd)
        listener = self._handed.pop(fd, None)
        if listener is not None:
            self._left(listener)
