"""PostgreSQL where the login passes: what is one exchange, what is passed on as it comes, and errors of the proxy's."""

from __future__ import annotations

from typing import Any

import pytest
from postgres_words import (
    BOUND,
    BYE,
    COPY_IN,
    DONE,
    EXECUTE,
    FLUSH,
    LOGGED_IN,
    MAX,
    MD5,
    PARSED,
    ROW,
    SYNC,
    asked_for,
    bind,
    conversations,
    error,
    errors,
    join,
    kinds,
    messages,
    parse,
    query,
    ready,
    said,
    startup,
    without_keys,
)  # fmt: skip

from metaproxy.codecs.postgres import Postgres
from metaproxy.message import ErrorKind, Kind, Message, Reply, Side
from metaproxy.testing import check_codec, check_relay
from metaproxy.testing.stage import Stage, Wire

CAPTURES = conversations()
every_capture = pytest.mark.parametrize("name", CAPTURES)
HELLO = startup(user="ann", database="shop", application_name="test")


def logged_in(stage: Stage) -> Wire:
    """A client whose login is over."""
    client = stage.client()
    stage.say(client, HELLO)
    stage.say(stage.network.upstreams[-1], LOGGED_IN + ready())
    client.take()
    stage.network.upstreams[-1].take()
    return client


def outcomes(stage: Stage) -> list[tuple[str, str | None]]:
    """How exchanges end from now on, and their statements."""
    found: list[tuple[str, str | None]] = []
    stage.route.on_complete = (lambda exchange: found.append((exchange.outcome, exchange.message.get("statement"))),)
    return found


def refusing(*statements: str) -> dict[str, Any]:
    """A filter that refuses statements."""

    def on_request(exchange: Any) -> Reply | None:
        return Reply(ErrorKind.DENIED, "not allowed") if exchange.message.get("statement") in statements else None

    return {"on_request": (on_request,)}


# -- what real peers said


@every_capture
def test_a_conversation_of_real_peers_passes_as_it_is(name: str) -> None:
    conversation = [(side, data) for side, data in CAPTURES[name] if data not in (asked_for(80877103), b"N", b"S")]
    check_relay(Postgres(), conversation, normal=without_keys)


def test_there_are_captures_of_each_driver() -> None:
    assert {name.partition(":")[0] for name in CAPTURES} == {"psql", "psycopg", "asyncpg", "node-pg"}


def test_the_contract_of_a_codec_holds() -> None:
    client = [query("select 1"), said("F", b"x"), SYNC, BYE]
    server = [DONE + ready("T"), ROW + DONE + ready(), error() + ready(), ROW + ready()]

    def prepare(session: Any, side: Side) -> None:
        if side is Side.CLIENT:
            session.receive(HELLO)
            session.send(Message(Kind.RESPONSE, LOGGED_IN + ready()), 4)
        else:
            for _ in range(64):
                session.send(Message(Kind.REQUEST, query("select 1")), 0)
            session.receive(LOGGED_IN + ready())

    check_codec(Postgres(), client, server, prepare=prepare, join=join)


# -- before the login


@pytest.mark.parametrize("code", [80877103, 80877104])
def test_a_client_that_asks_for_encryption_is_told_to_go_on_without(code: int) -> None:
    stage = Stage(Postgres())
    client = stage.client()
    stage.say(client, asked_for(code))
    assert client.take() == b"N"
    stage.say(client, HELLO)
    assert stage.server.take() == HELLO


def test_a_login_passes_step_by_step() -> None:
    stage = Stage(Postgres())
    client = stage.client()
    stage.say(client, HELLO)
    stage.say(stage.server, MD5)
    assert client.take() == MD5
    stage.say(client, said("p", b"md5abc\0"))
    assert stage.server.take() == HELLO + said("p", b"md5abc\0")
    stage.say(stage.server, LOGGED_IN + ready())
    assert without_keys(client.take()) == without_keys(LOGGED_IN + ready())


def test_a_client_whose_login_passes_has_its_servers_key_so_that_process_ids_mean_the_same_to_both() -> None:
    stage = Stage(Postgres())
    key = b"\0\0\x11\x11only"  # which no other test has
    welcome = said("R", b"\0\0\0\0") + said("K", key) + ready()
    client = stage.client()
    stage.say(client, HELLO)
    stage.say(stage.server, welcome)
    assert client.take() == welcome
    stage.say(client, query("select pg_sleep(9)"))
    cancel = b"\0\0\0\x10" + b"\x04\xd2\x16\x2e" + key
    stage.say(stage.client(), cancel)
    assert stage.network.upstreams[-1].take() == cancel


def test_two_servers_may_give_the_same_key() -> None:
    stage = Stage(Postgres())
    welcome = said("R", b"\0\0\0\0") + said("K", b"\0\0\x22\x22same") + ready()
    one, other = stage.client(), stage.client()
    for client in (one, other):
        stage.say(client, HELLO)
        stage.say(stage.network.upstreams[-1], welcome)
    assert one.take() == welcome != other.take()


def test_a_login_that_the_server_refuses_ends_as_the_server_says() -> None:
    stage = Stage(Postgres())
    client = stage.client()
    stage.say(client, HELLO)
    refusal = error("28P01", "wrong password", "FATAL")
    stage.say(stage.server, refusal)
    assert client.take() == refusal
    stage.server.end()
    assert client.closed


def test_a_client_without_a_server_gets_a_fatal_error_and_is_closed() -> None:
    stage = Stage(Postgres())
    stage.network.accept = False
    client = stage.client()
    stage.say(client, HELLO)
    stage.network.dialled[0][1].connectionFailed("refused", False)
    stage.clock.advance(0)
    assert errors(client.take()) == ["08001"]
    assert client.closed


def test_another_protocol_than_3_is_refused_in_words_that_its_clients_understand() -> None:
    stage = Stage(Postgres())
    client = stage.client()
    stage.say(client, b"\0\0\0\x09\0\2\0\0\0")
    assert errors(client.take()) == ["0A000"]
    assert client.closed


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\x05", b"\0\0\0\x04\0\0\0\0"])
def test_what_is_no_first_message_is_closed_without_a_word(data: bytes) -> None:
    stage = Stage(Postgres())
    client = stage.client()
    stage.say(client, data)
    assert (client.take(), client.closed) == (b"", True)


def test_who_logs_in_is_known_of_each_request() -> None:
    session = Postgres().session(Side.CLIENT, MAX)
    hello, asked = session.receive(HELLO + query("select 1"))
    for message in (hello, asked):
        found = [message.get(key) for key in ("user", "database", "application_name")]
        assert found == ["ann", "shop", "test"]


# -- requests


def requests(data: bytes, codec: Postgres | None = None) -> list[Message]:
    """What a client asks behind its login."""
    session = (codec or Postgres()).session(Side.CLIENT, MAX)
    session.receive(HELLO)
    session.send(Message(Kind.RESPONSE, LOGGED_IN + ready()), 4)
    return session.receive(data)


def test_a_batch_of_the_extended_protocol_is_one_request() -> None:
    batch = parse("select 1") + bind() + EXECUTE + SYNC
    assert [message.frame for message in requests(batch + query("x") + SYNC)] == [batch, query("x"), SYNC]


def test_what_a_client_flushes_is_a_request() -> None:
    first, second = parse("select 1") + bind() + EXECUTE + FLUSH, parse("select 2") + SYNC
    assert [message.frame for message in requests(first)] == [first]
    assert [message.frame for message in requests(first + second)] == [first, second]


def test_nothing_is_asked_by_a_flush_alone() -> None:
    assert [message.frame for message in requests(SYNC + FLUSH + SYNC)] == [SYNC, SYNC]


def test_a_batch_over_the_bound_is_cut_into_requests_that_the_server_answers_at_once() -> None:
    batch = (parse("select 1") + bind() + EXECUTE) * 10
    frames = [message.frame for message in requests(batch, Postgres(stream_over=100))]  # type: ignore[arg-type]
    assert len(frames) > 3
    assert all(frame.endswith(FLUSH) and len(frame) <= 105 for frame in frames)
    assert batch.startswith(b"".join(frame.removesuffix(FLUSH) for frame in frames))


@pytest.mark.parametrize(
    ("data", "command", "statement"),
    [
        (query("/* a */ SELECT 1"), "query", "select"),
        (query("with x as (select 1) insert into t select * from x"), "query", "insert"),
        (parse("update t set a = $1") + bind() + EXECUTE + SYNC, "execute", "update"),
        (parse("delete from t", "s") + SYNC, "parse", "delete"),
        (SYNC, "sync", None),
        (query(""), "query", None),
    ],
)
def test_what_a_request_does_is_known(data: bytes, command: str, statement: str | None) -> None:
    (message,) = requests(data)
    assert (message.get("command"), message.get("statement")) == (command, statement)


def test_what_executes_a_prepared_statement_is_known_by_its_sql() -> None:
    _, again = requests(parse("delete from t", "s1") + SYNC + bind("s1") + EXECUTE + SYNC)
    assert again.get("statement") == "delete"


def test_of_several_statements_all_are_known() -> None:
    (message,) = requests(query("select 1; drop table t"))
    assert message.values("statement") == ("select", "drop")


def test_a_statement_that_was_prepared_out_of_sight_may_be_anything() -> None:
    (message,) = requests(bind("who knows") + EXECUTE + SYNC)
    assert message.values("statement") == ()


def test_values_make_no_difference_to_a_fingerprint() -> None:
    one, two, other = requests(query("select a from t where b = 1") + query("select a from t where b='x'") + query("x"))
    assert one.get("fingerprint") == two.get("fingerprint") != other.get("fingerprint")


def test_a_comment_of_sqlcommenter_names_the_trace() -> None:
    parent = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
    (message,) = requests(query(f"select 1 /*traceparent='{parent}'*/"))
    assert message.get("traceparent") == parent


@pytest.mark.parametrize("data", [b"?\0\0\0\4", b"Q\0\0\0\3", b"p\0\0\0\5x", b"S\0\0\0\5x"])
def test_what_is_no_message_ends_the_connection_with_a_reason(data: bytes) -> None:
    stage = Stage(Postgres())
    client = logged_in(stage)
    stage.say(client, data)
    assert errors(client.take()) == ["08P01"]
    assert client.closed


def test_a_client_that_says_goodbye_is_closed_and_so_is_its_server() -> None:
    stage = Stage(Postgres())
    client = logged_in(stage)
    stage.say(client, BYE)
    assert stage.server.take() == BYE
    assert client.closed and stage.server.closed


# -- answers


def test_rows_are_passed_on_as_they_come_and_the_exchange_ends_when_the_server_is_ready() -> None:
    stage = Stage(Postgres())
    client, ended = logged_in(stage), outcomes(stage)
    stage.say(client, query("select 1"))
    stage.say(stage.server, ROW)
    assert (client.take(), ended) == (ROW, [])
    stage.say(stage.server, ROW + DONE + ready()[:3])
    assert client.take() == ROW + DONE
    stage.say(stage.server, ready()[3:])
    assert (client.take(), ended) == (ready(), [("ok", "select")])


def test_an_error_behind_rows_is_an_error() -> None:
    stage = Stage(Postgres())
    client, ended = logged_in(stage), outcomes(stage)
    stage.say(client, query("select 1/a from t"))
    stage.say(stage.server, ROW)
    stage.say(stage.server, error("22012") + ready())
    assert client.take() == ROW + error("22012") + ready()
    assert ended == [("error", "select")]


def test_the_sqlstate_of_an_error_is_known() -> None:
    session = Postgres().session(Side.SERVER, MAX)
    session.send(Message(Kind.REQUEST, query("x")), 0)
    (answer,) = session.receive(error("42P01") + ready())
    assert (answer.kind, answer.get("sqlstate")) == (Kind.ERROR, "42P01")


@pytest.mark.parametrize("pushed", [said("A", b"\0\0\0\1ch\0hi\0"), said("N", b"SNOTICE\0\0"), said("S", b"a\0b\0")])
def test_what_a_server_says_by_itself_is_an_event(pushed: bytes) -> None:
    stage = Stage(Postgres())
    client, ended = logged_in(stage), outcomes(stage)
    stage.say(stage.server, pushed)
    assert client.take() == pushed
    assert [outcome for outcome, _ in ended] == ["event"]


def test_a_server_that_shuts_down_is_heard_before_its_end() -> None:
    stage = Stage(Postgres())
    client = logged_in(stage)
    stage.say(stage.server, error("57P01", "shutdown", "FATAL"))
    stage.server.end()
    assert errors(client.take()) == ["57P01"]
    assert client.closed


def test_a_server_that_goes_away_within_an_answer_leaves_an_error_behind_what_it_has_said() -> None:
    stage = Stage(Postgres())
    client = logged_in(stage)
    notice = error("57P01", "immediate shutdown", "WARNING").replace(b"E", b"N", 1)
    stage.say(client, query("insert into t values (1)"))
    stage.say(stage.server, notice)
    stage.finish(stage.server)
    answer = client.take()
    assert (answer[: len(notice)], errors(answer), client.closed) == (notice, ["08006"], True)


def test_an_answer_to_nothing_ends_the_connection() -> None:
    stage = Stage(Postgres())
    client = logged_in(stage)
    stage.say(stage.server, DONE + ready())
    assert client.closed


def test_each_flushed_part_has_an_answer_of_its_own_and_after_an_error_the_rest_has_none() -> None:
    stage = Stage(Postgres())
    client, ended = logged_in(stage), outcomes(stage)
    part = parse("select 1") + bind() + EXECUTE + FLUSH
    stage.say(client, part)
    stage.say(stage.server, PARSED + BOUND + ROW + DONE)
    assert kinds(client.take()) == "12DC"
    stage.say(client, part)
    stage.say(client, part)
    stage.say(client, SYNC)
    stage.say(stage.server, PARSED + error())
    stage.say(stage.server, ready())
    assert kinds(client.take()) == "1EZ"
    assert [outcome for outcome, _ in ended] == ["ok", "error", "oneway", "ok"]


def test_nothing_is_skipped_behind_an_error_whose_sync_was_sent_before_it_came() -> None:
    stage = Stage(Postgres())
    client = logged_in(stage)
    stage.say(client, parse("select 1") + FLUSH)
    stage.say(client, SYNC)
    stage.server.take()
    stage.say(stage.server, error())
    stage.say(stage.server, ready())
    assert kinds(client.take()) == "EZ"
    after = parse("select 2") + bind() + EXECUTE + SYNC
    stage.say(client, after)
    assert stage.server.take() == after


# -- COPY


def test_data_of_a_copy_follow_the_request_once_the_server_takes_them() -> None:
    stage = Stage(Postgres())
    client, ended = logged_in(stage), outcomes(stage)
    stage.say(client, query("copy t from stdin"))
    stage.say(stage.server, COPY_IN)
    assert client.take() == COPY_IN
    stage.server.take()
    stage.say(client, said("d", b"1\n") + said("d", b"2\n")[:3])
    stage.say(client, said("d", b"2\n")[3:] + said("c"))
    assert stage.server.take() == said("d", b"1\n") + said("d", b"2\n") + said("c")
    stage.say(stage.server, DONE + ready())
    assert client.take() == DONE + ready()
    stage.say(client, query("select 1"))
    assert stage.server.take() == query("select 1")
    assert ended == [("ok", "copy")]


def test_data_that_come_before_the_server_asks_wait_for_that() -> None:
    stage = Stage(Postgres())
    client = logged_in(stage)
    stage.say(client, query("copy t from stdin") + said("d", b"1\n") + said("c"))
    assert stage.server.take() == query("copy t from stdin")
    stage.say(stage.server, COPY_IN)
    stage.clock.advance(0)
    assert stage.server.take() == said("d", b"1\n") + said("c")


def test_data_of_a_copy_that_failed_are_dropped() -> None:
    stage = Stage(Postgres())
    client = logged_in(stage)
    stage.say(client, query("copy t from stdin"))
    stage.say(stage.server, COPY_IN)
    stage.server.take()
    stage.say(stage.server, error() + ready())
    stage.say(client, said("d", b"1\n") + said("c") + query("select 1"))
    assert stage.server.take() == query("select 1")


def test_a_copy_in_the_extended_protocol_ends_with_the_second_sync() -> None:
    stage = Stage(Postgres())
    client, ended = logged_in(stage), outcomes(stage)
    stage.say(client, parse("copy t from stdin") + bind() + EXECUTE + SYNC)
    stage.say(stage.server, PARSED + BOUND + COPY_IN)
    stage.server.take()
    stage.say(client, said("d", b"1\n") + FLUSH + said("c") + SYNC)
    assert stage.server.take() == said("d", b"1\n") + FLUSH + said("c") + SYNC
    stage.say(stage.server, DONE + ready())
    assert ended == [("ok", "copy")]


def test_a_large_message_is_passed_on_as_it_comes() -> None:
    stage = Stage(Postgres(stream_over=1000))  # type: ignore[arg-type]
    client, ended = logged_in(stage), outcomes(stage)
    large = parse("insert into t values ($1)") + bind(value=b"x" * 200_000)
    stage.say(client, large[:100_000])
    assert stage.server.take() == large[:100_000]
    stage.say(client, large[100_000:] + EXECUTE + SYNC)
    assert stage.server.take() == large[100_000:] + FLUSH
    stage.say(stage.server, PARSED + BOUND)
    assert stage.server.take() == EXECUTE + SYNC
    stage.say(stage.server, DONE + ready())
    assert client.take() == PARSED + BOUND + DONE + ready()
    assert ended == [("ok", "insert"), ("ok", None)]


# -- errors of the proxy's own


def test_a_refused_query_is_an_error_and_the_client_goes_on() -> None:
    stage = Stage(Postgres(), hooks=refusing("drop"))
    client = logged_in(stage)
    stage.say(client, query("drop table t"))
    assert stage.server.take() == b""
    answer = client.take()
    assert (errors(answer), kinds(answer), messages(answer)[-1]) == (["42501"], "EZ", ("Z", b"I"))
    stage.say(client, query("select 1"))
    assert stage.server.take() == query("select 1")


def test_a_refused_part_of_a_batch_makes_the_server_undo_the_batch_and_the_rest_is_skipped() -> None:
    stage = Stage(Postgres(), hooks=refusing("drop"))
    client = logged_in(stage)
    stage.say(client, parse("insert into t values (1)") + bind() + EXECUTE + FLUSH)
    stage.say(stage.server, PARSED + BOUND + DONE)
    stage.server.take()
    client.take()
    stage.say(client, parse("drop table t") + FLUSH)
    assert kinds(stage.server.take()) == "PH"  # what is no SQL
    stage.say(stage.server, error())
    assert errors(client.take()) == ["42501"]
    stage.say(client, parse("insert into t values (2)") + bind() + EXECUTE + SYNC)
    assert stage.server.take() == SYNC
    stage.say(stage.server, ready())
    assert client.take() == ready()


def test_a_refused_query_makes_its_transaction_fail() -> None:
    stage = Stage(Postgres(), hooks=refusing("drop"))
    client = logged_in(stage)
    stage.say(client, query("begin"))
    stage.say(stage.server, DONE + ready("T"))
    client.take()
    stage.server.take()
    stage.say(client, query("drop table t"))
    assert kinds(stage.server.take()) == "PS"
    stage.say(stage.server, error() + ready("E"))
    answer = client.take()
    assert (errors(answer), messages(answer)[-1]) == (["42501"], ("Z", b"E"))


def test_a_query_that_is_not_answered_in_time_ends_the_connection_whose_state_is_not_known() -> None:
    stage = Stage(Postgres())
    client = logged_in(stage)
    stage.say(client, query("select pg_sleep(60)"))
    stage.clock.advance(16)
    assert errors(client.take()) == ["57014"]
    assert client.closed


@pytest.mark.parametrize(
    ("data", "is_it"),
    [(HELLO, True), (asked_for(80877103), True), (HELLO[:5], None), (b"GET / HT", False), (b"*1\r\n$4\r\n", False)],
)
def test_a_client_is_known_by_its_first_message(data: bytes, is_it: bool | None) -> None:
    assert Postgres().detect(data) is is_it


def test_logins_are_confidential() -> None:
    session = Postgres().session(Side.CLIENT, MAX)
    hello, password = session.receive(HELLO + said("p", b"secret\0"))
    assert Postgres().confidential(password)
    assert Postgres().confidential(hello)
    assert not Postgres().confidential(requests(query("select 1"))[0])
