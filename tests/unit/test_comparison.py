from __future__ import annotations

from typing import Any

from harness import Quill, answer
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.comparison import compare
from metaproxy.message import FrameError, Kind, Message

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
