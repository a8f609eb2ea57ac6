"""
What clients and servers of databases send costs work in proportion to its bytes: twice as much, about twice the work.

Lives here: sessions behind their login, and what is said to them: many messages in one read, one in each, byte by byte,
and large ones whose metadata are asked for. Does not: how work is counted (linear), the texts of SQL
(tests/unit/codecs/test_sql_outline.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import linear
import mysql_words
import pytest
from mongodb_words import answer, command, op_msg, section, sequence
from postgres_words import (
    BOUND,
    DONE,
    EXECUTE,
    LOGGED_IN,
    PARSED,
    ROW,
    SYNC,
    bind,
    error,
    parse,
    query,
    ready,
    said,
    startup,
)

from metaproxy.codecs.mongodb import MongoDB
from metaproxy.codecs.postgres import Postgres
from metaproxy.codecs.postgres.pooled_client import Profile
from metaproxy.message import Kind, Message, Side

MEBI = 1 << 20
USERS: dict[str, Any] = {"users": {"ann": "pencil"}}
TRUSTED = {**USERS, "auth": "trust"}


# -- sessions behind their login


def postgres_client(**options: Any) -> Any:
    session = Postgres(**options).session(Side.CLIENT, 4 * MEBI)
    for message in session.receive(startup(user="ann", database="shop")):
        session.send(Message(Kind.RESPONSE, LOGGED_IN + ready()), message.id)
    session.owed()
    return session


def postgres_server(asked: int = 2000, **options: Any) -> Any:
    session = Postgres(**options).session(Side.SERVER, 4 * MEBI)
    session.facts = {}
    session.open(Profile("ann", "shop", "", ()) if options else None, {"user": "app"})
    if options:
        session.receive(LOGGED_IN + ready())
    client = postgres_client()
    if not options:
        session.send(postgres_login(), 0)
        session.receive(LOGGED_IN + ready())
    for message in client.receive(query("select 1") * asked):
        session.send(message, 0)
    return session


def postgres_login() -> Message:
    (message,) = Postgres().session(Side.CLIENT, MEBI).receive(startup(user="ann", database="shop"))
    return message


def mysql_client() -> Any:
    return mysql_words.Pair().client


def mysql_server(asked: int = 2000) -> Any:
    pair = mysql_words.Pair()
    for _ in range(asked):
        pair.says(mysql_words.query("select 1"))
    return pair.server


def mongodb_client(**options: Any) -> Any:
    return MongoDB(**options).session(Side.CLIENT, 4 * MEBI)


def mongodb_server() -> Any:
    session = MongoDB(mode="shared").session(Side.SERVER, 4 * MEBI)
    session.open(None, {})
    return session


SAID: dict[str, tuple[linear.Make, bytes]] = {
    "postgres queries": (postgres_client, query("select 1")),
    "postgres queries, users": (partial(postgres_client, **TRUSTED), query("select 1")),
    "postgres batches": (postgres_client, parse("select $1", "s") + bind("s", b"x") + EXECUTE + SYNC),
    "postgres batches, users": (
        partial(postgres_client, **TRUSTED),
        parse("select $1", "s") + bind("s", b"x") + EXECUTE + SYNC,
    ),
    "postgres open batches": (postgres_client, parse("select 1") + bind() + EXECUTE),
    "postgres batches without an end, users": (
        partial(postgres_client, **TRUSTED),
        parse("select 1") + bind() + EXECUTE,
    ),
    "postgres flushes": (postgres_client, said("H")),
    "postgres settings, users": (partial(postgres_client, **TRUSTED), query("set a.b to 'c'")),
    "postgres answers": (postgres_server, ROW + DONE + ready()),
    "postgres answers, users": (partial(postgres_server, **TRUSTED), PARSED + BOUND + ROW + DONE + ready()),
    "postgres rows": (postgres_server, ROW),
    "postgres errors": (postgres_server, error() + ready()),
    "postgres notices": (postgres_server, said("N", b"SNOTICE\0\0")),
    "mysql queries": (mysql_client, mysql_words.query("select 1")),
    "mysql statements that are prepared": (mysql_client, mysql_words.command(0x16, "select ?")),
    "mysql statements that are closed": (mysql_client, mysql_words.command(0x19, b"\1\0\0\0")),
    "mysql changes of the database": (mysql_client, mysql_words.command(2, "other")),
    "mysql answers": (mysql_server, mysql_words.rows([["a", "b"], ["c", "d"]])),
    "mysql errors": (mysql_server, mysql_words.error()),
    "mongodb commands": (mongodb_client, command(7, {"find": "orders"})),
    "mongodb commands, shared": (partial(mongodb_client, mode="shared"), command(7, {"getMore": 1, "collection": "a"})),
    "mongodb commands before a login": (partial(mongodb_client, **USERS), command(7, {"find": "orders"})),
    "mongodb hellos": (partial(mongodb_client, **USERS), command(7, {"hello": 1, "$db": "admin"})),
    "mongodb logins": (
        partial(mongodb_client, **USERS),
        command(7, {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"n,,n=bob,r=abc", "$db": "admin"}),
    ),
    "mongodb answers": (mongodb_server, answer(7)),
}
"""Sessions, and what is said to them again and again."""


@pytest.mark.parametrize("way", linear.WAYS)
@pytest.mark.parametrize("name", SAID)
def test_messages_cost_what_they_are(name: str, way: str) -> None:
    make, frame = SAID[name]
    linear.WAYS[way](make, [frame] * linear.MANY)


def nested(depth: int) -> bytes:
    inner = b"\5\0\0\0\0"
    for _ in range(depth):
        inner = (len(inner) + 8).to_bytes(4, "little") + b"\3a\0" + inner + b"\0"
    return op_msg(7, section({"find": "a"})[:-1] + b"\3f\0" + inner + b"\0")


def startup_of(size: int) -> bytes:
    return startup(user="ann", **{f"a{one}": "b" for one in range(size)})


def fields_of(size: int) -> bytes:
    return op_msg(7, section({"find": "a", **{f"a{one}": one for one in range(size)}}))


def documents_of(size: int) -> bytes:
    return command(7, {"insert": "a"}, sequence("documents", *[{"a": 1}] * size))


def sequences_of(size: int) -> bytes:
    return command(7, {"insert": "a"}, *[sequence("documents", {"a": 1})] * size)


HUGE: dict[str, tuple[linear.Make, Callable[[int], bytes], int]] = {
    "postgres query": (postgres_client, lambda size: query("select '" + "x" * size + "'"), 1 << 19),
    "postgres query, users": (partial(postgres_client, **TRUSTED), lambda size: query("select " + "1," * size), 1000),
    "postgres several statements, users": (
        partial(postgres_client, **TRUSTED), lambda size: query("set a to 1;" * size), 500,
    ),
    "postgres parameters": (postgres_client, lambda size: parse("select 1") + bind("", b"x" * size) + SYNC, 1 << 19),
    "postgres names": (postgres_client, lambda size: parse("select 1", "n" * size) + SYNC, 1 << 18),
    "postgres login": (lambda: Postgres().session(Side.CLIENT, MEBI), startup_of, 300),
    "postgres row": (postgres_server, lambda size: said("D", bytes(size)) + DONE + ready(), 1 << 19),
    "postgres error": (postgres_server, lambda size: said("E", b"SERROR\0" + b"Ma\0" * size + b"\0") + ready(), 1000),
    "mysql query": (mysql_client, lambda size: mysql_words.query("select '" + "x" * size + "'"), 1 << 19),
    "mysql words": (mysql_client, lambda size: mysql_words.query("select " + "1," * size), 1000),
    "mysql rows": (mysql_server, lambda size: mysql_words.rows([["a"]] * size), 800),
    "mongodb fields": (mongodb_client, fields_of, 800),
    "mongodb documents": (mongodb_client, documents_of, 800),
    "mongodb documents in documents": (mongodb_client, nested, 4000),
    "mongodb sequences": (mongodb_client, sequences_of, 600),
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("cut", ["whole", "in pieces"])
def test_one_large_message_costs_what_it_is_and_so_do_its_metadata(name: str, cut: str) -> None:
    keys = ("operation", "statement", "collection", "fingerprint", "absent")
    linear.check_large(*HUGE[name], cut == "whole", keys)
