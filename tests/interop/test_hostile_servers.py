"""
Servers of databases and brokers that are none, or mean harm: their clients hear of it soon, and no other client
notices.

Where logins pass, where they end at the proxy, and where a client has a connection from the pool for its stay. Lives
here: who says what such servers say (hostile_words.py), and who asks them. Does not: clients that mean harm
(test_hostile_databases.py).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import amqp_words as amqp
import hostile_words as words
import kafka_words as kafka
import pytest
from hostile_peers import MEBI, SOON, exactly
from hostile_words import Words
from kafka_peers import ports_in_a_row
from mongodb_words import command, document
from mysql_words import native_login
from mysql_words import query as mysql_query
from postgres_words import query, startup
from proxied import Proxy, cluster, listener
from running import free_port

from metaproxy.codecs.mongodb import bson
from metaproxy.codecs.scram import ScramClient

TIMEOUT = "250ms"
IDLE = {"stream_idle": TIMEOUT}
MOST_MEMORY = 48 * MEBI
PASSWORD = "only-servers-may-prove-it"


class Server:
    """Says `words` to each connection: see hostile_words.Words."""

    def __init__(self) -> None:
        self.words: Words = ()
        self.heard = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._taken: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._taken.append(connection)
                threading.Thread(target=self._talk, args=(connection, self.words), daemon=True).start()

    def _talk(self, connection: socket.socket, said: Words) -> None:
        with contextlib.suppress(OSError):
            place, asked = 0, b""
            while True:
                step = said[min(place, len(said) - 1)]
                if callable(step):
                    connection.sendall(step(asked))
                elif place < len(said):
                    connection.sendall(step)
                place += 1
                asked = connection.recv(1 << 16)
                if not asked:
                    return
                self.heard = (self.heard + asked)[-MEBI:]

    def stop(self) -> None:
        for connection in (self._socket, *self._taken):
            connection.close()


# -- who asks


def mysql_packet(client: socket.socket) -> bytes:
    return exactly(client, int.from_bytes(exactly(client, 4)[:3], "little"))


def ask_postgres(client: socket.socket) -> bytes:
    client.sendall(startup(user="app", database="d") + query("select 1"))
    return b""


def ask_mysql(client: socket.socket) -> bytes:
    """Where logins pass there is nothing to say before a greeting."""
    return b""


def ask_mysql_user(client: socket.socket) -> bytes:
    client.sendall(native_login(mysql_packet(client), "app", "secret", ""))
    answer = mysql_packet(client)
    if answer[:1] == b"\0":
        client.sendall(mysql_query("select 1"))
    return answer


SASL: Mapping[str, bson.Value] = {"$db": "admin"}


def mongodb_answer(client: socket.socket) -> bytes:
    head = exactly(client, 4)
    return head + exactly(client, int.from_bytes(head, "little") - 4)


def ask_mongodb(client: socket.socket) -> bytes:
    client.sendall(command(7, {"hello": 1, "$db": "admin"}))
    return b""


def ask_mongodb_user(client: socket.socket) -> bytes:
    scram = ScramClient("SCRAM-SHA-256", "app", "secret")
    client.sendall(command(1, {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": scram.first(), **SASL}))
    challenge = document(mongodb_answer(client))["payload"]
    assert isinstance(challenge, bytes)
    client.sendall(command(2, {"saslContinue": 1, "conversationId": 1, "payload": scram.final(challenge[5:]), **SASL}))
    mongodb_answer(client)
    client.sendall(command(7, {"find": "a", "$db": "d"}))
    return b""


def kafka_answer(client: socket.socket) -> bytes:
    head = exactly(client, 4)
    return head + exactly(client, int.from_bytes(head, "big"))


ENDS = b"asked"
"""What is heard at least: the end of the connection is a broker's answer, too."""


def ask_kafka(client: socket.socket) -> bytes:
    client.sendall(kafka.metadata(0x77777777))
    return ENDS


def ask_kafka_user(client: socket.socket) -> bytes:
    client.sendall(kafka.request(kafka.SASL_HANDSHAKE, 1, 1, kafka.text("PLAIN")))
    kafka_answer(client)
    client.sendall(kafka.request(36, 1, 2, kafka.int32(11) + b"\0app\0secret"))
    kafka_answer(client)
    return ask_kafka(client)


def amqp_frame(client: socket.socket) -> bytes:
    head = exactly(client, 7)
    return head + exactly(client, int.from_bytes(head[3:], "big") + 1)


def ask_amqp(client: socket.socket) -> bytes:
    client.sendall(amqp.HEADER)
    return ENDS


def ask_amqp_channel(client: socket.socket) -> bytes:
    for step in (amqp.HEADER, amqp.start_ok(), amqp.tune_ok(heartbeat=0) + amqp.open_vhost()):
        client.sendall(step)
        amqp_frame(client)
    client.sendall(amqp.method("channel.open", 1, b"\0"))
    return ENDS


def ask_amqp_user(client: socket.socket) -> bytes:
    for step in (amqp.HEADER, amqp.start_ok()):
        client.sendall(step)
        amqp_frame(client)
    client.sendall(amqp.tune_ok(heartbeat=0) + amqp.open_vhost())
    return ENDS


@dataclass(frozen=True)
class Way:
    """
    protocol: of the listener. ask: what a client says, as far as it is let. rows: what servers say. over: what a client
    hears when it has its answer, one of these. options: of the cluster. good: what a server says that is one. doors:
    whether the listener has ports for nodes.
    """

    protocol: object
    ask: Callable[[socket.socket], bytes]
    rows: Mapping[str, Words]
    over: bytes | tuple[bytes, ...] = b"any"
    options: Mapping[str, object] = field(default_factory=dict)
    good: Words = ()
    doors: bool = False


USER = {"app": {"secret": "app"}}
SESSION = {"connections": {"mode": "session"}}
LOGIN: Mapping[str, Any] = {"credentials": {"user": "app", "password": PASSWORD}}
POSTGRES = {"name": "postgres", "users": USER, "auth": "trust"}
MYSQL = {"name": "mysql", "users": USER, "method": "mysql_native_password"}
MONGODB = {"name": "mongodb", "users": USER}
KAFKA = {"name": "kafka", "users": USER}
AMQP = {"name": "amqp", "users": USER}
AMQP_CLOSES = (b"\0\x0a\0\x32", b"\0\x14\0\x28")
"""That of a connection, and of a channel."""
PLAIN_LOGIN: Mapping[str, Any] = {"credentials": {"user": "app", "password": "brokers-are-told-it"}}
WAYS: Mapping[str, Way] = {
    "postgres": Way("postgres", ask_postgres, words.POSTGRES),
    "postgres users": Way(POSTGRES, ask_postgres, words.POSTGRES_LOGIN, b"\0C", LOGIN),
    "postgres users answers": Way(POSTGRES, ask_postgres, words.POSTGRES_ANSWERS, b"\0C", LOGIN, words.POSTGRES_GOOD),
    "postgres session": Way(
        POSTGRES, ask_postgres, words.POSTGRES_ANSWERS, b"\0C", {**LOGIN, **SESSION}, words.POSTGRES_GOOD
    ),
    "mysql": Way("mysql", ask_mysql, words.MYSQL),
    "mysql users": Way(MYSQL, ask_mysql_user, words.MYSQL_LOGIN, b"\xff", LOGIN),
    "mysql users answers": Way(MYSQL, ask_mysql_user, words.MYSQL_ANSWERS, b"#", LOGIN, words.MYSQL_GOOD),
    "mysql session": Way(MYSQL, ask_mysql_user, words.MYSQL_ANSWERS, b"#", {**LOGIN, **SESSION}, words.MYSQL_GOOD),
    "mongodb": Way("mongodb", ask_mongodb, words.MONGODB),
    "mongodb users": Way(MONGODB, ask_mongodb_user, words.MONGODB_LOGIN, b"errmsg", LOGIN),
    "mongodb users answers": Way(MONGODB, ask_mongodb_user, words.MONGODB_ANSWERS, b"ok", {}, words.MONGODB_GOOD),
    "kafka": Way("kafka", ask_kafka, words.KAFKA, b"\x77" * 4, {}, words.KAFKA_GOOD, doors=True),
    "kafka users": Way(KAFKA, ask_kafka_user, words.KAFKA_LOGIN, b"\x77" * 4, LOGIN),
    "amqp": Way("amqp", ask_amqp, words.AMQP, b"AMQP"),
    "amqp answers": Way("amqp", ask_amqp_channel, words.AMQP_ANSWERS, AMQP_CLOSES, good=words.AMQP_GOOD),
    "amqp users": Way(AMQP, ask_amqp_user, words.AMQP_LOGIN, options=PLAIN_LOGIN),
    "mongodb session": Way(MONGODB, ask_mongodb_user, words.MONGODB_ANSWERS, b"ok", SESSION, words.MONGODB_GOOD),
}
Mesh = tuple[Proxy, Server, Mapping[str, int]]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy]) -> Iterator[Mesh]:
    server = Server()
    ports = {name: ports_in_a_row(5) if way.doors else free_port() for name, way in WAYS.items()}
    names = {name: name.replace(" ", "-") for name in WAYS}
    proxy = shared_proxy(
        {
            "secrets": {"app": {"value": "secret"}},
            "listeners": [
                listener(
                    names[name],
                    ports[name],
                    way.protocol,
                    [{"cluster": names[name], "timeout": TIMEOUT}],
                    **IDLE,
                    **({"nodes": {"ports": f"{ports[name] + 1}-{ports[name] + 4}"}} if way.doors else {}),
                )
                for name, way in WAYS.items()
            ],
            "clusters": [cluster(names[name], server.port, **way.options) for name, way in WAYS.items()],
        }
    )
    yield proxy, server, ports
    server.stop()


def heard(port: int, way: Way, over: bytes = b"") -> bytes:
    """What a client hears until it has its answer, or its connection ends. Raises TimeoutError."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), 5) as client, contextlib.suppress(ConnectionError):
        client.settimeout(SOON)
        said = way.ask(client)
        ends = over or way.over
        while not any(word in said for word in (ends if isinstance(ends, tuple) else (ends,))) and (
            more := client.recv(1 << 16)
        ):
            said = (said + more)[-MEBI:]
    return said


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, way in WAYS.items() for row in way.rows])
def test_a_client_hears_soon_of_a_server_that_is_none(mesh: Mesh, name: str, row: str) -> None:
    proxy, server, ports = mesh
    server.words, server.heard = WAYS[name].rows[row], b""
    proxy.forget_peak()
    before, began = proxy.memory(), time.monotonic()
    answer = heard(ports[name], WAYS[name])
    assert time.monotonic() - began < SOON
    assert answer
    assert proxy.ask("/ready")[0] == 200
    assert proxy.peak() - before < MOST_MEMORY
    assert PASSWORD.encode() not in server.heard


@pytest.mark.parametrize("name", [name for name, way in WAYS.items() if way.good])
def test_behind_such_servers_one_that_is_good_is_asked_as_before(mesh: Mesh, name: str) -> None:
    _, server, ports = mesh
    way, good = WAYS[name], GOOD[name.split()[0]]
    for server.words in list(way.rows.values())[:3]:
        heard(ports[name], way)
    server.words = way.good
    assert good in heard(ports[name], way, good)


GOOD = {
    "postgres": b"C\0\0\0\x0dSELECT 1\0Z", "mysql": b"\7\0\0\1\0\0\0\2", "mongodb": b"ok\0",
    "kafka": b"127.0.0.1", "amqp": b"\0\x14\0\x0b",
}  # fmt: skip
"""What a client hears of a server that answers."""
