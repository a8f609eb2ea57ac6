"""The Redis codec against any cut, any bytes, any nesting; the encoder here knows nothing of the codec's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from redis_words import normalised

from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import Redis, inline, resp
from metaproxy.codecs.redis.commands import COUNTED, KEYLESS, MANY, keys
from metaproxy.message import Hold, Kind, Message, Side
from metaproxy.units import Bytes

MOST = 4096
many = examples(100)

# Replies as (type byte, what): for aggregates what is a list.

LINE = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.encode)
SCALAR = (
    st.tuples(st.sampled_from("+-,("), LINE)
    | st.tuples(st.just(":"), st.integers(-(2**63), 2**63 - 1))
    | st.tuples(st.sampled_from("$!="), st.binary(max_size=40))
    | st.tuples(st.just("null"), st.sampled_from([b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b"#f\r\n"]))
)
REPLY: st.SearchStrategy[tuple[str, Any]] = st.recursive(
    SCALAR,
    lambda inner: (
        st.tuples(st.sampled_from("*~"), st.lists(inner, max_size=4))
        | st.tuples(st.just("%"), st.lists(st.tuples(inner, inner), max_size=3))
        | st.tuples(st.just("|"), st.tuples(st.lists(st.tuples(inner, inner), max_size=2), inner))
    ),
    max_leaves=12,
)
WORDS = st.lists(st.binary(max_size=20), min_size=1, max_size=12)
KNOWN = st.sampled_from([b"GET", b"set", b"MGET", b"del", b"PING", b"Incr", b"HSET", b"XREAD", b"EVAL", b"BLPOP"])
COMMAND = (
    st.tuples(KNOWN, st.lists(st.binary(max_size=3000), max_size=10)).map(lambda pair: [pair[0], *pair[1]]) | WORDS
)
CUTS = st.lists(st.integers(0, 4000), max_size=8)


def written(reply: tuple[str, Any]) -> bytes:
    kind, what = reply
    text = bytes(what) if isinstance(what, bytes) else b""
    if kind == "null":
        return text
    if kind in "+-,(":
        return kind.encode() + text + b"\r\n"
    if kind == ":":
        return f":{what}\r\n".encode()
    if kind in "$!=":
        return f"{kind}{len(text)}\r\n".encode() + text + b"\r\n"
    if kind == "|":
        pairs, inner = what
        return f"|{len(pairs)}\r\n".encode() + both(pairs) + written(inner)
    body = both(what) if kind == "%" else b"".join(map(written, what))
    return f"{kind}{len(what)}\r\n".encode() + body


def both(pairs: list[Any]) -> bytes:
    return b"".join(written(key) + written(value) for key, value in pairs)


def is_error(reply: tuple[str, Any]) -> bool:
    kind, what = reply
    return is_error(what[1]) if kind == "|" else kind in "-!"


def asked(words: list[bytes]) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(w)}\r\n".encode() + w + b"\r\n" for w in words)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    return [stream[start:stop] for start, stop in pairwise(places)]


def session(side: Side, most: int = MOST) -> Session:
    new = Redis().session(side, most)
    if side is Side.SERVER:
        new.open(None, {})
    return new


def fed(reader: Session, parts: list[bytes]) -> list[Message]:
    return [message for part in parts for message in reader.receive(part)]


@many
@given(st.lists(REPLY, max_size=8), CUTS)
def test_replies_end_where_they_end_however_they_are_nested_and_arrive(replies: Any, cuts: Any) -> None:
    frames = [written(reply) for reply in replies]
    reader = session(Side.SERVER, 1 << 20)
    found = fed(reader, pieces(b"".join(frames), cuts))
    assert reader.error is None
    assert [message.frame for message in found] == frames
    assert [message.kind is Kind.ERROR for message in found] == [is_error(reply) for reply in replies]


@many
@given(st.lists(COMMAND, max_size=8), CUTS)
def test_commands_decode_the_same_however_they_arrive(lines: Any, cuts: Any) -> None:
    stream = b"".join(map(asked, lines))
    whole, cut = session(Side.CLIENT), session(Side.CLIENT)
    assert fed(cut, pieces(stream, cuts)) == whole.receive(stream)
    assert str(cut.error) == str(whole.error)
    assert cut.buffered == whole.buffered or cut.error is not None


@many
@given(st.sampled_from(list(Side)), st.lists(st.binary(max_size=60), max_size=6))
def test_random_bytes_raise_nothing_and_are_read_the_same_in_one_piece(side: Any, parts: Any) -> None:
    reader, whole = session(side, 1000), session(side, 1000)
    found = fed(reader, parts)
    assert [message.known() for message in found] == [message.known() for message in whole.receive(b"".join(parts))]
    assert str(reader.error) == str(whole.error)
    assert reader.buffered <= 1000


NEAR = st.lists(
    st.sampled_from(
        [b"*1\r\n", b"*2\r\n", b"$3\r\n", b"GET", b"abc\r\n", b"\r\n", b"\r", b"\n", b"$0\r\n", b"*0\r\n", b"%1\r\n",
         b"|1\r\n", b":1\r\n", b"+OK\r\n", b"$-1\r\n", b">1\r\n", b"PING\r\n", b'"', b"*3\r\n$3\r\nSET\r\n",
         b"$1\r\nk\r\n", b"$999\r\n", b"x"]
    ),
    max_size=14,
)  # fmt: skip


@many
@given(st.sampled_from(list(Side)), NEAR, CUTS)
def test_bytes_that_are_nearly_redis_are_read_the_same_however_they_are_cut(side: Any, parts: Any, cuts: Any) -> None:
    stream = b"".join(parts)
    whole, cut, slow = session(side, 40), session(side, 40), session(side, 40)
    found = normalised(whole.receive(stream), whole)
    assert normalised(fed(cut, pieces(stream, [cut % 60 for cut in cuts])), cut) == found
    assert str(cut.error) == str(whole.error)
    assert normalised(fed(slow, [stream[at : at + 1] for at in range(len(stream))]), slow) == found
    assert str(slow.error) == str(whole.error)


LARGE = st.lists(
    st.one_of(
        st.tuples(st.just(b"SET"), st.sampled_from([b"k", b"{t}k"]), st.binary(max_size=200)),
        st.tuples(st.just(b"SET"), st.just(b"k"), st.binary(min_size=30, max_size=90), st.just(b"EX"), st.just(b"10")),
        st.tuples(st.just(b"lpush"), st.just(b"k"), *[st.binary(max_size=60)] * 4),
        st.tuples(st.just(b"MSET"), *[st.binary(max_size=40)] * 4),
        st.tuples(st.sampled_from([b"GET", b"MULTI", b"EXEC", b"WATCH", b"PING"])),
        st.tuples(st.just(b"GET"), st.binary(max_size=10)),
    ),
    max_size=8,
)


@many
@given(LARGE, CUTS, st.booleans(), st.sampled_from([50, 120, 10**6]))
def test_commands_in_pieces_are_the_same_however_they_are_cut(lines: Any, cuts: Any, pinned: bool, most: int) -> None:
    codec = Redis(mode="pinned" if pinned else "shared", stream_over=Bytes(50))
    stream = b"".join(map(asked, lines))
    whole, cut = codec.session(Side.CLIENT, most), codec.session(Side.CLIENT, most)
    found = normalised(whole.receive(stream), whole)
    assert normalised(fed(cut, pieces(stream, cuts)), cut) == found
    assert str(cut.error) == str(whole.error)
    assert max(whole.buffered, cut.buffered) <= most


LONG = REPLY | st.tuples(st.sampled_from("$+-"), st.binary(max_size=300).map(lambda value: value.replace(b"\r", b"")))


@many
@given(st.lists(LONG, max_size=5), CUTS, st.sampled_from([50, 120, 10**6]))
def test_answers_in_pieces_are_the_same_however_they_are_cut(said: Any, cuts: Any, most: int) -> None:
    replies = list(map(written, said))
    codec = Redis(stream_over=Bytes(50))
    whole, cut = codec.session(Side.SERVER, most), codec.session(Side.SERVER, most)
    whole.open(None, {})
    cut.open(None, {})
    found = normalised(whole.receive(b"".join(replies)), whole)
    given = normalised(fed(cut, pieces(b"".join(replies), cuts)), cut)
    assert given == found
    assert cut.error is whole.error is None
    small = [reply for reply in replies if len(reply) <= most]
    assert [message.frame for message in found if message.frame in small] == small
    if most == 10**6:
        assert [message.frame for message in found] == replies


@given(st.lists(st.binary(max_size=10), min_size=1))
def test_arguments_come_back_as_they_were_written(words: Any) -> None:
    assert resp.encode(words) == asked(words)
    assert resp.arguments(asked(words)) == words


@given(st.lists(st.binary(min_size=1, max_size=10), min_size=1, max_size=5))
def test_words_in_quotes_come_back_from_a_line(words: Any) -> None:
    line = b" ".join(b'"' + b"".join(b"\\x%02x" % byte for byte in word) + b'"' for word in words)
    assert inline.words(line) == words


@given(
    st.sampled_from(sorted({*COUNTED, *MANY, *KEYLESS, "GET"})),
    st.lists(st.sampled_from([b"STREAMS", b"STORE", b"2", b"k", b""])),
)
def test_whatever_arguments_a_command_has_its_keys_are_some_of_them(name: Any, arguments: Any) -> None:
    found = keys(name, [name.encode(), *arguments])
    assert all(key in arguments for key in found)


SAID = st.sampled_from(
    ["MULTI", "EXEC", "DISCARD", "WATCH k", "UNWATCH", "GET k", "SUBSCRIBE a b", "PSUBSCRIBE p", "UNSUBSCRIBE",
     "UNSUBSCRIBE a", "PUNSUBSCRIBE", "SELECT 1", "HELLO 3", "HELLO 2", "RESET", "MONITOR", "BLPOP l 0", "CLIENT ID",
     "SHUTDOWN", "EXEC x", "MULTI x", "CLIENT LIST", "SELECT 99"]
)  # fmt: skip


HARMLESS = ("EXEC", "DISCARD", "UNWATCH", "MULTI x", "CLIENT LIST", "GET")
"""What a shared connection may get: without a transaction there, these change nothing."""


@many
@given(st.lists(SAID, max_size=20))
def test_whatever_a_client_says_only_a_connection_of_its_own_gets_what_changes_a_connection(texts: Any) -> None:
    reader = session(Side.CLIENT)
    for text in texts:
        (message,) = reader.receive(asked([word.encode() for word in text.split()]))
        own = isinstance(message.profile, tuple) and len(message.profile) == 3
        if message.answer is None and not own and message.hold not in (Hold.OPEN, Hold.BLOCKING):
            assert text.startswith(HARMLESS)
