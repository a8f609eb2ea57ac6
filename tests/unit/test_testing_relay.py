"""A whole conversation through the data path, as the tests of a codec's author run it."""

from __future__ import annotations

import pytest
from reel import Reel, ReelSession, frame

from metaproxy.codecs.http import Http
from metaproxy.message import Message, Side
from metaproxy.testing import check_relay

CALL = [
    (Side.CLIENT, frame("O", 7, b"ask") + frame("D", 7, b"one")),
    (Side.SERVER, frame("O", 1, b"head")),
    (Side.CLIENT, frame("C", 7, b"two")),
    (Side.SERVER, frame("D", 1, b"three") + frame("C", 1)),
]


def test_a_conversation_passes_however_it_is_cut() -> None:
    check_relay(
        Reel(),
        CALL,
        server_gets=frame("O", 1, b"ask") + frame("D", 1, b"one") + frame("C", 1, b"two"),
        client_gets=frame("O", 7, b"head") + frame("D", 7, b"three") + frame("C", 7),
    )


@pytest.mark.parametrize("flow", ["stream", "connection"])
def test_each_flow_passes(flow: str) -> None:
    check_relay(Reel(flow=flow, capacity=1 if flow == "connection" else 0), CALL)


def test_a_relay_of_http_passes() -> None:
    question = b"POST /a HTTP/1.1\r\nhost: b\r\ncontent-length: 5\r\n\r\nhello"
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    check_relay(Http(via=""), [(Side.CLIENT, question), (Side.SERVER, answer)], client_gets=answer)


def test_other_bytes_than_expected_are_shown() -> None:
    with pytest.raises(AssertionError, match="the client gets other bytes"):
        check_relay(Reel(), CALL, client_gets=b"nothing")


class Forgetful(ReelSession):
    """Loses what comes in a read of less than four bytes."""

    def receive(self, data: bytes) -> list[Message]:
        return super().receive(data) if len(data) > 3 else []


class ForgetfulReel(Reel):
    def session(self, side: Side, max_frame: int) -> ReelSession:
        return Forgetful(side, max_frame, self)


def test_a_session_that_depends_on_how_it_is_cut_is_found() -> None:
    with pytest.raises(AssertionError, match="the server speaks before anything was sent to it"):
        check_relay(ForgetfulReel(), CALL)


def test_a_conversation_that_ends_in_the_middle_is_found() -> None:
    with pytest.raises(AssertionError, match="still under way"):
        check_relay(Reel(), CALL[:-1])
