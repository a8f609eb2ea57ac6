"""
Clients of databases that mean harm, with real servers behind the proxy: where logins pass, and where they end there.

Each attack is a row of a table: what is said, and what has to become of it. Meanwhile a neighbour asks the same server
through the same proxy, whose memory is watched. Lives here: the tables, and who says it. Does not: what sessions make
of single bytes (tests/unit/codecs), the work that bytes are (tests/property).
"""

from __future__ import annotations

import contextlib
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import hostile_peers
import mongodb_peers
import mysql_words
import pytest
from catalogue import Start
from hostile_peers import MEBI, SOON, WAYS, Attacker, rows
from mongodb_words import command, op_msg, section
from mysql_peers import PYTHON as MYSQL_PYTHON
from mysql_peers import MariaDB
from postgres_peers import PYTHON as POSTGRES_PYTHON
from postgres_peers import PostgreSQL
from postgres_words import SYNC, asked_for, bind, parse, query, said, startup
from proxied import Proxy, cluster, listener
from running import free_port

from metaproxy.codecs.mongodb import bson
from metaproxy.codecs.mysql.packets import packet
from metaproxy.codecs.mysql.passwords import NATIVE, proof
from metaproxy.codecs.scram import ScramClient

pytestmark = pytest.mark.peer("postgres", "postgres-python", "mariadb", "mysql-python", "mongod", "pymongo")
sys.path += [str(POSTGRES_PYTHON), str(MYSQL_PYTHON)]
MANY = 100_000
LOGIN_TIMEOUT = "2s"


@dataclass(frozen=True)
class Protocol:
    """
    ports: of listeners, by way. enter: logs an attacker in. neighbour: one that stays, and asks: it fails the test if
    its answer is wrong.
    """

    ports: Mapping[str, int]
    enter: Callable[[Attacker, str], None]
    neighbour: Callable[[int], contextlib.AbstractContextManager[Callable[[], None]]]


Mesh = tuple[Proxy, Mapping[str, Protocol]]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("databases")
    postgres = PostgreSQL(free_port(), auth="trust")
    (folder / "mariadb").mkdir()
    mariadb = MariaDB(free_port(), folder / "mariadb")
    servers = {"postgres": postgres.port, "mysql": mariadb.port, "mongodb": mongodb_peers.server(start, folder)}
    timed = {name: {"login_timeout": LOGIN_TIMEOUT} for name in ("postgres", "mysql")}
    password = {"app": {"secret": "app"}}
    options: dict[str, dict[str, Any]] = {
        "postgres": {"users": password, "auth": "trust"},
        "mysql": {"users": password},
        "mongodb": {"users": password},
    }
    credentials: dict[str, dict[str, Any]] = {
        "postgres": {"credentials": {"user": "app"}},
        "mysql": {"credentials": {"user": "app", "password": "secret"}},
        "mongodb": {},
    }
    ports = {name: {way: free_port() for way in WAYS} for name in servers}
    config = {
        "secrets": {"app": {"value": "secret"}},
        "listeners": [
            listener(
                f"{name}-{way}",
                ports[name][way],
                {"name": name, **timed.get(name, {}), **(options[name] if way == "users" else {})},
                [{"cluster": f"{name}-{way}"}],
            )
            for name in servers
            for way in WAYS
        ],
        "clusters": [
            cluster(f"{name}-{way}", port, **(credentials[name] if way == "users" else {}))
            for name, port in servers.items()
            for way in WAYS
        ],
    }
    yield (
        shared_proxy(config),
        {
            "postgres": Protocol(ports["postgres"], enter_postgres, neighbour_of_postgres),
            "mysql": Protocol(ports["mysql"], enter_mysql, neighbour_of_mysql),
            "mongodb": Protocol(ports["mongodb"], enter_mongodb, neighbour_of_mongodb),
        },
    )
    postgres.stop()
    mariadb.stop()


# -- logins, and neighbours


def enter_postgres(attacker: Attacker, way: str) -> None:
    attacker.socket.sendall(startup(user="app", database="postgres"))
    heard = b""
    while b"Z\0\0\0\5I" not in heard:
        more = attacker.socket.recv(65536)
        assert more, heard
        heard += more


def packet_of(attacker: Attacker) -> bytes:
    head = attacker.exactly(4)
    return attacker.exactly(int.from_bytes(head[:3], "little"))


def enter_mysql(attacker: Attacker, way: str) -> None:
    attacker.socket.sendall(mysql_words.native_login(packet_of(attacker), "app", "secret"))
    answer = packet_of(attacker)
    if answer[:1] == b"\xfe":
        _, _, challenge = answer.partition(b"\0")
        attacker.socket.sendall(packet(proof(NATIVE, b"secret", challenge[:20]), 3))
        answer = packet_of(attacker)
    assert answer[:1] == b"\0", answer


def asked(attacker: Attacker, fields: Mapping[str, bson.Value]) -> dict[str, Any]:
    from bson import decode

    attacker.socket.sendall(command(1, {**fields, "$db": "admin"}))
    size = int.from_bytes(attacker.exactly(4), "little")
    found: dict[str, Any] = decode(attacker.exactly(size - 4)[17:])
    assert found["ok"] == 1.0, found
    return found


def enter_mongodb(attacker: Attacker, way: str) -> None:
    if way == "users":
        scram = ScramClient("SCRAM-SHA-256", "app", "secret")
        begun: dict[str, bson.Value] = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": scram.first()}
        first = asked(attacker, {**begun, "options": {"skipEmptyExchange": True}})
        asked(attacker, {"saslContinue": 1, "conversationId": 1, "payload": scram.final(first["payload"])})


@contextlib.contextmanager
def neighbour_of_postgres(port: int) -> Iterator[Callable[[], None]]:
    import psycopg

    with psycopg.connect(host="127.0.0.1", port=port, user="app", dbname="postgres", autocommit=True) as connection:

        def ask() -> None:
            assert connection.execute("select 4711").fetchone() == (4711,)

        yield ask


@contextlib.contextmanager
def neighbour_of_mysql(port: int) -> Iterator[Callable[[], None]]:
    import pymysql

    account: dict[str, Any] = {"user": "app", "password": "secret", "database": "d", "ssl_disabled": True}
    with pymysql.connect(host="127.0.0.1", port=port, **account) as connection:

        def ask() -> None:
            with connection.cursor() as cursor:
                cursor.execute("select 4711")
                assert cursor.fetchall() == ((4711,),)

        yield ask


@contextlib.contextmanager
def neighbour_of_mongodb(port: int) -> Iterator[Callable[[], None]]:
    with mongodb_peers.client(port, directConnection=True, **_MONGODB_ACCOUNT.get(port, {})) as client:

        def ask() -> None:
            assert client.admin.command("ping")["ok"] == 1.0

        yield ask


_MONGODB_ACCOUNT: dict[int, dict[str, Any]] = {}


# -- the tables


def _nested(depth: int) -> bytes:
    inner = b"\5\0\0\0\0"
    for _ in range(depth):
        inner = struct.pack("<i", len(inner) + 8) + b"\3a\0" + inner + b"\0"
    return inner


def _head(size: int, code: int = 2013, id: int = 1) -> bytes:
    return struct.pack("<iiii", size, id, 0, code)


LOGIN_ENDS: Mapping[str, Mapping[str, bytes]] = {
    "postgres": {
        "nothing": b"",
        "a part of a first message": startup(user="app")[:9],
        "a first message without end": b"\x7f\xff\xff\xff\0\3\0\0",
        "a first message of a negative length": b"\xff\xff\xff\xff\0\3\0\0",
        "a first message of 7 bytes": b"\0\0\0\7\0\3\0",
        "a first message that is longer than allowed": struct.pack(">II", 20_000, 3 << 16) + b"a" * 20_000,
        "parameters without an end": struct.pack(">II", 9_008, 3 << 16) + b"a" * 9_000,
        "protocol 2": struct.pack(">II", 8, 2 << 16),
        "HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "requests for TLS without end": asked_for(80877103) * MANY,
        "a request for TLS and a login behind it, twice": (asked_for(80877103) + startup(user="app")[:5]) * 2,
        "a key that nobody has": struct.pack(">IIII", 16, 80877102, 4711, 4711),
        "a key without end": struct.pack(">II", 9_000, 80877102) + b"k" * 8_992,
    },
    "mysql": {
        "nothing": b"",
        "a part of a login": mysql_words.login()[:9],
        "a login byte for byte that never ends": b"\xff\xff\xff\1" + b"\0" * 40,
        "a login of 16 MiB": b"\xff\xff\xff\1" + b"\0" * (1 << 20),
        "a login of no bytes": b"\0\0\0\1",
        "a login with another number": mysql_words.login(sequence=9),
        "attributes that are longer than the login": packet(
            struct.pack("<IIB23x", int(mysql_words.BASE), 1 << 24, 45) + b"app\0\xfe\xff\xff\xff\xff\xff\xff\xff\xff", 1
        ),
        "a command before the login": mysql_words.query("select 1"),
        "HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    "mongodb": {
        "a message of no bytes": _head(0),
        "a message of 15 bytes": _head(15),
        "a message of a negative length": _head(-1),
        "a message without end": _head(0x7FFFFFFF),
        "an operation that is not known": _head(100, 4711) + b"\0" * 84,
        "an answer": _head(100, 1) + b"\0" * 84,
        "compressed bytes that nobody agreed on": _head(100, 2012) + b"\0" * 84,
        "HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "a section of another kind": op_msg(1, b"\7" + b"\0" * 40),
        "flags that must be known": op_msg(1, section({"ping": 1}), flags=1 << 9),
    },
}
"""What ends a connection without a login."""

ENDS: Mapping[str, Mapping[str, bytes]] = {
    "postgres": {
        "a message of another type": said("y", b"abc"),
        "a type of 0": b"\0\0\0\0\4",
        "a length of 3": b"Q\0\0\0\3",
        "a negative length": b"Q\xff\xff\xff\xff",
        "a length of 2 GiB": b"Q\x7f\xff\xff\xff",
        "a Sync with a body": said("S", b"x" * 100),
        "a password behind the login": said("p", b"secret\0"),
        "a first message behind the login": startup(user="app"),
    },
    "mysql": {
        "a packet of no bytes": b"\0\0\0\0",
        "a command that begins to count at 7": packet(b"\3select 1", 7),
        "a long command that may not be long": b"\xff\xff\xff\0\x0e" + b"a" * 70_000,
    },
    "mongodb": LOGIN_ENDS["mongodb"],
}
"""What ends one of a client that is logged in."""

REFUSED = {
    "a document that is longer than its message": op_msg(1, b"\0" + b"\xff\xff\xff\x7f" + b"\0" * 40),
    "a document of a negative length": op_msg(1, b"\0" + b"\xff\xff\xff\xff" + b"\0" * 40),
    "a sequence that is longer than its message": op_msg(1, section({"insert": "a"}), b"\1\xff\xff\xff\x7fdocs\0"),
}
"""Commands of MongoDB that are wrong within, as a whole message: an error answers them."""

FLOODS: Mapping[str, Mapping[str, bytes]] = {
    "postgres": {
        "queries of nothing": query("") * MANY,
        "Syncs": SYNC * MANY,
        "Flushes": said("H") * MANY,
        "statements that are prepared": b"".join(parse("select 1", f"s{number}") for number in range(MANY)) + SYNC,
        "Parse without a Sync": parse("select 1") * MANY,
        "Bind to what is not there": bind("nothing") * MANY + SYNC,
        "data of a COPY that nobody asked for": said("d", b"x" * 10) * MANY,
        "a query of 64 MiB that goes on": b"Q\x04\0\0\0" + b"-" * (8 * MEBI),
        "a long word in a comment": query("/*" + "a" * 900_000 + "*/ select 1"),
        "quotes that are not closed": query("select '" + "''" * 400_000),
        "brackets": query("select " + "(" * 900_000),
        "one transaction after the other": (query("begin") + query("rollback")) * (MANY // 4),
    },
    "mysql": {
        "pings": mysql_words.command(0x0E) * MANY,
        "queries of nothing": mysql_words.query("") * MANY,
        "statements that are prepared": mysql_words.command(0x16, "select 1") * MANY,
        "statements that are closed": mysql_words.command(0x19, b"\1\0\0\0") * MANY,
        "commands that are not known": mysql_words.command(0x77, b"x") * MANY,
        "resets": mysql_words.command(0x1F) * (MANY // 4),
        "a query of 16 MiB that goes on": b"\xff\xff\xff\0\3" + b"-" * (8 * MEBI),
        "a change of user that is cut off": mysql_words.command(0x11, b"app") * 3,
        "brackets": mysql_words.query("select " + "(" * 900_000),
        "comments": mysql_words.query("select 1 " + "/*a*/" * 180_000),
    },
    "mongodb": {
        "pings": b"".join(command(number + 1, {"ping": 1}) for number in range(MANY)),
        "the same id again and again": command(7, {"ping": 1}) * MANY,
        "hellos": command(1, {"hello": 1, "$db": "admin"}) * (MANY // 4),
        "documents in documents": op_msg(1, section({"ping": 1})[:-1] + b"\3a\0" + _nested(5000) + b"\0"),
        "logins": command(1, {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"n,,n=app,r=abc"}) * 1000,
        "a login that goes on with nothing": command(1, {"saslContinue": 1, "conversationId": 1, "payload": b""})
        * 1000,
        "commands without an answer": command(1, {"ping": 1}, flags=2) * MANY,
        "answers that go on without end": command(1, {"hello": 1, "maxAwaitTimeMS": 1}, flags=1 << 16) * 200,
        "a message of 40 MiB that goes on": _head(40 * MEBI)
        + struct.pack("<I", 0)
        + section({"insert": "a"})
        + b"\1"
        + struct.pack("<i", 39 * MEBI)
        + b"documents\0"
        + b"\0" * (8 * MEBI),
    },
}
"""What a client may say, and what may cost no other client anything, whether it reads the answers or not."""

NAMES = ("postgres", "mysql", "mongodb")


@contextlib.contextmanager
def unharmed(mesh: Mesh, name: str, way: str) -> Iterator[Callable[[], None]]:
    """See hostile_peers.unharmed."""
    proxy, protocols = mesh
    port = protocols[name].ports[way]
    if name == "mongodb" and way == "users":
        _MONGODB_ACCOUNT[port] = {"username": "app", "password": "secret"}
    with protocols[name].neighbour(port) as ask, hostile_peers.unharmed(proxy, ask) as answered:
        yield answered


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "row"), rows(NAMES, LOGIN_ENDS))
def test_who_does_not_log_in_is_let_go_soon(mesh: Mesh, name: str, row: str, way: str) -> None:
    with unharmed(mesh, name, way), Attacker(mesh[1][name].ports[way]) as attacker:
        attacker.say(LOGIN_ENDS[name][row])
        assert attacker.ends(SOON)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "row"), rows(NAMES, ENDS))
def test_what_is_no_message_ends_the_connection(mesh: Mesh, name: str, row: str, way: str) -> None:
    with unharmed(mesh, name, way), Attacker(mesh[1][name].ports[way]) as attacker:
        mesh[1][name].enter(attacker, way)
        attacker.say(ENDS[name][row])
        assert attacker.ends(SOON)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", REFUSED)
def test_what_is_wrong_within_is_refused_and_the_connection_goes_on(mesh: Mesh, row: str, way: str) -> None:
    from bson import decode

    with unharmed(mesh, "mongodb", way), Attacker(mesh[1]["mongodb"].ports[way]) as attacker:
        enter_mongodb(attacker, way)
        attacker.say(REFUSED[row])
        size = int.from_bytes(attacker.exactly(4), "little")
        answer = decode(attacker.exactly(size - 4)[17:])
        assert (answer["ok"], answer["code"] > 0) == (0, True)
        assert asked(attacker, {"ping": 1})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "row"), rows(NAMES, FLOODS))
def test_a_flood_costs_nobody_else_anything(mesh: Mesh, name: str, row: str, way: str) -> None:
    with unharmed(mesh, name, way) as answered, Attacker(mesh[1][name].ports[way]) as attacker:
        mesh[1][name].enter(attacker, way)
        attacker.say(FLOODS[name][row])
        answered()
        attacker.ends(0.2)
        answered()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_logins_that_never_end_keep_nobody_out(mesh: Mesh, name: str, way: str) -> None:
    with unharmed(mesh, name, way) as answered, contextlib.ExitStack() as attackers:
        port = mesh[1][name].ports[way]
        slow = [attackers.enter_context(Attacker(port)) for _ in range(100)]
        for byte in startup(user="app")[:4]:
            for attacker in slow:
                attacker.say(bytes((byte,)) if name == "postgres" else b"\x20" if name == "mysql" else b"\x40")
            answered()
        with mesh[1][name].neighbour(port) as another:
            another()
