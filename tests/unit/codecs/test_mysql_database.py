"""Which database MySQL's clients are in, and where that can't be known: what comes then may be asked in any."""

from __future__ import annotations

from typing import Any

import pytest
from mysql_room import MySQLRoom
from mysql_words import BASE, C, Pair, command, error, ok, prepared, query

from metaproxy.codecs.mysql import MySQL
from metaproxy.message import Message
from metaproxy.units import Bytes

UNSEEN = ["use other; select 1", "select 1; use other", "execute s", "execute immediate 'use other'",
          "begin not atomic execute immediate 'use other'; end"]  # fmt: skip


class Passing:
    """A client whose login passes, in the database d."""

    def __init__(self, flags: int = BASE) -> None:
        self.pair = Pair(MySQL(stream_over=Bytes(65536)), flags)

    def says(self, data: bytes, answer: bytes | None = ok()) -> Message:
        (message,) = self.pair.says(data)
        message.read()
        if answer is not None:
            self.pair.hears(answer)
        return message


class Pooled:
    """One that has logged in at the proxy."""

    def __init__(self) -> None:
        self.seen: list[Message] = []
        self.room = MySQLRoom(hooks={"on_request": (self._on_request,)})
        self.client = self.room.enter()

    def _on_request(self, exchange: Any) -> None:
        exchange.message.read()
        self.seen.append(exchange.message)

    def says(self, data: bytes, answer: bytes = ok()) -> Message:
        self.room.ask(self.client, data, answer)
        return self.seen[-1]


@pytest.fixture(params=[Passing, Pooled], ids=["passing", "users"])
def client(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.mark.parametrize("text", UNSEEN)
def test_a_database_that_may_be_chosen_unseen_is_not_known(client: Any, text: str) -> None:
    assert client.says(query(text)).values("database") == ()
    for said in (query("select * from t"), command(4, b"t\0")):
        assert client.says(said).values("database") == ()


@pytest.mark.parametrize("said", [query("use `third`"), command(2, "third")])
def test_the_next_plain_choice_is(client: Any, said: bytes) -> None:
    client.says(query("use other; select 1"))
    client.says(said)
    assert client.says(query("select * from t")).values("database") == ("third",)


@pytest.mark.parametrize(
    "text",
    ["select 1 from t use index (a)", "select case when 1 then 2 end", "select 'use other; end'", "prepare s from 'x'"],
)
def test_others_choose_none(client: Any, text: str) -> None:
    assert client.says(query(text)).values("database") == ("d",)
    assert client.says(query("select * from t")).values("database") == ("d",)


@pytest.mark.parametrize(("text", "database"), [("use other", ("other",)), ("use other; select 1", ())])
def test_a_prepared_choice_counts_when_it_is_executed(client: Any, text: str, database: tuple[str, ...]) -> None:
    client.says(command(0x16, text), prepared(1, 0, 0))
    assert client.says(query("select * from t")).values("database") == ("d",)
    client.says(command(0x17, b"\1\0\0\0\0\1\0\0\0"))
    assert client.says(query("select * from t")).values("database") == database


@pytest.mark.parametrize(("answer", "database"), [(ok(), "other"), (error(), "d")])
def test_what_comes_with_a_choice_is_known_by_its_outcome(answer: bytes, database: str) -> None:
    pair = Passing().pair
    chosen, asked = pair.says(query("use other") + query("select * from t"))
    assert chosen.get("database") == "d"
    pair.hears(answer)
    assert asked.values("database") == (database,)


@pytest.mark.parametrize(
    ("beginning", "several", "known"),
    [
        ("insert into t values ('", False, True),
        ("insert into t values ('", True, False),
        ("begin not atomic ", False, False),
    ],
)
def test_behind_a_long_one_that_may_choose_at_its_end_nothing_is_known(
    beginning: str, several: bool, known: bool
) -> None:
    passing = Passing(BASE if several else BASE & ~C.MULTI_STATEMENTS)
    passing.pair.says(query(beginning + "x" * 70_000 + "'"))
    passing.pair.hears(ok())
    assert passing.says(query("select 1")).values("database") == (("d",) if known else ())
