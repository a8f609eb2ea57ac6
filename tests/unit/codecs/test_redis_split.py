"""Redis commands whose keys belong to several servers: cut in one for each, answers put together in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis_words import answer, client, read

from metaproxy.codecs.redis import Redis, resp
from metaproxy.message import Kind, Message, Part

CODEC = Redis()


def owned(**owners: str) -> Callable[[str], str]:
    """owned(one="a b", two="c"): who owns which tag."""
    table = {tag: name for name, tags in owners.items() for tag in tags.split()}
    return lambda tag: table[tag]


TWO = owned(one="a c", two="b d")


def texts(parts: list[Part] | bytes | None) -> list[str]:
    assert isinstance(parts, list)
    return [b" ".join(resp.arguments(part.message.frame)).decode() for part in parts]


def merged(text: str, *answers: bytes) -> bytes:
    request = read(client(), text)
    parts: Any = CODEC.split(request, TWO)
    assert parts
    kinds = [Kind.ERROR if frame.startswith(b"-") else Kind.RESPONSE for frame in answers]
    return CODEC.merge(request, parts, [Message(kind, frame) for kind, frame in zip(kinds, answers, strict=True)])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("MGET a b c d", ["MGET a c", "MGET b d"]),
        ("mget b a b", ["mget b b", "mget a"]),
        ("MSET a 1 b 2 a 3", ["MSET a 1 a 3", "MSET b 2"]),
        ("DEL a b", ["DEL a", "DEL b"]),
        ("UNLINK a b", ["UNLINK a", "UNLINK b"]),
        ("EXISTS a b a", ["EXISTS a a", "EXISTS b"]),
        ("TOUCH a b", ["TOUCH a", "TOUCH b"]),
        ("DEL x{a} b", ["DEL x{a}", "DEL b"]),
    ],
)
def test_a_command_of_many_keys_is_cut_by_owner(text: str, parts: list[str]) -> None:
    assert texts(CODEC.split(read(client(), text), TWO)) == parts


@pytest.mark.parametrize(
    "text", ["MGET a c", "GET a", "DEL b", "PING", "RENAME {a}1 {a}2", "EVAL x 2 a c", "EVAL x 0", "MGET"]
)
def test_a_command_of_one_owner_is_left_whole(text: str) -> None:
    assert CODEC.split(read(client(), text), TWO) is None


def test_who_owns_a_key_is_asked_only_for_commands_of_many_keys() -> None:
    asked: list[str] = []
    CODEC.split(read(client(), "SET a 1"), asked.append)
    CODEC.split(read(client(), "SET a 1 EX 10"), asked.append)
    assert asked == []


@pytest.mark.parametrize(
    "text",
    [
        "SINTER a b", "RENAME a b", "MSETNX a 1 b 2", "EVAL x 2 a b", "BLPOP a b 0", "WATCH a b", "PFCOUNT a b",
        "SORT a STORE b", "ZUNIONSTORE a 1 b", "BITOP AND a b c", "XREAD STREAMS a b 0 0", "COPY a b",
    ],
)  # fmt: skip
def test_other_commands_of_several_owners_are_refused(text: str) -> None:
    assert CODEC.split(read(client(), text), TWO) == []


def test_a_transaction_that_begins_with_keys_of_several_owners_is_refused() -> None:
    session = client()
    answer(session, "MULTI")
    assert CODEC.split(read(session, "MGET a b"), TWO) == []


def test_a_transaction_whose_first_keys_have_one_owner_is_left_whole() -> None:
    session = client()
    answer(session, "MULTI")
    assert CODEC.split(read(session, "MGET a c"), TWO) is None


def test_subscriptions_are_never_cut_since_nobody_could_tell_their_refusal() -> None:
    assert CODEC.split(read(client(), "SSUBSCRIBE a b"), TWO) is None


def test_an_mset_without_its_last_value_goes_whole_to_a_server_that_refuses_it() -> None:
    assert CODEC.split(read(client(), "MSET a 1 b"), TWO) is None


def test_parts_go_where_their_keys_belong_for_who_asked() -> None:
    session = client(auth={"users": {"anna": "pw"}})
    answer(session, "AUTH anna pw")
    answer(session, "SELECT 2")
    parts = CODEC.split(read(session, "MGET {a}1 b"), TWO)
    assert parts is not None
    assert [part.message.get("tag") for part in parts if isinstance(part, Part)] == ["a", "b"]
    assert {part.message.get("user") for part in parts if isinstance(part, Part)} == {"anna"}
    assert {part.message.profile for part in parts if isinstance(part, Part)} == {(2, 2)}


def test_values_are_put_in_the_order_of_the_keys() -> None:
    whole = merged("MGET d a b c", b"*2\r\n$1\r\nD\r\n$-1\r\n", b"*2\r\n$2\r\n\r\n\r\n_\r\n")
    assert whole == b"*4\r\n$1\r\nD\r\n$2\r\n\r\n\r\n$-1\r\n_\r\n"


@pytest.mark.parametrize("text", ["DEL a b", "UNLINK a b", "EXISTS a b", "TOUCH a b"])
def test_numbers_are_added(text: str) -> None:
    assert merged(text, b":1\r\n", b":20\r\n") == b":21\r\n"


def test_an_mset_that_all_took_is_ok() -> None:
    assert merged("MSET a 1 b 2", b"+OK\r\n", b"+OK\r\n") == b"+OK\r\n"


@pytest.mark.parametrize("text", ["DEL a b", "MSET a 1 b 2", "MGET a b"])
def test_an_error_of_a_part_is_the_answer(text: str) -> None:
    assert merged(text, b"+OK\r\n", b"-LOADING wait\r\n") == b"-LOADING wait\r\n"


@pytest.mark.parametrize(
    ("text", "wrong"), [("MGET a b", b"*2\r\n_\r\n_\r\n"), ("MGET a b", b"+OK\r\n"), ("DEL a b", b"+OK\r\n")]
)
def test_an_answer_that_makes_no_sense_is_told_as_an_error(text: str, wrong: bytes) -> None:
    whole = merged(text, b"*1\r\n_\r\n" if text.startswith("MGET") else b":1\r\n", wrong)
    assert whole.startswith(b"-ERR an endpoint's answer")
    assert whole.count(b"\r\n") == 1
