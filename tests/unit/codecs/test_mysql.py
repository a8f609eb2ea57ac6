"""MySQL whose login passes: what both sides say, which answers are passed on when, errors of the proxy's own."""

from __future__ import annotations

from typing import Any

import pytest
from mysql_words import (
    BASE,
    MAX,
    SERVER,
    C,
    Pair,
    column,
    command,
    eof,
    error,
    greeting,
    join,
    kinds,
    login,
    ok,
    prepared,
    query,
    rows,
)  # fmt: skip

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.handshake import Greeting, Login, Switch
from metaproxy.codecs.mysql.packets import AUTOCOMMIT, FULL, MORE_RESULTS, last_sequence, packet, payload_of, read_error
from metaproxy.message import Chunk, ErrorKind, FinalFrame, Hold, Kind, Message, Side
from metaproxy.testing import Stage, check_codec, check_relay
from metaproxy.units import Bytes

REQUEST, ONEWAY, RESPONSE, ERROR, EVENT, INTERIM = (
    Kind.REQUEST, Kind.ONEWAY, Kind.RESPONSE, Kind.ERROR, Kind.EVENT, Kind.INTERIM,
)  # fmt: skip
OPEN, DATA, CLOSE = Kind.STREAM_OPEN, Kind.STREAM_DATA, Kind.STREAM_CLOSE
ANSWERS = [ok(), error(), rows([["1", "a"], ["2", "b"]]), rows([["1"]], status=10) + ok(5), rows([["x" * 300]] * 5)]
COMMANDS = [
    query("select 1"), command(14), command(2, "other"), command(0x19, b"\1\0\0\0"), command(0x1F), query("use d"),
    command(0x18, b"\1\0\0\0\0\0" + b"x" * 500), command(9), query("insert into t values (1)"),
]  # fmt: skip


def prepare(session: Any, side: Side) -> None:
    """Log in; at a server's, ask what its frames answer."""
    if side is Side.CLIENT:
        session.send(Message(EVENT, greeting()), 0)
        (message,) = session.receive(login())
        session.send(Message(RESPONSE, ok(2), message.id), message.id)
    else:
        session.receive(greeting())
        session.send(Message(REQUEST, login()), 0)
        session.receive(ok(2))
        for _ in ANSWERS:
            session.send(Message(REQUEST, query("select 1")), 0)


def read_all(session: Any, data: bytes) -> list[Message]:
    messages: list[Message] = session.receive(data)
    assert session.error is None
    return messages


# -- the contract


def test_it_keeps_the_contract() -> None:
    check_codec(MySQL(), client=COMMANDS, server=ANSWERS, prepare=prepare, join=join)


def test_a_conversation_comes_out_the_same_however_it_is_cut() -> None:
    conversation = [
        (Side.SERVER, greeting(BASE)),
        (Side.CLIENT, login()),
        (Side.SERVER, ok(2)),
        (Side.CLIENT, query("select 1")),
        (Side.SERVER, rows([["1", "a"], ["2", "b"]])),
        (Side.CLIENT, query("nonsense")),
        (Side.SERVER, error()),
        (Side.CLIENT, command(1)),
    ]
    both = {side: b"".join(data for who, data in conversation if who is side) for side in Side}
    check_relay(MySQL(), conversation, both[Side.CLIENT], both[Side.SERVER])


# -- greeting and login


def test_the_greeting_passes_without_what_the_proxy_can_not_follow() -> None:
    pair = Pair(logged_in=False)
    assert kinds(pair.hears(greeting())) == [EVENT]
    passed = Greeting.read(payload_of(pair.take()[1]))
    assert passed.capabilities & ~SERVER == 0
    assert SERVER & ~passed.capabilities == C.SSL | C.COMPRESS | C.COM_MULTI
    assert passed == Greeting.read(payload_of(greeting())).without(C.SSL | C.COMPRESS | C.COM_MULTI)


@pytest.mark.parametrize("flags", [BASE, BASE & ~C.LENENC_AUTH_DATA, BASE & ~C.PLUGIN_AUTH & ~C.CONNECT_ATTRS])
def test_what_is_read_of_a_login_is_written_again_as_it_was(flags: int) -> None:
    payload = payload_of(login(flags))
    assert Login.read(payload).write() == payload


def test_a_login_is_one_exchange_with_its_questions_between() -> None:
    pair = Pair(logged_in=False)
    pair.hears(greeting())
    (asked,) = pair.says(login(user="ann"))
    assert (asked.kind, asked.get("command"), asked.get("user"), asked.get("database")) == (
        REQUEST,
        "login",
        "ann",
        "d",
    )
    switch = packet(Switch(b"client_ed25519", b"x" * 32).write(), 2)
    assert kinds(pair.hears(switch)) == [INTERIM]
    (proof,) = pair.says(packet(b"p" * 64, 3))
    assert (proof.kind, proof.get("command")) == (ONEWAY, "login")
    assert kinds(pair.hears(ok(4))) == [RESPONSE]
    assert pair.take() == (login(user="ann") + packet(b"p" * 64, 3), pair_greeting() + switch + ok(4))


def pair_greeting() -> bytes:
    pair = Pair(logged_in=False)
    pair.hears(greeting())
    return pair.take()[1]


def test_a_packet_of_a_login_that_no_server_asked_for_is_none() -> None:
    pair = Pair(logged_in=False)
    pair.hears(greeting())
    pair.says(login())
    pair.client.receive(packet(b"\3drop table t", 2))
    assert "did not ask" in str(pair.client.error)


def test_behind_a_quick_login_the_server_asks_for_nothing() -> None:
    pair = Pair(logged_in=False)
    pair.hears(greeting())
    pair.says(login())
    pair.hears(packet(b"\1\3", 2))
    pair.client.receive(packet(b"\3drop table t", 3))
    assert "did not ask" in str(pair.client.error)


def test_what_the_client_believes_to_be_able_to_counts_only_if_the_server_offered_it() -> None:
    pair = Pair(logged_in=False)
    pair.hears(greeting(BASE))
    pair.says(login(BASE | C.QUERY_ATTRIBUTES | C.DEPRECATE_EOF))
    pair.hears(ok(2))
    (message,) = pair.says(query("select 1"))
    assert message.get("statement") == "select"
    assert kinds(pair.hears(rows([["1"]]))) == [RESPONSE]


def test_a_server_that_refuses_the_connection_ends_it_with_its_words() -> None:
    session = MySQL().session(Side.SERVER, MAX)
    assert session.receive(packet(b"\xff\x10\x04Too many connections", 0)) == []
    assert not session.ready and "1040 Too many connections" in str(session.error)


def test_a_login_that_claims_tls_which_was_not_begun_goes_nowhere() -> None:
    pair = Pair(logged_in=False)
    pair.hears(greeting())
    assert pair.says(login(BASE | C.SSL)) == []
    assert "not begun" in str(pair.client.error)


def test_a_command_before_the_login_goes_nowhere() -> None:
    pair = Pair(logged_in=False)
    pair.hears(greeting())
    (message,) = pair.client.receive(query("select 1"))
    with pytest.raises(Exception, match="a login of"):
        pair.server.send(message, 0)


# -- answers


@pytest.mark.parametrize("deprecated", [False, True])
def test_a_set_of_rows_that_one_read_brings_is_a_whole_answer(deprecated: bool) -> None:
    pair = Pair(flags=BASE | (C.DEPRECATE_EOF if deprecated else 0))
    pair.says(query("select 1"))
    data = rows([["1", "a"], ["2", "b"]], deprecated)
    assert [(message.kind, message.frame) for message in pair.hears(data)] == [(RESPONSE, data)]


def test_of_rows_that_are_not_all_there_those_that_came_are_passed_on() -> None:
    pair = Pair()
    pair.says(query("select 1"))
    data = rows([["x" * 100]] * 10)
    first, second = pair.hears(data[:500]), pair.hears(data[500:])
    assert kinds(first) == [OPEN] and kinds(second) == [CLOSE]
    assert pair.take()[1] == data


@pytest.mark.parametrize(
    ("said", "number"),
    [
        (rows([["a"], ["b"], ["c"]]), "3"),
        (rows([["a"]], status=AUTOCOMMIT | MORE_RESULTS) + rows([["b"], ["c"]], sequence=6), "3"),
        (packet(b"\0\x07\0\2\0\0\0", 1), "7"),
    ],
    ids=["rows", "of all results", "that a statement changed"],
)
def test_an_answer_says_how_many_rows_it_has(said: bytes, number: str) -> None:
    pair = Pair()
    pair.says(query("select a from t"))
    (answer,) = pair.server.receive(said)
    assert answer.get("rows") == number


def test_the_head_of_rows_that_come_in_pieces_says_so_at_its_end_however_they_are_cut() -> None:
    said = rows([["a" * 50], ["b" * 300], ["c"]])
    for size in (1, 7, 60):
        pair = Pair()
        pair.says(query("select a from t"))
        messages = [
            message for at in range(0, len(said), size) for message in pair.server.receive(said[at : at + size])
        ]
        assert (messages[0].kind, messages[0].get("rows")) == (Kind.STREAM_OPEN, "3")


def test_an_error_behind_rows_ends_the_stream_as_failed() -> None:
    pair = Pair()
    pair.says(query("select 1"))
    data = rows([["a"], ["b"]])
    pair.hears(data[: -len(eof(1))])
    (last,) = pair.hears(error(sequence=9))
    assert isinstance(last, Chunk) and last.kind is CLOSE and last.failed


def test_a_whole_answer_that_ends_with_an_error_is_an_error() -> None:
    pair = Pair()
    pair.says(query("select 1; select nothing"))
    (message,) = pair.hears(rows([["1"]], status=10) + error(sequence=6))
    assert (message.kind, message.get("errno"), message.get("sqlstate")) == (ERROR, "1146", "42S02")


def test_several_results_are_one_answer() -> None:
    pair = Pair()
    pair.says(query("select 1; delete from t; select 2"))
    data = rows([["1"]], status=10) + ok(5, status=10) + rows([["2"]], sequence=6)
    assert kinds(pair.hears(data)) == [RESPONSE]
    assert kinds(pair.says(command(14))) == [REQUEST]
    assert kinds(pair.hears(ok())) == [RESPONSE]


def test_a_statement_with_a_cursor_has_no_rows_behind_its_columns() -> None:
    pair = Pair()
    pair.says(command(0x17, b"\1\0\0\0\1\1\0\0\0"))
    data = packet(b"\1", 1) + column("a", 2) + eof(3, 0x42)
    assert kinds(pair.hears(data)) == [RESPONSE]
    pair.says(command(0x1C, b"\1\0\0\0\5\0\0\0"))
    assert kinds(pair.hears(packet(b"\0\0\1", 1) + eof(2, 0x82))) == [RESPONSE]


@pytest.mark.parametrize("deprecated", [False, True])
@pytest.mark.parametrize(("parameters", "columns"), [(0, 0), (2, 0), (0, 3), (2, 3)])
def test_a_prepared_statement_comes_with_its_parameters_and_columns(
    parameters: int, columns: int, deprecated: bool
) -> None:
    pair = Pair(flags=BASE | (C.DEPRECATE_EOF if deprecated else 0))
    pair.says(command(0x16, "select ?"))
    data = prepared(5, parameters, columns, deprecated)
    for at in range(1, len(data)):
        assert pair.hears(data[at - 1 : at]) == []
    assert kinds(pair.hears(data[-1:])) == [RESPONSE]


def test_the_text_of_a_prepared_statement_is_metadata_of_those_that_execute_it() -> None:
    pair = Pair()
    pair.says(command(0x16, "update t set a = ?"))
    pair.hears(prepared(5, 1, 0))
    (executed,) = pair.says(command(0x17, b"\5\0\0\0\0\1\0\0\0"))
    assert (executed.get("command"), executed.get("statement")) == ("stmt_execute", "update")
    pair.says(command(0x19, b"\5\0\0\0"))
    (unknown,) = pair.says(command(0x17, b"\5\0\0\0\0\1\0\0\0"))
    assert unknown.get("statement") is None
    assert unknown.values("statement") == (), "it may be any"


def test_a_row_of_more_than_16_mib_is_stepped_over() -> None:
    pair = Pair()
    pair.says(query("select 1"))
    value = b"\xfd\xff\xff\xff" + b"\xfe" * FULL
    data = packet(b"\1", 1) + column("a", 2) + eof(3) + packet(value, 4) + packet(b"\1x", 6) + eof(7)
    for at in range(0, len(data), 1 << 16):
        pair.hears(data[at : at + (1 << 16)])
    assert pair.server.error is None and pair.server.buffered == 0
    assert pair.take()[1] == data


def test_what_answers_nothing_is_passed_only_if_it_is_an_error() -> None:
    pair = Pair()
    assert kinds(pair.hears(error(1927, 0))) == [EVENT]
    pair.server.receive(ok())
    assert "nothing that was asked" in str(pair.server.error)


def test_a_server_that_sends_rows_behind_its_last_answer_breaks_the_protocol() -> None:
    pair = Pair()
    pair.says(query("select 1"))
    pair.hears(rows([["1"]]))
    assert pair.hears(packet(b"\x011", 6)) == []
    assert "nothing that was asked" in str(pair.server.error)


def test_reports_of_progress_answer_nothing() -> None:
    pair = Pair(flags=BASE | C.PROGRESS & ~C.MYSQL)
    pair.says(query("alter table t force"))
    progress = packet(b"\xff\xff\xff\1\1\2\0\0\0\4copy", 1)
    assert kinds(pair.hears(progress)) == [INTERIM]
    assert kinds(pair.hears(ok(2))) == [RESPONSE]


# -- commands


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("select 1", "select"), ("  SELECT 1", "select"), ("/* a */ -- b\n# c\n Insert into t", "insert"),
        ("/*!40101 set names utf8 */", "set"), ("(select 1)", "select"),
        ("begin", "begin"), ("with a as (select 1) delete from t", "delete"),
    ],
)  # fmt: skip
def test_the_statement_of_a_query_is_metadata(text: str, kind: str) -> None:
    (message,) = Pair().says(query(text))
    known = {key: message.get(key) for key in ("command", "operation", "statement", "user", "database")}
    assert known == {"command": "query", "operation": kind, "statement": kind, "user": "app", "database": "d"}


@pytest.mark.parametrize("said", [command(2, "other"), query("use other"), query(" USE `other` ;")])
def test_the_database_follows_what_the_server_has_agreed_to(said: bytes) -> None:
    pair = Pair()
    pair.says(said)
    pair.hears(error(1049))
    assert pair.says(query("select 1"))[0].get("database") == "d"
    pair.hears(ok())
    pair.says(said)
    pair.hears(ok())
    assert pair.says(query("select 1"))[0].get("database") == "other"


def test_commands_that_nothing_answers_are_one_way() -> None:
    pair = Pair()
    assert kinds(pair.says(command(0x19, b"\1\0\0\0") + command(0x18, b"\1\0\0\0\0\0xx"))) == [ONEWAY, ONEWAY]


def test_a_goodbye_closes() -> None:
    pair = Pair()
    assert kinds(pair.says(command(1) + query("select 1"))) == [ONEWAY]
    assert pair.client.closing


def test_a_command_that_is_not_known_is_refused_by_the_proxy() -> None:
    (message,) = Pair().client.receive(command(0x20, b"clone"))
    assert message.answer is not None
    assert read_error(payload_of(message.answer))[:2] == (1047, "08S01")


def test_a_command_that_does_not_begin_to_count_at_0_is_none() -> None:
    pair = Pair()
    pair.client.receive(packet(b"\3select 1", 3))
    assert "sequence number 3" in str(pair.client.error)


def test_a_change_of_user_is_a_login() -> None:
    pair = Pair()
    (message,) = pair.says(command(0x11, b"ann\0\4abcdother\0\x21\0mysql_native_password\0"))
    assert (message.kind, message.hold, message.get("command")) == (REQUEST, Hold.WAIT, "change_user")
    pair.hears(packet(Switch(b"mysql_native_password", b"y" * 20).write(), 1))
    assert kinds(pair.says(packet(b"p" * 20, 2))) == [ONEWAY]
    pair.hears(ok(3))
    (after,) = pair.says(query("select 1"))
    assert (after.get("user"), after.get("database")) == ("ann", "other")


def test_a_command_within_a_login_breaks_the_protocol_as_it_would_be_taken_for_a_part_of_it() -> None:
    pair = Pair()
    pair.says(command(0x11, b"ann\0\0d\0mysql_native_password\0"))
    pair.hears(packet(b"\xfemysql_native_password\0" + b"n" * 20 + b"\0", 1))
    assert pair.says(query("select 1")) == []
    assert "before the login is over" in str(pair.client.error)


def test_a_client_may_leave_within_a_login() -> None:
    pair = Pair(logged_in=False)
    pair.hears(greeting())
    pair.says(login())
    assert kinds(pair.says(command(1))) == [Kind.ONEWAY] and pair.client.closing


def test_of_a_change_of_user_that_breaks_the_protocol_the_server_hears_nothing() -> None:
    pair = Pair()
    assert pair.says(command(0x11, b"ann")) == []
    assert "the challenge" in str(pair.client.error)


def test_attributes_of_a_query_stand_before_its_text() -> None:
    pair = Pair(flags=BASE | C.QUERY_ATTRIBUTES)
    attributes = b"\2\1" + b"\0" + b"\1" + b"\xfe\0\1a" + b"\x08\0\1b" + b"\5hello" + b"\1" + b"\0" * 7
    (message,) = pair.says(command(3, attributes + b"delete from t"))
    assert message.get("statement") == "delete"


# -- what is long


def test_a_long_command_comes_in_pieces_with_its_metadata() -> None:
    pair = Pair(MySQL(stream_over=Bytes(1 << 16)))
    said = query("insert into t values ('" + "x" * 200_000 + "')")
    messages = [message for at in range(0, len(said), 5000) for message in pair.says(said[at : at + 5000])]
    assert kinds(messages[:1] + messages[-1:]) == [OPEN, CLOSE]
    assert messages[0].get("statement") == "insert"
    assert messages[0].values("fingerprint") == () == messages[0].values("statement"), "only its beginning is there"
    assert {message.id for message in messages} == {messages[0].id}
    assert pair.take()[0] == said


@pytest.mark.parametrize("size", [FULL - 1, FULL, FULL + 1, FULL + 70000])
def test_a_command_of_several_packets_is_one(size: int) -> None:
    pair = Pair()
    said = packet(b"\3" + b"x" * (size - 1), 0)
    messages = [message for at in range(0, len(said), 1 << 16) for message in pair.says(said[at : at + (1 << 16)])]
    assert kinds(messages[:1] + messages[-1:]) == [OPEN, CLOSE]
    assert kinds(pair.says(command(14))) == [REQUEST]
    assert pair.take()[0] == said + command(14)


def test_other_commands_are_bounded() -> None:
    pair = Pair(MySQL(stream_over=Bytes(1 << 16)))
    pair.client.receive(command(14, b"x" * 70000)[:100])
    assert "allowed are 65532" in str(pair.client.error)


def test_the_file_that_a_server_asks_for_is_the_rest_of_the_request() -> None:
    pair = Pair(flags=BASE | C.LOCAL_FILES)
    (asked,) = pair.says(query("load data local infile 'a.csv' into table t"))
    (head,) = pair.hears(packet(b"\xfba.csv", 1))
    assert (head.kind, head.duplex, head.get("local_infile")) == (OPEN, True, "a.csv")
    file = packet(b"1,2\n", 2) + packet(b"3,4\n", 3) + packet(b"", 4)
    messages = pair.says(file)
    assert kinds(messages)[-1] == CLOSE and {message.id for message in messages} == {asked.id}
    assert kinds(pair.hears(ok(5))) == [CLOSE]
    assert pair.take()[0].endswith(file)
    assert kinds(pair.says(command(14))) == [REQUEST]


def test_a_file_is_asked_for_behind_other_results_too() -> None:
    pair = Pair(flags=BASE | C.LOCAL_FILES)
    pair.says(query("select 1; load data local infile 'a.csv' into table t"))
    data = rows([["1"]], status=10)
    first = pair.hears(data[:60])
    second = pair.hears(data[60:] + packet(b"\xfba.csv", 6))
    assert kinds(first + second) == [OPEN, DATA] and first[0].duplex
    assert kinds(pair.says(packet(b"", 7))) == [CLOSE]
    assert kinds(pair.hears(ok(8))) == [CLOSE]


def test_a_server_may_only_ask_for_a_file_of_a_client_that_offered_files() -> None:
    pair = Pair()
    pair.says(query("select 1"))
    assert pair.hears(packet(b"\xfb/etc/passwd", 1)) == []
    assert "did not offer any" in str(pair.server.error)


def test_one_answer_may_ask_for_several_files() -> None:
    stage = Stage(MySQL(), connections=ConnectionSettings(mode="pinned"))
    client = stage.client()
    stage.clock.advance(0)
    (server,) = stage.network.upstreams
    for wire, data in ((server, greeting()), (client, login(BASE | C.LOCAL_FILES)), (server, ok(2))):
        stage.say(wire, data)
    stage.say(client, query("load data local infile 'a' into table t; load data local infile 'b' into table t"))
    server.take()
    for asked in (packet(b"\xfba", 1), packet(b"\xfbb", 5)):
        stage.say(server, asked)
        file = packet(b"1,2\n", asked[3] + 1) + packet(b"", asked[3] + 2)
        stage.say(client, file)
        assert server.take() == file
        stage.say(server, ok(asked[3] + 3, AUTOCOMMIT | (MORE_RESULTS if asked[5:] == b"a" else 0)))
    stage.say(client, query("select 1"))
    assert server.take() == query("select 1")


def test_a_statement_s_long_values_get_no_answer() -> None:
    pair = Pair(MySQL(stream_over=Bytes(1 << 16)))
    head, *_ = pair.says(command(0x18, b"\1\0\0\0\0\0" + b"x" * 100_000))
    assert head.kind is OPEN and head.oneway


def test_events_of_a_log_are_passed_on_as_they_come() -> None:
    pair = Pair()
    pair.says(command(0x12, b"\4\0\0\0\0\0\2\0\0\0bin.000001"))
    events = [packet(b"\0" + b"e" * 50, number) for number in range(1, 4)]
    assert [kinds(pair.hears(event)) for event in events] == [[OPEN], [DATA], [DATA]]
    assert kinds(pair.says(command(0xEF, b"ack"))) == [ONEWAY]
    assert kinds(pair.hears(eof(4))) == [CLOSE]


# -- errors of the proxy's own


def reply(pair: Pair, message: Message, kind: ErrorKind, name: str = "") -> bytes:
    made = pair.codec.reply(message, kind, "no", name)
    return pair.client.send(made, message.id) if isinstance(made, Message) else made


@pytest.mark.parametrize("kind", ErrorKind)
def test_each_kind_of_error_has_a_number_and_a_state(kind: ErrorKind) -> None:
    pair = Pair()
    (message,) = pair.says(query("select 1"))
    frame = reply(pair, message, kind)
    refusal = read_error(payload_of(frame))
    assert frame[3] == 1 and not isinstance(frame, FinalFrame)
    assert 1000 <= refusal.number < 5000 and len(refusal.state) == 5 and refusal.text == "no"


def test_an_error_may_have_a_number_and_a_state_by_name() -> None:
    pair = Pair()
    assert pair.codec.knows("1205/40001") and pair.codec.knows("1205") and not pair.codec.knows("40001/1205")
    assert not pair.codec.knows("2003"), "which is an error of clients"
    (message,) = pair.says(query("select 1"))
    assert read_error(payload_of(reply(pair, message, ErrorKind.DENIED, "1205/40001")))[:2] == (1205, "40001")


def test_a_login_that_is_denied_ends_the_connection() -> None:
    pair = Pair(logged_in=False)
    pair.hears(greeting())
    (message,) = pair.client.receive(login())
    frame = reply(pair, message, ErrorKind.DENIED)
    assert isinstance(frame, FinalFrame) and frame[3] == 2
    assert read_error(payload_of(frame))[:2] == (1045, "28000")


def test_a_change_of_user_that_gets_no_answer_in_time_ends_the_connection() -> None:
    pair = Pair()
    (message,) = pair.says(command(0x11, b"ann\0\0d\0"))
    assert isinstance(reply(pair, message, ErrorKind.TIMEOUT), FinalFrame)


def test_a_client_that_no_server_is_there_for_gets_an_error_in_place_of_a_greeting() -> None:
    frame = MySQL().reply(Message(Kind.CONNECT, b""), ErrorKind.NO_ENDPOINT, "no server")
    assert isinstance(frame, FinalFrame)
    assert frame[3] == 0 and read_error(payload_of(frame)) == (1429, "", "no server")


def test_an_error_counts_on_from_the_request_s_last_packet() -> None:
    pair = Pair(MySQL(stream_over=Bytes(1 << 16)))
    said = packet(b"\3" + b"x" * (FULL + 70000), 0)
    (head, *_) = pair.client.receive(said[:70000])
    assert reply(pair, head, ErrorKind.DENIED) == b"", "the client is not done yet"
    for at in range(70000, len(said), 1 << 16):
        pair.client.receive(said[at : at + (1 << 16)])
    assert pair.client.owes
    frame = pair.client.owed()
    assert last_sequence(said) == 1 and frame[3] == 2 and read_error(payload_of(frame)).number == 1142


def test_logins_are_confidential() -> None:
    pair = Pair(logged_in=False)
    pair.hears(greeting())
    codec = pair.codec
    assert all(map(codec.confidential, pair.says(login())))
    pair.hears(ok(2))
    assert codec.confidential(pair.says(command(0x11, b"ann\0\4abcdother\0"))[0])
    pair.hears(ok(1))
    assert not codec.confidential(pair.says(query("select 1"))[0])


@pytest.mark.parametrize(
    "text",
    [
        "create user x identified by 'hush'", "select 1; alter user x identified by 'hush'", "set password = 'hush'",
        "grant all on *.* to x identified by 'hush'", "change master to master_password = 'hush'",
        "/*!50000 create user x identified by 'hush' */", "begin not atomic create user x identified by 'hush'; end",
        "create server s foreign data wrapper mysql options (user 'x', password 'hush')", "show grants for x",
        "update mysql.user set password = password('hush')", "select authentication_string from mysql . user",
        "prepare s from 'set password = \\'hush\\''", "select PASSWORD ('hush')", "show create user x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("code", [3, 0x16])
def test_passwords_of_accounts_are_confidential(code: int, text: str) -> None:
    pair = Pair()
    assert pair.codec.confidential(pair.says(command(code, text))[0])


@pytest.mark.parametrize(
    "text",
    [
        "select password from accounts where user = 'x'", "insert into t (password) values ('x')", "set a = 1",
        "create table t (password varchar(9))", "select 'identified'", "begin; update t set password = 'x'; commit",
    ],
)  # fmt: skip
def test_columns_of_such_names_are_not(text: str) -> None:
    pair = Pair()
    assert not pair.codec.confidential(pair.says(query(text))[0])


def test_an_execution_is_as_confidential_as_its_statement() -> None:
    pair = Pair()
    for text, is_so in (("create user x identified by ?", True), ("select ?", False)):
        pair.says(command(0x16, text))
        pair.hears(prepared(7, 1, 0))
        assert pair.codec.confidential(pair.says(command(0x17, b"\7\0\0\0\0\1\0\0\0"))[0]) == is_so
        pair.hears(ok())


def test_of_one_that_comes_in_pieces_the_beginning_is_looked_at() -> None:
    pair = Pair(MySQL(stream_over=Bytes(65536)))
    (head, *_) = pair.client.receive(query("create user x identified by '" + "x" * 90_000 + "'")[:80_000])
    assert pair.codec.confidential(head)
