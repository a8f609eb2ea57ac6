"""Messages of gRPC: found however they are cut, bounded, and each one chunk where that is asked for."""

from __future__ import annotations

import random

import pytest
from grpc_calls import framed

from metaproxy.codecs.grpc.messages import Recut, TooLarge, Walk
from metaproxy.message import Chunk, Kind


def chunks(data: bytes, sizes: list[int]) -> list[Chunk]:
    """The data as the chunks of one half; the last one ends it."""
    made, at = [], 0
    for size in sizes:
        made.append(Chunk(Kind.STREAM_DATA, data[at : at + size], 1))
        at += size
    return [*made, Chunk(Kind.STREAM_CLOSE, data[at:], 1)]


def test_ends_of_messages_are_found_in_one_piece_and_byte_by_byte() -> None:
    data = framed(b"", b"a", b"bcd" * 100, b"")
    assert Walk(0).over(data) == [5, 11, 316, 321]
    walk = Walk(0)
    assert [at + 1 for at in range(len(data)) if walk.over(data[at : at + 1])] == [5, 11, 316, 321]


def test_a_message_over_the_bound_is_refused_on_its_prefix() -> None:
    walk = Walk(100)
    assert walk.over(framed(b"x" * 100)) == [105]
    walk.over(b"\0\0\0\0")
    with pytest.raises(TooLarge, match="101 bytes; max_message is 100"):
        walk.over(b"\x65")


def test_each_message_is_one_chunk_and_the_last_one_ends_the_half() -> None:
    messages = [framed(b"one"), framed(b""), framed(b"three" * 20)]
    data = b"".join(messages)
    for sizes in ([], [3], [4, 1, 5], [8, 5], [len(data)], [1] * (len(data) - 1)):
        credited: list[int] = []
        recut = Recut(1000, credited.append)
        made = [part for chunk in chunks(data, sizes) for part in recut.cut(chunk)]
        assert [chunk.frame for chunk in made if chunk.frame] == messages
        assert [chunk.kind for chunk in made[:-1]] == [Kind.STREAM_DATA] * (len(made) - 1)
        assert made[-1].kind is Kind.STREAM_CLOSE
        assert recut.held == 0


def test_a_message_over_the_size_passes_in_pieces_and_those_behind_it_are_whole_again() -> None:
    large, small = framed(b"x" * 50), framed(b"small")
    recut = Recut(20, lambda size: None)
    made = [part.frame for chunk in chunks(large + small, [10, 20, 28, 3]) for part in recut.cut(chunk)]
    assert b"".join(made) == large + small
    assert made[-1] == small
    assert recut.held == 0


def test_nothing_is_held_but_a_message_of_the_size_and_what_is_held_was_credited() -> None:
    draw = random.Random(1)
    for _ in range(200):
        data = b"".join(framed(draw.randbytes(draw.choice((0, 1, 10, 40, 100)))) for _ in range(draw.randrange(6)))
        data += framed(b"cut")[: draw.randrange(8)]
        sizes = [draw.randrange(1, 30) for _ in range(draw.randrange(12))]
        credited: list[int] = []
        recut = Recut(64, credited.append)
        made: list[Chunk] = []
        fed = 0
        for chunk in chunks(data, sizes):
            chunk.size += draw.choice((0, 3))  # padding
            fed += chunk.size
            made += recut.cut(chunk)
            assert recut.held <= 64
            assert sum(credited) + sum(one.size for one in made) == fed
        assert b"".join(chunk.frame for chunk in made) == data


def test_an_end_in_the_middle_of_a_message_passes_what_there_is() -> None:
    recut = Recut(1000, lambda size: None)
    assert recut.cut(Chunk(Kind.STREAM_DATA, b"\0\0\0", 1)) == []
    (last,) = recut.cut(Chunk(Kind.STREAM_CLOSE, b"\0\x09half", 1))
    assert (last.kind, last.frame) == (Kind.STREAM_CLOSE, b"\0\0\0\0\x09half")
