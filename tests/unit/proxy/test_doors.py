"""Each node of a cluster is reached by a door of its own: a port, or a name in TLS."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Quill, Stage, answer, call

from metaproxy.message import Side
from metaproxy.proxy.doors import ClientDoors, NameDoors, PortDoors
from metaproxy.support import addresses as address
from metaproxy.testing.stage import Wire

BY_PORT = PortDoors([address.parse("127.0.0.1:9092")], range(9100, 9103), "")
BY_NAME = NameDoors("Broker-{node}.example.org", 443)


class Naming(Quill):
    """Keeps the sessions towards clients."""

    names_nodes = True

    def __init__(self) -> None:
        self.sessions: list[Any] = []

    def session(self, side: Side, max_frame: int) -> Any:
        session = super().session(side, max_frame)
        if side is Side.CLIENT:
            self.sessions.append(session)
        return session


class Hall(Stage):
    """Three nodes, numbered from 0, behind doors."""

    def __init__(self, doors: Any) -> None:
        self.naming = Naming()
        super().__init__(self.naming, endpoints=3, doors=doors)
        for number, endpoint in enumerate(self.endpoints):
            endpoint.learn({"node": str(number)})
        self.cluster.refresh()

    def come(self, host: str, **facts: str) -> Wire:
        wire = Wire(host, "127.0.0.9:4321")
        wire.facts = {key.replace("_", "."): value for key, value in facts.items()}
        wire.protocol = self.listener.accepted(wire)
        wire.protocol.makeConnection(wire)
        return wire

    def nodes_of(self, client: Wire, calls: int = 4) -> set[str]:
        """The servers that the client's calls go to."""
        before = {id(one): one.written for one in self.network.upstreams}
        for number in range(calls):
            self.say(client, call(number + 1))
        return {one.peer for one in self.network.upstreams if one.written != before.get(id(one), b"")}


@pytest.mark.parametrize(("port", "node"), [(9100, 0), (9102, 2)])
def test_a_client_that_came_through_a_port_is_served_by_its_node(port: int, node: int) -> None:
    hall = Hall(BY_PORT)
    assert hall.nodes_of(hall.come(f"127.0.0.1:{port}")) == {f"127.0.0.1:{1000 + node}"}


def test_a_client_that_came_by_a_name_is_served_by_its_node() -> None:
    hall = Hall(BY_NAME)
    assert hall.nodes_of(hall.come("127.0.0.1:9092", tls_sni="broker-1.EXAMPLE.org")) == {"127.0.0.1:1001"}


@pytest.mark.parametrize("name", ["broker-1.example.com", "broker-01.example.org", "broker-x.example.org", ""])
def test_a_client_that_came_by_no_door_is_served_by_any_node(name: str) -> None:
    for doors in (BY_PORT, BY_NAME):
        hall = Hall(doors)
        assert len(hall.nodes_of(hall.come("127.0.0.1:9092", tls_sni=name))) == 3


def test_the_door_of_a_node_that_is_not_there_gives_an_error_at_once_and_serves_no_other() -> None:
    hall = Hall(BY_PORT)
    for endpoint in hall.endpoints[1:]:
        endpoint.learn({})
    hall.cluster.refresh()
    for port in (9101, 9102):
        client = hall.come(f"127.0.0.1:{port}")
        hall.say(client, call(1))
        assert b"no usable endpoint in cluster demo" in client.take()
    client = hall.come("127.0.0.1:9100")
    hall.say(client, call(1))
    hall.say(hall.server, answer(1))
    assert client.take() == answer(1)


def test_a_session_is_given_the_doors_as_its_client_reaches_them() -> None:
    hall = Hall(BY_PORT)
    hall.come("10.0.0.1:9092")
    hall.come("127.0.0.1:9101")
    first, second = (session.doors for session in hall.naming.sessions)
    assert isinstance(first, ClientDoors)
    assert (first.address("0"), second.address("2")) == (("10.0.0.1", 9100), ("127.0.0.1", 9102))
    assert [first.address(node) for node in ("3", "-1", "", "x", "1" * 30)] == [None] * 5
    assert Stage(Naming()).client() is not None
    other = Stage(naming := Naming())
    other.client()
    assert naming.sessions[0].doors is None


def test_what_is_advertised_is_what_the_configuration_says() -> None:
    doors = PortDoors([address.parse("0.0.0.0:9092")], range(9100, 9102), "proxy.example.org")
    assert doors.address("1", {"destination.address": "10.0.0.1"}) == ("proxy.example.org", 9101)
    assert BY_NAME.address("12", {}) == ("broker-12.example.org", 443)
    assert BY_NAME.address("x", {}) is None


def test_ports_are_listened_on_at_each_host_of_the_listener_once() -> None:
    hosts = ["127.0.0.1:9092", "127.0.0.1:9093", "[::1]:9092", "unix:/x"]
    doors = PortDoors([address.parse(one) for one in hosts], range(9100, 9102), "")
    shown = [address.show(one.sockaddr) for one in doors.addresses]
    assert shown == ["127.0.0.1:9100", "127.0.0.1:9101", "[::1]:9100", "[::1]:9101"]
