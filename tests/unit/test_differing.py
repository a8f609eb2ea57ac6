from __future__ import annotations

from harness import Quill, answer
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.differing import place, under_one_id
from metaproxy.message import FrameError, Kind, Message


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_what_comes_before_the_place_is_equal_and_what_stands_there_is_not(before: bytes, after: bytes) -> None:
    at = place(before, after)
    if at is None:
        assert before == after
    else:
        assert before[:at] == after[:at] and before[at : at + 1] != after[at : at + 1]


def test_frames_that_differ_in_their_id_alone_are_equal() -> None:
    one, other = (Message(Kind.RESPONSE, answer(id), id) for id in (7, 9))
    assert one.frame != other.frame
    assert under_one_id(Quill(), one, 1 << 20) == under_one_id(Quill(), other, 1 << 20)


def test_a_message_that_the_codec_can_not_send_is_compared_as_it_came() -> None:
    class Refuses(Quill):
        def session(self, side, max_frame):  # type: ignore[no-untyped-def]
            session = super().session(side, max_frame)

            def send(message: Message, id: int) -> bytes:
                raise FrameError("no")

            session.send = send
            return session

    message = Message(Kind.RESPONSE, answer(7), 7)
    assert under_one_id(Refuses(), message, 1 << 20) == message.frame
