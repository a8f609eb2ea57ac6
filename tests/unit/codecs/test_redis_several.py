"""Redis commands without a key where several servers have the keys: whole, merged, or refused with a reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis_words import answer, client, read, said

from metaproxy.codecs.redis import Redis, commands, resp, several
from metaproxy.message import FrameError, Kind, Message, Part

CODEC = Redis()


class Server(NamedTuple):
    address: str


class Servers:
    """
    Those of a ring, and `replica`, a copy of one; `down`: one of them is not usable; bound: where the client has a
    connection of its own.
    """

    def __init__(self, count: int = 3, down: bool = False, bound: Server | None = None) -> None:
        self.all = [Server(f"10.0.0.{n}:6379") for n in range(count)]
        self.replica = Server("10.0.1.0:6379")
        self.down = down
        self.bound = bound

    def __call__(self, key: str) -> Server | None:
        return self.all[len(key) % len(self.all)] if self.all else None

    def everyone(self, replicas: bool = False) -> list[Server]:
        return [] if self.down else [*self.all, self.replica] if replicas else self.all


def parts_of(text: str, owner: Any) -> list[Part]:
    parts = CODEC.split(read(client(), text), owner)
    assert isinstance(parts, list)
    return parts


def asked(part: Part) -> str:
    return b" ".join(resp.arguments(part.message.frame)).decode()


def merged(text: str, *answers: bytes) -> bytes:
    request = read(client(), text)
    parts = CODEC.split(request, Servers())
    assert isinstance(parts, list)
    kinds = [Kind.ERROR if frame.startswith(b"-") else Kind.RESPONSE for frame in answers]
    return CODEC.merge(request, parts, [Message(kind, frame) for kind, frame in zip(kinds, answers, strict=True)])


GATHERED = ["DBSIZE", "KEYS *", "randomkey", "script exists a b", "FLUSHALL", "flushdb ASYNC", "FUNCTION LOAD x"]
OF_NODES = [
    "SCRIPT LOAD x", "SCRIPT FLUSH", "script kill", "PUBSUB CHANNELS", "PUBSUB NUMSUB a", "CONFIG SET a b", "BGSAVE",
    "ACL SETUSER x", "SLOWLOG GET", "LATENCY RESET", "MEMORY PURGE",
]  # fmt: skip


@pytest.mark.parametrize("text", GATHERED)
def test_what_only_all_can_answer_is_asked_of_all(text: str) -> None:
    servers = Servers()
    parts = parts_of(text, servers)
    assert [part.endpoint for part in parts] == servers.all
    assert [asked(part) for part in parts] == [text] * 3


@pytest.mark.parametrize("text", OF_NODES)
def test_what_replicas_do_not_get_from_their_masters_is_asked_of_them_too(text: str) -> None:
    servers = Servers()
    parts = parts_of(text, servers)
    assert [part.endpoint for part in parts] == [*servers.all, servers.replica]
    assert [asked(part) for part in parts] == [text] * 4


@pytest.mark.parametrize("text", [*GATHERED, *OF_NODES, "SCAN 0"])
def test_it_is_refused_when_one_of_them_can_not_be_asked(text: str) -> None:
    with pytest.raises(FrameError, match="needs all servers, and one of them is not usable"):
        CODEC.split(read(client(), text), Servers(down=True))


@pytest.mark.parametrize(
    ("text", "answers", "expected"),
    [
        ("DBSIZE", (b":1\r\n", b":20\r\n", b":0\r\n"), b":21\r\n"),
        ("KEYS *", (b"*1\r\n$1\r\na\r\n", b"*0\r\n", b"*2\r\n:1\r\n:2\r\n"), b"*3\r\n$1\r\na\r\n:1\r\n:2\r\n"),
        ("RANDOMKEY", (b"$-1\r\n", b"$1\r\na\r\n", b"_\r\n"), b"$1\r\na\r\n"),
        ("RANDOMKEY", (b"$-1\r\n", b"$-1\r\n"), b"$-1\r\n"),
        ("SCRIPT LOAD x", (b"$2\r\nab\r\n", b"$2\r\nab\r\n"), b"$2\r\nab\r\n"),
        ("SCRIPT EXISTS a b", (b"*2\r\n:1\r\n:1\r\n", b"*2\r\n:1\r\n:0\r\n"), b"*2\r\n:1\r\n:0\r\n"),
        ("PUBSUB NUMPAT", (b":1\r\n", b":2\r\n"), b":3\r\n"),
        ("DBSIZE", (b":1\r\n", b"-LOADING x\r\n"), b"-LOADING x\r\n"),
        ("SCAN 0", (b"-LOADING x\r\n",), b"-LOADING x\r\n"),
        ("FLUSHALL", (b"+OK\r\n", b"+OK\r\n"), b"+OK\r\n"),
        ("FLUSHALL", (b"+OK\r\n", b"-NOPERM x\r\n", b"+OK\r\n"), b"-NOPERM x (2 of 3 servers did it)\r\n"),
        ("FLUSHALL", (b"-NOPERM x\r\n", b"-NOPERM x\r\n"), b"-NOPERM x\r\n"),
        ("ACL DELUSER a b", (b":1\r\n", b":2\r\n"), b":2\r\n"),
        ("ACL LOG", (b"*1\r\n$1\r\na\r\n", b"*1\r\n$1\r\nb\r\n"), b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("ACL LOG RESET", (b"+OK\r\n", b"+OK\r\n"), b"+OK\r\n"),
        ("PUBSUB CHANNELS", (b"*1\r\n$1\r\na\r\n", b"*1\r\n$1\r\na\r\n"), b"*1\r\n$1\r\na\r\n"),
        (
            "PUBSUB NUMSUB a b",
            (b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:0\r\n", b"*4\r\n$1\r\na\r\n:2\r\n$1\r\nb\r\n:5\r\n"),
            b"*4\r\n$1\r\na\r\n:3\r\n$1\r\nb\r\n:5\r\n",
        ),
        ("PUBSUB NUMSUB", (b"*0\r\n", b"*0\r\n"), b"*0\r\n"),
        ("SLOWLOG LEN", (b":2\r\n", b":3\r\n"), b":5\r\n"),
        ("SCRIPT KILL", (b"-NOTBUSY x\r\n", b"+OK\r\n"), b"+OK\r\n"),
        ("SCRIPT KILL", (b"-NOTBUSY x\r\n", b"-UNKILLABLE y\r\n"), b"-UNKILLABLE y\r\n"),
        ("SCRIPT KILL", (b"-NOTBUSY x\r\n", b"-NOTBUSY x\r\n"), b"-NOTBUSY x\r\n"),
    ],
)  # fmt: skip
def test_answers_are_put_together(text: str, answers: tuple[bytes, ...], expected: bytes) -> None:
    assert merged(text, *answers) == expected


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ("SLOWLOG GET", [7, 3, 8, 2]),
        ("SLOWLOG GET 1", [7]),
        ("SLOWLOG GET 3", [7, 3, 8]),
        ("SLOWLOG GET -1", [7, 3, 8, 2]),
    ],
)
def test_of_slow_commands_the_newest_of_all_servers_are_shown(asked: str, ids: list[int]) -> None:
    def entries(*pairs: tuple[int, int]) -> bytes:
        return b"*%d\r\n" % len(pairs) + b"".join(b"*3\r\n:%d\r\n:%d\r\n:5\r\n" % pair for pair in pairs)

    said = merged(asked, entries((3, 90), (2, 50)), entries((7, 95)), entries((8, 60)))
    assert [int(resp.values(entry)[0][1:]) for entry in resp.values(said)] == ids


@pytest.mark.parametrize("text", ["DBSIZE", "SCRIPT EXISTS a", "PUBSUB NUMSUB a", "ACL DELUSER a"])
def test_an_answer_that_makes_no_sense_is_an_error(text: str) -> None:
    assert merged(text, b"+what\r\n", b"*3\r\n:1\r\n:1\r\n:1\r\n").startswith(b"-ERR an endpoint's answer")


@pytest.mark.parametrize("entry", [b"*1\r\n:1\r\n", b"*2\r\n:1\r\n$1\r\nx\r\n", b":1\r\n", b"*0\r\n", b"$-1\r\n"])
def test_so_is_a_slow_command_without_a_time(entry: bytes) -> None:
    assert merged("SLOWLOG GET", b"*1\r\n" + entry, b"*0\r\n").startswith(b"-ERR an endpoint's answer")


@pytest.mark.parametrize("text", several.REFUSED)
def test_what_can_not_be_sent_again_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(FrameError, match=f"^{text} does not work over several servers: "):
        CODEC.split(read(client(), f"{text.lower()} a b"), Servers())


@pytest.mark.parametrize(
    "text", ["INFO", "CONFIG GET x", "TIME", "SCRIPT HELP", "FUNCTION LIST", "ACL WHOAMI", "MEMORY USAGE k", "MEMORY"]
)
def test_any_server_will_do_for_what_is_about_a_server(text: str) -> None:
    assert CODEC.split(read(client(), text), Servers()) is None


@pytest.mark.parametrize(
    ("text", "expected"), [("PING", b"+PONG\r\n"), ("ping hi", b"$2\r\nhi\r\n"), ("ECHO hi", b"$2\r\nhi\r\n")]
)
def test_ping_and_echo_are_answered_here_whichever_server_is_down(text: str, expected: bytes) -> None:
    assert CODEC.split(read(client(), text), Servers(down=True)) == expected
    assert CODEC.split(read(client(), text), Servers(0)) is None


@pytest.mark.parametrize("text", ["PING a b", "ECHO", "ECHO a b"])
def test_with_wrong_arguments_a_server_says_so(text: str) -> None:
    assert CODEC.split(read(client(), text), Servers()) is None


# SCAN


def scan(contents: list[dict[int, tuple[int, list[str]]]], options: str = "") -> list[str]:
    """All that SCAN brings; contents: of each server, cursor -> the next one and keys."""
    servers, cursor, found = Servers(len(contents)), 0, []
    for _ in range(100):
        request = read(client(), f"SCAN {cursor} {options}".strip())
        parts = CODEC.split(request, servers)
        assert isinstance(parts, list)
        (part,) = parts
        assert isinstance(part.endpoint, Server)
        _, theirs, *rest = asked(part).split()
        assert " ".join(rest) == options
        after, keys = contents[servers.all.index(part.endpoint)][int(theirs)]
        frame = b"*2\r\n" + resp.bulk(b"%d" % after) + resp.encode([key.encode() for key in keys])
        merged = CODEC.merge(request, parts, [Message(Kind.RESPONSE, frame)])
        cursor = int(merged.split(b"\r\n")[2])
        assert cursor < 1 << 63
        found += [key.decode() for key in resp.arguments(resp.values(merged)[1])]
        if not cursor:
            return found
    raise AssertionError("no end")


def test_scan_goes_through_all_servers_and_ends_behind_the_last() -> None:
    large = (1 << 38) + 5
    one = {0: (large, ["a"]), large: (7, []), 7: (0, ["b"])}
    assert scan([one, {0: (0, ["c"])}, {0: (0, [])}, {0: (3, []), 3: (0, ["d", "e"])}]) == list("abcde")
    assert scan([one, {0: (0, ["c"])}], "MATCH x* COUNT 5") == list("abc")


def test_a_cursor_of_other_servers_is_refused() -> None:
    request = read(client(), "SCAN 0")
    parts = CODEC.split(request, Servers(3))
    assert isinstance(parts, list)
    merged = CODEC.merge(request, parts, [Message(Kind.RESPONSE, b"*2\r\n$1\r\n5\r\n*0\r\n")])
    cursor = merged.split(b"\r\n")[2].decode()
    assert len(parts_of(f"SCAN {cursor}", Servers(3))) == 1
    for servers in (Servers(2), Servers(4)):
        with pytest.raises(FrameError, match="SCAN from 0 again"):
            CODEC.split(read(client(), f"SCAN {cursor}"), servers)
    with pytest.raises(FrameError, match="SCAN from 0 again"):
        CODEC.split(read(client(), "SCAN 12345"), Servers(3))


def test_a_cursor_that_is_too_large_to_be_told_is_an_error() -> None:
    request = read(client(), "SCAN 0")
    parts = CODEC.split(request, Servers(2))
    assert isinstance(parts, list)
    frame = b"*2\r\n" + resp.bulk(b"%d" % (1 << 39)) + b"*0\r\n"
    assert CODEC.merge(request, parts, [Message(Kind.RESPONSE, frame)]).startswith(b"-ERR ")


@pytest.mark.parametrize("text", ["SCAN", "SCAN x", "SCAN -1", "SCAN 123456789012345678901"])
def test_a_cursor_that_is_none_is_left_to_a_server(text: str) -> None:
    assert CODEC.split(read(client(), text), Servers()) is None


# What the reference says


PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "codecs" / "redis.md").read_text()


@pytest.mark.parametrize("name", sorted({*(one.decode() for one in commands.REFUSED), *several.NAMES}))
def test_the_reference_names_each_command_that_is_refused_or_answered_by_all(name: str) -> None:
    assert re.search(rf"`{name}\b", PAGE)


@pytest.mark.parametrize(
    "word",
    sorted(
        {
            *(word.decode() for words in commands.REFUSED_WITH.values() for word in words),
            *(word.decode() for words in several.ASKED_WITH.values() for word in words),
        }
    ),
)
def test_it_names_their_subcommands(word: str) -> None:
    assert re.search(rf"\b{word}\b", PAGE)


# On a connection of the client's own


BOUND = Servers(bound=Servers().all[1])


@pytest.mark.parametrize("text", ["GET a", "SET a 1", "MGET a b", "MSET a 1 b 2", "EXEC", "PING", "INFO", "EVAL x 0"])
def test_what_belongs_where_its_client_is_bound_is_left_whole(text: str) -> None:
    assert CODEC.split(read(client(), text), BOUND) is None


@pytest.mark.parametrize("text", ["GET aa", "SET aa 1", "MGET a aa", "MGET aa bb", "RENAME aa bb", "NOSUCH.ONE aa"])
def test_a_key_of_another_server_is_refused_there(text: str) -> None:
    assert CODEC.split(read(client(), text), BOUND) == []


@pytest.mark.parametrize("text", ["DBSIZE", "SCAN 0", "KEYS *", "SCRIPT LOAD x", "FLUSHALL"])
def test_what_needs_all_servers_is_refused_there(text: str) -> None:
    with pytest.raises(FrameError, match="does not work over several servers"):
        CODEC.split(read(client(), text), BOUND)


@pytest.mark.parametrize("text", ["DBSIZE", "FLUSHALL"])
def test_so_it_is_where_it_opens_a_transaction(text: str) -> None:
    session = client()
    answer(session, "MULTI")
    (message,) = session.receive(said(text))
    with pytest.raises(FrameError, match="does not work over several servers"):
        CODEC.split(message, Servers())
