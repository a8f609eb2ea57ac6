"""What a peer may make the proxy do for nothing: each bound of it, and that honest peers are far from it."""

from __future__ import annotations

import pytest
from http2_stand import (
    GET,
    OK,
    POST,
    connected_client,
    connected_server,
    ending,
    raw_frame,
    raw_headers,
    resets,
    said,
    split,
)

from metaproxy.codecs.http.http2 import Http2Client, Options
from metaproxy.codecs.http.http2.frames import Code
from metaproxy.codecs.http.http2.given_up import GivenUp
from metaproxy.codecs.http.model import answer_head, request_head, whole
from metaproxy.codecs.http.rules import Rules

CALM = Code.ENHANCE_YOUR_CALM


class Time:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def client(time: Time, streams: int = 100) -> Http2Client:
    return connected_client(Options(clock=time, streams=streams))


FLOODS = {
    "PING": raw_frame(6, 0, 0, bytes(8)),
    "SETTINGS": raw_frame(4, 0, 0),
    "SETTINGS with ACK": raw_frame(4, 1, 0),
    "PRIORITY": raw_frame(2, 0, 9, bytes(5)),
    "WINDOW_UPDATE of the connection": raw_frame(8, 0, 0, b"\0\0\0\1"),
    "WINDOW_UPDATE of a stream": raw_frame(8, 0, 1, b"\0\0\0\1"),
    "empty DATA": raw_frame(0, 0, 1),
    "DATA of padding": raw_frame(0, 8, 1, b"\0"),
    "frames of an unknown kind": raw_frame(99, 0, 0),
    "GOAWAY": raw_frame(7, 0, 0, bytes(8)),
    "RST_STREAM of what is over": raw_frame(3, 0, 3, bytes(4)),
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_frames_that_say_nothing_ends_the_connection(frame: bytes) -> None:
    session = client(Time())
    session.receive(raw_headers(1, POST, 4) + raw_headers(3, GET))
    session.send(whole(answer_head(200, []), b"", 3), 3)
    for _ in range(900):
        session.receive(frame)
    assert session.error is None
    for _ in range(200):
        session.receive(frame)
    assert ending(session)[0] == CALM


def test_pings_now_and_then_may_go_on_forever() -> None:
    time = Time()
    session = client(time)
    for _ in range(5000):
        time.now += 0.1
        session.receive(raw_frame(6, 0, 0, bytes(8)))
    assert session.error is None


def test_windows_may_be_opened_as_often_as_something_was_sent() -> None:
    session = client(Time())
    for number in range(1, 10_001, 2):
        session.receive(raw_headers(number, GET))
        session.send(whole(answer_head(200, []), b"x" * 10, number), number)
        session.receive(raw_frame(8, 0, 0, b"\0\0\0\x0a"))
    assert session.error is None


def test_rapid_reset() -> None:
    """CVE-2023-44487: streams that are opened and reset at once never count as open, so no bound of those helps."""
    session = client(Time(), streams=100)
    number = 1
    while session.error is None and number < 4001:
        session.receive(raw_headers(number, POST, 4))
        session.receive(raw_frame(3, 0, number, b"\0\0\0\x08"))
        number += 2
    assert 900 < number < 1100
    assert ending(session)[0] == CALM


def test_answers_that_were_read_do_not_pay_for_any_number_of_resets() -> None:
    session = client(Time())
    for number in range(1, 10_001, 2):
        session.receive(raw_headers(number, GET))
        session.send(whole(answer_head(200, []), b"", number), number)
    number = 10_001
    while session.error is None and number < 20_000:
        session.receive(raw_headers(number, POST, 4) + raw_frame(3, 0, number, b"\0\0\0\x08"))
        number += 2
    assert number < 11_100
    assert ending(session)[0] == CALM


def test_resets_that_the_peer_provokes_count_as_its_own() -> None:
    """CVE-2025-8671: the proxy itself is made to reset streams whose requests are under way."""
    session = client(Time())
    number = 1
    while session.error is None and number < 4001:
        session.receive(raw_headers(number, POST, 4))
        session.receive(raw_frame(8, 0, number, bytes(4)))
        number += 2
    assert number < 1100
    assert ending(session)[0] == CALM


def test_streams_over_the_number_that_was_agreed_count_as_resets() -> None:
    session = client(Time(), streams=1)
    session.receive(raw_headers(1, POST, 4))
    number = 3
    while session.error is None and number < 4001:
        session.receive(raw_headers(number, POST, 4))
        number += 2
    assert number < 1100
    assert ending(session)[0] == CALM


def test_a_client_that_cancels_half_of_its_requests_goes_on() -> None:
    session = client(Time())
    for number in range(1, 20_001, 4):
        session.receive(raw_headers(number, GET) + raw_headers(number + 2, POST, 4))
        session.send(whole(answer_head(200, []), b"", number), number)
        session.receive(raw_frame(3, 0, number + 2, b"\0\0\0\x08"))
    assert session.error is None


def test_continuations_without_end() -> None:
    """CVE-2024-27316: a block that never ends, and so never reaches a bound of the list that it stands for."""
    session = client(Time())
    session.receive(raw_frame(1, 1, 1, b"\x82"))
    sent = 0
    while session.error is None and sent < 1 << 20:
        session.receive(raw_frame(9, 0, 1, b"\x00\x01a\x01b" * 1000))
        sent += 5000
    assert sent <= 2 * 65536 + 5000
    assert ending(session)[0] == CALM


def test_empty_continuations_without_end() -> None:
    session = client(Time())
    session.receive(raw_frame(1, 1, 1, b"\x82"))
    for _ in range(129):
        session.receive(raw_frame(9, 0, 1))
    assert ending(session)[0] == CALM


def test_a_head_over_the_bound_is_answered_431() -> None:
    session = connected_client(Options(rules=Rules(max_head=1000)))
    assert session.receive(raw_headers(1, [*GET, ("x-large", "v" * 2000)])) == []
    ((kind, flags, stream, block),) = split(session.owed())
    assert (kind, flags, stream, block) == (1, 5, 1, b"\x08\x03431\x0f\x0d\x010")
    (request,) = session.receive(raw_headers(3, GET))
    assert request.id == 3


def test_a_head_over_the_bound_whose_body_follows_is_answered_and_reset() -> None:
    session = connected_client(Options(rules=Rules(max_head=1000)))
    session.receive(raw_headers(1, [*POST, ("x-large", "v" * 2000)], 4) + raw_frame(0, 1, 1, b"body"))
    assert resets(said(session)) == {1: Code.NO_ERROR}
    assert session.error is None


def test_trailers_over_the_bound_end_their_stream() -> None:
    session = connected_client(Options(rules=Rules(max_head=1000)))
    session.receive(raw_headers(1, POST, 4))
    session.receive(raw_headers(1, [("x-large", "v" * 2000)]))
    assert resets(session.owed()) == {1: CALM}


def test_an_answer_over_the_bound_fails_its_exchange() -> None:
    session = connected_server(Options(rules=Rules(max_head=1000)))
    session.send(whole(request_head(b"GET", b"/", b"x", []), b"", 1), 1)
    session.receive(raw_headers(1, [*OK, ("x-large", "v" * 2000)]))
    assert resets(session.owed()) == {1: CALM}
    assert session.error is None


def test_interim_answers_without_end() -> None:
    session = connected_server(Options(clock=Time()))
    session.send(whole(request_head(b"GET", b"/", b"x", []), b"", 1), 1)
    for _ in range(1100):
        session.receive(raw_headers(1, [(":status", "103")], 4))
    assert ending(session)[0] == CALM


def test_what_comes_of_a_stream_that_was_given_up_long_ago_is_dropped() -> None:
    time = Time()
    session = client(time)
    for number in range(1, 40_001, 2):
        time.now += 1
        session.receive(raw_headers(number, POST, 4))
        session.reset(number, None, "")
    assert session.receive(raw_frame(0, 0, 39_999, b"x") + raw_frame(0, 0, 1, b"x")) == []
    assert session.error is None


def test_of_streams_that_were_given_up_the_newest_are_remembered_and_up_to_which_there_were_others() -> None:
    given_up = GivenUp(3)
    for number in (1, 5, 9, 13, 17, 17):
        given_up.add(number)
    assert [number for number in range(1, 23, 2) if number in given_up] == [1, 3, 5, 9, 13, 17]
