"""Where Redis' commands and replies end: bounds, what is no RESP, inline commands, frames that trickle in."""

from __future__ import annotations

from typing import Any

import pytest
from reachable import reachable
from redis_words import client, command, server

from metaproxy.codecs.framing import BEGINNING, Session
from metaproxy.codecs.redis import Redis, inline, resp
from metaproxy.codecs.redis.command_scanner import CommandScanner
from metaproxy.message import Kind, Message, Side


def sessions(most: int) -> tuple[Session, Session]:
    codec = Redis()
    server = codec.session(Side.SERVER, most)
    server.open(None, {})
    return codec.session(Side.CLIENT, most), server


def refusal(session: Session, stream: bytes) -> str:
    """The error, the same at once and byte by byte; how much is held afterwards does not depend on it either."""
    assert session.receive(stream) == []
    assert session.buffered == 0
    return str(session.error)


def trickle(stream: bytes) -> list[bytes]:
    """Byte by byte; a long stream, in which most bytes are alike, in a thousand pieces."""
    size = 1 + len(stream) // 1000
    return [stream[at : at + size] for at in range(0, len(stream), size)]


# Commands


@pytest.mark.parametrize("frame", [command("GET", "k"), command("SET", "k", b"\r\n*1\r\n"), command(*"abcdefghijkl")])
def test_a_frame_is_the_bytes_that_came(frame: bytes) -> None:
    assert [message.frame for message in client().receive(frame * 3)] == [frame] * 3


def test_a_lone_command_is_not_copied() -> None:
    frame = command("SET", "k", b"x" * 10000)
    assert client().receive(frame)[0].frame is frame


BROKEN = [
    (b"*x\r\n", "invalid multibulk length"),
    (b"*\r\n", "invalid multibulk length"),
    (b"*01\r\n", "invalid multibulk length"),
    (b"*-0\r\n", "invalid multibulk length"),
    (b"*+1\r\n", "invalid multibulk length"),
    (b"*1 \r\n", "invalid multibulk length"),
    (b"*2147483648\r\n", "invalid multibulk length"),
    (b"*1\r\n+a\r\n", "expected '$', got '+'"),
    (b"*1\r\n*1\r\n", "expected '$', got '*'"),
    (b"*1\r\n\r\n", "expected '$', got ' '"),
    (b"*1\r\n\n\r\n", "expected '$', got ' '"),
    (b"*1\r\n\xff\r\n", "expected '$', got '\xff'"),
    (b"*1\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n$+3\r\n", "invalid bulk length"),
    (b"*1\r\n$03\r\n", "invalid bulk length"),
    (b"*1\r\n$\r\n", "invalid bulk length"),
    (b"*2\r\n$3\r\nGET\r\n$01\r\na\r\n", "invalid bulk length"),
    (b"*1\r\n$00000000000000000000003\r\n", "invalid bulk length"),
    (b"*1\r\n$" + b"9" * 20 + b"\r\n", "invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    (b"*" + b"1" * 65536, "too big mbulk count string"),
    (b"*1\r\n$" + b"1" * 65536, "too big bulk count string"),
    (b"x" * 65537, "too big inline request"),
    (b"get a\0b\r\n", "too big inline request"),
    (b"set 'a\r\n", "unbalanced quotes in request"),
]


@pytest.mark.parametrize(("stream", "words"), BROKEN)
def test_what_redis_server_does_not_take_is_refused_in_its_words_and_never_sent_on(stream: bytes, words: str) -> None:
    for pieces in ([stream], [stream[:-1], stream[-1:]], trickle(stream)):
        session = client()
        assert [message for piece in pieces for message in session.receive(piece)] == []
        assert session.owed() == f"-ERR Protocol error: {words}\r\n".encode("latin-1")
        assert session.buffered == 0


def test_nothing_is_owed_while_nothing_is_broken() -> None:
    session = client()
    session.receive(command("GET", "k")[:-1])
    assert session.owed() == b""


def test_http_that_strayed_here_gets_no_word() -> None:
    session = client()
    assert session.receive(b"POST / HTTP/1.1\r\nHost: a\r\n") == []
    assert (session.error is None, session.owed()) == (False, b"")


@pytest.mark.parametrize(
    "stream",
    [
        b"*2\r\n$3\r\nGETxx$1\r\nkxx",
        b"*2\rx$3\rxGET\r\n$1\rxk\r\n",
        b"*2\r\n$3\r\nGET\r\r$1\r\nk\n\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk**",
    ],
)
def test_line_ends_that_redis_server_does_not_look_at_are_put_right(stream: bytes) -> None:
    for cut in range(1, len(stream)):
        session = client()
        found = session.receive(stream[:cut]) + session.receive(stream[cut:] + command("PING"))
        assert [message.frame for message in found] == [command("GET", "k"), command("PING")]


def test_a_command_may_have_more_than_a_million_arguments() -> None:
    frame = command("MGET", *["k"] * 1_100_000)
    session = Redis().session(Side.CLIENT, 16 << 20)
    assert [message.frame == frame for message in session.receive(frame)] == [True]


def test_who_is_not_logged_in_may_say_little() -> None:
    for head, words in ((b"*11\r\n", "multibulk"), (b"*1\r\n$16385\r\n", "bulk")):
        session = client(auth="secret")
        assert session.receive(head) == []
        assert session.owed() == f"-ERR Protocol error: unauthenticated {words} length\r\n".encode()
        session = client(auth="secret")
        assert [message.answer for message in session.receive(command("AUTH", "secret") + head)] == [b"+OK\r\n"]
        assert session.error is None


def test_the_commands_before_a_bad_one_count() -> None:
    session = client()
    assert len(session.receive(command("GET", "a") * 2 + b"*1\r\n$x\r\n" + command("GET", "a"))) == 2
    assert session.error is not None
    assert session.receive(command("GET", "a")) == []


@pytest.mark.parametrize("nothing", [b"*0\r\n", b"*-1\r\n", b"\r\n", b"\n", b"  \r\n"])
def test_nothing_is_no_command(nothing: bytes) -> None:
    session = client()
    assert len(session.receive(nothing + command("GET", "a") + nothing)) == 1
    assert session.error is None


@pytest.mark.parametrize(
    "head",
    [
        b"*2\r\n$3\r\nGET\r\n$984\r\n",
        b"*1\r\n$99999999\r\n",
        b"*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\nk\r\n$975\r\n",
        b"*3\r\n$4\r\nEVAL\r\n$979\r\n",
        b"*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$975\r\n",
    ],
)
def test_a_command_over_the_bound_that_must_be_whole_is_refused_on_its_head(head: bytes) -> None:
    assert refusal(sessions(1000)[0], head) == "a message of more than 1000 bytes"


def test_a_command_of_just_the_bound_is_taken() -> None:
    frame = command("GET", b"x" * 970)
    assert len(sessions(len(frame))[0].receive(frame)) == 1
    assert refusal(sessions(len(frame) - 1)[0], frame) == f"a message of more than {len(frame) - 1} bytes"


# Inline commands


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"PING", [b"PING"]),
        (b'set  key \'a b\' "\\x41\\n\\q\\""\r', [b"set", b"key", b"a b", b'A\nq"']),
        (b"get 'it\\'s' 'a\\n'", [b"get", b"it's", b"a\\n"]),
        (b'a"b c"', [b"ab c"]),
        (b"\ta\t''", [b"a", b""]),
        (b"\v\fget a\vb \v c", [b"get", b"a\vb", b"c"]),
    ],
)
def test_a_line_is_words_as_redis_server_reads_them(line: bytes, words: list[bytes]) -> None:
    assert inline.words(line) == words


@pytest.mark.parametrize("line", [b"set 'a", b'"', b"'a'b", b'"a"b', b'"a\\"', b"'a\\'"])
def test_quotes_that_do_not_match_break_the_protocol(line: bytes) -> None:
    assert "quote" in refusal(client(), line + b"\r\n")


def test_inline_commands_are_forwarded_as_arrays() -> None:
    first, second = client().receive(b"GET a\r\nSET a 'b c'\n")
    assert (first.frame, second.frame) == (command("GET", "a"), command("SET", "a", "b c"))


def test_an_inline_command_is_bounded() -> None:
    assert refusal(client(), b"x" * 65537) == "an inline command of more than 65536 bytes"
    assert refusal(sessions(1000)[0], b"x" * 1001) == "an inline command of more than 1000 bytes"
    assert refusal(sessions(100)[0], b"a " * 30 + b"\n") == "a message of more than 100 bytes"


def test_an_inline_command_and_an_array_follow_each_other() -> None:
    session = client()
    frames = [
        message.frame for byte in b"PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n" for message in session.receive(b"%c" % byte)
    ]
    assert frames == [command("PING")] * 3


# Replies


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"x", "no reply begins with b'x'"),
        (b"*1\r\nx", "no reply begins with b'x'"),
        (b"$?\r\n", "a number expected"),
        (b"*a\r\n", "a number expected"),
        (b"$3\r\nabcd\r\n", "a value is not followed by a line end"),
        (b"$" + b"1" * 30, "a line of more than 22 bytes"),
        (b"*2\r\n" * 65538, "lists in more than 65536 levels"),
    ],
)
def test_what_is_no_reply_breaks_the_protocol(stream: bytes, error: str) -> None:
    assert error in refusal(server(), stream)
    slowly = server()
    assert [message for piece in trickle(stream) for message in slowly.receive(piece)] == []
    assert error in str(slowly.error)


def test_lists_may_be_nested_in_many_levels() -> None:
    for frame in (b"*1\r\n" * 30000 + b":1\r\n", b"*2\r\n" * 30000 + b":1\r\n" + b"_\r\n" * 30000):
        assert [message.frame for message in server().receive(frame)] == [frame]


TOO_LARGE = [
    b"*400\r\n" + b"_\r\n" * 400,
    b"$993\r\n" + b"x" * 993 + b"\r\n",
    b"%200\r\n" + b":1\r\n" * 400,
    b"*1\r\n$990\r\n" + b"x" * 990 + b"\r\n",
    b"+" + b"x" * 999 + b"\r\n",
    b"-ERR " + b"x\r" * 600 + b"\r\n",
    b"*3\r\n" + b":12\r\n" * 2 + b"*2\r\n$1000\r\n" + b"x" * 1000 + b"\r\n*200\r\n" + b"$-1\r\n" * 200,
]


@pytest.mark.parametrize("reply", TOO_LARGE)
@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
def test_a_reply_over_the_bound_comes_in_pieces_and_those_around_it_pass(reply: bytes, size: int) -> None:
    session = sessions(1000)[1]
    stream = b"+before\r\n" + reply + b"$5\r\nafter\r\n"
    found = []
    for at in range(0, len(stream), size):
        found += session.receive(stream[at : at + size])
        assert session.buffered <= 1000
    before, head, *chunks, after = found
    assert (before.frame, after.frame) == (b"+before\r\n", b"$5\r\nafter\r\n")
    assert (head.kind, chunks[-1].kind) == (Kind.STREAM_OPEN, Kind.STREAM_CLOSE)
    assert len(head.frame) <= 1100
    assert {chunk.kind for chunk in chunks[:-1]} <= {Kind.STREAM_DATA}
    assert b"".join(piece.frame for piece in (head, *chunks)) == reply
    assert getattr(head, "failed", False) == reply.startswith(b"-")
    assert session.error is None


LARGE_ATTRIBUTES = [
    b"|1\r\n+k\r\n+" + b"v" * 1000 + b"\r\n*1\r\n*1\r\n:1\r\n",
    b"|1\r\n$990\r\n" + b"k" * 990 + b"\r\n:1\r\n>1\r\n+x\r\n",
]


@pytest.mark.parametrize("reply", LARGE_ATTRIBUTES)
@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
def test_a_reply_that_is_large_before_it_is_clear_what_it_is_is_read_to_its_end_and_dropped(
    reply: bytes, size: int
) -> None:
    session = sessions(1000)[1]
    stream = b"+before\r\n" + reply + b"$5\r\nafter\r\n"
    found = []
    for at in range(0, len(stream), size):
        found += session.receive(stream[at : at + size])
        assert session.buffered <= 1000
    before, skipped, after = found
    assert (before.frame, after.frame) == (b"+before\r\n", b"$5\r\nafter\r\n")
    if reply.endswith(b">1\r\n+x\r\n"):
        assert (skipped.kind, skipped.frame) == (Kind.EVENT, b"")
    else:
        assert (skipped.kind, skipped.id) == (Kind.SKIPPED, 0)
        assert skipped.frame == b"an answer of more than 1000 bytes (max_frame)"
    assert session.error is None


def test_of_a_reply_that_is_dropped_next_to_nothing_is_held() -> None:
    session = sessions(1000)[1]
    session.receive(b"|1\r\n+k\r\n*99999\r\n")
    for _ in range(99):
        assert session.receive(b"$3\r\nabc\r\n" * 1000) == []
        assert session.buffered <= BEGINNING
    assert [message.kind for message in session.receive(b"$3\r\nabc\r\n" * 1000)] == [Kind.SKIPPED]
    assert session.buffered == 0


def test_a_push_over_the_bound_that_nobody_waits_for_answers_nobody() -> None:
    session = sessions(1000)[1]
    (push, reply) = session.receive(b">2\r\n+invalidate\r\n$2000\r\n" + b"x" * 2000 + b"\r\n:1\r\n")
    assert (push.kind, push.frame, reply.frame) == (Kind.EVENT, b"", b":1\r\n")


def own_connection(*said: bytes) -> Session:
    """A connection that a client has for itself, on which it said that."""
    reader, session = sessions(1000)
    for frame in said:
        for message in reader.receive(frame):
            if message.answer is None:
                session.send(message, 0)
    return session


LARGE = b"$2000\r\n" + b"x" * 2000 + b"\r\n"


def kinds(messages: list[Message]) -> list[Kind]:
    return [message.kind for message in messages if message.kind is not Kind.STREAM_DATA]


PIECES = [Kind.STREAM_OPEN, Kind.STREAM_CLOSE]


def test_an_answer_over_the_bound_on_a_clients_own_connection_comes_in_pieces_and_the_next_one_passes() -> None:
    session = own_connection(command("WATCH", "k"), command("GET", "k"), command("UNWATCH"))
    found = session.receive(b"+OK\r\n" + LARGE + b"+OK\r\n")
    assert kinds(found) == [Kind.RESPONSE, *PIECES, Kind.RESPONSE]
    assert session.reusable


def test_behind_a_transaction_that_did_not_open_it_is_dropped_as_the_refusal_stands_for_it() -> None:
    session = own_connection(command("MULTI"), command("GET", "k"))
    (refused,) = session.receive(b"-ERR no\r\n" + LARGE)
    assert (refused.kind, refused.frame) == (Kind.ERROR, b"-ERR no\r\n")


def test_so_is_what_exec_answers() -> None:
    session = own_connection(command("MULTI"), command("GET", "k"), command("EXEC"))
    found = session.receive(b"+OK\r\n+QUEUED\r\n*1\r\n" + LARGE)
    assert found[0].frame == b"+QUEUED\r\n"
    assert kinds(found) == [Kind.RESPONSE, *PIECES]
    assert session.reusable


@pytest.mark.parametrize("head", [b"*3\r\n", b">3\r\n"])
def test_a_subscriber_that_would_miss_a_message_loses_its_connection(head: bytes) -> None:
    session = own_connection(command("SUBSCRIBE", "c"))
    assert len(session.receive(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")) == 1
    assert session.receive(head + b"$7\r\nmessage\r\n$1\r\nc\r\n" + LARGE) == []
    assert str(session.error) == "a message of more than 1000 bytes (max_frame)"


def test_an_answer_to_the_login_over_the_bound_ends_the_connection() -> None:
    session = Redis().session(Side.SERVER, 1000)
    session.open((3, 0), {})
    assert session.receive(b"+" + b"x" * 2000 + b"\r\n") == []
    assert "at the login" in str(session.error)


def test_a_line_may_be_long_where_it_tells_more_than_a_number() -> None:
    frame = b"-ERR " + b"x" * 60000 + b"\r\n"
    session = server()
    assert [
        message.frame for byte in range(0, len(frame), 7) for message in session.receive(frame[byte : byte + 7])
    ] == [frame]


# What comes in pieces


def count_scanned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each look at a stream had before it."""
    seen: list[int] = []
    for scanner in (resp.Scanner, CommandScanner):
        count_in(scanner, seen, monkeypatch)
    return seen


def count_in(scanner: Any, seen: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    scan = scanner.scan

    def counted(self: Any, data: bytes, at: int) -> int:
        seen.append(len(data) - at)
        return int(scan(self, data, at))

    monkeypatch.setattr(scanner, "scan", counted)


def test_a_large_array_in_many_reads_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = b"*20000\r\n" + b"$7\r\nabcdefg\r\n" * 20000
    seen = count_scanned(monkeypatch)
    session = server()
    found = [m for at in range(0, len(frame), 1000) for m in session.receive(frame[at : at + 1000])]
    assert [message.frame for message in found] == [frame]
    assert sum(seen) == len(frame)


def test_a_large_value_in_many_reads_is_looked_at_once_and_joined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = command("SET", "k", b"x" * 500000)
    seen = count_scanned(monkeypatch)
    session = client()
    found = [m for at in range(0, len(frame), 4096) for m in session.receive(frame[at : at + 4096])]
    assert [message.frame for message in found] == [frame]
    assert sum(seen) == len(frame)


def test_a_value_that_trickles_in_costs_its_bytes_and_no_more() -> None:
    session = server()
    session.receive(b"$300000\r\n")
    for _ in range(300000):
        assert session.receive(b"x") == []
    assert session.buffered == 300009
    assert sum(isinstance(one, (bytes, bytearray)) for one in reachable(session)) < 10
    assert [len(message.frame) for message in session.receive(b"\r\n")] == [300011]


def test_what_is_held_is_told_and_given_back() -> None:
    session = client()
    assert session.receive(command("GET", "k")[:-1]) == []
    assert session.buffered == len(command("GET", "k")) - 1
    assert len(session.receive(b"\n")) == 1
    assert session.buffered == 0


def test_commands_are_written_and_taken_apart_alike() -> None:
    words = [b"SET", b"k", b"\r\n", b""]
    assert resp.encode(words) == command(*words)
    assert resp.arguments(command(*words)) == words
    assert resp.arguments(b"xx" + command(*words), 2, at=2) == words[:2]


def test_values_of_an_array_are_given_as_they_stand() -> None:
    inside = [b"$1\r\na\r\n", b"$-1\r\n", b"*2\r\n:1\r\n:2\r\n", b"_\r\n"]
    assert resp.values(b"*4\r\n" + b"".join(inside)) == inside
    assert resp.values(b"+OK\r\n") == []
