"""What the proxy asks PostgreSQL's servers for itself: health and role; and what answers say of themselves."""

from __future__ import annotations

from struct import pack

import pytest
from postgres_words import DONE, HELLO, LOGGED_IN, MAX, error, kinds, messages, query, ready, said, startup

from metaproxy.codecs.framing import Session
from metaproxy.codecs.postgres import Postgres
from metaproxy.message import Chunk, FrameError, Kind, Message, Side

USERS = {"ann": "pencil"}


def row(*values: bytes | None) -> bytes:
    parts = (b"\xff\xff\xff\xff" if value is None else pack(">I", len(value)) + value for value in values)
    return said("D", pack(">H", len(values)) + b"".join(parts))


def traits(*values: bytes | None) -> dict[str, str]:
    frame = said("T", b"") + row(*values) + DONE + ready()
    return dict(Postgres(users=USERS).traits(Message(Kind.RESPONSE, frame)))


def server() -> Session:
    """A server's session that was asked something."""
    session = Postgres().session(Side.SERVER, MAX)
    session.send(Message(Kind.REQUEST, HELLO), 0)
    session.receive(LOGGED_IN + ready())
    session.send(Message(Kind.REQUEST, query("select 1")), 0)
    return session


def test_a_primary_says_its_timeline_and_position() -> None:
    assert traits(b"f", b"0", b"0000000A", b"16") == {"role": "primary", "term": "10", "position": "16"}


def test_a_replica_says_how_far_behind_it_is_and_what_it_has() -> None:
    assert traits(b"t", b"1.5", None, b"15") == {"role": "replica", "lag": "1.5", "position": "15"}


def test_a_replica_that_has_nothing_yet_says_no_lag() -> None:
    assert traits(b"t", None, None, None) == {"role": "replica"}


@pytest.mark.parametrize(
    "frame",
    [
        DONE + ready(),
        row(b"x", b"0", None, None) + ready(),
        row(b"f", b"0", b"nothing", None) + ready(),
        row(b"f") + ready(),
        row(b"f", b"0", b"1", b"1")[:-3] + ready(),
    ],
)
def test_an_answer_that_tells_nothing_is_refused(frame: bytes) -> None:
    with pytest.raises(FrameError):
        Postgres(users=USERS).traits(Message(Kind.RESPONSE, frame))


def test_servers_are_asked_in_a_database_of_the_proxys_own() -> None:
    codec = Postgres(users=USERS, own_database="proxy")
    for question in (codec.probe(), codec.inquiry("primary_replica")):
        assert question is not None
        session = codec.session(Side.SERVER, MAX)
        assert session.open(question.profile, {"user": "app"}) == startup(user="app", database="proxy")
        session.receive(LOGGED_IN + ready())
        assert kinds(session.send(question, 0)) == "Q"


def test_a_server_is_not_asked_where_the_proxy_can_not_log_in() -> None:
    assert Postgres().probe() is None
    assert Postgres().topologies == ()


def test_an_answer_says_how_many_rows_it_has() -> None:
    (answer,) = server().receive(said("C", b"INSERT 0 3\0") + said("C", b"SELECT 4\0") + ready())
    assert answer.get("rows") == "7"


def test_the_head_of_a_long_answer_says_so_at_its_end() -> None:
    session = server()
    (head,) = session.receive(said("T", b""))
    session.receive(said("D", b"\0\0"))
    *_, last = session.receive(said("C", b"SELECT 1\0") + ready())
    assert isinstance(last, Chunk)
    assert head.get("rows") == last.get("rows") == "1"


@pytest.mark.parametrize("tail", [said("C", b"BEGIN\0") + ready("T"), error() + ready()])
def test_what_has_no_rows_says_nothing_of_them(tail: bytes) -> None:
    (answer,) = server().receive(tail)
    assert answer.get("rows") is None


@pytest.mark.parametrize(
    ("text", "is_it"),
    [
        ("alter role ann PASSWORD 'x'", True),
        ("create user a with password 'x'", True),
        ("select 1; alter role x password 'x'", True),
        ("begin; /* new */ create role y login password 'x'", True),
        ("do $$begin execute 'alter role x password ''x'''; end$$", True),
        ("create subscription s connection 'host=a password=x' publication p", True),
        ("select dblink_connect('host=a password=x')", True),
        ("select password from t", False),
        ("create table t (a int)", False),
    ],
)
def test_statements_that_set_a_password_are_confidential(text: str, is_it: bool) -> None:
    session = Postgres().session(Side.CLIENT, MAX)
    session.receive(HELLO)
    session.send(Message(Kind.RESPONSE, LOGGED_IN + ready()), 4)
    (request,) = session.receive(query(text))
    assert Postgres().confidential(request) is is_it
    assert messages(request.frame)[0][0] == "Q"
