"""Values that MySQL's clients send ahead of an execution, and cursors: on a server's statement, for their own."""

from __future__ import annotations

import pytest
from mysql_room import MySQLRoom
from mysql_words import column, command, eof, error, ok, prepared, query, rows

from metaproxy.codecs.mysql.packets import AUTOCOMMIT, packet
from metaproxy.testing.stage import Wire

PREPARE = command(0x16, "select ?")
CURSOR_OPEN = packet(b"\1", 1) + column("a", 2) + eof(3, AUTOCOMMIT | 0x40)


def number(id: int) -> bytes:
    return id.to_bytes(4, "little")


def execution(id: int = 1) -> bytes:
    return command(0x17, number(id) + b"\0\1\0\0\0\0\1\xfd\0")


def values(id: int = 1, value: bytes = b"ann's own") -> bytes:
    return command(0x18, number(id) + b"\0\0" + value)


def with_values(mode: str = "transaction", most: int = 20) -> tuple[MySQLRoom, Wire]:
    """A client that has sent a value ahead, on a server's statement 70."""
    room = MySQLRoom(mode, most)
    ann = room.enter()
    room.ask(ann, PREPARE, prepared(70, 1, 1))
    room.say(ann, values())
    assert room.server.take() == values(70)
    return room, ann


@pytest.mark.parametrize(
    "between", [b"", query("select 1"), command(0x16, "select 2")], ids=["none", "query", "prepare"]
)
def test_what_was_sent_ahead_is_nobody_else_s(between: bytes) -> None:
    room, ann = with_values()
    if between:
        room.ask(ann, between, prepared(71, 0, 1) if between[4] == 0x16 else rows([["1"]]))
    other = room.enter()
    assert room.ask(other, PREPARE, prepared(5, 1, 1), server=1)[0] == PREPARE, "on a connection of its own"
    assert room.ask(ann, execution(), ok())[0] == execution(70)
    assert room.ask(other, query("select 2"), ok())[0] == query("select 2"), "the first one is free again"


def test_what_a_client_has_left_behind_is_gone_with_it_in_mode_session() -> None:
    room, ann = with_values("session", most=1)
    ann.end()
    room.clock.advance(0)
    room.let_in_again(room.server)
    bob = room.enter("bob")
    assert room.ask(bob, PREPARE, prepared(5, 1, 1))[0] == PREPARE, "which has nothing prepared"


def test_what_a_client_has_left_behind_is_gone_with_its_connection_in_mode_transaction() -> None:
    room, ann = with_values()
    ann.end()
    assert room.server.closed


@pytest.mark.parametrize("code", [0x1A, 0x19], ids=["reset", "close"])
def test_a_statement_that_is_reset_or_closed_has_no_values_any_more(code: int) -> None:
    room, ann = with_values()
    room.say(ann, command(code, number(1)))
    assert room.server.take() == command(0x1A, number(70)), "what others prepared with the same text stays"
    room.say(room.server, ok())
    room.ask(ann, query("select 1"), ok())
    assert room.ask(room.enter(), query("select 2"), ok())[0] == query("select 2")


def test_values_of_an_execution_that_failed_may_still_be_there() -> None:
    room, ann = with_values()
    room.ask(ann, execution(), error())
    room.let_in_again(room.server)
    assert room.ask(ann, execution(), prepared(9, 1, 1))[0] == PREPARE


def test_another_statement_of_the_same_text_has_its_own_values_and_cursor() -> None:
    room, ann = with_values()
    room.ask(ann, PREPARE, prepared(71, 1, 1))
    assert room.ask(ann, execution(2), ok())[0] == execution(71)
    assert room.ask(ann, execution(1), CURSOR_OPEN)[0] == execution(70)
    assert room.ask(ann, execution(2), ok())[0] == execution(71)
    fetch = command(0x1C, number(1) + number(5))
    sent, _ = room.ask(ann, fetch, packet(b"\0\0\1", 1) + eof(2, AUTOCOMMIT | 0x80))
    assert sent == command(0x1C, number(70) + number(5))
    assert room.ask(ann, query("select 1"), ok())[0] == command(0x19, number(70)) + query("select 1"), "one is enough"


def test_a_setting_between_does_not_lead_to_another_statement() -> None:
    room, ann = with_values()
    room.ask(ann, query("set wait_timeout = 5"), ok())
    assert room.ask(ann, execution(), ok())[0] == execution(70)


def elsewhere(said: bytes) -> tuple[MySQLRoom, Wire, Wire]:
    """A client, and the connection that this goes to, where the statement is not prepared yet."""
    room = MySQLRoom()
    ann, other = room.enter(), room.enter()
    room.ask(ann, PREPARE, prepared(70, 1, 1))
    room.ask(other, query("begin"), ok(status=AUTOCOMMIT | 1))
    room.say(ann, said)
    server = room.network.upstreams[1]
    room.let_in(server)
    assert server.take() == PREPARE
    return room, ann, server


def test_what_follows_on_a_statement_that_is_being_prepared_waits_in_its_order() -> None:
    room, ann, server = elsewhere(values(value=b"one"))
    room.say(ann, values(value=b"two"))
    room.say(ann, execution())
    assert server.take() == b""
    room.say(server, prepared(9, 1, 1))
    assert server.take() == values(9, b"one") + values(9, b"two") + execution(9)


def test_a_long_value_whose_statement_can_t_be_prepared_is_not_sent() -> None:
    long = values(value=b"x" * 200_000)
    room, ann, server = elsewhere(long[:70_000])
    room.say(ann, long[70_000:90_000])
    room.say(server, error())
    room.say(ann, long[90_000:])
    room.say(ann, execution())
    assert server.take() == PREPARE
