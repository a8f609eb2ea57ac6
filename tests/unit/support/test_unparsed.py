"""SQL that is not understood, where somebody asks what it does, is counted."""

from __future__ import annotations

from typing import Any

from mysql_words import Pair
from mysql_words import query as mysql_query
from postgres_words import HELLO, LOGGED_IN, MAX, query, ready

from metaproxy.codecs.postgres import Postgres
from metaproxy.message import Kind, Message, Side
from metaproxy.support.unparsed import UNPARSED


def asked(text: str) -> Message:
    session: Any = Postgres().session(Side.CLIENT, MAX)
    session.receive(HELLO)
    session.send(Message(Kind.RESPONSE, LOGGED_IN + ready()), 4)
    (message,) = session.receive(query(text))
    found: Message = message
    return found


def test_what_begins_as_no_statement_does_goes_to_the_primary_and_is_counted() -> None:
    before = UNPARSED["postgres", "read_only"], UNPARSED["mysql", "read_only"]
    assert asked("frobnicate the table").get("read_only") == "false"
    (message,) = Pair().says(mysql_query("frobnicate"))
    assert message.get("read_only") == "false"
    assert asked("select 1; vacuum").get("read_only") == "false"
    assert UNPARSED["postgres", "read_only"] == before[0] + 1
    assert UNPARSED["mysql", "read_only"] == before[1] + 1


def test_tables_that_can_not_be_told_are_counted_where_they_are_asked_for() -> None:
    before = UNPARSED["postgres", "tables"]
    message = asked("select * from from")
    assert message.get("read_only") == "true"
    assert UNPARSED["postgres", "tables"] == before
    assert message.get("tables") is None
    assert UNPARSED["postgres", "tables"] == before + 1
