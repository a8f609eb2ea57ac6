"""What the proxy, or a server, refuses of a MySQL session changes nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mysql_room import MySQLRoom
from mysql_words import command, error, ok, prepared, query, rows

from metaproxy.codecs.mysql.packets import AUTOCOMMIT, IN_TRANSACTION, payload_of, read_error
from metaproxy.message import ErrorKind, Reply

Condition = Callable[[Any], bool]


class Denied(MySQLRoom):
    """A client, and a filter that refuses its requests, and notes what others say of themselves."""

    def __init__(self, refused: Condition, most: int = 1) -> None:
        self.seen: list[tuple[str | None, str | None]] = []
        super().__init__(most=most, hooks={"on_request": (self._on_request,)})
        self._refused = refused
        self.ann = self.enter()
        self.seen.clear()

    def _on_request(self, exchange: Any) -> Reply | None:
        message = exchange.message
        if message.get("command") != "login" and self._refused(message):
            return Reply(ErrorKind.DENIED, "not allowed")
        self.seen.append((message.get("database"), message.get("bound")))
        return None

    def refuse(self, said: bytes) -> None:
        self.say(self.ann, said)
        assert read_error(payload_of(self.ann.take())).text == "not allowed"

    def passes(self, said: bytes, answer: bytes = ok()) -> bytes:
        """What the server is sent for a command."""
        return self.ask(self.ann, said, answer)[0]


def statement(*kinds: str) -> Condition:
    return lambda message: message.get("statement") in kinds


def of_command(name: str) -> Condition:
    return lambda message: message.get("command") == name


@pytest.mark.parametrize("said", [query("use other"), command(2, "other")])
def test_a_database_that_was_refused_is_not_used(said: bytes) -> None:
    room = Denied(lambda message: message.get("statement") == "use" or message.get("command") == "init_db")
    room.refuse(said)
    assert room.passes(query("select * from t")) == query("select * from t")
    assert room.seen == [("d", None)]


@pytest.mark.parametrize("said", [query("use other"), command(2, "other")])
def test_what_comes_with_a_database_that_is_refused_is_not_asked_in_it(said: bytes) -> None:
    room = Denied(lambda message: message.get("statement") == "use" or message.get("command") == "init_db")
    room.refuse(said + query("select * from t"))
    assert room.server.take() == query("select * from t")
    assert room.seen == [("d", None)]


def test_what_comes_with_a_database_is_asked_in_it() -> None:
    room = Denied(statement())
    room.say(room.ann, query("use other") + query("select * from t"))
    assert room.server.take() == query("use other")
    room.say(room.server, ok())
    assert room.server.take() == command(2, "d") + command(2, "other"), "as the connection was given back between"
    room.say(room.server, ok() + ok())
    assert room.server.take() == query("select * from t")
    assert room.seen == [("d", None), ("other", None)]


def test_a_database_that_the_server_refuses_is_not_that_of_what_came_with_it() -> None:
    room = Denied(statement())
    room.say(room.ann, query("use other") + query("select * from t"))
    room.server.take()
    room.say(room.server, error(1044))
    assert room.server.take() == query("select * from t")
    assert room.seen == [("d", None), ("d", None)]


@pytest.mark.parametrize(
    "said", [query("set autocommit = 0"), command(27, b"\1\0"), query("create temporary table a (b int)")]
)
def test_settings_and_reasons_that_were_refused_are_not_there(said: bytes) -> None:
    room = Denied(
        lambda message: message.get("statement") in ("set", "create") or message.get("command") == "set_option"
    )
    room.refuse(said)
    assert room.passes(query("select 1"), rows([["1"]])) == query("select 1")
    other = room.enter()
    assert room.ask(other, query("select 2"), ok())[0] == query("select 2"), "on the connection, which is free"


def test_locks_whose_end_was_refused_are_still_there() -> None:
    room = Denied(statement("unlock"))
    room.passes(query("lock tables t read"))
    room.refuse(query("unlock tables"))
    room.passes(query("select 1"))
    other = room.enter()
    room.say(other, query("select 2"))
    assert room.server.take() == b"", "for the connection is kept"


def test_a_reset_that_was_refused_is_none() -> None:
    room = Denied(of_command("reset_connection"))
    room.passes(command(0x16, "select 1"), prepared(70, 0, 1))
    room.passes(query("begin"), ok(status=AUTOCOMMIT | IN_TRANSACTION))
    room.refuse(command(0x1F))
    execution = command(0x17, b"\1\0\0\0\0\1\0\0\0")
    in_transaction = ok(status=AUTOCOMMIT | IN_TRANSACTION)
    assert room.passes(execution, in_transaction) == execution[:5] + b"\x46" + execution[6:]


def test_a_client_in_a_transaction_is_in_it_behind_what_was_refused() -> None:
    room = Denied(statement("delete"))
    room.passes(query("begin"), ok(status=AUTOCOMMIT | IN_TRANSACTION))
    room.refuse(query("delete from t"))
    assert room.passes(command(0x1F)) == command(0x1F), "which only a server can end"


def test_a_statement_of_whose_values_one_was_refused_is_not_executed_without_it() -> None:
    refused: list[bytes] = []
    room = Denied(lambda message: message.frame in refused)
    room.passes(command(0x16, "select ?, ?"), prepared(70, 2, 0))
    first, second = command(0x18, b"\1\0\0\0\0\0one"), command(0x18, b"\1\0\0\0\1\0two")
    refused.append(second)
    room.say(room.ann, first)
    room.say(room.ann, second)
    assert room.server.take() == first[:5] + b"\x46" + first[6:]
    execution, reset = command(0x17, b"\1\0\0\0\0\1\0\0\0"), command(0x1A, b"\1\0\0\0")
    room.say(room.ann, execution)
    assert "was refused" in read_error(payload_of(room.ann.take())).text and room.server.take() == b""
    assert room.passes(reset) == reset[:5] + b"\x46" + reset[6:]
    assert room.passes(execution) == execution[:5] + b"\x46" + execution[6:]


def test_the_last_id_of_what_came_just_before_is_known() -> None:
    room = Denied(statement(), most=2)
    inserted = b"\7\0\0\1\0\1\x2a\2\0\0\0"
    room.say(room.ann, query("insert into t values (1)") + query("select last_insert_id()"))
    room.say(room.server, inserted)
    other = room.network.upstreams[1]
    room.let_in(other)
    assert other.take() == query("SET last_insert_id = 42") + query("select last_insert_id()")
