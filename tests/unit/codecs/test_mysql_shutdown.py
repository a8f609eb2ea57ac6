"""MySQL's servers that say, in place of an answer, that they end: what is asked again, and who hears of it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from mysql_words import BASE, CHALLENGE, SERVER, error, ok, query, rows

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.handshake import Greeting, Login
from metaproxy.codecs.mysql.packets import AUTOCOMMIT, IN_TRANSACTION, packet, payload_of, read_error
from metaproxy.codecs.mysql.passwords import NATIVE, SHA2, proof
from metaproxy.testing.stage import Stage, Wire

SELECT, ANSWER = query("select a from t"), rows([["1"]])


class Room(Stage):
    """Two servers; what fails by `reset` is tried again."""

    def __init__(self) -> None:
        self.known: list[Wire] = []
        made = MySQL(users={"ann": "pencil"})
        connections = ConnectionSettings(mode="transaction", per_endpoint=5)
        super().__init__(made, endpoints=2, connections=connections, breaker=Breaker())
        self.cluster.credentials = {"user": "app", "password": "secret"}
        retry = RetryPolicy(1, on=["reset"], backoff=(0.0, 0.0))
        routes = RouteTable([Route("all", targets=[Target(self.cluster)], retry=retry)], random.Random(1))
        self.listener.snapshot = replace(self.snapshot, routes=routes)

    def enter(self) -> Wire:
        client = self.client()
        self.clock.advance(0)
        challenge = Greeting.read(payload_of(client.take())).challenge
        login = Login(BASE, 1 << 24, 45, b"ann", proof(SHA2, b"pencil", challenge), b"", SHA2, b"")
        self.say(client, packet(login.write(), 1))
        self.let_in()
        client.take()
        return client

    def let_in(self) -> None:
        """Servers take the logins of new connections."""
        self.clock.advance(0.01)
        for server in self.network.upstreams:
            if server not in self.known:
                self.known.append(server)
                self.say(server, packet(Greeting(b"8.0.42", 7, CHALLENGE, SERVER, 45, AUTOCOMMIT, NATIVE).write(), 0))
                server.take()
                self.say(server, ok(2))

    def asked(self, data: bytes) -> Wire:
        """The server that got that."""
        self.let_in()
        (server,) = (wire for wire in self.network.upstreams if wire.take() == data)
        return server


def number_of(said: bytes) -> int:
    return read_error(payload_of(said)).number


@pytest.mark.parametrize("number", [1053, 1927])
@pytest.mark.parametrize("sequence", [0, 1])
def test_what_only_reads_is_asked_of_another_server(number: int, sequence: int) -> None:
    room = Room()
    client = room.enter()
    room.say(client, SELECT)
    first = room.asked(SELECT)
    room.say(first, error(number, sequence, "Server shutdown in progress"))
    assert client.take() == b""
    second = room.asked(SELECT)
    assert second.peer != first.peer
    room.say(second, ANSWER)
    assert client.take() == ANSWER
    assert first.closed


def test_who_is_asked_nowhere_else_hears_of_it_and_goes_on() -> None:
    room = Room()
    client = room.enter()
    room.say(client, SELECT)
    for _ in range(2):
        room.say(room.asked(SELECT), error(1053))
    assert number_of(client.take()) == 1927
    assert not client.closed


@pytest.mark.parametrize("text", ["insert into t values (1)", "select f()", "select a from t for update"])
def test_what_may_write_is_not_asked_again(text: str) -> None:
    room = Room()
    client = room.enter()
    room.say(client, query(text))
    room.say(room.asked(query(text)), error(1053))
    assert number_of(client.take()) == 1053


def test_a_read_in_a_transaction_is_not_asked_again() -> None:
    room = Room()
    client = room.enter()
    room.say(client, query("begin"))
    server = room.asked(query("begin"))
    room.say(server, ok(1, AUTOCOMMIT | IN_TRANSACTION))
    client.take()
    room.say(client, SELECT)
    room.say(server, error(1053))
    assert number_of(client.take()) == 1053


def test_other_errors_of_reads_are_the_client_s() -> None:
    room = Room()
    client = room.enter()
    room.say(client, SELECT)
    room.say(room.asked(SELECT), error(1146))
    assert number_of(client.take()) == 1146
