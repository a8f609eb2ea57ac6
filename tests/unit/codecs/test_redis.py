"""The Redis codec: its contract, what it tells of commands, what it answers itself, what it refuses, its errors."""

from __future__ import annotations

from typing import Any

import pytest
from present import present
from redis_words import MAX, answer, client, command, read, said, server

from metaproxy.codecs.redis import Redis, commands
from metaproxy.codecs.redis.metadata import tag
from metaproxy.message import Correlation, ErrorKind, Hold, Kind, Message, Side
from metaproxy.testing import check_codec

REPLIES = [
    b"+OK\r\n", b":1\r\n", b"$5\r\nhello\r\n", b"$-1\r\n", b"*-1\r\n", b"*2\r\n$1\r\na\r\n*1\r\n:5\r\n", b"-ERR x\r\n",
    b"%1\r\n+a\r\n:1\r\n", b"|1\r\n+k\r\n+v\r\n*0\r\n", b"~2\r\n#t\r\n,1.5\r\n", b"=7\r\ntxt:abc\r\n",
    b"(12345678901234567890\r\n", b"_\r\n", b"!5\r\nERR x\r\n", b"*0\r\n", b"$0\r\n\r\n", b"%0\r\n",
]  # fmt: skip
COMMANDS = [
    "GET a", "set a hi", "PING", "MGET a b", "BLPOP l 0", "SUBSCRIBE c", "EVAL x 1 a", "Get a", "FLUSHALL",
    "SET a b EX 10 NX GET KEEPTTL 1 2 3", "CLIENT GETNAME", "SELECT 0", "SHUTDOWN", "NOSUCH.COMMAND with 1",
]  # fmt: skip


def test_it_keeps_the_contract() -> None:
    check_codec(Redis(), client=[*map(said, COMMANDS), command("SET", "k", b"\r\n" * 3000)], server=REPLIES)


def test_it_keeps_the_contract_in_resp3_and_with_options() -> None:
    def prepare(session: Any, side: Side) -> None:
        if side is Side.CLIENT:
            session.receive(said("HELLO 3 AUTH anna pw"))
        elif not session.ready:
            session.receive(b"%0\r\n")

    codec = Redis(auth={"users": {"anna": "pw"}}, deny=["KEYS"])
    frames = [*map(said, COMMANDS[:8]), said("KEYS *")]
    check_codec(codec, client=frames, server=[*REPLIES, b">2\r\n+invalidate\r\n_\r\n"], prepare=prepare)


def test_answers_come_in_order_over_shared_connections() -> None:
    codec = Redis()
    assert (codec.name, codec.correlation, codec.ordered, codec.stateful) == ("redis", Correlation.FIFO, True, True)
    assert codec.connections == "multiplex"
    assert codec.hash_aliases == {"key": "tag"}


# Metadata


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("get k", {"command": "GET", "key": "k", "keys": "k", "tag": "k"}),
        ("HSET {h}x f v", {"command": "HSET", "key": "{h}x", "keys": "{h}x", "tag": "h"}),
        ("MSET {t}a 1 b 2", {"command": "MSET", "key": "{t}a", "keys": "{t}a b", "tag": "t"}),
        ("INFO memory", {"command": "INFO"}),
        ("GET", {"command": "GET"}),
        ("EVAL x 0 arg", {"command": "EVAL"}),
        ("PUBLISH {c}news hi", {"command": "PUBLISH", "tag": "c"}),
        ("SUBSCRIBE news", {"command": "SUBSCRIBE", "tag": "news"}),
        ("XINFO HELP", {"command": "XINFO"}),
        ("NOSUCH.COMMAND k", {"command": "NOSUCH.COMMAND", "key": "k", "keys": "k", "tag": "k"}),
    ],
)
def test_a_command_tells_its_name_keys_tag_user_and_database(text: str, expected: dict[str, str]) -> None:
    message = read(client(), text)
    kind = message.kind.name.lower()
    common = {"kind": kind, "operation": expected["command"], "user": "default", "database": "0"}
    assert message.known() == {**common, **expected}


def test_nothing_is_decoded_before_it_is_asked_for() -> None:
    assert read(client(), "GET k").metadata is None


@pytest.mark.parametrize("key", ["key", "keys", "tag", "user", "database", "command", "operation"])
def test_each_key_can_be_asked_for_first(key: str) -> None:
    assert read(client(), "MSET a 1 b 2").get(key) is not None


def test_the_user_who_logged_in_is_told_and_the_database_that_was_selected() -> None:
    session = client(auth={"users": {"anna": "pw"}})
    answer(session, "AUTH anna pw")
    answer(session, "SELECT 3")
    message = read(session, "GET k")
    assert (message.get("user"), message.get("database")) == ("anna", "3")


@pytest.mark.parametrize(
    ("key", "expected"), [("a", "a"), ("x{a}y", "a"), ("x{}y", "x{}y"), ("{a", "{a"), ("a}{b}{c}", "b"), ("", "")]
)
def test_the_tag_is_what_stands_between_the_first_braces(key: str, expected: str) -> None:
    assert tag(key) == expected


def test_keys_that_are_no_utf8_stay_apart_and_come_back() -> None:
    one, two = client().receive(command("GET", b"\xff") + command("GET", b"\xfe"))
    assert one.get("key") != two.get("key")
    assert present(one.get("key")).encode("utf-8", "surrogateescape") == b"\xff"


def test_a_name_with_a_line_end_in_it_is_not_taken_for_what_stands_before() -> None:
    (message,) = client().receive(command(b"GET\r\n$1", "k"))
    assert message.get("command") == "GET\r\n$1"
    assert message.get("key") is None


def test_of_an_endless_name_only_the_beginning_is_told() -> None:
    (message,) = client().receive(command("x" * 5000))
    assert message.get("command") == "X" * 64


# What the codec answers


def test_select_moves_the_client_to_connections_of_that_database() -> None:
    session = client()
    assert read(session, "GET a").profile is None
    selected = read(session, "SELECT 3")
    assert (selected.answer, selected.hold) == (b"+OK\r\n", Hold.WAIT)
    assert read(session, "GET a").profile == (2, 3)
    answer(session, "SELECT 0")
    assert read(session, "GET a").profile is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("SELECT 4", b"-ERR DB index is out of range\r\n"),
        ("SELECT -1", b"-ERR DB index is out of range\r\n"),
        ("SELECT a", b"-ERR value is not an integer or out of range\r\n"),
        ("SELECT", b"-ERR wrong number of arguments for 'select' command\r\n"),
    ],
)
def test_a_database_that_is_not_there_can_not_be_selected(text: str, error: bytes) -> None:
    session = client(databases=4)
    answer(session, "SELECT 3")
    message = read(session, text)
    assert (message.answer, message.hold) == (error, Hold.NONE)
    assert read(session, "GET a").profile == (2, 3)


def test_hello_3_moves_the_client_to_resp3() -> None:
    session = client()
    hello = read(session, "HELLO 3 SETNAME me")
    assert present(hello.answer).startswith(b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n")
    assert b"$5\r\nproto\r\n:3\r\n" in present(hello.answer)
    assert hello.hold is Hold.WAIT
    assert read(session, "GET a").profile == (3, 0)
    assert answer(session, "CLIENT GETNAME") == b"$2\r\nme\r\n"
    assert answer(session, "HELLO 2").startswith(b"*14\r\n")
    assert read(session, "GET a").profile is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("HELLO 4", b"-NOPROTO unsupported protocol version\r\n"),
        ("HELLO x", b"-ERR Protocol version is not an integer or out of range\r\n"),
        ("HELLO 3 FOO", b"-ERR Syntax error in HELLO option 'FOO'\r\n"),
        ("HELLO 3 AUTH default", b"-ERR Syntax error in HELLO option 'AUTH'\r\n"),
        ("HELLO 3 AUTH bob pw", b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
        ("HELLO 3 SETNAME \x7f", b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"),
    ],
)
def test_a_hello_with_a_fault_changes_nothing(text: str, error: bytes) -> None:
    session = client()
    assert answer(session, text) == error
    assert read(session, "GET a").profile is None


NOAUTH = b"-NOAUTH Authentication required.\r\n"
WRONGPASS = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
GUARDED = {"password": "sesame", "users": {"anna": "pw"}}


@pytest.mark.parametrize("text", ["GET a", "MULTI", "SUBSCRIBE a", "SELECT 1", "CLIENT ID", "SHUTDOWN", "nosuch"])
def test_without_login_nothing_but_the_login_is_taken(text: str) -> None:
    session = client(auth=GUARDED)
    assert answer(session, text) == NOAUTH
    assert answer(session, "AUTH sesame") == b"+OK\r\n"
    assert read(session, "GET a").answer is None


@pytest.mark.parametrize(
    "text", ["AUTH wrong", "AUTH anna sesame", "AUTH bob pw", "HELLO 3 AUTH anna wrong", "AUTH pw"]
)
def test_a_wrong_password_or_name_does_not_log_in(text: str) -> None:
    session = client(auth=GUARDED)
    assert answer(session, text) == WRONGPASS
    assert answer(session, "GET a") == NOAUTH


@pytest.mark.parametrize(
    "text",
    ["AUTH sesame", "AUTH default sesame", "AUTH anna pw", "HELLO 2 AUTH anna pw", "HELLO 3 AUTH default sesame"],
)
def test_each_way_to_log_in_works(text: str) -> None:
    session = client(auth=GUARDED)
    assert answer(session, text)[:1] in b"+*%"
    assert read(session, "GET a").answer is None


def test_an_unknown_name_has_no_empty_password() -> None:
    session = client(auth=GUARDED)
    (message,) = session.receive(command("AUTH", "bob", ""))
    assert message.answer == WRONGPASS


def test_a_text_as_auth_is_the_password() -> None:
    session = client(auth="sesame")
    assert answer(session, "HELLO 3").startswith(b"-NOAUTH HELLO must be called")
    assert answer(session, "AUTH sesame") == b"+OK\r\n"


def test_without_passwords_auth_is_answered_as_redis_server_does() -> None:
    assert answer(client(), "AUTH x").startswith(b"-ERR AUTH <password> called without any password")
    assert answer(client(), "AUTH default x") == b"+OK\r\n"
    assert answer(client(), "AUTH bob x") == WRONGPASS
    assert answer(client(), "AUTH a b c") == b"-ERR wrong number of arguments for 'auth' command\r\n"


@pytest.mark.parametrize("auth", [{}, {"pasword": "x"}, {"users": {"a": ""}}, {"users": "x"}, "", {"password": 1}])
def test_an_auth_that_names_nobody_is_an_error_of_the_configuration(
    auth: dict[str, dict[str, str] | int | str] | str,
) -> None:
    with pytest.raises(ValueError, match=r"auth|password"):
        Redis(auth=auth)


@pytest.mark.parametrize("databases", [0, 16385])
def test_there_is_at_least_one_database(databases: int) -> None:
    with pytest.raises(ValueError, match="databases"):
        Redis(databases=databases)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CLIENT SETNAME me", b"+OK\r\n"),
        ("client setinfo LIB-NAME redis-py", b"+OK\r\n"),
        ("CLIENT GETNAME", b"$-1\r\n"),
        ("CLIENT ID", b":1\r\n"),
        ("CLIENT NO-EVICT ON", b"+OK\r\n"),
        ("CLIENT NO-TOUCH off", b"+OK\r\n"),
        ("CLIENT NO-TOUCH maybe", b"-ERR syntax error\r\n"),
        ("CLIENT REPLY ON", b"+OK\r\n"),
        ("CLIENT MAINT_NOTIFICATIONS ON", b"-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n"),
        ("CLIENT CAPA redirect", b"-ERR unknown subcommand 'CAPA'. Try CLIENT HELP.\r\n"),
        ("RESET", b"+RESET\r\n"),
        ("UNSUBSCRIBE", b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"),
        (
            "PUNSUBSCRIBE a b",
            b"*3\r\n$12\r\npunsubscribe\r\n$1\r\na\r\n:0\r\n*3\r\n$12\r\npunsubscribe\r\n$1\r\nb\r\n:0\r\n",
        ),
    ],
)
def test_what_is_about_the_clients_connection_is_answered_here(text: str, expected: bytes) -> None:
    assert answer(client(), text) == expected


def test_answers_have_the_clients_resp_version() -> None:
    session = client()
    answer(session, "HELLO 3")
    assert answer(session, "CLIENT GETNAME") == b"_\r\n"
    assert answer(session, "UNSUBSCRIBE") == b">3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n"


def test_each_client_has_a_number_of_its_own() -> None:
    codec = Redis()
    first, second = codec.session(Side.CLIENT, MAX), codec.session(Side.CLIENT, MAX)
    assert answer(first, "CLIENT ID") != answer(second, "CLIENT ID")


@pytest.mark.parametrize(
    "text", ["PING", "ECHO a", "COMMAND DOCS", "CONFIG GET *", "INFO", "CLIENT LIST", "CLIENT INFO"]
)
def test_what_asks_for_the_server_is_forwarded(text: str) -> None:
    message = read(client(), text)
    assert (message.answer, message.kind, message.hold) == (None, Kind.REQUEST, Hold.NONE)


def test_reset_forgets_login_name_database_and_version() -> None:
    session = client(auth="sesame")
    for text in ("HELLO 3 AUTH default sesame SETNAME me", "SELECT 5", "RESET"):
        answer(session, text)
    assert answer(session, "GET a") == NOAUTH
    answer(session, "AUTH sesame")
    assert answer(session, "CLIENT GETNAME") == b"$-1\r\n"
    assert read(session, "GET a").profile is None


def test_quit_closes_after_its_answer_and_nothing_is_read_behind_it() -> None:
    session = client()
    get, quit = session.receive(said("GET a") + said("QUIT") + said("SET a 1"))
    assert (get.answer, quit.answer) == (None, b"+OK\r\n")
    assert session.closing
    assert session.receive(said("SET a 1")) == []


def test_what_comes_before_quit_in_one_read_is_there() -> None:
    session = client()
    assert len(session.receive(said("SELECT 1") + said("SET a 1") + said("QUIT"))) == 3
    assert session.closing


# What is refused


@pytest.mark.parametrize(
    "text",
    [
        *(name.decode() for name in sorted(commands.REFUSED)),
        *(f"{name.decode()} {word.decode()}" for name, words in commands.REFUSED_WITH.items() for word in words),
        "CLIENT REPLY OFF", "CLIENT REPLY SKIP", "client kill id 3", "CLIENT TRACKING OFF", "module load x",
    ],
)  # fmt: skip
def test_what_cannot_work_through_a_proxy_is_refused_with_the_reason(text: str) -> None:
    error = answer(client(), text).decode()
    name = " ".join(text.upper().split()[: 1 if text.encode() in commands.REFUSED else 2])
    assert error.startswith(f"-ERR {name} does not work through this proxy: ")
    assert error.endswith("\r\n") and error.count("\r\n") == 1


@pytest.mark.parametrize("text", ["MODULE LIST", "SCRIPT LOAD x", "ACL WHOAMI", "CLIENT"])
def test_their_harmless_subcommands_are_forwarded(text: str) -> None:
    assert read(client(), text).answer is None


@pytest.mark.parametrize("name", ["CONFIG|SET", "CONFIG SET", "", "GET\0"])
def test_what_can_be_denied_is_a_command_by_its_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"deny has .* is no name of a command"):
        Redis(deny=["GET", name])


@pytest.mark.parametrize("text", ["FLUSHALL", "FlushAll", "get a", "GET a"])
def test_denied_commands_are_refused_in_any_spelling(text: str) -> None:
    session = client(deny=["flushall", "GET"])
    name = text.split()[0].upper().encode()
    assert answer(session, text) == b"-NOPERM %b is not allowed here\r\n" % name
    assert read(session, "SET a 1").answer is None


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1\r\n", b"Host: a\r\n"])
def test_http_that_strayed_here_ends_the_connection(line: bytes) -> None:
    session = client()
    assert session.receive(line) == []
    assert str(session.error) == "HTTP, not Redis"


# Errors


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_error_is_one_line_that_begins_with_a_word(kind: ErrorKind) -> None:
    frame = Redis().reply(read(client(), "GET a"), kind, "one\r\ntwo")
    word = b"NOPERM" if kind is ErrorKind.DENIED else b"ERR"
    assert frame == b"-%b one  two\r\n" % word


def test_an_error_without_a_text_tells_its_kind() -> None:
    assert Redis().reply(read(client(), "GET a"), ErrorKind.TIMEOUT, "") == b"-ERR timeout\r\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LOADING", b"-LOADING later\r\n"),
        ("TRYAGAIN", b"-TRYAGAIN later\r\n"),
        ("CROSSSLOT", b"-CROSSSLOT later\r\n"),
        ("no such name", b"-ERR later\r\n"),
        ("X\r\n", b"-ERR later\r\n"),
    ],
)
def test_a_filter_can_name_the_word_of_an_error(name: str, expected: bytes) -> None:
    assert Redis().reply(read(client(), "GET a"), ErrorKind.OVERLOAD, "later", name) == expected


def test_keys_of_several_servers_are_told_as_redis_cluster_would() -> None:
    error = b"-CROSSSLOT Keys in request don't belong to the same endpoint\r\n"
    assert Redis().reply(read(client(), "RENAME a b"), ErrorKind.UNSUPPORTED, "", name="CROSSSLOT") == error


def test_a_subscription_that_is_refused_is_told_so() -> None:
    assert Redis().reply(read(client(), "SUBSCRIBE a"), ErrorKind.NOT_FOUND, "x") == b"-ERR x\r\n"


@pytest.mark.parametrize(("text", "safe"), [("GET a", True), ("mget a b", True), ("SET a 1", False), ("EXEC", False)])
def test_only_reads_may_be_executed_twice(text: str, safe: bool) -> None:
    assert Redis().safe(read(client(), text)) is safe


def test_a_read_that_begins_a_transaction_may_not_be_executed_twice() -> None:
    session = client()
    answer(session, "MULTI")
    assert not Redis().safe(read(session, "GET a"))


# Logging in upstream


@pytest.mark.parametrize(
    ("profile", "credentials", "sent"),
    [
        (None, {}, b""),
        (None, {"password": "pw"}, command("AUTH", "pw")),
        ((2, 5), {"user": "app", "password": "pw"}, command("AUTH", "app", "pw") + command("SELECT", "5")),
        ((3, 0), {}, command("HELLO", "3")),
        ((3, 7), {"password": "pw"}, command("HELLO", "3", "AUTH", "default", "pw") + command("SELECT", "7")),
    ],
)
def test_a_new_connection_logs_in_and_selects_before_anything_else(
    profile: tuple[int, int] | None, credentials: dict[str, str], sent: bytes
) -> None:
    session = Redis().session(Side.SERVER, MAX)
    assert session.open(profile, credentials) == sent
    assert session.ready is (not sent)


def test_the_answers_to_the_login_reach_nobody() -> None:
    session = Redis().session(Side.SERVER, MAX)
    session.open((3, 5), {})
    assert session.receive(b"%1\r\n+proto\r\n:3\r\n") == []
    assert not session.ready
    assert session.receive(b"+OK\r\n$1\r\nv\r\n") == [Message(Kind.RESPONSE, b"$1\r\nv\r\n")]
    assert session.ready


@pytest.mark.parametrize("error", [b"-WRONGPASS invalid\r\n", b"!17\r\nWRONGPASS invalid\r\n"])
def test_a_refused_login_is_an_error_with_the_servers_words(error: bytes) -> None:
    session = Redis().session(Side.SERVER, MAX)
    session.open(None, {"password": "wrong"})
    assert session.receive(error + b"+OK\r\n") == []
    assert str(session.error).startswith("login refused: ") and "WRONGPASS invalid" in str(session.error)


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"+OK\r\n", Kind.RESPONSE),
        (b"-ERR x\r\n", Kind.ERROR),
        (b"!5\r\nERR x\r\n", Kind.ERROR),
        (b"|1\r\n+a\r\n+b\r\n-ERR x\r\n", Kind.ERROR),
        (b"|1\r\n+a\r\n-b\r\n+OK\r\n", Kind.RESPONSE),
        (b"*1\r\n-ERR x\r\n", Kind.RESPONSE),
        (b">2\r\n+invalidate\r\n_\r\n", Kind.EVENT),
    ],
)
def test_errors_and_pushes_are_told_from_answers(frame: bytes, kind: Kind) -> None:
    assert server((3, 0)).receive(frame) == [Message(kind, frame)]


def test_a_server_that_asks_for_a_login_is_alive_and_one_that_loads_is_not() -> None:
    codec = Redis()
    assert codec.probe().frame == b"*1\r\n$4\r\nPING\r\n"
    told = {
        frame: codec.alive(Message(Kind.ERROR, frame))
        for frame in (b"-NOAUTH Authentication required.\r\n", b"-LOADING x\r\n", b"-MASTERDOWN x\r\n", b"-ERR x\r\n")
    }
    assert list(told.values()) == [True, False, False, False]
    assert codec.alive(Message(Kind.RESPONSE, b"+PONG\r\n"))
