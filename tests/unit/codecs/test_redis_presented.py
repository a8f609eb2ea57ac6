"""The proxy as a Redis Cluster of one node."""

from __future__ import annotations

import pytest

from metaproxy.codecs.redis import Redis, resp
from metaproxy.codecs.redis.layouts import layout
from metaproxy.message import Kind, Message, Side

FACTS = {"destination.address": "10.0.0.9", "destination.port": "6379"}


def ask(*words: str, facts: dict[str, str] = FACTS, before: bytes = b"", **options: object) -> bytes | None:
    session = Redis(present="cluster", **options).session(Side.CLIENT, 1 << 20)  # type: ignore[arg-type]
    session.facts = facts
    *_, message = session.receive(before + resp.encode([word.encode() for word in words]))
    return message.answer


def test_it_has_all_slots_at_the_address_that_the_client_has_come_to() -> None:
    said = ask("CLUSTER", "SLOTS") or b""
    (row,) = resp.values(said)
    first, last, node = resp.values(row)
    host, port, name, more = resp.values(node)
    assert (first, last, host, port) == (b":0\r\n", b":16383\r\n", resp.bulk(b"10.0.0.9"), b":6379\r\n")
    assert (len(name), more) == (len(resp.bulk(b"x" * 40)), b"*0\r\n")


def test_where_clients_come_to_another_address_it_is_that_which_is_written() -> None:
    assert resp.bulk(b"redis.example") in (ask("CLUSTER", "SLOTS", advertise="redis.example:7000") or b"")
    assert b":7000\r\n" in (ask("CLUSTER", "SHARDS", advertise="[::1]:7000") or b"")
    assert resp.bulk(b"::1") in (ask("CLUSTER", "SHARDS", advertise="[::1]:7000") or b"")


def test_what_it_says_is_what_a_cluster_says() -> None:
    answers = [Message(Kind.RESPONSE, ask("CLUSTER", word) or b"") for word in ("INFO", "NODES")]
    found = layout("cluster", answers, "elsewhere:1")
    assert list(found.endpoints) == ["10.0.0.9:6379"]
    assert (found.doubtful, found.shards) == (False, 1)
    assert {found.shard(key) for key in ("a", "b", "c")} == {found.endpoints["10.0.0.9:6379"]["shard"]}


def test_in_resp3_shards_are_maps() -> None:
    said = ask("CLUSTER", "SHARDS", before=resp.encode([b"HELLO", b"3"])) or b""
    assert said.startswith(b"*1\r\n%2\r\n$5\r\nslots\r\n*2\r\n:0\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n%7\r\n")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("CLUSTER", "KEYSLOT", "x{foo}y"), b":12182\r\n"),
        (("READONLY",), b"+OK\r\n"),
        (("READWRITE",), b"+OK\r\n"),
        (("ASKING",), b"+OK\r\n"),
        (("CLUSTER",), b"-ERR wrong number of arguments for 'cluster' command\r\n"),
        (("READONLY", "x"), b"-ERR wrong number of arguments for 'readonly' command\r\n"),
    ],
)
def test_the_rest_is_answered_here(words: tuple[str, ...], answer: bytes) -> None:
    assert ask(*words) == answer


@pytest.mark.parametrize("words", [("CLUSTER", "FAILOVER"), ("CLUSTER", "FORGET", "x"), ("CLUSTER", "NODES", "x")])
def test_what_would_change_a_cluster_is_refused(words: tuple[str, ...]) -> None:
    assert (ask(*words) or b"").startswith(b"-ERR CLUSTER ")


def test_rules_and_deny_hold_for_it_too() -> None:
    assert (ask("CLUSTER", "SLOTS", deny=["CLUSTER"]) or b"").startswith(b"-NOPERM")


def test_inside_a_transaction_it_is_refused_by_the_server() -> None:
    session = Redis(present="cluster").session(Side.CLIENT, 1 << 20)
    commands = [[b"MULTI"], [b"SET", b"a", b"1"], [b"CLUSTER", b"SLOTS"]]
    *_, message = session.receive(b"".join(map(resp.encode, commands)))
    assert message.answer is None
    assert b"inside MULTI" in message.frame


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"present": "node"}, "write server or cluster"),
        ({"advertise": "a:1"}, "leave it out"),
        ({"present": "cluster", "mode": "pinned"}, "leave out present"),
        ({"present": "cluster", "advertise": "a"}, "write host:port"),
        ({"present": "cluster", "advertise": "unix:/a"}, "write host:port"),
    ],
)
def test_what_can_t_be_is_refused(options: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Redis(**options)  # type: ignore[arg-type]
