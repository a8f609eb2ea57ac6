"""
Clients of message brokers that mean harm, with real brokers behind the proxy: where logins pass, and where they end.

Each attack is a row of a table: what is said, and what has to become of it. Meanwhile a neighbour asks the same broker
through the same proxy, whose memory is watched. Lives here: the tables, and who says it. Does not: what sessions make
of single bytes (tests/unit/codecs), the work that bytes are (tests/property), databases (test_hostile_databases.py).
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import amqp_words as amqp
import hostile_peers
import kafka_words as kafka
import pytest
from hostile_peers import MEBI, SOON, WAYS, Attacker, rows
from kafka_peers import Brokers
from proxied import Proxy, cluster, listener
from rabbitmq_peers import RabbitMQ
from running import free_port

from metaproxy.codecs.amqp import wire

pytestmark = pytest.mark.peer("kafka", "rabbitmq")
MANY = 50_000
LOGIN_TIMEOUT = "1s"
NAMES = ("kafka", "amqp")


class Client(Attacker):
    """One connection that says what it wants, to brokers."""

    # -- Kafka

    def answer(self) -> bytes:
        return self.exactly(int.from_bytes(self.exactly(4), "big"))

    def enter_kafka(self, way: str) -> None:
        if way == "users":
            self.say(kafka.request(kafka.SASL_HANDSHAKE, 1, 1, kafka.text("PLAIN")))
            assert self.answer()[4:6] == b"\0\0"
            self.say(kafka.request(36, 1, 2, kafka.int32(11) + b"\0app\0secret"))
            assert self.answer()[4:6] == b"\0\0"

    def ask_kafka(self) -> None:
        self.say(kafka.metadata(4711))
        assert self.answer()[:4] == kafka.int32(4711)

    # -- AMQP

    def frame(self) -> bytes:
        head = self.exactly(7)
        return head + self.exactly(int.from_bytes(head[3:], "big") + 1)

    def enter_amqp(self, way: str) -> None:
        for step in (amqp.HEADER, amqp.start_ok(), amqp.tune_ok(heartbeat=0) + amqp.open_vhost()):
            self.say(step)
            self.frame()
        self.say(amqp.method("channel.open", 1, b"\0"))
        assert wire.number_of(self.frame()) == 20 << 16 | 11

    def ask_amqp(self) -> None:
        """For a message of a queue that is empty."""
        self.say(amqp.queue_declare("neighbours"))
        assert wire.number_of(self.frame()) == 50 << 16 | 11
        self.say(amqp.get("neighbours"))
        assert wire.number_of(self.frame()) == 60 << 16 | 72


ENTER: Mapping[str, Callable[[Client, str], None]] = {"kafka": Client.enter_kafka, "amqp": Client.enter_amqp}
ASK: Mapping[str, Callable[[Client], None]] = {"kafka": Client.ask_kafka, "amqp": Client.ask_amqp}


@dataclass(frozen=True)
class Mesh:
    proxy: Proxy
    ports: Mapping[tuple[str, str], int]


@pytest.fixture(scope="module")
def mesh(kafka_brokers: Brokers, rabbitmq: RabbitMQ, shared_proxy: Callable[..., Proxy]) -> Mesh:
    ports = {(name, way): free_port() for name in NAMES for way in WAYS}
    brokers = {
        ("kafka", "passing"): kafka_brokers.ports["PLAINTEXT"][0],
        ("kafka", "users"): kafka_brokers.ports["SASL_PLAINTEXT"][0],
        ("amqp", "passing"): rabbitmq.port,
        ("amqp", "users"): rabbitmq.port,
    }
    users: dict[str, Any] = {"users": {"app": {"secret": "app"}}}
    credentials = {
        "kafka": {"user": "app", "password": "pencil"},
        "amqp": {"user": "app", "password": "secret"},
    }
    timed = {"login_timeout": LOGIN_TIMEOUT}
    config = {
        "secrets": {"app": {"value": "secret"}},
        "listeners": [
            listener(
                f"{name}-{way}", port, {"name": name, **timed, **(users if way == "users" else {})},
                [{"cluster": f"{name}-{way}"}],
            )
            for (name, way), port in ports.items()
        ],
        "clusters": [
            cluster(
                f"{name}-{way}", brokers[name, way], **({"credentials": credentials[name]} if way == "users" else {})
            )
            for name, way in ports
        ],
    }  # fmt: skip
    return Mesh(shared_proxy(config), ports)


# -- the tables


def flexible(key: int, version: int, body: bytes) -> bytes:
    return kafka.request(key, version, 7, body, tags=b"\0")


ENDLESS = b"\xff\xff\xff\xff\x0f"
NO_KAFKA: Mapping[str, bytes] = {
    "a negative size": b"\xff\xff\xff\xff" + b"\0" * 60,
    "a message of 5 bytes": kafka.int32(5) + b"\0" * 60,
    "a request of 2 GiB": b"\x7f\xff\xff\xff" + kafka.short(3) + kafka.short(12) + b"\0" * 60,
    "an API that is none": kafka.request(4711, 0, 1, b"") * 2,
    "a version that is none": kafka.request(3, 99, 1, b"") * 2,
    "HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a client's id that is longer than its request": kafka.int32(10) + struct.pack(">hhih", 3, 12, 1, 32767),
    "a varint without end": flexible(18, 3, b"\xff" * 20),
}
NO_AMQP: Mapping[str, bytes] = {
    "AMQP 1.0": b"AMQP\0\1\0\0" * 2,
    "HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a frame before the header": amqp.method("channel.open", 1, b"\0"),
    "a frame of 4 GiB": amqp.HEADER + b"\1\0\0\xff\xff\xff\xff" + b"x" * 1000,
    "a publish before the login": amqp.HEADER + amqp.published(),
    "a login whose table is longer than its frame": amqp.HEADER
    + amqp.method("connection.start-ok", 0, b"\x7f\xff\xff\xff" + b"x" * 100),
    "two headers": amqp.HEADER * 2,
    "a vhost before the login": amqp.HEADER + amqp.open_vhost(),
}
LOGIN_ENDS: Mapping[str, Mapping[str, bytes]] = {
    "kafka": {
        "nothing": b"",
        "a part of a request": kafka.metadata(1)[:9],
        "a request before the login": kafka.metadata(1),
        "questions for versions, and no login": kafka.api_versions(1) * 100,
        "a token of 16 MiB": kafka.request(kafka.SASL_HANDSHAKE, 1, 1, kafka.text("PLAIN"))
        + kafka.int32(16 * MEBI)
        + kafka.short(36)
        + b"\0" * MEBI,
        "a token of 32 KiB": kafka.request(kafka.SASL_HANDSHAKE, 1, 1, kafka.text("SCRAM-SHA-256"))
        + kafka.request(36, 1, 2, kafka.int32(32768) + b"n" * 32768),
        "two handshakes": kafka.request(kafka.SASL_HANDSHAKE, 1, 1, kafka.text("PLAIN")) * 2,
        "a token without a handshake": kafka.request(36, 1, 2, kafka.int32(11) + b"\0app\0secret"),
        "a wrong password": kafka.request(kafka.SASL_HANDSHAKE, 1, 1, kafka.text("PLAIN"))
        + kafka.request(36, 1, 2, kafka.int32(10) + b"\0app\0wrong"),
        **NO_KAFKA,
    },
    "amqp": {
        "nothing": b"",
        "a part of a header": amqp.HEADER[:5],
        "a header and no login": amqp.HEADER,
        "a part of a login": amqp.HEADER + amqp.start_ok()[:20],
        "a mechanism that is none": amqp.HEADER + amqp.start_ok(mechanism="MAGIC"),
        "a login without a password": amqp.HEADER + amqp.start_ok(b""),
        "heartbeats and no login": amqp.HEADER + amqp.BEAT * 1000,
        **NO_AMQP,
    },
}
"""What ends a connection without a login. Kafka's: where logins end at the proxy."""
PUBLISH = amqp.method("basic.publish", 1, b"\0\0" + amqp.short("") + amqp.short("nowhere") + b"\0")
ENDS: Mapping[str, Mapping[str, bytes]] = {
    "kafka": NO_KAFKA,
    "amqp": {
        "a frame over what was agreed on": wire.body_frames(1, bytes(200_000), 1 << 20),
        "a frame that does not end": amqp.published()[:-1] + b"\0",
        "a channel over what was agreed on": amqp.method("channel.open", 2048, b"\0"),
        "a body that is longer than its header says": PUBLISH
        + wire.content_frame(1, 60, 5, b"\0\0")
        + wire.body_frames(1, bytes(600), 1000),
        "a method within a content": PUBLISH + amqp.get(),
        "a body before anything": wire.body_frames(1, b"hello", 4096),
        "what only servers say": amqp.delivered(),
        "a method that is none": b"\1\0\1\0\0\0\4\x7f\xff\x7f\xff\xce",
        "a method of no number": b"\1\0\1\0\0\0\1x\xce",
        "a heartbeat on a channel": b"\x08\0\1\0\0\0\0\xce",
        "a login behind the login": amqp.start_ok(),
        "arguments that are cut off": amqp.method("queue.declare", 1, b"\0\0\xff"),
        "a header that ends before its flags": PUBLISH + b"\2\0\1\0\0\0\2\0\x3c\xce",
    },
}
"""What ends one of a client that is logged in."""


def _contents() -> bytes:
    """A content on each of 1,000 channels, none of which is whole."""
    channels = range(2, 1002)
    opened = b"".join(amqp.method("channel.open", channel, b"\0") for channel in channels)
    return opened + b"".join(
        wire.method_frame(channel, 60 << 16 | 40, PUBLISH[11:-1]) + wire.content_frame(channel, 60, 1 << 62, b"\0\0")
        for channel in channels
    )


def _nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = b"\1aF" + len(inner).to_bytes(4, "big") + inner
    return b"\x20\0" + amqp.long(inner)


FLOODS: Mapping[str, Mapping[str, bytes]] = {
    "kafka": {
        "questions for versions": kafka.api_versions(1) * MANY,
        "the same id again and again": kafka.metadata(7) * (MANY // 10),
        "negative ids": kafka.metadata(-7) * (MANY // 10),
        "a million topics": flexible(3, 9, kafka.varint(1_000_001) + b"\2a\0" * 1_000_000 + b"\0\0\0\0"),
        "2^32 topics": flexible(3, 9, ENDLESS + b"\2a\0" * 100) * 10,
        "names that are longer than their message": kafka.request(3, 4, 7, kafka.int32(1) + b"\x7f\xffa") * 10,
        "a request of 16 MiB that goes on": kafka.int32(15 * MEBI) + kafka.metadata(7)[4:12] + bytes(8 * MEBI),
        "a batch of 20 MiB that goes on": kafka.int32(20 * MEBI)
        + kafka.produce(7, {"nowhere": [bytes(60)]})[4:80].replace(kafka.compact(bytes(60))[:1], b"\x7f")
        + bytes(8 * MEBI),
        "batches that want no answer": kafka.produce(7, {"nowhere": [b"r"]}, acks=0) * (MANY // 10),
        "requests of old": kafka.request(0, 2, 7, b"whatever") * 100,
        "a library of 4 MiB": flexible(
            18, 3, kafka.varint(4 * MEBI + 1) + b"a" * 4 * MEBI + kafka.varint(2) + b"b" + b"\0"
        )
        * 3,
        "logins without end": kafka.request(kafka.SASL_HANDSHAKE, 1, 1, kafka.text("PLAIN")) * 1000,
    },
    "amqp": {
        "channels without end": b"".join(amqp.method("channel.open", 1 + n % 2047, b"\0") for n in range(2, MANY)),
        "channels opened and closed": (amqp.method("channel.open", 2, b"\0") + amqp.close("channel.close", 2, 200, ""))
        * (MANY // 10),
        "queues that are asked for": amqp.get("neighbours") * (MANY // 2),
        "queues without a name": amqp.queue_declare("", 2) * 1000,
        "consumers without end": amqp.queue_declare("", 2) + amqp.consume("") * 5000,
        "publishes to nowhere": amqp.published(exchange="", key="nowhere") * MANY,
        "publishes that come back": (PUBLISH[:-2] + b"\1\xce" + amqp.content(1, b"x" * 100)) * (MANY // 2),
        "a content on each of 1,000 channels": _contents(),
        "a body of 2^62 bytes": PUBLISH
        + wire.content_frame(1, 60, 1 << 62, b"\0\0")
        + wire.body_frames(1, bytes(8 * MEBI), 131072),
        "bodies of nothing": PUBLISH + wire.content_frame(1, 60, 5, b"\0\0") + b"\3\0\1\0\0\0\0\xce" * MANY,
        "bodies of one byte": PUBLISH + wire.content_frame(1, 60, 1 << 20, b"\0\0") + b"\3\0\1\0\0\0\1x\xce" * MANY,
        "heartbeats": amqp.BEAT * MANY,
        "acknowledgements of what was not delivered": amqp.method("basic.ack", 1, bytes(9)) * MANY,
        "tables in tables": amqp.published(exchange="", key="nowhere", properties=_nested(5000)),
        "properties that are longer than their frame": amqp.published(properties=b"\x20\0\x7f\xff\xff\xff"),
        "transactions without end": amqp.method("tx.select", 1) + amqp.published(exchange="", key="nowhere") * MANY,
    },
}
"""What a client may say, and what may cost no other client anything, whether it reads the answers or not."""


@contextlib.contextmanager
def unharmed(mesh: Mesh, name: str, way: str) -> Iterator[Callable[[], None]]:
    """See hostile_peers.unharmed."""
    with Client(mesh.ports[name, way]) as neighbour:
        ENTER[name](neighbour, way)
        with hostile_peers.unharmed(mesh.proxy, lambda: ASK[name](neighbour)) as answered:
            yield answered


LOGINS = [
    (name, way, row)
    for name, way in (("kafka", "users"), ("amqp", "passing"), ("amqp", "users"))
    for row in LOGIN_ENDS[name]
]
"""Where Kafka's logins pass, its brokers want none here."""


@pytest.mark.parametrize(("name", "way", "row"), LOGINS)
def test_who_does_not_log_in_is_let_go_soon(mesh: Mesh, name: str, way: str, row: str) -> None:
    with unharmed(mesh, name, way), Client(mesh.ports[name, way]) as attacker:
        attacker.say(LOGIN_ENDS[name][row])
        assert attacker.ends(SOON)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "row"), rows(NAMES, ENDS))
def test_what_is_no_message_ends_the_connection(mesh: Mesh, name: str, row: str, way: str) -> None:
    with unharmed(mesh, name, way), Client(mesh.ports[name, way]) as attacker:
        ENTER[name](attacker, way)
        attacker.say(ENDS[name][row])
        assert attacker.ends(SOON)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "row"), rows(NAMES, FLOODS))
def test_a_flood_costs_nobody_else_anything(mesh: Mesh, name: str, row: str, way: str) -> None:
    with unharmed(mesh, name, way) as answered, Client(mesh.ports[name, way]) as attacker:
        ENTER[name](attacker, way)
        attacker.say(FLOODS[name][row])
        answered()
        attacker.ends(0.2)
        answered()


@pytest.mark.parametrize("name", NAMES)
def test_logins_that_never_end_keep_nobody_out(mesh: Mesh, name: str) -> None:
    with unharmed(mesh, name, "users") as answered, contextlib.ExitStack() as attackers:
        slow = [attackers.enter_context(Client(mesh.ports[name, "users"])) for _ in range(100)]
        for byte in amqp.HEADER[:4] if name == "amqp" else kafka.metadata(1)[:4]:
            for attacker in slow:
                attacker.say(bytes((byte,)))
            answered()
