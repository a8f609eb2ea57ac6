"""Commands with other keys than their clients wrote."""

from __future__ import annotations

import pytest
from redis_words import client, command, read

from metaproxy.codecs.redis import Redis, resp
from metaproxy.codecs.redis.metadata import MULTI
from metaproxy.message import FrameError, Kind, Message, Side
from metaproxy.units import Bytes

CODEC = Redis()


def without(key: str) -> str | None:
    """Keys without the prefix `u:`; None for others."""
    return key.removeprefix("u:") if key.startswith("u:") else None


def changed(text: str) -> str | None:
    other = CODEC.reword(read(client(), text), without)
    return None if other is None else b" ".join(resp.arguments(other.frame)).decode()


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("GET u:a", "GET a"),
        ("get u:", "get "),
        ("SET u:a u:value EX 5", "SET a u:value EX 5"),
        ("MGET u:a u:b u:a", "MGET a b a"),
        ("MSET u:a u:1 u:b 2", "MSET a u:1 b 2"),
        ("EVAL return 2 u:a u:b u:c", "EVAL return 2 a b u:c"),
        ("XREAD COUNT 1 STREAMS u:a u:b 0 0", "XREAD COUNT 1 STREAMS a b 0 0"),
        ("ZUNIONSTORE u:z 2 u:a u:b", "ZUNIONSTORE z 2 a b"),
        ("BLPOP u:a u:b 0", "BLPOP a b 0"),
        ("OBJECT ENCODING u:a", "OBJECT ENCODING a"),
        ("WATCH u:a", "WATCH a"),
    ],
)
def test_each_key_is_changed_and_nothing_else(asked: str, sent: str) -> None:
    assert changed(asked) == sent


@pytest.mark.parametrize(
    "text", ["GET a", "MGET a b", "PING", "SCAN 0 MATCH u:*", "KEYS u:*", "PUBLISH u:a x", "SPUBLISH u:a x", "INFO"]
)
def test_a_command_whose_keys_do_not_match_or_that_has_none_stays_as_it_is(text: str) -> None:
    assert changed(text) is None


@pytest.mark.parametrize("text", ["MGET u:a b", "MSET u:a 1 b 2", "SUNION a u:b"])
def test_one_some_of_whose_keys_match_is_refused(text: str) -> None:
    with pytest.raises(FrameError, match="some are to be changed and others are not"):
        changed(text)


def test_what_is_known_of_it_is_of_the_new_keys() -> None:
    other = CODEC.reword(read(client(), "MGET u:{x}a u:{x}b"), without)
    assert other is not None
    assert (other.get("key"), other.get("keys"), other.get("tag")) == ("{x}a", "{x}a {x}b", "x")
    assert (other.get("command"), other.get("user")) == ("MGET", "default")


def test_any_bytes_may_be_a_key() -> None:
    (message,) = client().receive(command("GET", b"u:\xff\r\n\0"))
    other = CODEC.reword(message, without)
    assert other is not None
    assert other.frame == command("GET", b"\xff\r\n\0")


def test_the_first_command_of_a_transaction_keeps_the_multi_before_it() -> None:
    session = client()
    read(session, "MULTI")
    other = CODEC.reword(read(session, "SET u:a 1"), without)
    assert other is not None
    assert other.frame == MULTI + command("SET", "a", "1")
    assert other.get("key") == "a"


def test_of_one_in_pieces_the_beginning_is_changed() -> None:
    session = Redis(stream_over=Bytes(100))
    head, *_ = _pieces(session, command("SET", "u:a", b"x" * 300))
    other = session.reword(head, without)
    assert other is not None
    assert other.frame.startswith(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$300\r\n")
    assert other.kind is Kind.STREAM_OPEN
    head, *_ = _pieces(session, command("MSET", "u:a", b"x" * 300, "u:b", "1"))
    with pytest.raises(FrameError, match="not all of its keys are known"):
        session.reword(head, without)


def _pieces(codec: Redis, data: bytes) -> list[Message]:
    return codec.session(Side.CLIENT, 200).receive(data)


def test_with_a_connection_for_each_client_nothing_is_changed() -> None:
    assert (Redis().rewords, Redis(mode="pinned").rewords) == ("key", "")
