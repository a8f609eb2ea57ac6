"""What PostgreSQL's requests say of their SQL beyond its first word: whether it reads, which tables it names."""

from __future__ import annotations

from typing import Any

import pytest
from postgres_words import EXECUTE, FLUSH, HELLO, LOGGED_IN, MAX, SYNC, bind, parse, query, ready, startup

from metaproxy.codecs.postgres import Postgres
from metaproxy.message import Kind, Message, Side
from metaproxy.routing.matcher import compile_condition

BIND, RUN = bind(), EXECUTE + SYNC
POOLED = Postgres(users={"ann": "pencil"}, auth="trust")


def requests(*asked: bytes) -> list[Message]:
    """What a client asks behind its login, which passes."""
    session = Postgres().session(Side.CLIENT, MAX)
    session.receive(HELLO)
    session.send(Message(Kind.RESPONSE, LOGGED_IN + ready()), 4)
    return session.receive(b"".join(asked))


class Client:
    """One that has logged in at the proxy."""

    def __init__(self) -> None:
        self.session = POOLED.session(Side.CLIENT, MAX)
        (login,) = self.session.receive(startup(user="ann", database="shop"))
        self.session.send(Message(Kind.RESPONSE, b""), login.id)

    def ask(self, data: bytes, state: str = "I") -> Message:
        (request,) = self.session.receive(data)
        self.session.send(Message(Kind.RESPONSE, ready(state), request.id), request.id)
        return request

    def key(self, data: bytes) -> Any:
        return POOLED.cache_key(self.ask(data))


@pytest.mark.parametrize(
    ("data", "reads"),
    [
        (query("select * from t"), "true"),
        (query("select 1; select 2"), "true"),
        (query("select 1; delete from t"), "false"),
        (query("select * from t for update"), "false"),
        (query("select nextval('s')"), "false"),
        (query("begin"), "false"),
        (parse("select $1") + BIND + RUN, "true"),
        (parse("select 1") + BIND + EXECUTE + parse("update t set a = 1") + BIND + RUN, "false"),
        (bind("unknown") + RUN, None),
        (SYNC, None),
    ],
)
def test_a_request_says_whether_all_of_it_only_reads(data: bytes, reads: str | None) -> None:
    (message,) = requests(data)
    assert message.get("read_only") == reads


def test_a_request_of_which_a_part_is_not_known_is_none_that_reads() -> None:
    (message,) = requests(parse("select 1") + BIND + EXECUTE + bind("unknown") + RUN)
    assert message.get("read_only") == "false"
    assert message.values("tables") == ()


def test_a_part_of_a_batch_that_goes_on_is_none_that_reads() -> None:
    """What follows it may write, and needs the same connection."""
    part, end = requests(parse("select 1") + BIND + EXECUTE + FLUSH, parse("select 2") + BIND + RUN)
    assert (part.get("read_only"), end.get("read_only")) == ("false", "true")


def test_a_statement_that_was_prepared_before_is_known_by_its_sql() -> None:
    _, again = requests(parse("select * from t", "s") + SYNC, bind("s") + RUN)
    assert (again.get("read_only"), again.get("tables")) == ("true", "t")


def test_a_condition_on_tables_holds_when_one_of_them_meets_it() -> None:
    (message,) = requests(query("select * from t join s.u using (a)"))
    assert message.get("tables") == "t,s.u"
    met: list[object] = ["t", "s.u", {"in": ["x", "t"]}, {"prefix": "s."}, {"regex": "u|t"}]
    failed: list[object] = ["x", "t,s.u", {"exact": "t", "not": True}]
    for condition in met:
        assert compile_condition("tables", condition).test(message.get("tables")), condition
    for condition in failed:
        assert not compile_condition("tables", condition).test(message.get("tables")), condition


def test_one_of_the_tables_is_enough_for_who_must_not_be_fooled() -> None:
    (message,) = requests(query("select * from t, u"))
    assert message.values("tables") == ("t", "u")


def test_what_names_no_table_says_so() -> None:
    (message,) = requests(query("select 1"))
    assert message.values("tables") == (None,)


def test_tables_of_what_can_not_be_parsed_may_be_any() -> None:
    (message,) = requests(query("select * from from"))
    assert (message.get("tables"), message.values("tables")) == (None, ())


def test_nothing_is_parsed_until_tables_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlglot

    parsed: list[str] = []

    def parse_nothing(text: str, **more: Any) -> list[Any]:
        parsed.append(text)
        return []

    monkeypatch.setattr(sqlglot, "parse", parse_nothing)
    (message,) = requests(query("select a from never_parsed"))
    assert message.get("read_only") == "true"
    assert not parsed
    message.get("tables")
    assert parsed == ["select a from never_parsed"]


def test_without_the_parser_there_is_no_key_for_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "tables" in Postgres().keys
    monkeypatch.setattr("metaproxy.codecs.sql.tables.find_spec", lambda name: None)
    assert "tables" not in Postgres().keys
    (message,) = requests(query("select a from t"))
    assert message.get("tables") is None


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (query("select 1"), False),
        (query("set a = 1; show b"), False),
        (query("begin"), False),
        (query("begin; insert into t values (1)"), True),
        (query("commit"), True),
        (query("select my_function()"), True),
        (bind("unknown") + RUN, True),
        (SYNC, True),
    ],
)
def test_reads_wait_for_what_may_have_changed_something(data: bytes, changes: bool) -> None:
    (message,) = requests(data)
    assert Postgres().changes(message) is changes


# -- what may be answered from a cache


def test_the_same_question_has_the_same_key() -> None:
    one, other = Client(), Client()
    assert one.key(query("select a from t")) == other.key(query("select a from t")) is not None
    assert one.key(query("select a from t")) != one.key(query("select b from t"))


def test_values_of_parameters_belong_to_the_key() -> None:
    client = Client()
    first, second = (parse("select $1") + bind(value=value) + RUN for value in (b"1", b"2"))
    assert client.key(first) != client.key(second) is not None


def test_a_statement_that_was_prepared_before_belongs_to_the_key() -> None:
    keys = []
    for text in ("select a from t", "select b from t"):
        client = Client()
        client.ask(parse(text) + SYNC)
        keys.append(client.key(BIND + RUN))
    assert keys[0] != keys[1]
    named = []
    for name in ("one", "other"):
        client = Client()
        client.ask(parse("select a from t", name) + SYNC)
        named.append(client.key(bind(name) + RUN))
    assert named[0] == named[1] is not None


@pytest.mark.parametrize(
    "data",
    [
        query("select random()"),
        query("select * from t where a = gen_random_uuid()"),
        query("select set_config('a', 'b', false)"),
        bind("unknown") + RUN,
    ],
)
def test_what_is_answered_otherwise_each_time_has_no_key(data: bytes) -> None:
    assert Client().key(data) is None


def test_only_reads_outside_of_transactions_are_safe() -> None:
    client = Client()
    (read,) = client.session.receive(query("select 1"))
    assert POOLED.safe(read)
    client.session.send(Message(Kind.RESPONSE, ready(), read.id), read.id)
    (write,) = client.session.receive(query("insert into t values (1)"))
    assert not POOLED.safe(write)
    client.session.send(Message(Kind.RESPONSE, ready("T"), write.id), write.id)
    (within,) = client.session.receive(query("select 1"))
    assert not POOLED.safe(within)


def test_a_part_of_a_batch_that_goes_on_is_not_safe() -> None:
    client = Client()
    (part,) = client.session.receive(parse("select 1") + BIND + EXECUTE + FLUSH)
    assert not POOLED.safe(part)
