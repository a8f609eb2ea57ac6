"""Listeners and their addresses from one configuration to the next: in memory, and on loopback."""

from __future__ import annotations

import dataclasses
import errno
import gc
import random
import socket
import weakref
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_twisted
from free_ports import free_port
from harness import MemoryNetwork, Quill, Wire, answer, call
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.app.service import ProxyService
from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.codecs.auto import Auto
from metaproxy.plugins import Registry
from metaproxy.proxy.chains import ChainTable
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.snapshot import NO_ROUTE, ListenerSnapshot, Snapshot
from metaproxy.proxy.transport import Network
from metaproxy.support.addresses import Address, parse, show

REGISTRY = Registry()
CODEC = Quill()


class Socket:
    """A listening socket in memory. history: 'opened', 'closed', and who it was handed to."""

    def __init__(self, network: Ports, where: Address, accepted: Any) -> None:
        self.address, self.bound = where, show(where.sockaddr)
        self.accepted = accepted
        self._network = network

    def hand_to(self, accepted: Any) -> None:
        self.accepted = accepted

    def close(self) -> None:
        self._network.open.remove(self)


class Ports(MemoryNetwork):
    """
    Refuses what the system would: an address that is taken, and `0.0.0.0` beside another address of its port.

    busy: addresses that another process has. calls: how often each address was opened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Socket] = []
        self.busy: set[str] = set()
        self.calls: list[str] = []

    def listen(self, where: Address, accepted: Any) -> Socket:
        text = show(where.sockaddr)
        clashes = [
            one
            for one in self.open
            if where.port
            and one.address.port == where.port
            and (one.address == where or "0.0.0.0" in (one.address.host, where.host))
        ]
        if clashes or text in self.busy:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self.calls.append(text)
        self.open.append(Socket(self, where, accepted))
        return self.open[-1]

    def arrive(self, where: str) -> Wire:
        (found,) = [one for one in self.open if one.bound == where]
        wire = Wire(host=where, peer="127.0.0.9:4321")
        wire.protocol = found.accepted(wire)
        wire.protocol.makeConnection(wire)
        return wire


class Running:
    """A proxy over `network`, whose listeners lead to one endpoint."""

    def __init__(self, network: Any = None, endpoint: str = "127.0.0.1:1000") -> None:
        self.network = network if network is not None else Ports()
        self.proxy = ProxyService(self.network, REGISTRY)
        self.endpoint = endpoint
        self.cluster = self.new_cluster()
        self.version = 0
        self.proxy.startService()

    def new_cluster(self, mode: str = "multiplex") -> Cluster:
        settings = ConnectionSettings(mode=mode)
        return Cluster("demo", CODEC, [Endpoint(self.endpoint)], RoundRobin, connections=settings, request_timeout=0.0)

    def listener(self, name: str, *addresses: str, hooks: Any = ()) -> ListenerSnapshot:
        route = Route("all", targets=[Target(self.cluster)], on_request=tuple(hooks))
        table = RouteTable([route], random.Random(1))
        return ListenerSnapshot(name, tuple(map(parse, addresses)), CODEC, table, Route("-", reply=NO_ROUTE))

    def apply(self, *listeners: ListenerSnapshot) -> None:
        self.version += 1
        named = {one.name: one for one in listeners}
        self.proxy.apply(Snapshot(self.version, "test", 0.0, named, {"demo": self.cluster}))

    def put(self, hooks: Any = (), **listeners: str) -> None:
        """name='address address'"""
        made = [self.listener(name, *text.split(), hooks=hooks) for name, text in listeners.items()]
        self.apply(*made)

    def bound(self) -> dict[str, list[str]]:
        return {name: listener.bound() for name, listener in self.proxy.listeners.items()}

    def say(self, wire: Wire, data: bytes) -> None:
        self.network.turn.begin()
        wire.protocol.dataReceived(data)
        self.network.turn.end()
        self.network.clock.advance(0)


A, B, C = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"


def test_listeners_are_added_changed_and_removed_by_name() -> None:
    running = Running()
    running.put(one=A)
    first = running.proxy.listeners["one"]
    running.put(one=A, two=B)
    running.put(one=f"{A} {C}", two=B)
    assert running.bound() == {"one": [A, C], "two": [B]}
    running.put(one=C)
    assert running.bound() == {"one": [C]}
    assert running.proxy.listeners["one"] is first
    assert running.network.calls == [A, B, C], "what stays is never opened again"


def test_an_address_moves_from_a_listener_that_goes_to_a_new_one() -> None:
    running = Running()
    running.put(old=A)
    client = running.network.arrive(A)
    running.say(client, call(1))
    running.put(new=A)
    assert running.bound() == {"new": [A]}
    assert [listener.name for listener in running.proxy.leaving] == ["old"]
    running.say(running.network.upstreams[0], answer(1))
    assert client.take() == answer(1)
    assert client.closed and not running.proxy.leaving


def test_an_address_that_moves_is_never_closed_so_that_nobody_who_connects_is_turned_away() -> None:
    running = Running()
    running.put(old=A)
    running.put(new=A)
    assert running.network.calls == [A]
    running.network.arrive(A)
    assert running.proxy.listeners["new"].counts.connections == 1


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_an_address_moves_between_listeners_that_stay_in_whichever_order_they_are(order: tuple[str, str]) -> None:
    running = Running()
    running.put(one=f"{A} {B}", two=C)
    after = {"one": A, "two": f"{B} {C}"}
    running.put(**{name: after[name] for name in order})
    assert running.bound()["one"] == [A]
    assert sorted(running.bound()["two"]) == [B, C]


def test_what_was_meant_for_an_address_goes_to_the_listener_that_has_it_now() -> None:
    running = Running()
    front = dataclasses.replace(running.listener("front", A), codec=Auto(), chains=ChainTable([]), hand_over=True)

    def behind(**meant: str) -> list[ListenerSnapshot]:
        return [
            dataclasses.replace(running.listener(name), meant_for=tuple(text.split())) for name, text in meant.items()
        ]

    def taken(where: str) -> str:
        """Which listener a connection that was meant for an address is handed to."""
        before = {name: one.counts.connections for name, one in running.proxy.listeners.items() if name != "front"}
        (found,) = [one for one in running.network.open if one.bound == A]
        wire = Wire(host=where, peer="127.0.0.9:4321")
        wire.protocol = found.accepted(wire)
        wire.protocol.makeConnection(wire)
        now = {name: one.counts.connections for name, one in running.proxy.listeners.items()}
        return "".join(name for name in before if now[name] > before[name])

    running.apply(front, *behind(cart="10.0.0.1:80", any="0.0.0.0:81"))
    assert [taken(one) for one in ("10.0.0.1:80", "10.0.0.2:81", "10.0.0.2:80")] == ["cart", "any", ""]
    running.apply(front, *behind(cart="10.0.0.1:82", stock="10.0.0.1:80"))
    assert [taken(one) for one in ("10.0.0.1:80", "10.0.0.1:82", "10.0.0.2:81")] == ["stock", "cart", ""]
    running.apply(front)
    assert taken("10.0.0.1:80") == ""


def test_two_listeners_swap_their_addresses() -> None:
    running = Running()
    running.put(one=A, two=B)
    running.put(one=B, two=A)
    assert running.bound() == {"one": [B], "two": [A]}
    running.network.arrive(A)
    assert running.proxy.listeners["two"].counts.connections == 1
    assert running.network.calls == [A, B]


@pytest.mark.parametrize(("before", "after"), [("0.0.0.0:1", A), (A, "0.0.0.0:1")])
def test_a_listener_moves_between_one_address_and_all_of_its_port(before: str, after: str) -> None:
    """The system gives both at a time to no process, not even the same process."""
    running = Running()
    running.put(one=before)
    running.put(one=after)
    assert running.bound() == {"one": [after]}
    assert [one.bound for one in running.network.open] == [after]


@pytest.mark.parametrize(
    "after",
    [
        {"one": A, "two": f"{B} {C}"},
        {"one": f"{A} {C}", "two": B},
        {"two": A, "three": C},
        {"one": B, "two": A, "three": C},
        {"three": f"{A} {C}"},
        {"three": f"{C} {A}"},
        {"one": "0.0.0.0:1", "two": C},
    ],
    ids=str,
)
def test_an_address_that_is_taken_leaves_everything_as_it_was(after: dict[str, str]) -> None:
    running = Running()
    running.network.busy = {C}
    running.put(one=A, two=B)
    snapshot, listeners = running.proxy.snapshot, dict(running.proxy.listeners)
    with pytest.raises(OSError, match=r"listener \w+: 127\.0\.0\.1:3: Address already in use") as refused:
        running.put(**after)
    assert refused.value.errno == errno.EADDRINUSE
    assert running.proxy.snapshot is snapshot
    assert running.proxy.listeners == listeners
    assert running.bound() == {"one": [A], "two": [B]}
    assert sorted(one.bound for one in running.network.open) == [A, B]
    for where, name in ((A, "one"), (B, "two")):
        running.network.arrive(where)
        assert listeners[name].counts.connections == 1
    assert not running.proxy.leaving and not any(listener.draining for listener in listeners.values())


def test_free_ports_are_each_listeners_own() -> None:
    running = Running()
    running.put(one="127.0.0.1:0", two="127.0.0.1:0")
    assert len(running.network.open) == 2
    running.put(one="127.0.0.1:0", two="127.0.0.1:0")
    assert len(running.network.calls) == 2
    running.put(two="127.0.0.1:0", three="127.0.0.1:0")
    assert sorted(running.proxy.listeners) == ["three", "two"]
    assert len(running.network.open) == 2


def test_clients_stay_where_their_listener_stays() -> None:
    running = Running()
    running.put(one=A)
    client = running.network.arrive(A)
    running.put(one=B)
    running.say(client, call(5))
    running.say(running.network.upstreams[0], answer(1))
    assert client.take() == answer(5)


def test_a_listener_that_drains_gives_its_address_to_another() -> None:
    running = Running()
    running.put(one=A)
    client = running.network.arrive(A)
    running.say(client, call(1))
    running.proxy.drain("one")
    running.put(one=A, two=B)
    assert running.bound() == {"one": [], "two": [B]}
    running.put(two=f"{A} {B}")
    assert sorted(running.bound()["two"]) == [A, B]
    assert [listener.name for listener in running.proxy.leaving] == ["one"]


# -- clusters that are replaced


def test_a_replaced_cluster_that_an_exchange_reaches_late_is_emptied_as_well() -> None:
    """It waited in a filter for so long that nothing of its cluster was under way."""
    waiting: Deferred[None] = Deferred()
    running = Running()
    running.put(one=A, hooks=[lambda exchange: waiting])
    client = running.network.arrive(A)
    running.say(client, call(1))
    old, running.cluster = running.cluster, running.new_cluster()
    running.put(one=A)
    running.network.clock.advance(5)
    waiting.callback(None)
    running.network.clock.advance(0)
    (server,) = running.network.upstreams
    running.say(server, answer(1))
    assert client.take() == answer(1)
    running.network.clock.advance(1)
    assert server.closed
    assert old.breaker.connections == 0


def test_nothing_is_kept_of_replaced_clusters_although_their_clients_stay() -> None:
    running = Running()
    running.put(one=A)
    client = running.network.arrive(A)
    gone = []
    for _ in range(3):
        running.say(client, call(1))
        running.say(running.network.upstreams[-1], answer(1))
        gone.append(weakref.ref(running.cluster))
        running.cluster = running.new_cluster()
        running.put(one=A)
    running.say(client, call(1))
    running.network.clock.advance(1)
    running.network.upstreams.clear()
    running.network.dialled.clear()
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3
    assert len(running.proxy.retired) == 0


def test_stopping_closes_what_replaced_clusters_have() -> None:
    running = Running()
    running.put(one=A)
    client = running.network.arrive(A)
    running.say(client, call(1))
    running.cluster = running.new_cluster()
    running.put(one=A)
    running.proxy.listeners["one"].close()
    stopped = running.proxy.stopService()
    running.network.clock.advance(1)
    assert stopped.called
    assert all(wire.closed for wire in running.network.upstreams)


def test_stopping_twice_is_stopping_once() -> None:
    running = Running()
    running.put(one=A)
    first, second = running.proxy.stopService(), running.proxy.stopService()
    assert first.called and second.called


def test_stopping_gives_up_after_drain_timeout() -> None:
    running = Running()
    running.put(one=A)
    client = running.network.arrive(A)
    running.say(client, call(1))
    stopped = running.proxy.stopService()
    running.network.clock.advance(29)
    assert not stopped.called
    running.network.clock.advance(2)
    assert stopped.called
    assert client.closed and running.network.upstreams[0].closed


# -- idle clients


class Looked:
    """How often a listener was asked to look for idle clients."""

    def __init__(self, running: Running, idle_timeout: float) -> None:
        snapshot = dataclasses.replace(running.listener("one", A), idle_timeout=idle_timeout)
        running.apply(snapshot)
        self.times = 0
        running.proxy.listeners["one"].sweeping = self._sweeping  # type: ignore[method-assign]

    def _sweeping(self, now: float) -> Iterator[None]:
        self.times += 1
        yield


@pytest.mark.parametrize(("idle_timeout", "looks"), [(3600.0, 10), (10.0, 10), (9.0, 100)])
def test_idle_clients_are_looked_for_every_second_and_more_often_when_their_time_is_short(
    idle_timeout: float, looks: int
) -> None:
    running = Running()
    looked = Looked(running, idle_timeout)
    for _ in range(100):
        running.network.clock.advance(0.1)
    assert looks - 1 <= looked.times <= looks


class SlowCluster(Cluster):
    """A look at it takes a millisecond. looks: how many are over."""

    clock = Clock()
    looks = 0

    def sweep(self, now: float) -> None:
        self.clock.rightNow += 0.001
        SlowCluster.looks += 1


def test_a_look_at_very_many_clusters_is_cut_into_parts() -> None:
    network = Ports()
    clock = network.clock = SlowCluster.clock
    network.turn = FlushQueue(clock)
    service = ProxyService(network, REGISTRY)
    service.startService()
    clusters = {str(number): SlowCluster(str(number), CODEC, [], RoundRobin) for number in range(20)}
    service.apply(Snapshot(1, "test", 0.0, {}, {**clusters}))
    marks: list[int] = []

    def meanwhile() -> None:
        marks.append(SlowCluster.looks)
        if SlowCluster.looks < 20:
            clock.callLater(0.0001, meanwhile)

    clock.advance(0.99)
    meanwhile()
    while SlowCluster.looks < 20:
        clock.advance(0.01)
    meanwhile()
    assert max(after - before for before, after in pairwise(marks)) <= 7


# -- on loopback


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network(reactor, FlushQueue(reactor))
    yield made
    made.close()


def test_an_address_that_another_process_has_is_told_and_changes_nothing(network: Network) -> None:
    running = Running(network)
    running.put(one="127.0.0.1:0")
    before = running.bound()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=f"listener two: {where}: Address already in use"):
            running.put(one="127.0.0.1:0", two=where)
    assert running.bound() == before
    with socket.create_connection(("127.0.0.1", int(before["one"][0].rpartition(":")[2])), 5):
        pass


def test_a_port_moves_from_one_address_to_all_and_back(network: Network) -> None:
    port = free_port()
    running = Running(network)
    for where in (f"127.0.0.1:{port}", f"0.0.0.0:{port}", f"127.0.0.1:{port}"):
        running.put(one=where)
        assert running.bound() == {"one": [where]}


def test_a_socket_in_a_folder_moves_and_goes_with_its_listener(network: Network, tmp_path: Any) -> None:
    path = tmp_path / "front.sock"
    running = Running(network)
    running.put(one=f"unix:{path}")
    running.put(two=f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
    running.put()
    assert not path.exists()


@pytest_twisted.inlineCallbacks
def test_who_connected_before_an_address_moved_and_was_not_accepted_yet_is_served_after(network: Network) -> Any:
    from waiting import until

    running = Running(network)
    where = f"127.0.0.1:{free_port()}"
    running.put(old=where)
    with socket.create_connection(("127.0.0.1", int(where.rpartition(":")[2])), 5) as client:
        client.setblocking(False)
        client.send(call(7, "nowhere"))
        running.put(new=where)  # before the reactor could accept
        yield until(lambda: running.proxy.listeners["new"].counts.connections == 1)
        assert running.proxy.listeners["new"].counts.connections_refused == 0
    yield running.proxy.stopService()
