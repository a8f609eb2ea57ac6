"""Commands and answers over `stream_over`: which come in pieces, with what head, and which are whole or refused."""

from __future__ import annotations

from typing import Any

import pytest
from redis_words import command, join

from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import Redis
from metaproxy.message import Chunk, ErrorKind, Hold, Kind, Message, Part, Side
from metaproxy.units import Bytes

OVER = 100
MOST = 1000
VALUE = bytes(range(256)) * 2
HUGE = VALUE * 4


def session(side: Side = Side.CLIENT, most: int = MOST, **options: Any) -> Session:
    made = Redis(stream_over=Bytes(OVER), **options).session(side, most)
    if side is Side.SERVER:
        made.open(None, {})
    return made


def fed(reader: Session, stream: bytes, size: int = 64) -> list[Message]:
    return [message for at in range(0, len(stream), size) for message in reader.receive(stream[at : at + size])]


def pieces(reader: Session, *words: str | bytes) -> tuple[Message, list[Chunk]]:
    """The head and the chunks of a command that comes in pieces."""
    head, *chunks = fed(reader, command(*words))
    assert reader.error is None
    assert head.kind is Kind.STREAM_OPEN
    found = [chunk for chunk in chunks if isinstance(chunk, Chunk)]
    assert [chunk.kind for chunk in found] == [Kind.STREAM_DATA] * (len(chunks) - 1) + [Kind.STREAM_CLOSE]
    assert join(head, found).frame == command(*words)
    assert {chunk.id for chunk in found} == {head.id}
    return head, found


def only(reader: Session, *words: str | bytes) -> Message:
    (message,) = fed(reader, command(*words))
    assert reader.error is None
    return message


# -- commands in pieces


@pytest.mark.parametrize("mode", ["shared", "pinned"])
@pytest.mark.parametrize(
    "words",
    [
        ("SET", "k", VALUE),
        ("SET", "k", VALUE, "EX", "10", "GET"),
        ("APPEND", "k", VALUE),
        ("RESTORE", "k", "0", VALUE, "REPLACE"),
        ("LPUSH", "k", *["small"] * 40),
        ("HSET", "k", "f", "v", "g", VALUE, "h", VALUE),
        ("XADD", "k", "*", "f", VALUE),
        ("PUBLISH", "k", VALUE),
        ("EVALSHA", "sha", "1", "k", VALUE),
        ("JSON.SET", "k", "$", VALUE),
    ],
)
def test_a_command_over_stream_over_comes_in_pieces_with_what_a_route_may_ask_for_in_its_head(
    mode: str, words: tuple[str | bytes, ...]
) -> None:
    reader = session(mode=mode)
    head, _ = pieces(reader, *words)
    assert len(head.frame) <= OVER + 64
    assert (head.get("command"), head.get("tag")) == (words[0], "k")
    assert head.get("keys") == (None if words[0] == "PUBLISH" else "k")
    assert head.values("keys") == ((None,) if words[0] == "PUBLISH" else ("k",))
    assert head.hold is Hold.EXCHANGE
    assert (head.answer, reader.buffered) == (None, 0)
    assert only(reader, "GET", "k").hold is Hold.NONE


def test_each_one_has_an_id_of_its_own_so_that_its_chunks_are_no_others() -> None:
    reader = session()
    assert [pieces(reader, "SET", "k", VALUE)[0].id for _ in range(3)] == [1, 2, 3]


def test_a_chunk_has_64_kib_at_most_and_a_read_without_anything_else_is_not_copied() -> None:
    reader = session()
    data = bytes(200_000)
    reader.receive(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n")
    assert [len(chunk.frame) for chunk in reader.receive(data)] == [65536, 65536, 65536, 3392]
    piece = bytes(65536)
    assert [chunk.frame for chunk in reader.receive(piece)] == [piece]
    assert reader.receive(piece)[0].frame is piece


def test_no_value_is_larger_than_the_servers_own_limit() -> None:
    reader = session()
    assert reader.receive(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870913\r\n") == []
    assert reader.owed() == b"-ERR Protocol error: invalid bulk length\r\n"
    (head,) = session().receive(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n")
    assert head.kind is Kind.STREAM_OPEN


def test_what_came_in_one_read_may_be_whole() -> None:
    (message,) = session().receive(command("SET", "k", VALUE))
    assert message.kind is Kind.REQUEST


# -- commands that must be whole


@pytest.mark.parametrize(
    "words", [("GET", VALUE), ("MGET", *["key"] * 40), ("MSET", "k", VALUE, "l", "v"), ("EVAL", VALUE, "1", "k")]
)
def test_a_command_with_keys_behind_is_whole_up_to_max_frame(words: tuple[str | bytes, ...]) -> None:
    message = only(session(), *words)
    assert (message.kind, message.frame) == (Kind.REQUEST, command(*words))


@pytest.mark.parametrize("words", [("GET", HUGE), ("EVAL", HUGE, "1", "k"), ("ECHO", HUGE), ("SUBSCRIBE", "c", HUGE)])
def test_one_whose_head_does_not_tell_where_it_belongs_is_refused_over_max_frame(
    words: tuple[str | bytes, ...],
) -> None:
    reader = session()
    assert fed(reader, command(*words)) == []
    assert reader.owed() == b"-ERR Protocol error: invalid bulk length\r\n"
    assert str(reader.error) == "a message of more than 1000 bytes"


def test_over_max_frame_one_with_keys_behind_passes_and_says_that_it_may_have_any() -> None:
    head, _ = pieces(session(), "MSET", "k", HUGE, "secret", "v")
    assert (head.get("command"), head.get("keys"), head.values("keys")) == ("MSET", "k", ())
    head, _ = pieces(session(), "MSET", "k", "v", "l", HUGE)
    assert head.values("keys") == ("k l",)


def test_a_user_with_rules_is_not_let_through_with_keys_that_nobody_has_seen() -> None:
    users = [{"name": "default", "nopass": True, "rules": ["+@all", "~k*"]}]
    reader = session(users=users)
    pieces(reader, "MSET", "k", "v", "k2", HUGE)
    assert fed(reader, command("MSET", "k", HUGE, "secret", "v")) == []
    assert str(reader.error) == "a message of more than 1000 bytes"


@pytest.mark.parametrize("options", [(), ("EX", "10")])
def test_what_a_user_needs_for_an_option_that_has_not_come_is_taken_as_needed(options: tuple[str, ...]) -> None:
    users = [{"name": "default", "nopass": True, "rules": ["+@all", "%W~k"]}]
    reader = session(users=users)
    found = fed(reader, command("SET", "k", VALUE, *options))
    if options:
        (refused,) = found
        assert refused.answer is not None
        assert refused.answer.startswith(b"-NOPERM")
    else:
        assert found[0].kind is Kind.STREAM_OPEN


def test_line_ends_that_only_redis_server_reads_are_no_part_of_a_stream() -> None:
    stream = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$512\r\n" + VALUE
    for bad in (b"xy", b"\rx"):
        reader = session()
        found = fed(reader, stream + bad, 200)
        assert [message.kind for message in found][-1] is Kind.STREAM_RESET
        assert reader.owed() == b"-ERR Protocol error: invalid line end\r\n"
    (message,) = fed(session(), b"*3\rx$3\r\nSET\r\n$1\r\nk\r\n$512\r\n" + VALUE + b"\r\n")
    assert (message.kind, message.frame) == (Kind.REQUEST, command("SET", "k", VALUE))


# -- refused commands


@pytest.mark.parametrize("mode", ["shared", "pinned"])
def test_a_refused_command_is_answered_at_once_and_its_rest_is_read_and_dropped(mode: str) -> None:
    reader = session(mode=mode, deny=["SET"])
    stream = command("SET", "k", HUGE)
    (refused,) = fed(reader, stream[:500])
    assert (refused.kind, refused.answer) == (Kind.REQUEST, b"-NOPERM SET is not allowed here\r\n")
    assert fed(reader, stream[500:]) == []
    assert reader.buffered == 0
    assert only(reader, "GET", "k").kind is Kind.REQUEST


def test_so_is_what_comes_from_who_is_not_logged_in() -> None:
    reader = session(auth="x")
    (refused,) = fed(reader, command("SET", "k", VALUE))
    assert refused.answer == b"-NOAUTH Authentication required.\r\n"
    assert only(reader, "AUTH", "x").answer == b"+OK\r\n"


@pytest.mark.parametrize("mode", ["shared", "pinned"])
def test_in_a_transaction_a_refused_command_makes_the_server_fail_it(mode: str) -> None:
    reader = session(mode=mode, deny=["SET"])
    only(reader, "MULTI")
    only(reader, "INCR", "n")
    message = only(reader, "SET", "k", VALUE)
    assert (message.kind, message.answer) == (Kind.REQUEST, None)
    assert b"SET is not allowed here" in message.frame
    assert VALUE not in message.frame


# -- transactions, one-way commands


def test_as_the_first_command_of_a_transaction_it_takes_multi_along() -> None:
    reader, upstream = session(), session(Side.SERVER)
    assert only(reader, "MULTI").answer == b"+OK\r\n"
    head, *chunks = fed(reader, command("SET", "k", VALUE))
    assert (head.kind, head.hold, head.get("key")) == (Kind.STREAM_OPEN, Hold.OPEN, "k")
    sent = b"".join(upstream.send(message, 0) for message in (head, *chunks))
    assert sent == command("MULTI") + command("SET", "k", VALUE)
    upstream.send(only(reader, "EXEC"), 0)
    found = upstream.receive(b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
    assert [message.frame for message in found] == [b"+QUEUED\r\n", b"*1\r\n+OK\r\n"]
    assert upstream.reusable


def test_behind_client_reply_off_it_is_one_way_and_replies_stay_with_their_commands() -> None:
    reader, upstream = session(mode="pinned"), session(Side.SERVER, mode="pinned")
    asked = [*fed(reader, command("CLIENT", "REPLY", "OFF")), *fed(reader, command("SET", "k", VALUE))]
    assert [getattr(message, "oneway", False) for message in asked[:2]] == [False, True]
    for message in (*asked, only(reader, "CLIENT", "REPLY", "ON"), only(reader, "GET", "k")):
        upstream.send(message, 0)
    found = upstream.receive(b"+OK\r\n$-1\r\n")
    assert [(message.kind, message.frame) for message in found] == [
        (Kind.RESPONSE, b"+OK\r\n"),
        (Kind.RESPONSE, b"$-1\r\n"),
    ]


def test_on_a_connection_that_is_not_the_clients_own_any_more_nothing_of_it_is_sent() -> None:
    reader = session()
    only(reader, "WATCH", "k")
    head, *chunks = fed(reader, command("SET", "k", VALUE))
    other = Redis(stream_over=Bytes(OVER)).session(Side.SERVER, MOST)
    other.open(head.profile, {})
    sent = [other.send(message, 0) for message in (head, *chunks)]
    assert b"was lost" in sent[0]
    assert b"".join(sent[1:]) == b""


# -- answers


@pytest.mark.parametrize("mode", ["shared", "pinned"])
@pytest.mark.parametrize(
    "reply",
    [
        b"$512\r\n%b\r\n" % VALUE,
        b"*60\r\n" + b":1\r\n" * 60,
        b"-ERR " + b"x" * 200 + b"\r\n",
        b"%30\r\n" + b"_\r\n" * 60,
    ],
)
def test_an_answer_over_stream_over_comes_in_pieces_and_those_around_it_are_whole(mode: str, reply: bytes) -> None:
    upstream = session(Side.SERVER, mode=mode)
    reader = session(mode=mode)
    for _ in range(3):
        upstream.send(only(reader, "GET", "k"), 0)
    first, head, *chunks, last = fed(upstream, b":1\r\n" + reply + b":2\r\n")
    assert [(each.kind, each.frame) for each in (first, last)] == [
        (Kind.RESPONSE, b":1\r\n"), (Kind.RESPONSE, b":2\r\n"),
    ]  # fmt: skip
    assert head.kind is Kind.STREAM_OPEN
    whole = join(head, chunks)
    assert (whole.kind, whole.frame) == (Kind.ERROR if reply[:1] == b"-" else Kind.RESPONSE, reply)


def test_it_counts_as_one_answer_when_its_client_gets_a_connection_of_its_own() -> None:
    upstream, reader = session(Side.SERVER), session()
    upstream.send(only(reader, "GET", "k"), 0)
    fed(upstream, b"$512\r\n" + VALUE + b"\r\n")
    for words in (["GET", "k"], ["WATCH", "k"], ["UNWATCH"]):
        upstream.send(only(reader, *words), 0)
    upstream.receive(b":1\r\n+OK\r\n")
    assert not upstream.reusable
    upstream.receive(b"+OK\r\n")
    assert upstream.reusable


def test_what_exec_answers_is_whole_where_it_tells_of_subscriptions() -> None:
    upstream, reader = session(Side.SERVER, mode="pinned"), session(mode="pinned")
    for words in (["MULTI"], ["SUBSCRIBE", "c"], ["GET", "k"], ["EXEC"]):
        upstream.send(only(reader, *words), 0)
    upstream.receive(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n")
    frame = b"*2\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n$512\r\n" + VALUE + b"\r\n"
    (answer,) = fed(upstream, frame)
    assert (answer.kind, answer.frame) == (Kind.RESPONSE, frame)
    (event,) = fed(upstream, b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n")
    assert event.kind is Kind.EVENT


def test_where_it_is_too_large_its_client_may_be_subscribed() -> None:
    upstream, reader = session(Side.SERVER, mode="pinned"), session(mode="pinned")
    for words in (["MULTI"], ["GET", "k"], ["SUBSCRIBE", "c"], ["EXEC"], ["GET", "k"]):
        upstream.send(only(reader, *words), 0)
    upstream.receive(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n")
    confirmation = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
    (skipped,) = fed(upstream, b"*2\r\n$2048\r\n" + HUGE + b"\r\n" + confirmation)
    assert skipped.kind is Kind.SKIPPED
    event, answer = fed(upstream, b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n:1\r\n")
    assert (event.kind, answer.kind) == (Kind.EVENT, Kind.RESPONSE)


@pytest.mark.parametrize("mode", ["shared", "pinned"])
def test_a_large_message_of_a_subscription_is_whole(mode: str) -> None:
    upstream, reader = session(Side.SERVER, mode=mode), session(mode=mode)
    upstream.send(only(reader, "SUBSCRIBE", "c"), 0)
    upstream.receive(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
    frame = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$512\r\n" + VALUE + b"\r\n"
    (event,) = fed(upstream, frame)
    assert (event.kind, event.frame) == (Kind.EVENT, frame)


def test_with_pinned_connections_a_large_reply_that_answers_nothing_is_an_event() -> None:
    upstream = session(Side.SERVER, mode="pinned")
    frame = b"$512\r\n" + VALUE + b"\r\n"
    (event,) = fed(upstream, frame)
    assert (event.kind, event.frame) == (Kind.EVENT, frame)


# -- several endpoints


def split(message: Message, owners: dict[str, int]) -> list[Part] | bytes | None:
    return Redis().split(message, lambda key: owners.get(key, 0))


def test_a_command_in_pieces_goes_to_one_endpoint_or_is_refused_with_an_error_that_says_so() -> None:
    one, _ = pieces(session(), "SET", "k", VALUE)
    assert split(one, {"k": 1}) is None
    known, _ = pieces(session(), "MSET", "k", "v", "l", HUGE)
    assert split(known, {}) is None
    refusal = b"-ERR MSET is too large to be divided between endpoints\r\n"
    assert split(known, {"l": 1}) == refusal
    unknown, _ = pieces(session(), "MSET", "k", HUGE, "l", "v")
    assert split(unknown, {}) == refusal
    evaluated, _ = pieces(session(), "EVALSHA", "sha", "2", "k", "l", VALUE)
    assert split(evaluated, {"l": 1}) == []


def test_an_error_of_the_proxy_takes_the_place_of_an_answer_unless_there_is_none() -> None:
    shared, _ = pieces(session(), "SET", "k", VALUE)
    assert Redis().reply(shared, ErrorKind.NO_ENDPOINT, "none") == b"-ERR none\r\n"
    assert not Redis().safe(shared)
    reader = session(mode="pinned")
    only(reader, "CLIENT", "REPLY", "OFF")
    quiet, _ = pieces(reader, "SET", "k", VALUE)
    assert Redis(mode="pinned").reply(quiet, ErrorKind.NO_ENDPOINT, "none") == b""
