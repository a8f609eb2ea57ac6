"""
What clients and servers of databases say in `bench.replay`: logins, queries, answers.

Lives here: `DATABASES`. Does not: how it is replayed (`replay`), real servers (`databases`).
"""

from __future__ import annotations

from collections.abc import Callable

from bench.replayed import Script, say
from metaproxy.codecs.mongodb import bson, wire
from metaproxy.codecs.mysql.handshake import Capability, Greeting, Login
from metaproxy.codecs.mysql.packets import ok_packet, packet, payload_of, write_bytes
from metaproxy.codecs.mysql.passwords import NATIVE, proof

_TEXT = "x" * 64


# -- PostgreSQL


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


_READY = _message(b"Z", b"I")
_STARTUP = (3 << 16).to_bytes(4, "big") + b"user\0app\0database\0postgres\0\0"
_STARTUP = (len(_STARTUP) + 4).to_bytes(4, "big") + _STARTUP
_WELCOME = _message(b"R", bytes(4)) + _message(b"S", b"server_version\x0015.1\0")
_WELCOME += _message(b"K", b"12345678") + _READY
_COLUMN = _message(b"T", b"\0\1abalance\0" + bytes(18))
_ROW = _message(b"D", b"\0\1\0\0\0\4-123") + _message(b"C", b"SELECT 1\0")
_SQL = b"SELECT abalance FROM pgbench_accounts WHERE aid = %b;\0"
_RUN = b"\0\0\0\1\0\0\0\6%06d\0\0"
_PARSE = _message(b"P", b"P_0\0" + _SQL % b"$1" + b"\0\0")
_PARTS = {
    b"Q": _COLUMN + _ROW + _READY, b"P": _message(b"1"), b"B": _message(b"2"), b"D": _COLUMN, b"E": _ROW, b"S": _READY,
}  # fmt: skip


def _simple(id: int) -> bytes:
    return _message(b"Q", _SQL % b"%d" % (id % 100_000))


def _prepared(id: int, name: bytes = b"P_0") -> bytes:
    bind = _message(b"B", b"\0" + name + b"\0" + _RUN % (id % 100_000))
    return bind + _message(b"D", b"P\0") + _message(b"E", bytes(5)) + _message(b"S")


def _extended(id: int) -> bytes:
    return _message(b"P", b"\0" + _SQL % b"$1" + b"\0\0") + _prepared(id, b"")


def _postgres_answers(data: bytes) -> bytes:
    out, at = [], 0
    while at < len(data):
        if not data[at]:
            out.append(_WELCOME)
            at += int.from_bytes(data[at : at + 4], "big")
        else:
            out.append(_PARTS[data[at : at + 1]])
            at += 1 + int.from_bytes(data[at + 1 : at + 5], "big")
    return b"".join(out)


def _postgres(request: Callable[[int], bytes], *login: bytes, pooled: bool = True) -> Script:
    codec = "{name: postgres, users: {app: secret}, auth: trust}" if pooled else "postgres"
    cluster = "credentials: {user: app, password: secret}\n    connections: {per_endpoint: 64}" if pooled else ""
    return Script(codec, cluster, say(_STARTUP, *login), request, _postgres_answers)


# -- MySQL

C = Capability
_FLAGS = C.MYSQL | C.PROTOCOL_41 | C.SECURE_CONNECTION | C.PLUGIN_AUTH | C.CONNECT_WITH_DB | C.TRANSACTIONS
_GREETING = packet(Greeting(b"10.11.6-MariaDB", 7, b"a" * 20, int(_FLAGS), 45, 2, NATIVE).write(), 0)
_ROWS = b"".join((
    packet(b"\1", 1), packet(b"\3def\1d\6sbtest\6sbtest\1c\1c\x0c" + bytes(12), 2), packet(b"\xfe\0\0\2\0", 3),
    packet(write_bytes(_TEXT.encode()), 4), packet(b"\xfe\0\0\2\0", 5),
))  # fmt: skip


def _mysql_login(greeting: bytes) -> bytes:
    challenge = Greeting.read(payload_of(greeting)).challenge if greeting else b"a" * 20
    answer = proof(NATIVE, b"secret", challenge)
    return packet(Login(int(_FLAGS), 1 << 24, 45, b"app", answer, b"d", NATIVE, b"").write(), 1)


def _mysql_query(id: int) -> bytes:
    return packet(b"\3SELECT c FROM sbtest1 WHERE id=%d" % (id % 10_000), 0)


def _mysql_answers(data: bytes) -> bytes:
    out, at = [], 0
    while at < len(data):
        query = data[at + 4 : at + 11] == b"\3SELECT"
        out.append(_ROWS if query else ok_packet(data[at + 3] + 1))
        at += 4 + int.from_bytes(data[at : at + 3], "little")
    return b"".join(out)


# -- MongoDB

_FOUND: bson.Value = {"id": 0, "ns": "bench.things", "firstBatch": [{"_id": 7, "text": _TEXT}]}
_ANSWER = bson.document({"cursor": _FOUND, "ok": 1.0})


def _find(id: int) -> bytes:
    asked: dict[str, bson.Value] = {"find": "things", "filter": {"_id": id % 10_000}, "limit": 1, "$db": "bench"}
    return wire.message(id, 0, bson.document({**asked, "lsid": {"id": b"s" * 16}}))


def _mongodb_answers(data: bytes) -> bytes:
    out, at = [], 0
    while at < len(data):
        out.append(wire.message(1, int.from_bytes(data[at + 4 : at + 8], "little"), _ANSWER))
        at += int.from_bytes(data[at : at + 4], "little")
    return b"".join(out)


_MYSQL_POOL = (
    "{name: mysql, users: {app: secret}}",
    "credentials: {user: app, password: secret}\n    connections: {per_endpoint: 64}",
)
DATABASES: dict[str, Script] = {
    "postgres": _postgres(_simple, pooled=False),
    "postgres-simple": _postgres(_simple),
    "postgres-extended": _postgres(_extended),
    "postgres-prepared": _postgres(_prepared, _PARSE + _message(b"S")),
    "mysql": Script("mysql", "", (_mysql_login,), _mysql_query, _mysql_answers, _GREETING),
    "mysql-pool": Script(*_MYSQL_POOL, (_mysql_login,), _mysql_query, _mysql_answers, _GREETING),
    "mongodb": Script("mongodb", "", (), _find, _mongodb_answers),
    "mongodb-pool": Script("{name: mongodb, mode: shared}", "", (), _find, _mongodb_answers),
}
"""Where logins pass, and where connections are lent for a transaction or a command."""
