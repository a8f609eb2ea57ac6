"""A session's cutter: what it gives is taken, what it leaves the loop reads, and one that is wrong is named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metaproxy.codecs.framing import Codec, Cutter, Delimited, LengthFramed, Session, VarintFramed
from metaproxy.message import Correlation, ErrorKind, FrameError, Kind, Message, Side
from metaproxy.testing import check_codec

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "examples"))
from quill import HEAD, Quill

CALLS = [HEAD.pack(9 + 6, 7, 4) + b"echohi", HEAD.pack(9 + 4, 8, 3) + b"say!"]
ANSWERS = [HEAD.pack(9 + 2, 7, 0) + b"hi", HEAD.pack(9 + 2, 8, 0x80) + b"no"]


class FastQuill(Quill):
    """Answers are cut by a function, as it could be written in C; calls and errors are left to the loop."""

    def __init__(self, most: int = 1 << 20) -> None:
        super().__init__()
        self.most = most
        self.cut = 0

    def session(self, side: Side, max_frame: int) -> LengthFramed:
        session = super().session(side, max_frame)
        if side is Side.SERVER:
            session.cutter = self.cutter(min(max_frame, self.most))
        return session

    def cutter(self, most: int) -> Cutter:
        def cut(data: bytes, at: int, messages: list[Message]) -> int:
            while len(data) - at >= HEAD.size:
                size, id, n = HEAD.unpack_from(data, at)
                stop = at + 4 + size
                if n or not 13 <= 4 + size <= most or stop > len(data):
                    break
                messages.append(self.made(data[at:stop], id))
                self.cut += 1
                at = stop
            return at

        return cut

    def made(self, frame: bytes, id: int) -> Message:
        return Message(Kind.RESPONSE, frame, id)


def test_a_plugin_gives_its_sessions_a_cutter() -> None:
    codec = FastQuill()
    check_codec(codec, CALLS, ANSWERS)
    assert codec.cut


def test_what_the_cutter_leaves_the_loop_reads() -> None:
    codec = FastQuill()
    session = codec.session(Side.SERVER, 1024)
    good, error, bad = *ANSWERS, HEAD.pack(4000, 9, 0)
    messages = session.receive(good * 3 + error + good + good[:5])
    assert [message.kind for message in messages] == [Kind.RESPONSE] * 3 + [Kind.ERROR, Kind.RESPONSE]
    assert codec.cut == 3
    assert session.buffered == 5
    assert len(session.receive(good[5:] + good + bad)) == 2
    assert codec.cut == 5
    assert "frame of 4004 bytes" in str(session.error)


class WrongId(FastQuill):
    def made(self, frame: bytes, id: int) -> Message:
        return Message(Kind.RESPONSE, frame, id + 1)


class OverBound(FastQuill):
    """Cuts what is longer than a frame may be."""

    def session(self, side: Side, max_frame: int) -> LengthFramed:
        session = super().session(side, max_frame)
        if side is Side.SERVER:
            session.cutter = self.cutter(1 << 32)
        return session


class Greedy(FastQuill):
    """Says that it took what was not whole."""

    def cutter(self, most: int) -> Cutter:
        cut = super().cutter(most)

        def too_far(data: bytes, at: int, messages: list[Message]) -> int:
            return len(data) if cut(data, at, messages) else 0

        return too_far


@pytest.mark.parametrize("codec", [WrongId, OverBound, Greedy])
def test_a_cutter_that_differs_from_the_loop_is_named(codec: Callable[[], FastQuill]) -> None:
    with pytest.raises(AssertionError):
        check_codec(codec(), CALLS, ANSWERS)


def test_the_difference_is_told() -> None:
    class Later(WrongId):
        """Wrong for a body that none of the frames has, but some that are damaged."""

        def made(self, frame: bytes, id: int) -> Message:
            return Message(Kind.RESPONSE, frame, id + (frame[13:14] == b"\xff"))

    with pytest.raises(AssertionError, match=r"with session.cutter = None it gives"):
        check_codec(Later(), CALLS, ANSWERS)


class Words(Codec):
    """The other sessions of `framing`, with a cutter that takes all that it is given up to the last end."""

    name = "words"
    correlation = Correlation.FIFO
    connections = "pool"

    def __init__(self, make: Callable[[Callable[[bytes], Message], int, Cutter], Session], end: bytes) -> None:
        self.make = make
        self.end = end
        self.cut = 0

    def session(self, side: Side, max_frame: int) -> Session:
        def parse(frame: bytes) -> Message:
            if not frame.isascii():
                raise FrameError("not ASCII")
            if side is Side.CLIENT:
                return Message(Kind.REQUEST, frame)
            return Message(Kind.ERROR if b"?" in frame else Kind.RESPONSE, frame)

        def cut(data: bytes, at: int, messages: list[Message]) -> int:
            while True:
                stop = data.find(self.end, at, at + 9) + len(self.end)
                if stop < len(self.end) or stop - at > max_frame or (self.end == b"!" and data[at] != stop - at - 1):
                    return at
                if not data[at:stop].isascii():
                    return at
                messages.append(parse(data[at:stop]))
                self.cut += 1
                at = stop

        return self.make(parse, max_frame, cut)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return b"\2?!" if self.end == b"!" else b"?" + self.end


def lines(parse: Callable[[bytes], Message], most: int, cut: Cutter) -> Session:
    return Delimited(parse, most, b"\r\n", cutter=cut)


def varint(parse: Callable[[bytes], Message], most: int, cut: Cutter) -> Session:
    return VarintFramed(parse, most, cutter=cut)


def test_sessions_of_lines_and_of_varints_take_a_cutter() -> None:
    for codec, frames in (
        (Words(lines, b"\r\n"), [b"one\r\n", b"\r\n", b"a longer line\r\n", b"two\r\n"]),
        (Words(varint, b"!"), [b"\4one!", b"\1!", b"\x0da longer one!", b"\4two!"]),
    ):
        check_codec(codec, frames, frames)
        assert codec.cut


def test_what_is_behind_a_line_that_came_in_two_reads_is_cut_again() -> None:
    codec = Words(lines, b"\r\n")
    session = codec.session(Side.CLIENT, 1024)
    assert session.receive(b"on") == []
    assert [message.frame for message in session.receive(b"e\r\ntwo\r\nthree\r\nfo")] == [
        b"one\r\n", b"two\r\n", b"three\r\n",
    ]  # fmt: skip
    assert codec.cut == 2
    assert session.buffered == 2
