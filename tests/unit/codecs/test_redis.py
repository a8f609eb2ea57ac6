from __future__ import annotations

import json
from pathlib import Path

import pytest

from metaproxy.codecs.redis import Redis, commands, resp
from metaproxy.codecs.redis.metadata import MULTI, tag
from metaproxy.message import ErrorKind, FrameError, Hold, Kind, Message, Part, Side
from metaproxy.testing import check_codec

GOLDEN = sorted((Path(__file__).parents[2] / "golden" / "redis").glob("*.json"))


def command(*words: str | bytes) -> bytes:
    return resp.encode([word.encode() if isinstance(word, str) else word for word in words])


def client(**options: object) -> object:
    return Redis(**options).session(Side.CLIENT, 1 << 20)  # type: ignore[arg-type]


def read(session: object, *words: str) -> Message:
    (message,) = session.receive(command(*words))  # type: ignore[attr-defined]
    assert isinstance(message, Message)
    return message


def server(profile: tuple[int, int] | None = None) -> object:
    session = Redis().session(Side.SERVER, 1 << 20)
    session.open(profile, {})
    return session


def test_the_contract_holds() -> None:
    check_codec(
        Redis(),
        client=[
            command("GET", "a"), command("SET", "a", "hi"), command("PING"), command("MGET", "a", "b"),
            command("BLPOP", "l", "0"),
        ],
        server=[
            b"+OK\r\n", b":1\r\n", b"$5\r\nhello\r\n", b"$-1\r\n", b"*-1\r\n", b"*2\r\n$1\r\na\r\n*1\r\n:5\r\n",
            b"%1\r\n+a\r\n:1\r\n", b"-ERR x\r\n", b"|1\r\n+k\r\n+v\r\n*0\r\n", b"~2\r\n#t\r\n,1.5\r\n",
            b"=7\r\ntxt:abc\r\n",
            b"(12345678901234567890\r\n", b"_\r\n", b"!5\r\nERR x\r\n", b"*0\r\n", b"$0\r\n\r\n",
        ],
    )  # fmt: skip


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_what_real_peers_sent_is_decoded_to_its_last_byte(path: Path) -> None:
    codec = Redis()
    for exchange in json.loads(path.read_text())["exchanges"]:
        sides = {"client": codec.session(Side.CLIENT, 1 << 24), "server": codec.session(Side.SERVER, 1 << 24)}
        for frame in exchange["frames"]:
            session = sides[frame["from"]]
            for message in session.receive(bytes.fromhex(frame["hex"].replace(" ", ""))):
                if frame["from"] == "client":
                    sides["server"].send(message, 0)
                    assert message.get("command")
                else:
                    sides["client"].send(message, 0)
        for session in sides.values():
            assert session.error is None and session.buffered == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["get", "k"], ["k"]),
        (["MSET", "a", "1", "b", "2"], ["a", "b"]),
        (["BLPOP", "a", "b", "0"], ["a", "b"]),
        (["EVAL", "return 1", "2", "a", "b", "arg"], ["a", "b"]),
        (["ZUNIONSTORE", "out", "2", "a", "b"], ["out", "a", "b"]),
        (["XREAD", "COUNT", "2", "STREAMS", "s1", "s2", "0", "0"], ["s1", "s2"]),
        (["BITOP", "AND", "dest", "a", "b"], ["dest", "a", "b"]),
        (["OBJECT", "ENCODING", "k"], ["k"]),
        (["RENAME", "a", "b"], ["a", "b"]),
        (["PING"], []),
        (["INFO", "memory"], []),
    ],
)
def test_keys_are_found_where_the_command_has_them(words: list[str], expected: list[str]) -> None:
    message = read(client(), *words)
    assert message.get("command") == words[0].upper()
    assert (message.get("keys") or "").split() == expected


@pytest.mark.parametrize(
    ("key", "expected"), [("a", "a"), ("x{a}y", "a"), ("x{}y", "x{}y"), ("{a", "{a"), ("a}{b}{c}", "b")]
)
def test_the_tag_is_what_stands_between_the_first_braces(key: str, expected: str) -> None:
    assert tag(key) == expected
    assert read(client(), "GET", key).get("tag") == expected


def test_keys_that_are_no_utf8_stay_apart() -> None:
    session = client()
    (one,) = session.receive(command("GET", b"\xff"))  # type: ignore[attr-defined]
    (two,) = session.receive(command("GET", b"\xfe"))  # type: ignore[attr-defined]
    assert one.get("key") != two.get("key")


def test_inline_commands_are_forwarded_as_arrays() -> None:
    (message,) = client().receive(b"set  key 'a b' \"\\x41\\n\"\r\n")  # type: ignore[attr-defined]
    assert resp.arguments(message.frame) == [b"set", b"key", b"a b", b"A\n"]
    assert client().receive(b"\r\n  \r\n") == []  # type: ignore[attr-defined]


def test_unbalanced_quotes_break_the_protocol() -> None:
    session = client()
    assert session.receive(b"set 'a\r\n") == []  # type: ignore[attr-defined]
    assert str(session.error) == "unbalanced quotes in request"  # type: ignore[attr-defined]


def test_a_command_over_the_bound_is_refused_on_its_head() -> None:
    session = Redis().session(Side.CLIENT, 1000)
    session.receive(b"*2\r\n$3\r\nGET\r\n$1000\r\n")
    assert "more than 1000 bytes" in str(session.error)
    assert session.buffered == 0


def test_a_reply_over_the_bound_is_refused_before_its_values_come() -> None:
    session = Redis().session(Side.SERVER, 1000)
    session.receive(b"*400\r\n")
    assert "more than 1000 bytes" in str(session.error)


# -- answered by the codec


def test_select_moves_the_client_to_connections_of_that_database() -> None:
    session = client()
    assert read(session, "GET", "a").profile is None
    selected = read(session, "SELECT", "3")
    assert (selected.answer, selected.hold) == (b"+OK\r\n", Hold.WAIT)
    message = read(session, "GET", "a")
    assert message.profile == (2, 3) and message.get("database") == "3"
    assert read(session, "SELECT", "16").answer == b"-ERR DB index is out of range\r\n"
    read(session, "SELECT", "0")
    assert read(session, "GET", "a").profile is None


def test_hello_3_moves_the_client_to_resp3() -> None:
    session = client()
    answer = read(session, "HELLO", "3", "SETNAME", "me").answer
    assert answer is not None and answer.startswith(b"%7\r\n") and b"proto\r\n:3" in answer
    assert read(session, "GET", "a").profile == (3, 0)
    assert read(session, "CLIENT", "GETNAME").answer == b"$2\r\nme\r\n"
    assert read(session, "HELLO", "4").answer == b"-NOPROTO unsupported protocol version\r\n"


def test_without_login_nothing_but_the_login_is_taken() -> None:
    session = client(auth={"password": "sesame", "users": {"anna": "pw"}})
    assert read(session, "GET", "a").answer == b"-NOAUTH Authentication required.\r\n"
    assert read(session, "AUTH", "wrong").answer.startswith(b"-WRONGPASS")  # type: ignore[union-attr]
    assert read(session, "AUTH", "anna", "sesame").answer.startswith(b"-WRONGPASS")  # type: ignore[union-attr]
    assert read(session, "HELLO", "3").answer.startswith(b"-NOAUTH")  # type: ignore[union-attr]
    assert read(session, "AUTH", "sesame").answer == b"+OK\r\n"
    assert read(session, "GET", "a").answer is None
    other = client(auth="sesame")
    assert b"proto" in (read(other, "HELLO", "2", "AUTH", "default", "sesame").answer or b"")
    assert read(other, "GET", "a").answer is None


@pytest.mark.parametrize("auth", [{}, {"pasword": "x"}, {"users": {"a": ""}}, {"users": "x"}, ""])
def test_an_auth_that_names_nobody_is_an_error_of_the_configuration(auth: object) -> None:
    with pytest.raises(ValueError):
        Redis(auth=auth)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(commands.REFUSED))
def test_what_cannot_work_through_a_proxy_is_refused_with_the_reason(name: str) -> None:
    answer = read(client(), name).answer or b""
    assert answer.startswith(b"-ERR") and commands.REFUSED[name].encode() in answer


def test_denied_commands_are_refused_in_any_spelling() -> None:
    session = client(deny=["flushall"])
    assert read(session, "FlushAll").answer == b"-NOPERM FLUSHALL is not allowed here\r\n"
    assert read(session, "GET", "a").answer is None


def test_quit_closes_after_its_answer() -> None:
    session = client()
    assert read(session, "QUIT").answer == b"+OK\r\n"
    assert session.closing  # type: ignore[attr-defined]


# -- what binds a connection


def test_a_transaction_goes_where_its_first_command_goes() -> None:
    session = client()
    assert read(session, "MULTI").answer == b"+OK\r\n"
    first = read(session, "SET", "k", "v")
    assert first.hold is Hold.OPEN and first.frame == MULTI + command("SET", "k", "v")
    assert first.get("key") == "k"
    assert read(session, "INCR", "n").hold is Hold.NONE
    assert read(session, "EXEC").hold is Hold.CLOSE
    assert read(session, "GET", "k").hold is Hold.NONE


def test_an_empty_transaction_needs_no_server() -> None:
    session = client()
    read(session, "MULTI")
    assert read(session, "EXEC").answer == b"*0\r\n"
    read(session, "MULTI")
    assert read(session, "DISCARD").answer == b"+OK\r\n"
    assert read(session, "GET", "k").hold is Hold.NONE


def test_the_answer_to_the_multi_that_went_along_reaches_nobody() -> None:
    upstream = server()
    upstream.send(Message(Kind.REQUEST, MULTI + command("INCR", "n"), hold=Hold.OPEN), 0)  # type: ignore[attr-defined]
    assert not upstream.reusable  # type: ignore[attr-defined]
    assert [m.frame for m in upstream.receive(b"+OK\r\n+QUEUED\r\n")] == [b"+QUEUED\r\n"]  # type: ignore[attr-defined]
    upstream.send(Message(Kind.REQUEST, command("EXEC"), hold=Hold.CLOSE), 0)  # type: ignore[attr-defined]
    assert upstream.reusable  # type: ignore[attr-defined]


def test_watch_binds_until_exec_or_unwatch() -> None:
    session = client()
    assert read(session, "WATCH", "k").hold is Hold.OPEN
    assert read(session, "MULTI").answer is None, "the connection is known already"
    assert read(session, "SET", "k", "1").hold is Hold.NONE
    assert read(session, "EXEC").hold is Hold.CLOSE
    read(session, "WATCH", "k")
    assert read(session, "UNWATCH").hold is Hold.CLOSE


@pytest.mark.parametrize(
    "words", [["BLPOP", "l", "0"], ["XREAD", "BLOCK", "0", "STREAMS", "s", "$"], ["WAIT", "1", "0"]]
)
def test_blocking_commands_have_a_connection_of_their_own_unless_in_a_transaction(words: list[str]) -> None:
    session = client()
    assert read(session, *words).hold is Hold.EXCHANGE
    read(session, "WATCH", "k")
    assert read(session, *words).hold is Hold.NONE


def test_xread_without_block_is_an_ordinary_command() -> None:
    assert read(client(), "XREAD", "STREAMS", "s", "0").hold is Hold.NONE


@pytest.mark.parametrize("push", [b"*", b">"])
def test_what_a_subscription_brings_are_events_and_its_end_frees_the_connection(push: bytes) -> None:
    session, upstream = client(), server((3, 0) if push == b">" else None)
    if push == b">":
        upstream.receive(b"%0\r\n")  # type: ignore[attr-defined]
    subscribe = read(session, "SUBSCRIBE", "a", "b")
    assert (subscribe.kind, subscribe.hold) == (Kind.ONEWAY, Hold.OPEN)
    upstream.send(subscribe, 0)  # type: ignore[attr-defined]
    brought = upstream.receive(  # type: ignore[attr-defined]
        push + b"3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n" + push + b"3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
    )
    assert [message.kind for message in brought] == [Kind.EVENT, Kind.EVENT]
    assert not upstream.reusable  # type: ignore[attr-defined]
    assert read(session, "UNSUBSCRIBE").kind is Kind.ONEWAY
    (last,) = upstream.receive(push + b"3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n")  # type: ignore[attr-defined]
    assert (last.kind, last.hold) == (Kind.EVENT, Hold.CLOSE)
    session.send(last, 0)  # type: ignore[attr-defined]
    assert upstream.reusable  # type: ignore[attr-defined]
    assert read(session, "UNSUBSCRIBE", "x").answer == b"*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0\r\n"


def test_a_ping_of_a_subscriber_is_answered_although_it_looks_like_a_message() -> None:
    upstream = server()
    upstream.send(Message(Kind.ONEWAY, command("SUBSCRIBE", "a"), hold=Hold.OPEN), 0)  # type: ignore[attr-defined]
    (message,) = upstream.receive(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")  # type: ignore[attr-defined]
    assert message.kind is Kind.RESPONSE


def test_a_monitor_gets_its_answer_and_then_events() -> None:
    session, upstream = client(), server()
    upstream.send(read(session, "MONITOR"), 0)  # type: ignore[attr-defined]
    kinds = [message.kind for message in upstream.receive(b'+OK\r\n+1.0 [0 x] "GET"\r\n')]  # type: ignore[attr-defined]
    assert kinds == [Kind.RESPONSE, Kind.EVENT]


# -- logging in upstream


def test_a_new_connection_logs_in_and_selects_before_anything_else() -> None:
    session = Redis().session(Side.SERVER, 1000)
    sent = session.open((2, 5), {"user": "app", "password": "pw"})
    assert sent == command("AUTH", "app", "pw") + command("SELECT", "5")
    assert not session.ready
    assert session.receive(b"+OK\r\n+OK\r\n$1\r\nv\r\n") == [Message(Kind.RESPONSE, b"$1\r\nv\r\n")]
    assert session.ready


def test_a_refused_login_is_an_error_with_the_servers_words() -> None:
    session = Redis().session(Side.SERVER, 1000)
    session.open(None, {"password": "wrong"})
    session.receive(b"-WRONGPASS invalid\r\n")
    assert str(session.error) == "login refused: WRONGPASS invalid"


def test_resp3_is_asked_for_with_the_login() -> None:
    session = Redis().session(Side.SERVER, 1000)
    assert session.open((3, 0), {"password": "pw"}) == command("HELLO", "3", "AUTH", "default", "pw")


# -- several servers


def split(*words: str, owners: dict[str, int]) -> list[Part] | None:
    return Redis().split(read(client(), *words), lambda value: owners[value])


def test_a_command_of_many_keys_is_split_by_owner_and_merged_in_order() -> None:
    request = read(client(), "MGET", "a", "b", "c", "d")
    parts = Redis().split(request, lambda value: value in "bd")
    assert parts is not None
    assert [resp.arguments(part.message.frame)[1:] for part in parts] == [[b"a", b"c"], [b"b", b"d"]]
    answers = [Message(Kind.RESPONSE, b"*2\r\n$1\r\nA\r\n$-1\r\n"), Message(Kind.RESPONSE, b"*2\r\n$1\r\nB\r\n_\r\n")]
    assert Redis().merge(request, parts, answers) == b"*4\r\n$1\r\nA\r\n$1\r\nB\r\n$-1\r\n_\r\n"


def test_numbers_are_added_and_an_error_of_a_part_is_the_answer() -> None:
    request = read(client(), "DEL", "a", "b")
    parts = Redis().split(request, lambda value: value)
    assert parts is not None
    good = [Message(Kind.RESPONSE, b":1\r\n"), Message(Kind.RESPONSE, b":1\r\n")]
    assert Redis().merge(request, parts, good) == b":2\r\n"
    bad = [good[0], Message(Kind.ERROR, b"-ERR x\r\n")]
    assert Redis().merge(request, parts, bad) == b"-ERR x\r\n"


def test_mset_keeps_each_value_with_its_key() -> None:
    parts = split("MSET", "a", "1", "b", "2", owners={"a": 1, "b": 2})
    assert parts is not None
    assert [resp.arguments(part.message.frame) for part in parts] == [[b"MSET", b"a", b"1"], [b"MSET", b"b", b"2"]]


def test_keys_of_one_owner_need_no_splitting_and_others_can_not_be_split() -> None:
    assert split("MGET", "{t}a", "{t}b", owners={"t": 1}) is None
    assert split("GET", "a", owners={}) is None
    assert split("RENAME", "a", "b", owners={"a": 1, "b": 2}) == []
    assert Redis().reply(read(client(), "RENAME", "a", "b"), ErrorKind.UNSUPPORTED, "", "CROSSSLOT") == (
        b"-CROSSSLOT Keys in request don't belong to the same endpoint\r\n"
    )


# -- errors


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_error_is_one_line(kind: ErrorKind) -> None:
    frame = Redis().reply(read(client(), "GET", "a"), kind, "one\r\ntwo")
    assert frame.startswith(b"-") and frame.count(b"\r\n") == 1 and b"one  two" in frame
    assert Redis().reply(read(client(), "SUBSCRIBE", "a"), kind, "x") == b""


def test_a_filters_own_word_begins_the_error() -> None:
    assert Redis().reply(read(client(), "GET", "a"), ErrorKind.OVERLOAD, "later", "LOADING") == b"-LOADING later\r\n"


@pytest.mark.parametrize("line", [b"*x\r\n", b"*1\r\n+a\r\n", b"*1\r\n$-5\r\n", b"*99999999\r\n", b"*1\r\n$3\r\nabcde"])
def test_what_is_no_command_breaks_the_protocol(line: bytes) -> None:
    session = client()
    assert session.receive(line) == []  # type: ignore[attr-defined]
    assert isinstance(session.error, FrameError)  # type: ignore[attr-defined]
