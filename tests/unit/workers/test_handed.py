"""Both ends of the handing of connections: the listener that gives them away, and the network that takes them."""

from __future__ import annotations

import socket
from typing import Any

from loop import Loop, fired
from running_proxy import Running
from twisted.internet.defer import Deferred

from metaproxy.app.service import ProxyService
from metaproxy.plugins import Registry
from metaproxy.proxy.connection import Connection
from metaproxy.proxy.descriptor_reserve import DescriptorReserve
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.transport import Network
from metaproxy.support.addresses import parse
from metaproxy.workers.handed import HandedNetwork, HandingListener


class Takers:
    """Workers, as a listener sees them; refuse: they take no more."""

    def __init__(self) -> None:
        self.handed: list[tuple[str, str, str]] = []
        self.kept: list[socket.socket] = []
        self.refuse = False
        self.drained: Deferred[None] = Deferred()
        self.drains: list[tuple[str, bool]] = []

    def hand(self, listener: str, descriptor: int, host: str, peer: str) -> bool:
        if self.refuse:
            return False
        self.kept.append(socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM))
        self.handed.append((listener, host, peer))
        return True

    def drain(self, listener: str, patient: bool = False) -> Deferred[None]:
        self.drains.append((listener, patient))
        return self.drained


class Gate:
    """A listener of a supervisor on a real socket."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.takers = Takers()
        snapshot: Any = Running().proxy.snapshot
        self.listener = HandingListener(
            self.takers, snapshot.listeners["front"], Network(self.loop, FlushQueue(self.loop))
        )
        where = parse("127.0.0.1:0")
        self.listener.sockets[where] = self.listener.open(where)
        self.port = int(next(iter(self.listener.sockets.values())).bound.rpartition(":")[2])

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port))
        client.settimeout(5)
        self.loop.turn()
        return client


def test_a_connection_is_given_away_with_both_of_its_addresses() -> None:
    gate = Gate()
    client = gate.connect()
    host, port = client.getsockname()
    assert gate.takers.handed == [("front", f"127.0.0.1:{gate.port}", f"{host}:{port}")]


def test_it_stays_open_as_a_worker_has_it() -> None:
    gate = Gate()
    client = gate.connect()
    gate.takers.kept[0].sendall(b"from the worker")
    assert client.recv(100) == b"from the worker"


def test_one_that_no_worker_takes_is_closed_and_counted_as_refused() -> None:
    gate = Gate()
    gate.takers.refuse = True
    client = gate.connect()
    assert client.recv(100) == b""
    assert (gate.listener.counts.connections, gate.listener.counts.connections_refused) == (1, 1)


def test_one_that_a_worker_takes_is_counted_by_the_worker() -> None:
    gate = Gate()
    gate.connect()
    assert gate.listener.counts.connections == 0


def test_a_drain_closes_the_socket_and_waits_for_the_workers() -> None:
    gate = Gate()
    done = fired(gate.listener.drain())
    assert gate.takers.drains == [("front", False)]
    assert gate.listener.draining and not gate.listener.sockets
    assert done == []
    gate.takers.drained.callback(None)
    assert done == [None]


def test_a_drain_for_another_process_that_goes_on_is_as_patient_in_the_workers() -> None:
    gate = Gate()
    gate.listener.drain(patient=True)
    gate.listener.drain()
    assert gate.takers.drains == [("front", True), ("front", True)]


# -- the network of a worker


class Talk:
    """Answers each piece with itself."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.lost = 0

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def connectionLost(self, reason: Any) -> None:
        self.lost += 1

    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


class House:
    def __init__(self) -> None:
        self.loop = Loop()
        self.left: list[str] = []
        self.network = HandedNetwork(self.loop, FlushQueue(self.loop), self.left.append)
        self.talks: list[Talk] = []
        self.seen: list[Connection] = []

    def accepted(self, connection: Any) -> Any:
        self.seen.append(connection)
        self.talks.append(Talk())
        return self.talks[-1]

    def take(self, accepted: Any = None) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(5)
        self.network.take(theirs, "front", "127.0.0.1:80", "127.0.0.9:4321", accepted or self.accepted)
        return ours


def test_a_worker_listens_on_no_socket_and_shows_the_address_of_the_supervisors() -> None:
    house = House()
    place = house.network.listen(parse("127.0.0.1:80"), house.accepted)
    assert place.bound == "127.0.0.1:80"
    place.hand_to(house.accepted)
    place.close()


def test_a_connection_that_is_handed_is_served_as_if_it_was_accepted_here() -> None:
    house = House()
    client = house.take()
    client.sendall(b"hello")
    house.loop.turn()
    assert client.recv(100) == b"hello"
    assert (house.seen[0].host, house.seen[0].peer) == ("127.0.0.1:80", "127.0.0.9:4321")
    assert house.left == []


def test_its_end_is_told_once_with_its_listener() -> None:
    house = House()
    client = house.take()
    client.close()
    house.loop.turn()
    assert house.left == ["front"]
    assert house.talks[0].lost == 1


def test_one_that_its_listener_refuses_is_closed_and_has_left() -> None:
    house = House()
    client = house.take(lambda connection: None)
    assert client.recv(100) == b""
    assert house.left == ["front"]


def test_one_for_which_only_descriptors_are_left_that_are_kept_back_is_refused_and_counted() -> None:
    house = House()
    house.network.descriptors = DescriptorReserve(house.loop, lambda: 16)
    client = house.take()
    assert client.recv(100) == b""
    assert house.left == ["front"] and house.talks == []
    assert house.network.descriptors.refused_connections == 1


def test_one_over_which_a_listener_fails_is_closed_and_has_left() -> None:
    house = House()

    def broken(connection: Any) -> Any:
        raise ZeroDivisionError("our bug")

    client = house.take(broken)
    assert client.recv(100) == b""
    assert house.left == ["front"]


def test_connections_to_servers_do_not_count_as_left() -> None:
    house = House()
    server = socket.create_server(("127.0.0.1", 0))
    talk = Talk()
    talk.connectionFailed = lambda text, timed_out: None  # type: ignore[attr-defined]
    house.network.connect(parse(f"127.0.0.1:{server.getsockname()[1]}"), talk, 5.0)  # type: ignore[arg-type]
    house.loop.turn()
    accepted, _ = server.accept()
    accepted.close()
    house.loop.until(lambda: talk.lost)
    assert house.left == []
    server.close()


def test_a_service_runs_on_it_without_a_socket_of_its_own() -> None:
    house = House()
    proxy = ProxyService(house.network, Registry())
    snapshot = Running().proxy.snapshot
    assert snapshot is not None
    proxy.apply(snapshot)
    assert proxy.listeners["front"].bound() == ["127.0.0.1:80"]
