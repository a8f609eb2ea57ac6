"""Where Redis' commands and replies end: bounds, what is no RESP, inline commands, frames that trickle in."""

from __future__ import annotations

import pytest
from redis_words import client, command, server

from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import Redis, inline, resp
from metaproxy.message import Side


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


# Commands


@pytest.mark.parametrize("frame", [command("GET", "k"), command("SET", "k", b"\r\n*1\r\n"), command(*"abcdefghijkl")])
def test_a_frame_is_the_bytes_that_came(frame):
    assert [message.frame for message in client().receive(frame * 3)] == [frame] * 3


def test_a_lone_command_is_not_copied():
    frame = command("SET", "k", b"x" * 10000)
    assert client().receive(frame)[0].frame is frame


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"*x\r\n", "a number expected"),
        (b"*1\r\n+a\r\n", "'$' expected, b'+' read"),
        (b"*1\r\n*", "'$' expected, b'*' read"),
        (b"*1\r\n$-1\r\n", "$-1; allowed are"),
        (b"*1\r\n$+3\r\n", "a number expected"),
        (b"*1\r\n$03\r\n", "$03; allowed are"),
        (b"*2\r\n$3\r\nGET\r\n$01\r\na\r\n", "$01; allowed are"),
        (b"*01\r\n", "*01; allowed are"),
        (b"*1048577\r\n", "*1048577; allowed are 0 to 1048576"),
        (b"*1\r\n$3\r\nabcde", "a value is not followed by a line end"),
        (b"*1\r\n$3\r\nabc\rd", "a value is not followed by a line end"),
        (b"*2\r\n$3\r\nGET\r\n$1\r\nabc", "a value is not followed by a line end"),
        (b"*1\r\n$00000000000000000000003\r\n", "a line of more than 22 bytes"),
        (b"*1\r\n$" + b"9" * 20 + b"\r\n", "a message of more than"),
    ],
)
def test_what_redis_server_would_not_take_is_never_sent_on_to_it(stream, error):
    assert error in refusal(client(), stream)
    slowly = client()
    assert [slowly.receive(bytes((byte,))) for byte in stream] == [[]] * len(stream)
    assert error in str(slowly.error)


def test_the_commands_before_a_bad_one_count():
    session = client()
    assert len(session.receive(command("GET", "a") * 2 + b"*1\r\n$x\r\n" + command("GET", "a"))) == 2
    assert session.error is not None
    assert session.receive(command("GET", "a")) == []


@pytest.mark.parametrize("nothing", [b"*0\r\n", b"*-1\r\n", b"\r\n", b"\n", b"  \r\n"])
def test_nothing_is_no_command(nothing):
    session = client()
    assert len(session.receive(nothing + command("GET", "a") + nothing)) == 1
    assert session.error is None


@pytest.mark.parametrize(
    "head",
    [b"*2\r\n$3\r\nGET\r\n$984\r\n", b"*334\r\n", b"*1\r\n$99999999\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$975\r\n"],
)
def test_a_command_over_the_bound_is_refused_on_its_head(head):
    assert refusal(sessions(1000)[0], head) == "a message of more than 1000 bytes"


def test_a_command_of_just_the_bound_is_taken():
    frame = command("SET", "k", b"x" * 970)
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
        (b"get a\0b", [b"get", b"a"]),
    ],
)
def test_a_line_is_words_as_redis_server_reads_them(line, words):
    assert inline.words(line) == words


@pytest.mark.parametrize("line", [b"set 'a", b'"', b"'a'b", b'"a"b', b'"a\\"', b"'a\\'"])
def test_quotes_that_do_not_match_break_the_protocol(line):
    assert "quote" in refusal(client(), line + b"\r\n")


def test_inline_commands_are_forwarded_as_arrays():
    first, second = client().receive(b"GET a\r\nSET a 'b c'\n")
    assert (first.frame, second.frame) == (command("GET", "a"), command("SET", "a", "b c"))


def test_an_inline_command_is_bounded():
    assert refusal(client(), b"x" * 65536) == "an inline command of more than 65536 bytes"
    assert refusal(sessions(1000)[0], b"x" * 1000) == "an inline command of more than 1000 bytes"
    assert refusal(sessions(100)[0], b"a " * 30 + b"\n") == "a message of more than 100 bytes"


def test_an_inline_command_and_an_array_follow_each_other():
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
        (b"+" + b"x" * 65537, "a line of more than 65536 bytes"),
        (b"*1\r\n" * 33, "lists in more than 32 levels"),
    ],
)
def test_what_is_no_reply_breaks_the_protocol(stream, error):
    assert error in refusal(server(), stream)
    slowly = server()
    assert [slowly.receive(bytes((byte,))) for byte in stream] == [[]] * len(stream)
    assert error in str(slowly.error)


def test_lists_may_be_nested_in_32_levels():
    frame = b"*1\r\n" * 32 + b":1\r\n"
    assert [message.frame for message in server().receive(frame)] == [frame]


@pytest.mark.parametrize("head", [b"*400\r\n", b"$993\r\n", b"%200\r\n", b"*1\r\n$990\r\n", b"+" + b"x" * 999])
def test_a_reply_over_the_bound_is_refused_before_it_comes(head):
    assert refusal(sessions(1000)[1], head) == "a message of more than 1000 bytes"


def test_a_line_may_be_long_where_it_tells_more_than_a_number():
    frame = b"-ERR " + b"x" * 60000 + b"\r\n"
    session = server()
    assert [
        message.frame for byte in range(0, len(frame), 7) for message in session.receive(frame[byte : byte + 7])
    ] == [frame]


# What comes in pieces


def count_scanned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each look at a stream had before it."""
    seen: list[int] = []
    scan = resp.Scanner.scan

    def counted(self: resp.Scanner, data: bytes, at: int) -> int:
        seen.append(len(data) - at)
        return scan(self, data, at)

    monkeypatch.setattr(resp.Scanner, "scan", counted)
    return seen


def test_a_large_array_in_many_reads_is_looked_at_once(monkeypatch):
    frame = b"*20000\r\n" + b"$7\r\nabcdefg\r\n" * 20000
    seen = count_scanned(monkeypatch)
    session = server()
    found = [m for at in range(0, len(frame), 1000) for m in session.receive(frame[at : at + 1000])]
    assert [message.frame for message in found] == [frame]
    assert sum(seen) == len(frame)


def test_a_large_value_in_many_reads_is_looked_at_once_and_joined_once(monkeypatch):
    frame = command("SET", "k", b"x" * 500000)
    seen = count_scanned(monkeypatch)
    session = client()
    found = [m for at in range(0, len(frame), 4096) for m in session.receive(frame[at : at + 4096])]
    assert [message.frame for message in found] == [frame]
    assert sum(seen) == len(frame)


def test_a_value_that_trickles_in_costs_its_bytes_and_no_more():
    session = server()
    session.receive(b"$300000\r\n")
    for _ in range(300000):
        assert session.receive(b"x") == []
    assert session.buffered == 300009
    assert len(session._held._pieces) == 1
    assert [len(message.frame) for message in session.receive(b"\r\n")] == [300011]


def test_what_is_held_is_told_and_given_back():
    session = client()
    assert session.receive(command("GET", "k")[:-1]) == []
    assert session.buffered == len(command("GET", "k")) - 1
    assert len(session.receive(b"\n")) == 1
    assert session.buffered == 0


def test_commands_are_written_and_taken_apart_alike():
    words = [b"SET", b"k", b"\r\n", b""]
    assert resp.encode(words) == command(*words)
    assert resp.arguments(command(*words)) == words
    assert resp.arguments(b"xx" + command(*words), 2, at=2) == words[:2]


def test_values_of_an_array_are_given_as_they_stand():
    inside = [b"$1\r\na\r\n", b"$-1\r\n", b"*2\r\n:1\r\n:2\r\n", b"_\r\n"]
    assert resp.values(b"*4\r\n" + b"".join(inside)) == inside
    assert resp.values(b"+OK\r\n") == []
