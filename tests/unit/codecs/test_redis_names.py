"""
Commands whose names hold what only redis-server's comparison overlooks, and errors that must not become commands.

redis-server compares names and options up to a NUL: whatever stands behind one must not hide them from the proxy.
"""

from __future__ import annotations

import pytest
from redis_words import answer, client, command, read

from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import commands, resp
from metaproxy.codecs.redis.identity import error_probe
from metaproxy.message import Hold, Message


def only(session: Session, *words: str | bytes) -> Message:
    (message,) = session.receive(command(*words))
    assert session.error is None
    return message


UNKNOWN = [
    (["SELECT\0x", "5"], "unknown command 'SELECT', with args beginning with: '5' "),
    (["select\0", "5"], "unknown command 'select', with args beginning with: '5' "),
    (["FLUSHALL\0"], "unknown command 'FLUSHALL', with args beginning with: "),
    (["GET\0", "a", "b\0c"], "unknown command 'GET', with args beginning with: 'a' 'b' "),
    (["\0GET", "a"], "unknown command '', with args beginning with: 'a' "),
    ([b"GET\xff", "a"], "unknown command 'GET\xff', with args beginning with: 'a' "),
    (["GET\r\n", "a\nb"], "unknown command 'GET  ', with args beginning with: 'a b' "),
    (["GET\x7f", "a" * 200, "b"], f"unknown command 'GET\x7f', with args beginning with: '{'a' * 128}' "),
    (["X\t" + "y" * 200], f"unknown command 'X\t{'y' * 126}', with args beginning with: "),
    (["CONFIG", "SET\0", "save", ""], "unknown subcommand 'SET'. Try CONFIG HELP."),
    (["config", b"get\xff\n", "*"], "unknown subcommand 'get\xff '. Try CONFIG HELP."),
    (["Client", "kill\0", "id", "3"], "unknown subcommand 'kill'. Try CLIENT HELP."),
    (["OBJECT", "ENCODING\0x", "a"], "unknown subcommand 'ENCODING'. Try OBJECT HELP."),
    (["XGROUP", "\0", "a", "b"], "unknown subcommand ''. Try XGROUP HELP."),
]  # fmt: skip


@pytest.mark.parametrize(("words", "error"), UNKNOWN)
def test_a_name_with_anything_but_printable_ascii_is_unknown_in_redis_servers_words(
    words: list[bytes | str], error: str
) -> None:
    assert only(client(), *words).answer == b"-ERR " + error.encode("latin-1") + b"\r\n"


@pytest.mark.parametrize("name", [name.decode() for name in sorted(commands.CONTAINERS)])
def test_so_is_a_subcommand_of_every_command_that_has_some(name: str) -> None:
    error = answer(client(), f"{name} help\0x").decode()
    assert error == f"-ERR unknown subcommand 'help'. Try {name} HELP.\r\n"


@pytest.mark.parametrize("line", [rb'"SELECT\x00x" 5', rb'"\x46LUSHALL\x00"', rb'CONFIG "SET\x00" a b'])
def test_an_inline_command_hides_nothing_either(line: bytes) -> None:
    (message,) = client().receive(line + b"\r\n")
    assert message.answer is not None and message.answer.startswith(b"-ERR unknown ")


RULES = {"users": [{"name": "default", "nopass": True, "rules": "+@all -@dangerous ~* &*"}]}


@pytest.mark.parametrize(
    "words", [["FLUSHALL\0"], ["CONFIG\0", "SET", "a", "b"], ["MONITOR\0x"], ["REPLICAOF\0", "a", "1"]]
)
@pytest.mark.parametrize("options", [{"deny": ["FLUSHALL", "CONFIG"]}, RULES])
def test_what_is_denied_is_denied_with_a_nul_behind_it(
    words: list[str], options: dict[str, list[dict[str, bool | str] | str]]
) -> None:
    assert only(client(**options), *words).answer is not None


@pytest.mark.parametrize(("words", "error"), UNKNOWN)
def test_inside_multi_it_fails_the_transaction(words: list[bytes | str], error: str) -> None:
    session = client()
    answer(session, "MULTI")
    read(session, "SET a 1")
    (name,) = resp.arguments(only(session, *words).frame)
    assert name.startswith(b"unknown ")
    assert b"\0" not in name


@pytest.mark.parametrize("text", ["FLUSHALL", "", "EXEC", "a\0b", "FLUSHALL\0 no", "ein Blöder"])
def test_no_reason_of_a_refusal_is_the_name_of_a_command(text: str) -> None:
    (name,) = resp.arguments(error_probe(text))
    assert b" " in name and min(name) >= 0x20


@pytest.mark.parametrize("option", ["BLOCK\0x", "block\0"])
def test_a_nul_does_not_hide_that_a_command_blocks(option: str) -> None:
    assert only(client(), "XREAD", option, "0", "STREAMS\0", "k", "$").hold is Hold.BLOCKING


def test_a_value_that_looks_like_an_option_does_not_hide_it_either() -> None:
    assert read(client(), "XREADGROUP GROUP STREAMS c BLOCK 0 STREAMS k >").hold is Hold.BLOCKING
    assert read(client(), "XREADGROUP GROUP g BLOCK COUNT 1 STREAMS BLOCK >").hold is Hold.NONE


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["SORT", "a", "STORE\0x", "b"], "a b"),
        (["GEORADIUS", "a", "1", "2", "3", "m", "STOREDIST\0", "b"], "a b"),
        (["XREAD", "COUNT\0", "1", "STREAMS\0y", "a", "b", "0", "0"], "a b"),
        (["XREADGROUP", "GROUP", "STREAMS", "c", "STREAMS", "a", ">"], "a"),
    ],
)
def test_a_nul_behind_an_option_hides_no_key(words: list[str], keys: str) -> None:
    assert only(client(), *words).get("keys") == keys


@pytest.mark.parametrize("words", [["SORT", "app:a", "GET\0", "secret:*"], ["SORT", "app:a", "BY\0", "secret:*"]])
def test_a_nul_behind_an_option_passes_no_rule(words: list[str]) -> None:
    session = client(users=[{"name": "default", "nopass": True, "rules": "+@all ~app:*"}])
    assert str(only(session, *words).answer).startswith("b'-ERR")


def test_a_set_that_reads_needs_the_right_to_read() -> None:
    session = client(users=[{"name": "default", "nopass": True, "rules": "+@all %W~*"}])
    assert only(session, "SET", "a", "1", "GET\0").answer is not None
