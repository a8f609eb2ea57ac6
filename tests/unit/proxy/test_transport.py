"""The network over loopback: a real reactor, real sockets."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import pytest_twisted
from harness import Stage, answer, call
from twisted.internet import reactor, task
from twisted.internet.interfaces import IReactorCore, IReactorFDSet
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from waiting import until
from zope.interface import directlyProvides

from metaproxy.proxy.connection import HIGH_WATER, LARGE_MESSAGE, READ_LARGE, Connection
from metaproxy.proxy.descriptor_reserve import DescriptorReserve
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.overload import OverloadLimits
from metaproxy.proxy.rounds import TURN, UNTIMED
from metaproxy.proxy.transport import Network
from metaproxy.support.addresses import parse
from metaproxy.wire import READ_SIZE


class Peer(Protocol):
    """Notes what happens to it."""

    def __init__(self, echo: bool = False) -> None:
        self.echo = echo
        self.received = bytearray()
        self.half_closed = False
        self.lost: Failure | None = None
        self.failed = ""
        self.pauses = 0
        self.resumes = 0

    @property
    def wire(self) -> Any:
        """Its transport."""
        assert self.transport is not None
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.echo:
            self.wire.write(data)

    def readConnectionLost(self) -> None:
        self.half_closed = True

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason

    def connectionFailed(self, text: str, timed_out: bool) -> None:
        self.failed = text

    def pauseProducing(self) -> None:
        self.pauses += 1

    def resumeProducing(self) -> None:
        self.resumes += 1


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network(reactor, FlushQueue(reactor))
    yield network
    network.close()


def served(network: Network, **options: Any) -> tuple[list[Peer], str]:
    """A listening address, and the peers that it accepts."""
    peers: list[Peer] = []

    def accepted(connection: Any) -> Peer:
        peers.append(Peer(**options))
        return peers[-1]

    return peers, network.listen(parse("127.0.0.1:0"), accepted).bound


@pytest_twisted.inlineCallbacks
def test_bytes_go_there_and_back(network: Network) -> Any:
    peers, where = served(network, echo=True)
    client = Peer()
    network.connect(parse(where), client, 1.0)
    yield until(lambda: client.transport is not None)
    client.wire.write(b"hello")
    yield until(lambda: client.received == b"hello")
    assert client.wire.getPeer() == where
    assert peers[0].wire.getHost() == where


@pytest_twisted.inlineCallbacks
def test_a_connection_comes_from_the_address_that_is_asked_for(network: Network) -> Any:
    peers, where = served(network)
    client, stranger = Peer(), Peer()
    network.connect(parse(where), client, 1.0, "127.0.0.6")
    yield until(lambda: peers)
    assert peers[0].wire.getPeer().startswith("127.0.0.6:")
    network.connect(parse(where), stranger, 1.0, "192.0.2.1")
    yield until(lambda: stranger.failed)
    assert "EADDRNOTAVAIL" in stranger.failed


@pytest_twisted.inlineCallbacks
def test_a_unix_socket_works_alike_and_a_stale_one_is_replaced(network: Network, tmp_path: Any) -> Any:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    network.listen(parse(f"unix:{path}"), lambda connection: Peer(echo=True))
    client = Peer()
    network.connect(parse(f"unix:{path}"), client, 1.0)
    yield until(lambda: client.transport is not None)
    client.wire.write(b"hello")
    yield until(lambda: client.received == b"hello")


@pytest_twisted.inlineCallbacks
def test_a_refused_connection_is_told(network: Network) -> Any:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = Peer()
    network.connect(parse(f"127.0.0.1:{port}"), client, 1.0)
    yield until(lambda: client.failed)
    assert "ECONNREFUSED" in client.failed


@pytest_twisted.inlineCallbacks
def test_an_address_that_is_taken_is_an_error_at_once(network: Network) -> Any:
    _, where = served(network)
    with pytest.raises(OSError):
        network.listen(parse(where), lambda connection: None)
    yield None


@pytest_twisted.inlineCallbacks
def test_a_host_name_is_resolved(network: Network) -> Any:
    _, where = served(network)
    client = Peer()
    network.connect(parse(f"localhost:{where.rpartition(':')[2]}"), client, 1.0)
    yield until(lambda: client.transport is not None)


@pytest_twisted.inlineCallbacks
def test_a_large_write_is_taken_piece_by_piece_and_pauses_its_producer(network: Network) -> Any:
    peers, where = served(network)
    client = Peer()
    network.connect(parse(where), client, 1.0)
    yield until(lambda: peers and peers[0].transport)
    payload = bytes(range(256)) * 4096 * 32
    peers[0].wire.writeSequence([payload[: 1 << 20], payload[1 << 20 :]])
    assert peers[0].pauses == 1
    assert peers[0].wire.buffered > HIGH_WATER
    yield until(lambda: len(client.received) == len(payload))
    assert client.received == payload
    assert peers[0].resumes == 1
    assert peers[0].wire.buffered == 0


@pytest_twisted.inlineCallbacks
@pytest.mark.parametrize("size", [10, 20_000])
def test_large_pieces_among_small_ones_come_in_their_order(network: Network, size: int) -> Any:
    peers, where = served(network)
    client = Peer()
    network.connect(parse(where), client, 1.0)
    yield until(lambda: peers and peers[0].transport)
    pieces = [bytes([number & 255]) * (size if number % 3 else 5) for number in range(1000)]
    for some in (pieces[:1], pieces[1:130], pieces[130:]):
        peers[0].wire.writeSequence(some)
    yield until(lambda: len(client.received) == sum(map(len, pieces)))
    assert client.received == b"".join(pieces)
    assert peers[0].wire.buffered == 0


@pytest_twisted.inlineCallbacks
def test_closing_sends_what_was_written_first(network: Network) -> Any:
    peers, where = served(network)
    client = Peer()
    network.connect(parse(where), client, 1.0)
    yield until(lambda: peers and peers[0].transport)
    payload = bytes(8 << 20)
    peers[0].wire.write(payload)
    peers[0].wire.loseConnection()
    yield until(lambda: client.half_closed)
    assert len(client.received) == len(payload)
    yield until(lambda: peers[0].lost is not None)


@pytest_twisted.inlineCallbacks
def test_a_half_close_is_told_and_writing_goes_on(network: Network) -> Any:
    peers, where = served(network)
    host, _, port = where.rpartition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"ask")
        client.shutdown(socket.SHUT_WR)
        yield until(lambda: peers and peers[0].half_closed)
        peers[0].wire.write(b"answer")
        assert client.recv(100) == b"answer"


@pytest_twisted.inlineCallbacks
def test_the_writing_half_closes_behind_what_was_written_and_reading_goes_on(network: Network) -> Any:
    peers, where = served(network)
    host, _, port = where.rpartition(":")
    with socket.create_connection((host, int(port))) as client:
        yield until(lambda: peers and peers[0].transport)
        payload = bytes(4 << 20)
        peers[0].wire.write(payload)
        peers[0].wire.loseWriteConnection()
        peers[0].wire.write(b"too late")
        client.setblocking(False)
        received = bytearray()

        def ended() -> bool:
            try:
                while data := client.recv(1 << 20):
                    received.extend(data)
            except BlockingIOError:
                return False
            return True

        yield until(ended)
        assert len(received) == len(payload)
        client.setblocking(True)
        client.sendall(b"more")
        yield until(lambda: peers[0].received == b"more")
        assert peers[0].lost is None


@pytest_twisted.inlineCallbacks
def test_a_reset_is_told_even_while_reading_is_paused(network: Network) -> Any:
    peers, where = served(network)
    host, _, port = where.rpartition(":")
    client = socket.create_connection((host, int(port)))
    yield until(lambda: peers and peers[0].transport)
    peers[0].wire.pauseProducing()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
    yield until(lambda: peers[0].lost is not None)


@pytest_twisted.inlineCallbacks
def test_a_paused_connection_reads_nothing(network: Network) -> Any:
    peers, where = served(network)
    client = Peer()
    network.connect(parse(where), client, 1.0)
    yield until(lambda: peers and peers[0].transport)
    peers[0].wire.pauseProducing()
    client.wire.write(b"hello")
    yield task.deferLater(reactor, 0.02, lambda: None)
    assert peers[0].received == b""
    peers[0].wire.resumeProducing()
    yield until(lambda: peers[0].received == b"hello")


@pytest_twisted.inlineCallbacks
def test_an_error_in_one_protocol_costs_its_connection_alone(network: Network) -> Any:
    class Broken(Peer):
        def dataReceived(self, data: bytes) -> None:
            raise ZeroDivisionError("our bug")

    made: list[Peer] = []

    def accepted(connection: Any) -> Peer:
        made.append(Broken() if not made else Peer(echo=True))
        return made[-1]

    where = network.listen(parse("127.0.0.1:0"), accepted).bound
    first, second = Peer(), Peer()
    network.connect(parse(where), first, 1.0)
    yield until(lambda: len(made) == 1 and first.transport is not None)
    network.connect(parse(where), second, 1.0)
    yield until(lambda: len(made) == 2 and second.transport is not None)
    first.wire.write(b"x")
    second.wire.write(b"y")
    yield until(lambda: made[0].lost is not None and second.received == b"y")


@pytest_twisted.inlineCallbacks
def test_a_refused_acceptance_closes_the_socket(network: Network) -> Any:
    where = network.listen(parse("127.0.0.1:0"), lambda connection: None).bound
    client = Peer()
    network.connect(parse(where), client, 1.0)
    yield until(lambda: client.half_closed or client.lost is not None)


class Notices(Peer):
    def __init__(self) -> None:
        super().__init__()
        self.ends = 0

    def end_seen(self) -> None:
        self.ends += 1


@pytest_twisted.inlineCallbacks
def test_a_peer_that_ends_is_noticed_once_while_nothing_is_read_and_its_bytes_come_later(network: Network) -> Any:
    peers: list[Notices] = []

    def accepted(connection: Any) -> Peer:
        peers.append(Notices())
        return peers[-1]

    host, port = network.listen(parse("127.0.0.1:0"), accepted).bound.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as client:
        yield until(lambda: peers and peers[0].transport is not None)
        peer = peers[0]
        peer.wire.pauseProducing()
        client.sendall(b"late")
        client.shutdown(socket.SHUT_WR)
        yield until(lambda: peer.ends == 1)
        yield task.deferLater(reactor, 0, lambda: None)
        assert (peer.ends, bytes(peer.received), peer.half_closed) == (1, b"", False)
        peer.wire.resumeProducing()
        yield until(lambda: peer.half_closed)
        assert peer.received == b"late"


@pytest_twisted.inlineCallbacks
def test_a_connection_for_which_no_descriptor_is_left_fails_as_one_that_is_refused(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> Any:
    def exhausted(*_: Any) -> Any:
        raise OSError(24, "Too many open files")

    peer = Peer()
    monkeypatch.setattr("metaproxy.proxy.transport.socket.socket", exhausted)
    network.connect(parse("127.0.0.1:1"), peer, 1.0)
    monkeypatch.undo()
    yield until(lambda: bool(peer.failed))
    assert peer.failed == "127.0.0.1:1: no file descriptor is left; see RLIMIT_NOFILE"
    assert network.descriptors.failed_connects == 1


@pytest_twisted.inlineCallbacks
def test_a_client_for_which_only_descriptors_are_left_that_are_kept_back_is_closed_at_once(network: Network) -> Any:
    peers, where = served(network)
    with socket.socket() as client:
        network.descriptors = DescriptorReserve(reactor, lambda: client.fileno() + 17)
        client.setblocking(False)
        client.connect_ex(parse(where).sockaddr)
        yield until(lambda: network.descriptors.refused_connections == 1)
        client.setblocking(True)
        client.settimeout(5.0)
        assert client.recv(1) == b""
    assert peers == []


@pytest_twisted.inlineCallbacks
def test_no_connection_to_a_server_is_made_with_the_last_descriptors(network: Network) -> Any:
    _, where = served(network)
    peer = Peer()
    network.descriptors = DescriptorReserve(reactor, lambda: 1)
    network.connect(parse(where), peer, 1.0)
    yield until(lambda: bool(peer.failed))
    assert peer.failed == f"{where}: no file descriptor is left; see RLIMIT_NOFILE"


@pytest_twisted.inlineCallbacks
def test_where_accepting_fails_for_want_of_descriptors_it_is_tried_again_after_a_second_and_not_at_once(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> Any:
    peers, where = served(network)
    tried: list[float] = []
    accept = socket.socket.accept

    def exhausted(sock: socket.socket) -> Any:
        tried.append(reactor.seconds())
        if len(tried) == 1:
            raise OSError(24, "Too many open files")
        return accept(sock)

    monkeypatch.setattr(socket.socket, "accept", exhausted)
    host, port = where.rsplit(":", 1)
    with socket.create_connection((host, int(port))):
        yield until(lambda: bool(peers))
    assert network.descriptors.refused_connections == 1
    assert tried[1] - tried[0] >= 0.9


class StillReactor(task.Clock):
    """A reactor whose time stands still, and that calls nobody: the test does."""

    def addReader(self, reader: object) -> None:
        """Nothing to watch, nor below."""

    removeReader = addWriter = removeWriter = addReader


class Slow(Peer):
    """Takes some time for what it reads, by its network's clock."""

    def __init__(self, clock: task.Clock, seconds: float) -> None:
        super().__init__()
        self._clock, self._seconds = clock, seconds

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self._clock.advance(self._seconds)


@contextmanager
def busy(clients: int, seconds: float) -> Iterator[tuple[Network, list[Slow], list[socket.socket]]]:
    """A network with as many clients, each of which has sent a byte, and what reads them."""
    clock = StillReactor()
    directlyProvides(clock, IReactorFDSet, IReactorCore)  # what is used of them
    network = Network(clock, FlushQueue(clock))
    peers: list[Slow] = []

    def accepted(connection: Any) -> Peer:
        peers.append(Slow(clock, seconds))
        return peers[-1]

    host, port = network.listen(parse("127.0.0.1:0"), accepted).bound.rsplit(":", 1)
    with ExitStack() as stack:
        stack.callback(network.close)
        sockets = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(clients)]
        network.doRead()
        assert len(peers) == clients
        for one in sockets:
            one.sendall(b"1")
        yield network, peers, sockets


def still(network: Network) -> task.Clock:
    clock = network.clock
    assert isinstance(clock, task.Clock)
    return clock


def read_by(peers: list[Slow]) -> list[int]:
    return [len(peer.received) for peer in peers]


def test_a_turn_ends_after_a_while_and_the_next_one_begins_with_what_is_left() -> None:
    with busy(20, TURN / 4) as (network, peers, sockets):
        network.doRead()
        assert sum(read_by(peers)) == UNTIMED
        for one, peer in zip(sockets, peers, strict=True):
            if peer.received:
                one.sendall(b"2")
        network.doRead()
        assert max(read_by(peers)) == 1 and sum(read_by(peers)) == 2 * UNTIMED
        network.doRead()
        network.doRead()
        network.doRead()
        assert sum(read_by(peers)) == 20 + UNTIMED


def test_a_socket_waits_in_line_as_long_as_all_that_stand_before_it_take() -> None:
    with busy(20, TURN / 4) as (network, _, _):
        network.overload.limit(OverloadLimits(max_lag=1.0))
        network.overload.start(tuple)
        still(network).advance(0.1)
        for _ in range(4):
            network.doRead()
        still(network).advance(0.1)
        assert network.overload.lag.value >= 20 * TURN / 4


class Watching:
    """Notes what it is called for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def read(self) -> None:
        self.calls.append("read")

    def on_events(self, events: int) -> None:
        self.calls.append("events")


def test_what_was_seen_of_a_socket_that_is_closed_by_now_is_not_for_one_with_its_number() -> None:
    with busy(20, TURN / 4) as (network, peers, _):
        network.doRead()
        lost = next(peer for peer in peers if not peer.received)
        lost.wire.abortConnection()
        still(network).advance(0)
        other, watching = os.eventfd(0), Watching()  # gets the lowest number that is free
        network.register(other, watching, select.EPOLLIN)
        for _ in range(4):
            network.doRead()
        assert watching.calls == [] and not lost.received and sum(read_by(peers)) == 19
        os.eventfd_write(other, 1)
        network.doRead()
        assert watching.calls[:1] == ["read"]
        network.forget(other)
        os.close(other)


class Flood:
    """A socket that has whatever is asked for."""

    def fileno(self) -> int:
        return -1

    def recv(self, size: int) -> bytes:
        return bytes(size)

    def send(self, data: bytes) -> int:
        return len(data)


class Full(Flood):
    """A socket that takes nothing, and notes what it was given last."""

    def __init__(self) -> None:
        self.given: list[memoryview] = []

    def send(self, data: bytes) -> int:
        raise BlockingIOError

    def sendmsg(self, pieces: list[memoryview]) -> int:
        self.given = pieces
        raise BlockingIOError


class Waits:
    """A network that a connection asks to wait."""

    def modify(self, fd: int, events: int) -> None: ...


def test_small_pieces_that_wait_are_kept_together() -> None:
    network: Any = Waits()
    full: Any = Full()
    connection: Any = Connection(network, full, "here", "there")
    large = bytes(LARGE_MESSAGE)
    connection.writeSequence([b"+OK\r\n"] * 20_000 + [large] + [b"+OK\r\n"] * 10)
    connection.on_events(select.EPOLLOUT)
    sizes = [len(piece) for piece in full.given]
    assert len(sizes) == 4 and sizes[1:] == [100_000 - sizes[0], LARGE_MESSAGE, 50]
    assert full.given[2].obj is large
    assert connection.buffered == sum(sizes)


class Weighing(Peer):
    """Notes how much comes at a time, and says that so many messages were in it."""

    messages = 0

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def dataReceived(self, data: bytes) -> None:
        self.sizes.append(len(data))
        self.wire.weigh(len(data), self.messages)


def test_of_large_messages_more_is_read_at_a_time_and_of_small_ones_less() -> None:
    flood: Any = Flood()
    network: Any = None
    connection: Any = Connection(network, flood, "here", "there")
    peer = Weighing()
    peer.makeConnection(connection)
    connection.hand_to(peer)
    for peer.messages in (READ_SIZE // LARGE_MESSAGE, READ_LARGE // LARGE_MESSAGE, 0, 1, 4096, 1):
        connection.read()
    assert peer.sizes == [READ_SIZE, READ_LARGE, READ_LARGE, READ_SIZE, READ_LARGE, READ_SIZE]


@pytest.mark.parametrize(("body", "large"), [(100, False), (16384, True)])
def test_a_client_connection_says_how_many_messages_a_full_read_held(body: int, large: bool) -> None:
    stage = Stage()
    weighed: list[tuple[int, int]] = []
    client = stage.client()
    client.weigh = lambda size, messages: weighed.append((size, messages))  # type: ignore[method-assign]
    asked = b"".join(call(id + 1, body=bytes(body)) for id in range(READ_SIZE // body))
    stage.say(client, asked[: READ_SIZE - 1])
    assert not weighed
    stage.say(client, (asked * 2)[READ_SIZE - 1 :][:READ_SIZE])
    ((size, messages),) = weighed
    assert size == READ_SIZE and (size >= LARGE_MESSAGE * messages) is large


@pytest.mark.parametrize("body", [100, 16384])
def test_a_server_connection_says_how_many_messages_a_full_read_held(body: int) -> None:
    stage = Stage()
    stage.say(stage.client(), call(1))
    weighed: list[tuple[int, int]] = []
    stage.server.weigh = lambda size, messages: weighed.append((size, messages))  # type: ignore[method-assign]
    answers = answer(1, bytes(body)) * (READ_SIZE // body + 1)
    stage.say(stage.server, answers)
    assert weighed == [(len(answers), READ_SIZE // body + 1)]
