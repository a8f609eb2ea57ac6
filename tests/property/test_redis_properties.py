from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from metaproxy.codecs.redis import Redis, resp
from metaproxy.message import Side

NAMES = st.sampled_from([b"GET", b"set", b"MULTI", b"EXEC", b"SUBSCRIBE", b"BLPOP", b"Client", b"SELECT", b"nonsense"])
WORDS = st.tuples(NAMES, st.lists(st.binary(max_size=20), max_size=5)).map(lambda pair: [pair[0], *pair[1]])
REPLY = st.recursive(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1).map(lambda n: b":%d\r\n" % n),
        st.binary(max_size=40).map(lambda b: b"$%d\r\n%b\r\n" % (len(b), b)),
        st.sampled_from([b"+OK\r\n", b"-ERR x\r\n", b"$-1\r\n", b"_\r\n", b"#t\r\n", b",1.5\r\n", b"(123\r\n"]),
    ),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(b"*~"), st.lists(inner, max_size=4)).map(
            lambda pair: b"%c%d\r\n" % (pair[0], len(pair[1])) + b"".join(pair[1])
        ),
        st.lists(st.tuples(inner, inner), max_size=3).map(
            lambda pairs: b"%%%d\r\n" % len(pairs) + b"".join(key + value for key, value in pairs)
        ),
    ),
    max_leaves=12,
)


@given(st.lists(REPLY, max_size=8), st.lists(st.integers(0, 400), max_size=8))
def test_nested_replies_are_cut_where_they_end_however_they_arrive(replies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(replies)
    session = Redis().session(Side.SERVER, 1 << 20)
    session.open(None, {})
    places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    pieces = [stream[a:b] for a, b in pairwise(places)]
    frames = [message.frame for piece in pieces for message in session.receive(piece)]
    assert session.error is None
    assert frames == replies


@given(st.lists(WORDS, max_size=8), st.lists(st.integers(0, 400), max_size=8))
def test_commands_are_cut_where_they_end_however_they_arrive(lines: list[list[bytes]], cuts: list[int]) -> None:
    frames = [resp.encode(words) for words in lines]
    stream = b"".join(frames)
    whole, split = (Redis().session(Side.CLIENT, 1 << 20) for _ in range(2))
    places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert [m for piece in pieces for m in split.receive(piece)] == whole.receive(stream)
    assert str(split.error) == str(whole.error)


@given(st.sampled_from(list(Side)), st.lists(st.binary(max_size=60), max_size=6))
def test_random_bytes_raise_nothing(side: Side, pieces: list[bytes]) -> None:
    session = Redis().session(side, 1000)
    for piece in pieces:
        for message in session.receive(piece):
            message.known()
    assert session.buffered <= 1000 + 60


@given(st.lists(st.binary(max_size=10), min_size=1))
def test_arguments_come_back_as_they_were_written(words: list[bytes]) -> None:
    assert resp.arguments(resp.encode(words)) == words


def test_a_value_that_trickles_in_costs_its_bytes_and_no_more() -> None:
    session = Redis().session(Side.SERVER, 1 << 20)
    session.open(None, {})
    session.receive(b"$300000\r\n")
    for _ in range(300000):
        assert session.receive(b"x") == []
    held = session._cutter._chunks
    assert len(held) <= 3
    assert [len(message.frame) for message in session.receive(b"\r\n")] == [300011]
