"""The end of a connection over real sockets, and what it waits for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from waiting import until

from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.lingering import LOOK_EVERY, LOOKS, MOST, Lingering
from metaproxy.proxy.transport import Network
from metaproxy.support.addresses import parse


class Server(Protocol):
    """Notes what it reads, and its end."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: Any = None

    @property
    def wire(self) -> Any:
        assert self.transport is not None
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        """It goes on."""

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason

    def pauseProducing(self) -> None:
        """All is written at once."""

    def resumeProducing(self) -> None:
        """As above."""


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network(reactor, FlushQueue(reactor))
    yield network
    network.close()


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """One whose kernel takes little before it is read."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        yield client


def connected(network: Network, client: socket.socket) -> Server:
    server = Server()
    host, _, port = network.listen(parse("127.0.0.1:0"), lambda connection: server).bound.rpartition(":")
    client.connect((host, int(port)))
    client.setblocking(False)
    return server


def read(client: socket.socket, most: int = 1 << 30) -> int:
    """How many bytes are there and were taken, up to `most`."""
    size = 0
    try:
        while size < most and (data := client.recv(min(1 << 16, most - size))):
            size += len(data)
    except BlockingIOError:
        pass
    return size


@pytest_twisted.inlineCallbacks
def test_a_peer_that_speaks_while_the_last_bytes_are_on_their_way_gets_them_all(
    network: Network, client: socket.socket
) -> Any:
    server = connected(network, client)
    yield until(lambda: server.transport is not None)
    server.wire.write(bytes(60_000))
    server.wire.loseConnection()
    taken = 0

    def all_came() -> bool:
        nonlocal taken
        size = read(client, 8000)
        if size:
            client.send(b"a WINDOW_UPDATE")
        taken += size
        return taken == 60_000

    yield until(all_came)
    assert client.recv(1) == b"", "its end follows, and no reset"
    assert server.received == b""
    yield until(lambda: server.lost is not None)


@pytest_twisted.inlineCallbacks
def test_a_connection_whose_peer_closes_is_over_at_once(network: Network, client: socket.socket) -> Any:
    server = connected(network, client)
    yield until(lambda: server.transport is not None)
    server.wire.write(bytes(60_000))
    server.wire.loseConnection()
    yield until(lambda: server.wire.buffered == 0)
    client.close()
    yield until(lambda: server.lost is not None)


class Slow:
    """A connection whose peer takes nothing more."""

    def __init__(self, untaken: int = 1) -> None:
        self.untaken = untaken
        self.lost = False

    def lose(self) -> None:
        self.lost = True


def test_it_ends_when_all_was_taken() -> None:
    clock, slow = task.Clock(), Slow()
    Lingering(slow, Server(), clock)
    clock.advance(LOOK_EVERY)
    assert not slow.lost
    slow.untaken = 0
    clock.advance(LOOK_EVERY)
    assert slow.lost and clock.getDelayedCalls() == []


def test_a_peer_that_takes_nothing_is_left_after_half_a_minute() -> None:
    clock, slow = task.Clock(), Slow()
    Lingering(slow, Server(), clock)
    clock.pump([LOOK_EVERY] * (LOOKS - 1))
    assert not slow.lost
    clock.advance(LOOK_EVERY)
    assert slow.lost and clock.getDelayedCalls() == []


def test_a_peer_that_sends_without_end_is_left() -> None:
    slow = Slow()
    lingering = Lingering(slow, Server(), task.Clock())
    lingering.dataReceived(bytes(MOST))
    assert not slow.lost
    lingering.dataReceived(b"x")
    assert slow.lost


def test_its_protocol_hears_of_the_end_once_it_is_there() -> None:
    clock, server = task.Clock(), Server()
    lingering = Lingering(Slow(), server, clock)
    assert server.lost is None
    lingering.connectionLost(Failure(ConnectionError()))
    assert server.lost is not None and clock.getDelayedCalls() == []
