from __future__ import annotations

from typing import Any

from harness import Quill, answer
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.comparison import Digest, compare, compare_streams
from metaproxy.message import Chunk, FrameError, Kind, Message

MAX_FRAME = 1 << 20


class Unsendable(Quill):
    """A codec whose frames are compared as they are."""

    def session(self, side: Any, max_frame: Any) -> Any:
        session: Any = super().session(side, max_frame)

        def send(message: Message, id: int) -> bytes:
            raise FrameError("no")

        session.send = send
        return session


def message(frame: bytes, kind: Kind = Kind.RESPONSE, id: int = 7) -> Message:
    return Message(kind, frame, id)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_what_comes_before_the_place_is_equal_and_what_stands_there_is_not(before: bytes, after: bytes) -> None:
    found = compare(Unsendable(), message(before), message(after), MAX_FRAME)
    if found is None:
        assert before == after
    else:
        at = found.at
        assert at is not None
        assert before[:at] == after[:at] and before[at : at + 1] != after[at : at + 1]


def test_frames_that_differ_in_their_id_alone_are_equal() -> None:
    one, other = (message(answer(id), id=id) for id in (7, 9))
    assert one.frame != other.frame
    assert compare(Quill(), one, other, MAX_FRAME) is None


def test_a_message_that_the_codec_can_not_send_is_compared_as_it_came() -> None:
    one, other = (message(answer(id), id=id) for id in (7, 9))
    assert compare(Unsendable(), one, other, MAX_FRAME) is not None


def test_another_kind_is_a_difference_even_with_the_same_bytes() -> None:
    found = compare(Quill(), message(answer(7)), message(answer(7), Kind.ERROR), MAX_FRAME)
    assert found is not None and found.at is None
    assert found.brief() == "response became error"
    assert str(found).startswith("response became error: ")


def test_of_frames_beyond_a_bound_only_the_sizes_are_compared() -> None:
    assert compare(Quill(), message(b"a" * 9), message(b"b" * 9), MAX_FRAME, most=8) is None
    found = compare(Quill(), message(b"a" * 9), message(b"a" * 10), MAX_FRAME, most=8)
    assert found is not None and found.brief() == "9 bytes became 10"


def test_both_texts_show_the_bytes_from_the_first_difference_on() -> None:
    found = compare(Unsendable(), message(b"one two"), message(b"one six"), MAX_FRAME)
    assert found is not None
    assert found.brief() == "byte 4 differs: b'two' became b'six'"
    assert str(found) == "from byte 4 on: b'one two' became b'one six'"
    longer = compare(Unsendable(), message(b"one"), message(b"one two"), MAX_FRAME)
    assert longer is not None and longer.brief() == "3 bytes became 7"


# -- streams


def stream(*pieces: bytes, failed: bool = False, status: str = "200") -> tuple[Message, Digest]:
    """The head of an answer, and what is kept of its pieces."""
    head = Message(Kind.STREAM_OPEN, b"head", 7, {"status": status})
    digest = Digest(head)
    for piece in pieces:
        digest.add(Chunk(Kind.STREAM_DATA, piece))
    digest.add(Chunk(Kind.STREAM_CLOSE, failed=failed))
    return head, digest


@given(st.binary(max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_where_a_stream_is_cut_makes_no_difference(data: bytes, one: int, other: int) -> None:
    assert compare_streams(*stream(data[:one], data[one:]), *stream(data[:other], data[other:])) == ""


@given(st.binary(max_size=10), st.binary(max_size=10))
def test_other_bytes_always_differ(one: bytes, other: bytes) -> None:
    assert bool(compare_streams(*stream(one), *stream(other))) == (one != other)


def test_another_status_and_another_end_differ() -> None:
    assert compare_streams(*stream(b"x"), *stream(b"x", status="503")) == "status 200 became 503"
    assert compare_streams(*stream(b"x"), *stream(b"x", failed=True)) == "response became error"
    failed = Message(Kind.STREAM_OPEN, b"head", 7)
    failed.failed = True
    assert compare_streams(failed, Digest(failed), *stream()) == "error became response"


def test_a_stream_and_a_whole_answer_with_the_same_payload_are_the_same() -> None:
    whole = Message(Kind.RESPONSE, b"head: a\r\n\r\nonetwo", 7, {"status": "200"})
    assert compare_streams(*stream(b"one", b"two"), whole, None) == ""
    assert compare_streams(whole, None, *stream(b"onetwo")) == ""
    assert compare_streams(whole, None, *stream(b"onesix")) == (
        "the 6 bytes of a stream are not the end of the whole answer"
    )
    empty = Message(Kind.RESPONSE, b"head", 7, {"status": "200"})
    assert compare_streams(*stream(), empty, None) == ""
