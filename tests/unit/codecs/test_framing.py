"""The sessions of whole families: heads of variable size, lines, blocks of announced length behind them."""

from __future__ import annotations

from functools import partial

import pytest

from metaproxy.codecs.dubbo.frame import DubboSession
from metaproxy.codecs.framing import (
    BEGINNING,
    SMALL,
    Delimited,
    Held,
    Lines,
    Session,
    VariableHead,
    VarintFramed,
    read_varint,
    write_varint,
)
from metaproxy.codecs.redis.server import ServerSession
from metaproxy.codecs.redis.stream import CommandStream
from metaproxy.codecs.thrift.session import ThriftSession
from metaproxy.message import FrameError, Kind, Message, Side
from metaproxy.testing.work import CountedBytes, Work


def parse(frame: bytes) -> Message:
    return Message(Kind.REQUEST, frame)


def block(line: bytes) -> int:
    return int(line[4:]) + 2 if line.startswith(b"set ") else 0


def lines(max_frame: int = 1 << 20, most: int | None = None) -> Lines:
    return Lines(parse, max_frame, block=block, most=most)


def frames(session: Session, *pieces: bytes) -> list[bytes]:
    return [message.frame for piece in pieces for message in session.receive(piece)]


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# -- lines


def test_a_line_is_a_frame_with_its_end() -> None:
    assert frames(lines(), b"get a\r\nget b\nget") == [b"get a\r\n", b"get b\n"]


def test_a_block_behind_a_line_belongs_to_its_frame_whatever_it_holds() -> None:
    stream = b"set 6\r\n\r\nab\r\n\r\nget a\r\n"
    for pieces in ([stream], one_by_one(stream), [stream[:8], stream[8:]]):
        session = lines()
        assert frames(session, *pieces) == [b"set 6\r\n\r\nab\r\n\r\n", b"get a\r\n"]
        assert (session.buffered, session.error) == (0, None)


def test_a_frame_of_several_lines_ends_with_the_last_one() -> None:
    stream = b"VALUE\r\nVALUE\r\nEND\r\nEND\r\n"
    for pieces in ([stream], one_by_one(stream)):
        session = Lines(parse, 100, last=lambda line: line == b"END")
        assert frames(session, *pieces) == [b"VALUE\r\nVALUE\r\nEND\r\n", b"END\r\n"]


def test_a_delimiter_of_several_bytes_is_found_across_reads() -> None:
    session = Delimited(parse, 100, b"\0\0\0")
    assert frames(session, b"a\0", b"\0", b"\0b\0\0", b"c\0\0\0") == [b"a\0\0\0", b"b\0\0c\0\0\0"]


def test_buffered_counts_what_is_incomplete() -> None:
    session = lines()
    session.receive(b"get a\r\nset 9\r\nabc")
    assert session.buffered == 10


@pytest.mark.parametrize("whole", [True, False])
def test_a_line_may_have_as_many_bytes_as_a_frame_and_no_more(whole: bool) -> None:
    for size, good in ((10, True), (11, False)):
        line = b"x" * (size - 1) + b"\n"
        session = lines(10)
        assert frames(session, *([line] if whole else one_by_one(line))) == ([line] if good else [])
        assert (session.error is None) is good


@pytest.mark.parametrize("whole", [True, False])
def test_a_line_may_have_a_smaller_bound_of_its_own(whole: bool) -> None:
    for size, good in ((5, True), (6, False)):
        line = b"x" * size + b"\n"
        session = lines(most=5)
        assert frames(session, *([line] if whole else one_by_one(line))) == ([line] if good else [])
        assert (session.error is None) is good


def test_a_block_over_the_bound_is_refused_when_it_is_announced() -> None:
    session = lines(100)
    session.receive(b"set 99\r\n")
    assert str(session.error) == "a line announces 101 bytes; a frame has at most 100"
    assert session.receive(b"get a\r\n") == []


def test_a_negative_block_is_refused() -> None:
    session = lines()
    session.receive(b"set -99\r\n")
    assert isinstance(session.error, FrameError)


def test_the_messages_before_a_bad_frame_are_given() -> None:
    session = lines(20)
    assert frames(session, b"get a\nset 999\n") == [b"get a\n"]
    assert session.error is not None


def test_work_is_linear_however_the_bytes_come() -> None:
    def work(size: int, step: int) -> int:
        session = Lines(parse, 1 << 30, block=block, last=lambda line: line == b"END")
        stream = b"set 10\r\n0123456789\r\n" * (size // 20) + b"END\r\n"
        with Work(allocations=True) as counted:
            for at in range(0, len(stream), step):
                piece = CountedBytes(stream[at : at + step])
                counted.of(partial(session.receive, piece))
        return counted.total

    for step in (7, 100_000):
        assert work(40_000, step) < 2.5 * work(20_000, step)


# -- varints


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 16383, 16384, (1 << 63) - 1])
def test_a_varint_is_read_as_it_was_written(value: int) -> None:
    written = write_varint(value)
    assert read_varint(b"x" + written + b"y", 1) == (value, 1 + len(written))
    assert read_varint(written[:-1], 0) == (0, 0)


def test_frames_behind_a_varint_are_cut_wherever_reads_end() -> None:
    stream = b"".join(write_varint(size) + b"x" * size for size in (1, 127, 128, 300))
    for pieces in ([stream], one_by_one(stream)):
        session = VarintFramed(parse, 1000)
        assert [len(frame) for frame in frames(session, *pieces)] == [2, 128, 130, 302]
        assert (session.buffered, session.error) == (0, None)


def test_a_varint_without_end_is_refused() -> None:
    for pieces in ([b"\xff" * 20], one_by_one(b"\xff" * 20)):
        session = VarintFramed(parse, 1000)
        assert frames(session, *pieces) == []
        assert str(session.error) == "no length within 10 bytes: ffffffffffffffffffff"


def test_a_frame_over_the_bound_is_refused_on_its_head() -> None:
    session = VarintFramed(parse, 100)
    session.receive(write_varint(99) + b"x" * 99)
    assert session.error is None
    session.receive(write_varint(100))
    assert str(session.error) == "frame of 101 bytes; allowed are 1 to 100"


def test_a_head_whose_size_is_not_known_yet_is_looked_at_again() -> None:
    session = VariableHead(lambda data, at: data[at + 1] if len(data) > at + 1 else 0, parse, 100)
    assert frames(session, b"a", b"\4", b"xy", b"b\3z") == [b"a\4xy", b"b\3z"]


def test_a_frame_may_say_that_it_has_no_bytes_or_fewer_than_none() -> None:
    session = VariableHead(lambda data, at: -5, parse, 100)
    session.receive(b"abc")
    assert isinstance(session.error, FrameError)


def test_pieces_of_a_frame_are_joined_once_it_is_whole() -> None:
    held = Held()
    pieces = [b"a", b"b" * SMALL, b"c", b"d", b"e" * 2 * SMALL]
    for piece in pieces:
        held.add(piece)
    assert held.size == sum(map(len, pieces))
    assert held.beginning() == b"a" + b"b" * (BEGINNING - 1)
    assert held.take(memoryview(b"--f--")[2:3]) == b"".join(pieces) + b"f"
    assert held.size == 0


def test_of_a_frame_that_is_dropped_its_beginning_is_kept() -> None:
    held = Held()
    for piece in (b"a" * 60, b"b" * SMALL, b"c" * SMALL):
        held.cut(piece)
    assert held.beginning() == b"a" * 60 + b"b" * 4
    assert held.size == BEGINNING


@pytest.mark.parametrize("base", [DubboSession, ThriftSession, ServerSession, CommandStream])
@pytest.mark.parametrize("name", ["buffered", "closing", "cutter", "error", "owes"])
def test_a_class_that_hides_what_the_compiled_path_reads_is_refused(base: type, name: str) -> None:
    with pytest.raises(TypeError, match=f"Own: {name} in its body: .*__init__"):
        type("Own", (base,), {name: None})
    mixin = type("Mixin", (), {name: None})
    with pytest.raises(TypeError, match=name):
        type("Own", (mixin, base), {})


def test_a_session_derived_from_one_of_ours_has_attributes_of_its_own() -> None:
    class Own(DubboSession):
        ready = False
        most = 7

        def __init__(self, side: Side, max_frame: int) -> None:
            super().__init__(side, max_frame)
            self.owes = True

    session = Own(Side.CLIENT, 1000)
    assert (session.ready, session.most, session.owes, session.buffered) == (False, 7, True, 0)


def test_one_of_no_fields_in_c_has_them_in_its_body() -> None:
    class Own(Session):
        owes = True

    assert Own().owes
