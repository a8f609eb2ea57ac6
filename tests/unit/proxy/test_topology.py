"""Servers are asked what they are, and requests go to those of the role that they need."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from bank import BankStage
from harness import Wire

from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.proxy.topology import Topology
from metaproxy.routing.matcher import compile_condition

FIRST, SECOND, THIRD = "127.0.0.1:1000", "127.0.0.1:1001", "127.0.0.1:1002"


class Servers:
    """Three servers, each of which says what it is told to; reads go to replicas, everything else to the primary."""

    def __init__(self, max_lag: float = 0.0) -> None:
        self.says = {FIRST: "primary", SECOND: "replica", THIRD: "replica"}
        self.asked = 0
        self.stage = BankStage(endpoints=3)
        stage = self.stage
        self.watch = Topology("primary_replica", 1.0, max_lag, 100, stage.clock)
        target = Target(stage.cluster)
        read = compile_condition("word", "read")
        reads = Route("reads", [read], [target], subset={"role": "replica"})
        writes = Route("writes", targets=[target], subset={"role": "primary"})
        routes = RouteTable([reads, writes], random.Random(1))
        stage.listener.snapshot = replace(stage.snapshot, routes=routes)
        self.watch.start(stage.cluster, stage.network)
        self._seen: set[Wire] = set()

    def run(self, seconds: float = 0.0) -> None:
        """Time passes; servers answer what they are asked."""
        self.stage.clock.advance(seconds)
        for _ in range(6):
            for wire in list(self.stage.upstreams):
                if wire.closed:
                    continue
                role = self.says[wire.peer]
                if role == "away":
                    wire.end()
                    continue
                data = wire.take()
                if data.startswith(b"hello"):
                    self.stage.say(wire, b"welcome\n")
                elif b"role?" in data:
                    self.asked += 1
                    self.stage.say(wire, f"i {role}\n".encode())
                elif data:
                    self.stage.say(wire, b"i %b\n" % wire.peer.encode() * data.count(b"\n"))
            self.stage.clock.advance(0)

    def ask(self, client: Wire, line: bytes) -> bytes:
        self.stage.say(client, line)
        self.run()
        return client.take()

    @property
    def roles(self) -> list[str]:
        return [one.metadata.get("role", "") for one in self.stage.cluster.endpoints]


def test_writes_go_to_the_primary_and_reads_to_replicas() -> None:
    servers = Servers()
    assert not servers.watch.warm
    servers.run()
    assert servers.watch.warm
    assert servers.roles == ["primary", "replica", "replica"]
    client = servers.stage.client()
    assert servers.ask(client, b"login ann d\nwrite\n").endswith(b"i 127.0.0.1:1000\n")
    assert {servers.ask(client, b"read\n") for _ in range(4)} == {b"i 127.0.0.1:1001\n", b"i 127.0.0.1:1002\n"}


def test_requests_that_come_before_roles_are_known_wait_for_them() -> None:
    servers = Servers()
    client = servers.stage.client()
    servers.stage.say(client, b"login ann d\n")
    assert servers.stage.cluster.breaker.requests == 0
    servers.run()
    assert client.take() == b"welcome\n"


def test_clients_are_held_while_there_is_no_primary_and_go_on_at_the_next_one() -> None:
    servers = Servers()
    servers.run()
    client = servers.stage.client()
    servers.ask(client, b"login ann d\n")
    servers.says[FIRST] = "away"
    servers.run(1.0)
    assert servers.roles == ["", "replica", "replica"]
    assert servers.ask(client, b"write\n") == b""
    servers.says[SECOND] = "primary"
    servers.run(1.0)
    assert client.take() == b"i 127.0.0.1:1001\n"


def test_who_is_held_for_longer_than_its_time_gets_an_error() -> None:
    servers = Servers()
    servers.says[FIRST] = "replica"
    servers.run()
    client = servers.stage.client()
    servers.stage.say(client, b"login ann d\n")
    for _ in range(16):
        servers.run(1.0)
    assert client.take() == b"error timeout\n"


def test_reads_go_to_the_primary_while_no_replica_is_there() -> None:
    servers = Servers()
    servers.says |= {SECOND: "away", THIRD: "away"}
    servers.run()
    client = servers.stage.client()
    assert servers.ask(client, b"login ann d\nread\n").endswith(b"i 127.0.0.1:1000\n")
    servers.says |= {SECOND: "replica", THIRD: "replica"}
    servers.run(1.0)
    assert servers.ask(client, b"read\n") != b"i 127.0.0.1:1000\n"


def test_a_replica_that_lags_is_not_read_from() -> None:
    servers = Servers(max_lag=2.0)
    servers.says |= {SECOND: "replica 2.5", THIRD: "replica 1.5"}
    servers.run()
    assert servers.roles == ["primary", "lagging", "replica"]
    servers.says[SECOND] = "replica 0.1"
    servers.run(1.0)
    assert servers.roles == ["primary", "replica", "replica"]


def test_a_primary_of_an_older_term_is_none() -> None:
    servers = Servers()
    servers.says |= {FIRST: "primary 0 3", SECOND: "primary 0 4"}
    servers.run()
    assert servers.roles == ["replaced", "primary", "replica"]


@pytest.mark.parametrize("answer", ["nothing", "arbiter"])
def test_a_server_without_a_role_of_these_gets_nothing(answer: str) -> None:
    servers = Servers()
    servers.says[THIRD] = answer
    servers.run()
    assert servers.roles[2] == ("" if answer == "nothing" else answer)
    client = servers.stage.client()
    servers.ask(client, b"login ann d\n")
    assert {servers.ask(client, b"read\n") for _ in range(4)} == {b"i 127.0.0.1:1001\n"}


def test_a_server_that_fails_a_request_is_asked_at_once() -> None:
    servers = Servers()
    servers.run()
    client = servers.stage.client()
    servers.ask(client, b"login ann d\n")
    servers.stage.say(client, b"write\n")
    servers.says |= {FIRST: "away", SECOND: "primary"}
    servers.run()
    assert client.take() == b"error reset\n"
    servers.run(0.15)
    assert servers.roles[0] == ""


def test_what_was_learnt_outlasts_new_endpoints_of_a_discovery() -> None:
    servers = Servers()
    servers.run()
    servers.stage.cluster.update(servers.stage.endpoints[:2])
    assert servers.roles == ["primary", "replica"]


def test_nothing_is_asked_and_nobody_waits_once_the_cluster_is_no_more() -> None:
    servers = Servers()
    servers.says[FIRST] = "replica"
    servers.run()
    client = servers.stage.client()
    servers.stage.say(client, b"login ann d\n")
    asked = servers.asked
    servers.watch.stop()
    servers.run(5.0)
    assert (servers.asked, client.take()) == (asked, b"error no_endpoint\n")
    assert all(one.doubted is None for one in servers.stage.endpoints)
