"""Heads that differ in their id only are known again: nothing of what they say is another than on the first look."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protobuf_writing import blob, num, pair

from metaproxy.codecs.brpc import Brpc
from metaproxy.codecs.framing import Codec
from metaproxy.codecs.trpc import Trpc
from metaproxy.message import FrameError, Message, Mutation, Side

MAX = 1 << 20
Head = tuple[list[bytes], int | None, list[bytes]]
IDS = st.sampled_from([0, 1, 5, 127, 128, 300, 1 << 31, (1 << 32) - 1])
PARTS = st.lists(
    st.sampled_from([pair(9, "a", "1"), pair(9, "A", "2"), num(10, 1), blob(99, b"x"), num(3, 4), num(4, 77)]),
    max_size=3,
)


def brpc(before: list[bytes], id: int | None, behind: list[bytes], answer: bool) -> bytes:
    first = blob(2, num(1, 0)) if answer else blob(1, blob(1, "a.B") + blob(2, "C"))
    meta = first + b"".join(before) + (num(4, id) if id is not None else b"") + b"".join(behind)
    return b"PRPC" + struct.pack(">II", len(meta) + 2, len(meta)) + meta + b"hi"


def trpc(before: list[bytes], id: int | None, behind: list[bytes], answer: bool) -> bytes:
    first = num(5, 3) if answer else blob(7, "/a.B/C")
    header = first + b"".join(before) + (num(3, id) if id is not None else b"") + b"".join(behind)
    return struct.pack(">HBBIHIH", 0x0930, 0, 0, 18 + len(header), len(header), id or 0, 0) + header + b"hi"


def said(codec: Codec, side: Side, message: Message) -> tuple[object, ...]:
    """All that a message says, and the bytes that it is sent on as."""
    known = dict(message.known())
    values = {key.lower(): message.values(key.lower()) for key in known}
    other = codec.session(Side.SERVER if side is Side.CLIENT else Side.CLIENT, MAX)
    sent = [other.send(message, id) for id in (message.id, 1, 5000)]
    return message.kind, message.id, message.frame, known, values, sent


def check(codec: Codec, side: Side, frames: list[bytes]) -> None:
    session = codec.session(side, MAX)
    for frame in frames:
        (again,) = session.receive(frame)
        (first,) = codec.session(side, MAX).receive(frame)
        assert said(codec, side, again) == said(codec, side, first)


FRAMES = st.lists(st.tuples(PARTS, IDS | st.none(), PARTS), min_size=2, max_size=4)


@given(FRAMES, st.booleans())
def test_what_brpc_knows_again_says_the_same(heads: list[Head], answer: bool) -> None:
    frames = [brpc(before, id, behind, answer) for before, id, behind in heads for id in (id, 1, 200)]
    check(Brpc(), Side.SERVER if answer else Side.CLIENT, frames)


@given(FRAMES, st.booleans())
def test_what_trpc_knows_again_says_the_same(heads: list[Head], answer: bool) -> None:
    frames = [trpc(before, id, behind, answer) for before, id, behind in heads for id in (id, 1, 200)]
    check(Trpc(), Side.SERVER if answer else Side.CLIENT, frames)


@pytest.mark.parametrize("codec", [Brpc(), Trpc()], ids=["brpc", "trpc"])
def test_a_copy_with_another_frame_leaves_what_is_known_as_it_is(codec: Codec) -> None:
    make = brpc if codec.name == "brpc" else trpc
    session = codec.session(Side.CLIENT, MAX)
    session.receive(make([], 1, [], False))
    (second,) = session.receive(make([], 2, [], False))
    other = second.with_frame(codec.mutate(second, Mutation({"extra": "1"})))
    assert other.get("extra") == "1"
    (third,) = session.receive(make([], 3, [], False))
    assert (second.get("extra"), third.get("extra"), third.get("method")) == (None, None, "C")


@pytest.mark.parametrize("codec", [Brpc(), Trpc()], ids=["brpc", "trpc"])
def test_an_id_that_does_not_end_in_its_head_is_refused(codec: Codec) -> None:
    make = brpc if codec.name == "brpc" else trpc
    good, bad = make([], 5, [], False), bytearray(make([], 6, [], False))
    bad[-3] = 0x86
    session = codec.session(Side.CLIENT, MAX)
    session.receive(good)
    assert session.receive(bytes(bad)) == []
    assert isinstance(session.error, FrameError)
