"""
MySQL's clients that log in at the proxy, the listener and the servers' connections, in memory.

Lives here: `MySQLRoom`. Does not: packets (`mysql_words`), expectations.
"""

from __future__ import annotations

from typing import Any

from mysql_words import BASE, greeting, ok

from metaproxy.cluster.breaker import Breaker
from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.handshake import Greeting, Login
from metaproxy.codecs.mysql.packets import packet, payload_of
from metaproxy.codecs.mysql.passwords import SHA2, proof
from metaproxy.testing.stage import Stage, Wire
from metaproxy.units import Bytes


class MySQLRoom(Stage):
    """most: connections to the server. Its clients are `ann` and `bob`, of the database d."""

    def __init__(self, mode: str = "transaction", most: int = 20, **more: Any) -> None:
        codec = MySQL(users={"ann": "ann-password", "bob": "bob-password"}, stream_over=Bytes(65536))
        super().__init__(
            codec, connections=ConnectionSettings(mode=mode, per_endpoint=most), breaker=Breaker(), **more
        )  # fmt: skip
        self.cluster.credentials = {"user": "app", "password": "secret"}

    def enter(self, user: str = "ann") -> Wire:
        """A client that is logged in, on a connection that is there, or on a new one."""
        client = self.client()
        self.log_in(client, user)
        return client

    def log_in(self, client: Wire, user: str = "ann") -> int:
        """The number by which others know that client."""
        self.clock.advance(0)
        greeted = Greeting.read(payload_of(client.take()))
        answer = proof(SHA2, f"{user}-password".encode(), greeted.challenge)
        there = len(self.network.upstreams)
        self.say(client, packet(Login(BASE, 1 << 24, 45, user.encode(), answer, b"d", SHA2, b"").write(), 1))
        if len(self.network.upstreams) > there:
            self.let_in(self.network.upstreams[-1])
        client.take()
        return greeted.thread

    def let_in(self, server: Wire) -> None:
        """A server takes the proxy's login, and the state that follows."""
        self.say(server, greeting())
        server.take()
        self.say(server, ok(2))
        if server.take():
            self.say(server, ok())

    def let_in_again(self, server: Wire) -> None:
        """It has asked for COM_CHANGE_USER, which rids the connection of everything."""
        assert server.take()[4] == 0x11
        self.say(server, ok())
        if server.take():
            self.say(server, ok())

    def ask(self, client: Wire, said: bytes, answer: bytes, server: int = 0) -> tuple[bytes, bytes]:
        """What a server was sent for a command, and the client for its answer."""
        self.say(client, said)
        wire = self.network.upstreams[server]
        sent = wire.take()
        self.say(wire, answer)
        return sent, client.take()
