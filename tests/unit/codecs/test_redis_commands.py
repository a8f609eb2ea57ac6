"""
The tables of Redis' commands against what redis-server itself says: COMMAND and COMMAND GETKEYS of 7.0.15, in the two
text files beside this one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from metaproxy.codecs.redis import commands, several


def lines(name: str) -> list[str]:
    text = (Path(__file__).parent / name).read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


COMMANDS = {name: rest for name, *rest in (line.split() for line in lines("redis-commands.txt"))}
KEYS = [line.rpartition(" = ")[::2] for line in lines("redis-keys.txt")]
BY_SUBCOMMAND = {"MEMORY", "OBJECT", "XGROUP", "XINFO"}
"""COMMAND tells no place for them, only for their subcommands."""


@pytest.mark.parametrize(("text", "keys"), KEYS, ids=[text for text, _ in KEYS])
def test_keys_are_found_where_redis_server_finds_them(text: str, keys: str) -> None:
    words = [word.encode() for word in text.split()]
    assert commands.keys(words[0].decode(), words) == [key.encode() for key in keys.split()]


def test_the_places_of_keys_are_those_of_command() -> None:
    ours = {}
    for name in COMMANDS:
        if name in BY_SUBCOMMAND or name in commands.REFUSED_WITH or name.encode() in commands.REFUSED:  # type: ignore[comparison-overlap]
            continue
        moves = (
            name in commands.COUNTED or name in commands.STREAMS or name.startswith("SORT") or name in commands.STORING
        )
        place = commands.PLACES.get(name, commands.ONE)
        if name in commands.KEYLESS:
            place = (0, 0, 0)
        elif name in commands.COUNTED:
            place = (1, 1, 1) if name.endswith("STORE") else (0, 0, 0)
        elif name in commands.STREAMS:
            place = (0, 0, 0)
        ours[name] = [*map(str, place), "+" if moves else "-"]
    assert ours == {name: rest[:4] for name, rest in COMMANDS.items() if name in ours}


def test_only_commands_that_read_are_called_safe() -> None:
    reads = {name for name, rest in COMMANDS.items() if rest[4] == "r"}
    safe_otherwise = {"ECHO", "INFO", "OBJECT", "PING", "TIME", "XINFO"}
    assert {name for name in commands.READS if name in COMMANDS} == reads | safe_otherwise


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("EVAL", "x", []),
        ("EVAL", "x many a b", []),
        ("EVAL", "x 5 a", [b"a"]),
        ("EVAL", "x -1 a", []),
        ("XREAD", "COUNT 1", []),
        ("GET", "", []),
        ("BLPOP", "0", []),
        ("MSETEX", "2 a 1 b 2 EX 10", [b"a", b"b"]),
        ("JSON.MGET", "a b $", [b"a", b"b"]),
        ("OBJECT", "HELP", []),
        ("OBJECT", "", []),
    ],
)
def test_commands_with_faults_and_of_later_versions_give_what_is_there(
    name: str, arguments: str, expected: list[bytes]
) -> None:
    assert commands.keys(name, [name.encode(), *arguments.encode().split()]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BLPOP a 0", True),
        ("XREAD BLOCK 0 STREAMS s $", True),
        ("XREADGROUP GROUP g c COUNT 1 NOACK block 5 STREAMS s >", True),
        ("XREAD STREAMS block $", False),
        ("XREAD COUNT 1 STREAMS s 0", False),
    ],
)
def test_streams_block_only_when_they_are_asked_to(text: str, expected: bool) -> None:
    words = text.encode().split()
    assert commands.blocks(words[0], lambda: words) is expected


def test_what_needs_a_look_is_in_no_table_of_ordinary_commands() -> None:
    assert not {head.split(b"\r\n")[2].upper() for head in commands.HEADS} & commands.SPECIAL
    assert b"*2\r\n$3\r\nGET" in commands.HEADS
    assert b"*2\r\n$3\r\nget" in commands.HEADS


def test_what_is_denied_is_no_ordinary_command() -> None:
    left = commands.heads(frozenset((b"GET",)))
    assert commands.HEADS.keys() - left.keys() == {head for head in commands.HEADS if head.upper().endswith(b"\r\nGET")}


def test_commands_with_one_key_have_no_other_and_are_one_server_s() -> None:
    assert {"GET", "SET", "HSET", "ZADD", "EXPIRE"} <= set(commands.WITH_ONE_KEY.values())
    for word, name in commands.WITH_ONE_KEY.items():
        assert word.upper() == name.encode()
        assert commands.keys(name, [word, b"1", b"STORE", b"3", b"STREAMS", b"5"]) == [b"1"]
        assert name not in several.NAMES | commands.MANY | commands.KEYLESS
