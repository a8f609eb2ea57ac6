"""Statements of PostgreSQL's clients that are changed on their way."""

from __future__ import annotations

import pytest
from postgres_words import EXECUTE, FLUSH, HELLO, LOGGED_IN, MAX, SYNC, bind, parse, query, ready, said, startup

from metaproxy.codecs.framing import Session
from metaproxy.codecs.postgres import Postgres
from metaproxy.message import FrameError, Kind, Message, Side
from metaproxy.routing.pattern import compile_rewrite

RUN = EXECUTE + SYNC
PASSING, POOLED = Postgres(), Postgres(users={"ann": "pencil"}, auth="trust")
CHANGE = compile_rewrite(r"(?i)from old\b", "from new")


def entered(codec: Postgres) -> Session:
    session = codec.session(Side.CLIENT, MAX)
    if codec is PASSING:
        session.receive(HELLO)
        session.send(Message(Kind.RESPONSE, LOGGED_IN + ready()), 4)
    else:
        (login,) = session.receive(startup(user="ann", database="shop"))
        session.send(Message(Kind.RESPONSE, b""), login.id)
    return session


def asked(codec: Postgres, *data: bytes) -> list[Message]:
    """What one client asks, each answered before the next."""
    session, found = entered(codec), []
    for one in data:
        found += session.receive(one)
        session.send(Message(Kind.RESPONSE, ready(), found[-1].id), found[-1].id)
    return found


def server(codec: Postgres) -> Session:
    session = codec.session(Side.SERVER, MAX)
    if codec is PASSING:
        session.send(Message(Kind.REQUEST, HELLO), 0)
    else:
        session.open(asked(POOLED, query("select 1"))[0].profile, {"user": "app"})
    session.receive(LOGGED_IN + ready())
    return session


def reworded(request: Message, codec: Postgres = POOLED) -> Message:
    found = codec.reword(request, CHANGE)
    assert found is not None
    return found


both = pytest.mark.parametrize("codec", [PASSING, POOLED], ids=["login passes", "users"])


@both
def test_a_query_is_changed(codec: Postgres) -> None:
    (request,) = asked(codec, query("select 1 from OLD where a = 'ö'"))
    changed = reworded(request, codec)
    assert changed.frame == query("select 1 from new where a = 'ö'")
    assert (changed.id, changed.hold) == (request.id, request.hold)


@both
def test_each_parse_of_a_batch_is_changed_and_nothing_else(codec: Postgres) -> None:
    batch = parse("select 1 from old") + bind(value=b"from old") + EXECUTE + parse("x") + bind() + RUN
    (request,) = asked(codec, batch)
    assert reworded(request, codec).frame == batch.replace(b"1 from old", b"1 from new")


@both
@pytest.mark.parametrize("data", [query("select 1"), parse("select 1") + bind() + RUN, SYNC, said("F", b"\0" * 8)])
def test_what_does_not_match_stays_as_it_is(codec: Postgres, data: bytes) -> None:
    (request,) = asked(codec, data)
    assert codec.reword(request, CHANGE) is None


def test_a_statement_that_was_prepared_before_is_changed_where_it_is_needed() -> None:
    first, second = asked(POOLED, parse("select 1 from old", "s") + SYNC, bind("s") + RUN)
    here, other = server(POOLED), server(POOLED)
    assert here.send(reworded(first), 0).startswith(b"P")
    here.receive(said("1") + ready())
    assert b"from" not in here.send(reworded(second), 0), "it is there already, under the same name"
    sent = other.send(reworded(second), 0)
    assert sent.count(b"select 1 from new") == 1, "another server has not got it"
    assert b"old" not in sent


def test_the_same_text_is_prepared_once_however_it_came_to_be() -> None:
    (changed,) = asked(POOLED, parse("select 1 from old", "s") + bind("s") + RUN)
    (plain,) = asked(POOLED, parse("select 1 from new", "s") + bind("s") + RUN)
    assert reworded(changed).frame == plain.frame


@both
def test_what_is_not_all_there_is_refused(codec: Postgres) -> None:
    short = Postgres(stream_over=100) if codec is PASSING else Postgres(users={"a": "b"}, auth="trust", stream_over=100)  # type: ignore[arg-type]
    session = short.session(Side.CLIENT, MAX)
    (login,) = session.receive(startup(user="a", database="shop"))
    session.send(Message(Kind.RESPONSE, LOGGED_IN + ready() if codec is PASSING else b"", login.id), login.id)
    head, *_ = session.receive(query("select 1 from old where a = '" + "x" * 200 + "'")[:150])
    assert head.kind is Kind.STREAM_OPEN
    with pytest.raises(FrameError, match="stream_over"):
        short.reword(head, CHANGE)


def test_what_would_do_something_else_to_the_session_is_refused_where_connections_are_shared() -> None:
    (request,) = asked(POOLED, query("select 1 from old"))
    with pytest.raises(FrameError, match="session"):
        POOLED.reword(request, compile_rewrite("select", "listen"))
    (request,) = asked(PASSING, query("select 1"))
    changed = PASSING.reword(request, compile_rewrite("select 1", "listen a"))
    assert changed is not None


def test_parts_of_a_pipeline_are_changed_each() -> None:
    session = entered(POOLED)
    part, rest = session.receive(parse("select 1 from old") + FLUSH + bind() + RUN)
    assert reworded(part).frame == parse("select 1 from new") + FLUSH
    assert b"select 1 from new" in b"".join(reworded(rest).batch.needs.values())  # type: ignore[attr-defined]
