"""Requests and answers on streams, with the h2 library as the peer of both sessions."""

from __future__ import annotations

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from http2_stand import (
    GET,
    OK,
    POST,
    SETTINGS,
    ClientStand,
    ServerStand,
    connected_client,
    connected_server,
    ending,
    raw_frame,
    raw_headers,
    resets,
    said,
    split,
)

from metaproxy.codecs.http.http2 import PREFACE, Http2Client, Options
from metaproxy.codecs.http.http2.frames import Code
from metaproxy.codecs.http.model import answer_head, end, opening, request_head, whole
from metaproxy.message import Chunk, ErrorKind, Kind, Message

GRPC_TRAILERS = [(b"grpc-status", b"0")]


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def answer(id: int, body: bytes = b"", status: int = 200) -> Message:
    return whole(answer_head(status, []), body, id)


def request(path: bytes = b"/", method: bytes = b"GET") -> Message:
    return whole(request_head(method, path, b"a.example", []), b"", 1)


# Whole messages


def test_what_one_read_brought_whole_is_one_request() -> None:
    stand = ClientStand()
    stand.peer.send_headers(1, POST)
    stand.peer.send_data(1, b"body", end_stream=True)
    (message,) = stand.take()
    assert (message.kind, message.id) == (Kind.REQUEST, 1)
    assert message.frame == b"POST /one?x=1 HTTP/1.1\r\nhost: a.example\r\ncontent-length: 4\r\n\r\nbody"


def test_a_whole_answer_is_head_data_and_end() -> None:
    stand = ClientStand()
    stand.peer.send_headers(1, GET, end_stream=True)
    stand.take()
    events = stand.send(answer(1, b"body"), 1)
    assert names(events) == ["ResponseReceived", "DataReceived", "StreamEnded"]
    assert stand.session.unsent_bytes(1) == 0


def test_a_unary_call_of_grpc_is_one_request_and_one_response_with_trailers() -> None:
    stand = ServerStand()
    call = whole(request_head(b"POST", b"/a.B/C", b"x", [(b"te", b"trailers")]), b"\0\0\0\0\2hi", 9)
    events = stand.send(call, 5)
    assert names(events) == ["RequestReceived", "DataReceived", "StreamEnded"]
    stand.peer.send_headers(1, OK)
    stand.peer.send_data(1, b"\0\0\0\0\2ho")
    stand.peer.send_headers(1, [("grpc-status", "0")], end_stream=True)
    (message,) = stand.take()
    assert (message.kind, message.id) == (Kind.RESPONSE, 5)
    client = ClientStand()
    client.peer.send_headers(1, POST, end_stream=True)
    client.take()
    events = client.send(message, 1)
    assert names(events) == ["ResponseReceived", "DataReceived", "TrailersReceived", "StreamEnded"]
    assert [event.data for event in events if isinstance(event, DataReceived)] == [b"\0\0\0\0\2ho"]
    assert [event.headers for event in events if isinstance(event, TrailersReceived)] == [[(b"grpc-status", b"0")]]


def test_what_comes_in_two_reads_is_a_head_and_chunks() -> None:
    stand = ClientStand()
    stand.peer.send_headers(1, POST)
    (head,) = stand.take()
    stand.peer.send_data(1, b"one")
    (data,) = stand.take()
    stand.peer.send_data(1, b"two", end_stream=True)
    (close,) = stand.take()
    assert [each.kind for each in (head, data, close)] == [Kind.STREAM_OPEN, Kind.STREAM_DATA, Kind.STREAM_CLOSE]
    assert [data.frame, close.frame] == [b"one", b"two"]


def test_frames_of_data_of_one_read_are_one_chunk() -> None:
    session = connected_client()
    session.receive(raw_headers(1, POST, 4))
    (chunk,) = session.receive(b"".join(raw_frame(0, 0, 1, b"abc") for _ in range(10)))
    assert chunk == Chunk(Kind.STREAM_DATA, b"abc" * 10, 1)


def test_data_are_passed_on_before_their_frame_is_whole() -> None:
    session = connected_client()
    session.receive(raw_headers(1, POST, 4))
    frame = raw_frame(0, 1, 1, b"x" * 1000)
    (first,) = session.receive(frame[:509])
    assert (first.kind, len(first.frame), session.buffered) == (Kind.STREAM_DATA, 500, 0)
    (last,) = session.receive(frame[509:])
    assert (last.kind, len(last.frame)) == (Kind.STREAM_CLOSE, 500)


def test_a_body_over_the_bound_of_messages_streams() -> None:
    stand = ClientStand(max_frame=1000)
    stand.peer.send_headers(1, POST)
    stand.peer.send_data(1, b"x" * 2000, end_stream=True)
    head, close = stand.take()
    assert (head.kind, close.kind, len(close.frame)) == (Kind.STREAM_OPEN, Kind.STREAM_CLOSE, 2000)


def test_trailers_of_a_request_pass() -> None:
    stand, other = ClientStand(), ServerStand()
    stand.peer.send_headers(1, POST)
    stand.peer.send_data(1, b"x")
    stand.peer.send_headers(1, [("x-sum", "7")], end_stream=True)
    (message,) = stand.take()
    events = other.send(message, 1)
    assert [event.headers for event in events if isinstance(event, TrailersReceived)] == [[(b"x-sum", b"7")]]


def test_interim_answers_come_before_the_answer() -> None:
    stand, client = ServerStand(), ClientStand()
    stand.send(request(), 1)
    stand.peer.send_headers(1, [(":status", "103"), ("link", "</a>")])
    stand.peer.send_headers(1, OK, end_stream=True)
    interim, response = stand.take()
    assert (interim.kind, response.kind) == (Kind.INTERIM, Kind.RESPONSE)
    client.peer.send_headers(1, GET, end_stream=True)
    client.take()
    (event,) = client.send(interim, 1)
    assert isinstance(event, InformationalResponseReceived)
    assert names(client.send(response, 1)) == ["ResponseReceived", "StreamEnded"]


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_of_ours_to_head_goes_without_its_body(streamed: bool) -> None:
    session = connected_client()
    session.receive(raw_headers(1, [(":method", "HEAD"), *GET[1:]]))
    head = answer_head(200, [(b"content-length", b"4")], length=4)
    if streamed:
        frames = split(session.send(opening(head, 1), 1) + session.send(end(1, b"body"), 1))
    else:
        frames = split(session.send(whole(head, b"body", 1), 1))
    assert [frame[3] for frame in frames if frame[0] == 0] in ([], [b""])
    assert frames[-1][1] & 1


def test_an_answer_to_head_has_the_length_of_another_and_no_body() -> None:
    stand = ServerStand()
    stand.send(request(method=b"HEAD"), 1)
    stand.peer.send_headers(1, [*OK, ("content-length", "1000")], end_stream=True)
    (response,) = stand.take()
    assert response.kind is Kind.RESPONSE


def test_an_answer_of_5xx_is_a_failure() -> None:
    stand = ServerStand()
    stand.send(request(), 1)
    stand.peer.send_headers(1, [(":status", "503")], end_stream=True)
    assert [message.kind for message in stand.take()] == [Kind.ERROR]
    stand.send(request(), 2)
    stand.peer.send_headers(3, [(":status", "503")])
    (head,) = stand.take()
    assert (head.kind, head.failed) == (Kind.STREAM_OPEN, True)


def test_streams_to_a_server_are_numbered_in_the_order_of_their_heads() -> None:
    session = connected_server()
    numbers = [split(session.send(request(), id))[0][2] for id in (7, 3, 100)]
    assert numbers == [1, 3, 5]
    assert [message.id for message in session.receive(raw_headers(3, OK))] == [3]


def test_repeated_heads_are_a_few_bytes() -> None:
    session = connected_server()
    sizes = [len(session.send(request(b"/a/long/path/of/a/method"), id)) for id in range(1, 5)]
    assert sizes[3] == 9 + 4  # method and scheme in the static table, path and authority in the dynamic one


# Ends


def test_an_answer_before_the_end_of_its_request_ends_that_too() -> None:
    stand = ClientStand()
    stand.peer.send_headers(1, POST)
    stand.take()
    events = stand.send(answer(1), 1)
    assert names(events) == ["ResponseReceived", "StreamEnded", "StreamReset"]
    assert [event.error_code for event in events if isinstance(event, StreamReset)] == [Code.NO_ERROR]


@pytest.mark.parametrize("status", [404, 413, 500])
def test_an_error_before_the_end_of_its_request_resets_that_once_the_client_has_read_it(status: int) -> None:
    session = connected_client()
    session.receive(raw_headers(1, POST, 4) + raw_headers(3, POST, 4))
    heard = session.send(answer(1, status=status), 1) + session.send(answer(3, status=status), 3)
    assert resets(heard) == {}
    ((*_, ping),) = [frame for frame in split(heard) if frame[0] == 6]
    session.receive(raw_frame(6, 1, 0, ping))
    first = session.owed()
    assert resets(first) == {1: Code.NO_ERROR}
    session.receive(raw_frame(6, 1, 0, ping))
    assert resets(session.owed()) == {3: Code.NO_ERROR}
    session.receive(raw_frame(6, 1, 0, ping))
    assert session.owed() == b""


def test_an_answer_of_success_before_the_end_of_a_request_of_known_length_lets_the_rest_come() -> None:
    session = connected_client(Options(window=65536, streams=2))
    session.receive(raw_headers(1, [*POST, ("content-length", "1000000")], 4) + raw_frame(0, 0, 1, bytes(1000)))
    heard = session.send(answer(1), 1)
    room = {stream: int.from_bytes(payload, "big") for kind, _, stream, payload in split(heard) if kind == 8}
    assert room == {1: 999_000 - (65536 - 1000), 0: 999_000 - (2 * 65536 - 1000)}
    assert [kind for kind, *_ in split(heard)] == [8, 8, 1, 6]  # what a client does not read behind the answer
    for _ in range(999):
        assert session.receive(raw_frame(0, 0, 1, bytes(1000))) == []
    assert session.error is None
    assert resets(said(session, heard)) == {1: Code.NO_ERROR}


def test_of_a_client_that_answers_no_ping_streams_are_reset_at_once() -> None:
    session = connected_client(Options(streams=2))
    heard = b""
    for number in range(1, 13, 2):
        session.receive(raw_headers(number, POST, 4))
        heard += session.send(answer(number, status=404), number)
    assert list(resets(heard)) == [7, 9, 11]


def test_what_crosses_the_reset_of_a_fault_is_dropped() -> None:
    session = connected_client()
    session.receive(raw_headers(1, POST, 4))
    session.receive(raw_frame(8, 0, 1, bytes(4)) + raw_frame(0, 0, 1, b"x") + raw_headers(1, [("x-one", "1")]))
    assert session.error is None
    assert resets(session.owed()) == {1: Code.PROTOCOL_ERROR}


def test_an_answer_that_waits_for_its_window_is_not_lost_where_the_rest_of_its_request_is_unwanted() -> None:
    session = connected_client()
    session.receive(raw_frame(4, 0, 0, bytes.fromhex("0004 00000000")) + raw_headers(1, POST, 4))
    session.owed()
    session.send(answer(1, b"body", 404), 1)
    assert session.reset(1, None, "") == b""
    session.receive(raw_frame(8, 0, 1, b"\0\0\0\x04"))
    heard = said(session)
    assert next(frame[3] for frame in split(heard) if frame[0] == 0) == b"body"
    assert resets(heard) == {1: Code.NO_ERROR}


def test_what_a_client_sends_of_a_stream_that_was_given_up_is_dropped() -> None:
    session = connected_client()
    session.receive(raw_headers(1, POST, 4))
    session.send(answer(1), 1)
    late = raw_frame(0, 0, 1, b"x") + raw_headers(1, [("x-sum", "1")]) + raw_frame(8, 0, 1, b"\0\0\0\1")
    assert session.receive(late + raw_frame(3, 0, 1, bytes(4))) == []
    assert session.error is None


def test_what_a_server_sends_of_a_stream_that_was_given_up_long_ago_is_dropped() -> None:
    session = connected_server(Options(streams=10))
    for id in range(1, 1000):
        session.send(request(), id)
        session.reset(id, ErrorKind.TIMEOUT, "")
    late = raw_headers(1, OK, 4) + raw_frame(0, 1, 1, b"late") + raw_frame(0, 1, 1997, b"late")
    assert session.receive(late) == []
    assert session.error is None


def test_what_a_server_sends_of_a_stream_that_it_has_ended_is_a_fault() -> None:
    session = connected_server(Options(streams=10))
    for id in range(1, 100):
        session.send(request(), id)
        session.receive(raw_headers(2 * id - 1, OK))
    session.receive(raw_frame(0, 1, 1, b"late"))
    assert ending(session)[0] == Code.STREAM_CLOSED


def test_an_answer_before_the_end_of_its_request_ends_the_request_to_the_server() -> None:
    stand = ServerStand()
    head = opening(request_head(b"POST", b"/", b"x", []), 1)
    stand.send(head, 1)
    stand.peer.send_headers(1, OK, end_stream=True)
    assert [message.kind for message in stand.messages] == []
    session = stand.session
    stand.take()
    assert session.send(Chunk(Kind.STREAM_DATA, b"late", 1), 1) == b""


def test_a_client_that_resets_a_stream_ends_the_exchange() -> None:
    stand = ClientStand()
    stand.peer.send_headers(1, GET, end_stream=True)
    stand.take()
    stand.peer.reset_stream(1, 8)
    (chunk,) = stand.take()
    assert (chunk.kind, chunk.id, chunk.get("reset")) == (Kind.STREAM_RESET, 1, "CANCEL")
    assert stand.session.send(answer(1), 1) == b""


def test_a_request_that_is_reset_in_the_read_that_brought_it_never_was() -> None:
    session = connected_client()
    assert session.receive(raw_headers(1, POST, 4) + raw_frame(3, 0, 1, b"\0\0\0\x08")) == []


@pytest.mark.parametrize(("code", "unsent"), [(7, True), (8, False), (11, False)])
def test_a_server_that_refuses_a_stream_certainly_did_nothing(code: int, unsent: bool) -> None:
    stand = ServerStand()
    stand.send(request(), 4)
    stand.peer.reset_stream(1, code)
    (chunk,) = stand.take()
    assert isinstance(chunk, Chunk)
    assert (chunk.kind, chunk.id, chunk.unsent) == (Kind.STREAM_RESET, 4, unsent)


def test_the_reason_of_a_servers_reset_passes_to_the_client() -> None:
    stand, client = ServerStand(), ClientStand()
    stand.send(request(), 1)
    stand.peer.reset_stream(1, 11)
    (chunk,) = stand.take()
    client.peer.send_headers(1, GET, end_stream=True)
    client.take()
    (event,) = client.send(chunk, 1)
    assert isinstance(event, StreamReset)
    assert event.error_code == Code.ENHANCE_YOUR_CALM


def test_data_before_a_reset_come_before_it() -> None:
    session = connected_server()
    session.send(request(), 1)
    session.receive(raw_headers(1, OK, 4))
    data, reset = session.receive(raw_frame(0, 0, 1, b"half") + raw_frame(3, 0, 1, b"\0\0\0\x02"))
    assert (data.frame, reset.kind) == (b"half", Kind.STREAM_RESET)


RESETS = [
    (None, Code.NO_ERROR),
    (ErrorKind.TIMEOUT, Code.CANCEL),
    (ErrorKind.RESET, Code.INTERNAL_ERROR),
    (ErrorKind.OVERLOAD, Code.ENHANCE_YOUR_CALM),
    (ErrorKind.BAD_REQUEST, Code.PROTOCOL_ERROR),
]


@pytest.mark.parametrize(("kind", "code"), RESETS)
def test_an_exchange_that_the_proxy_gives_up_is_reset_towards_the_client(kind: ErrorKind | None, code: Code) -> None:
    session = connected_client()
    session.receive(raw_headers(1, POST, 4))
    assert resets(session.reset(1, kind, "why")) == {1: code}
    assert session.receive(raw_frame(0, 1, 1, b"late")) == []
    assert session.reset(1, kind, "why") == b""


def test_an_exchange_that_the_proxy_gives_up_is_cancelled_towards_the_server() -> None:
    session = connected_server()
    session.send(request(), 1)
    assert resets(session.reset(1, ErrorKind.TIMEOUT, "")) == {1: Code.CANCEL}
    assert session.receive(raw_headers(1, OK)) == []
    assert session.error is None


# Windows


def test_an_answer_waits_for_the_window_of_its_stream() -> None:
    session = connected_client()
    session.receive(raw_headers(1, GET))
    first = session.send(answer(1, b"x" * 100_000), 1)
    assert sum(len(frame[3]) for frame in split(first) if frame[0] == 0) == 65535
    assert session.unsent_bytes(1) == 100_000 - 65535
    # The connection's window first, then the stream's.
    assert session.receive(raw_frame(8, 0, 0, (50_000).to_bytes(4, "big"))) == []
    assert not session.owes
    session.receive(raw_frame(8, 0, 1, (50_000).to_bytes(4, "big")))
    rest = split(session.owed())
    assert sum(len(frame[3]) for frame in rest) == 100_000 - 65535
    assert rest[-1][1] & 1
    assert session.unsent_bytes(1) == 0


def test_a_smaller_first_window_may_make_a_window_negative() -> None:
    session = connected_client()
    session.receive(raw_headers(1, GET))
    session.send(opening(answer_head(200, []), 1), 1)
    session.send(Chunk(Kind.STREAM_DATA, b"x" * 1000, 1), 1)
    session.receive(raw_frame(4, 0, 0, bytes.fromhex("0004 00000064")))  # 100 - 1000 = -900
    session.owed()
    assert session.send(Chunk(Kind.STREAM_DATA, b"y" * 10, 1), 1) == b""
    session.receive(raw_frame(8, 0, 1, (900).to_bytes(4, "big")))
    assert not session.owes
    session.receive(raw_frame(8, 0, 1, (5).to_bytes(4, "big")))
    assert [frame[3] for frame in split(session.owed())] == [b"yyyyy"]


def test_an_end_without_data_needs_no_window() -> None:
    session = connected_client()
    session.receive(raw_frame(4, 0, 0, bytes.fromhex("0004 00000000")) + raw_headers(1, GET))
    session.owed()
    session.send(opening(answer_head(200, []), 1), 1)
    assert [frame[:3] for frame in split(session.send(Chunk(Kind.STREAM_CLOSE, b"", 1), 1))] == [(0, 1, 1)]


def test_a_larger_first_window_frees_what_waits() -> None:
    session = connected_client()
    session.receive(raw_frame(4, 0, 0, bytes.fromhex("0004 00000000")) + raw_headers(1, GET))
    session.owed()
    session.send(whole(answer_head(200, []), b"body", 1, None, GRPC_TRAILERS), 1)
    session.receive(raw_frame(4, 0, 0, bytes.fromhex("0004 00000003")))
    assert [frame[3] for frame in split(session.owed()) if frame[0] == 0] == [b"bod"]
    session.receive(raw_frame(8, 0, 1, b"\0\0\0\1"))
    data, trailers = split(session.owed())
    assert (data[3], trailers[0], trailers[1]) == (b"y", 1, 5)


def test_streams_share_the_window_of_the_connection_in_turn() -> None:
    session = connected_client()
    session.receive(b"".join(raw_headers(number, GET) for number in (1, 3, 5)))
    session.receive(raw_frame(4, 0, 0, bytes.fromhex("0004 00100000")))
    session.owed()
    for number in (1, 3, 5):
        session.send(answer(number, b"x" * 100_000), number)
    session.receive(raw_frame(8, 0, 0, (3 * 16384).to_bytes(4, "big")))
    sent = [(frame[2], len(frame[3])) for frame in split(session.owed())]
    assert sorted(sent) == [(1, 16384), (3, 16384), (5, 16384)]


def test_a_whole_answer_is_cut_into_frames_as_the_client_wants_them() -> None:
    session = connected_client()
    session.receive(raw_headers(1, GET))
    sizes = [len(frame[3]) for frame in split(session.send(answer(1, b"x" * 40_000), 1)) if frame[0] == 0]
    assert sizes == [16384, 16384, 7232]


def test_a_head_over_the_clients_frame_goes_on_in_continuations() -> None:
    stand = ClientStand()
    stand.peer.send_headers(1, GET, end_stream=True)
    stand.take()
    large = whole(answer_head(200, [(b"x-large", b"v" * 40_000)]), b"", 1)
    data = stand.session.send(large, 1)
    assert [(frame[0], frame[1]) for frame in split(data)] == [(1, 1), (9, 0), (9, 4)]
    (event, *_) = stand.peer.receive_data(data)
    assert isinstance(event, ResponseReceived)


def test_credit_opens_the_window_again_in_halves() -> None:
    stand = ClientStand(Options(window=65536))
    stand.peer.send_headers(1, POST)
    stand.peer.send_data(1, b"x" * 16000)
    stand.take()
    stand.session.credit(1, 16000)
    assert not stand.session.owes
    stand.peer.send_data(1, b"x" * 16384)
    stand.peer.send_data(1, b"x" * 1000)
    stand.take()
    stand.session.credit(1, 17384)
    (event,) = [*stand.peer.receive_data(stand.session.owed())]
    assert isinstance(event, WindowUpdated)
    assert (event.stream_id, event.delta) == (1, 33384)


def test_a_client_that_sends_more_than_its_window_loses_the_stream() -> None:
    session = connected_client(Options(window=1000))
    session.receive(raw_headers(1, POST, 4))
    session.receive(raw_frame(0, 0, 1, b"x" * 15_000) * 4)  # until it saw our SETTINGS it may use 65535
    (end,) = session.receive(raw_frame(0, 0, 1, b"x" * 6_000))
    assert end.kind is Kind.STREAM_RESET
    assert resets(session.owed()) == {1: Code.FLOW_CONTROL_ERROR}


def test_a_first_window_that_makes_one_larger_than_2_gib_ends_the_connection() -> None:
    session = connected_client()
    session.receive(raw_headers(1, GET) + raw_frame(8, 0, 1, (2**31 - 1 - 65535).to_bytes(4, "big")))
    assert session.error is None
    session.receive(raw_frame(4, 0, 0, bytes.fromhex("0004 00010000")))
    assert ending(session)[0] == Code.FLOW_CONTROL_ERROR


def test_padding_alone_is_credited_at_once() -> None:
    session = connected_client(Options(window=65536))
    session.receive(raw_headers(1, POST, 4))
    padded = raw_frame(0, 8, 1, b"\xff" + bytes(255))
    assert session.receive(padded * 128) == []
    assert [(frame[0], frame[2]) for frame in split(session.owed())] == [(8, 1)]


def test_chunks_count_their_padding() -> None:
    session = connected_client()
    session.receive(raw_headers(1, POST, 4))
    (chunk,) = session.receive(raw_frame(0, 8, 1, b"\x0aabc" + bytes(10)))
    assert isinstance(chunk, Chunk)
    assert (chunk.frame, chunk.size) == (b"abc", 14)


def test_the_window_of_the_connection_is_opened_again_whatever_becomes_of_the_data() -> None:
    session = connected_client(Options(window=65535, streams=2))
    session.receive(raw_headers(1, POST, 4))
    session.reset(1, ErrorKind.TIMEOUT, "")
    session.receive(raw_frame(0, 0, 1, b"x" * 15_000) * 8)
    assert [(frame[0], frame[2]) for frame in split(session.owed())] == [(8, 0)]


# GOAWAY and the number of streams


def test_a_server_that_goes_away_gets_no_more_requests_and_finishes_those_that_it_looked_at() -> None:
    session = connected_server()
    for id in (11, 12, 13):
        session.send(request(), id)
    drain, *lost = session.receive(raw_frame(7, 0, 0, bytes.fromhex("00000003 00000000")))
    assert drain.kind is Kind.DRAIN
    assert [(chunk.id, isinstance(chunk, Chunk) and chunk.unsent) for chunk in lost] == [(13, True)]
    assert [message.id for message in session.receive(raw_headers(1, OK) + raw_headers(3, OK))] == [11, 12]


def test_a_server_that_says_twice_that_it_goes_away_drains_once() -> None:
    session = connected_server()
    session.send(request(), 1)
    first = session.receive(raw_frame(7, 0, 0, bytes.fromhex("7fffffff 00000000")))
    second = session.receive(raw_frame(7, 0, 0, bytes.fromhex("00000000 00000000")))
    assert [message.kind for message in first + second] == [Kind.DRAIN, Kind.STREAM_RESET]


def test_drain_tells_the_client_which_stream_was_the_last() -> None:
    stand = ClientStand()
    stand.peer.send_headers(1, GET, end_stream=True)
    stand.take()
    (event,) = stand.peer.receive_data(stand.session.drain())
    assert isinstance(event, ConnectionTerminated)
    assert (event.last_stream_id, event.error_code) == (1, Code.NO_ERROR)
    assert stand.session.drain() == b""
    # What it sent before it read that is dropped, for it knows that nothing was done; the rest is answered.
    assert stand.session.receive(raw_headers(3, POST, 4) + raw_frame(0, 1, 3, b"x")) == []
    assert [frame[0] for frame in split(stand.session.send(answer(1), 1))] == [1]


def test_more_streams_than_were_agreed_are_refused() -> None:
    session = connected_client(Options(streams=2))
    found = session.receive(b"".join(raw_headers(number, GET) for number in (1, 3, 5)))
    assert ([message.id for message in found], session.capacity) == ([1, 3], 2)
    assert resets(session.owed()) == {5: Code.REFUSED_STREAM}
    session.send(answer(1), 1)
    assert [message.id for message in session.receive(raw_headers(7, GET))] == [7]


def test_a_server_decides_how_many_requests_it_takes_at_a_time() -> None:
    session = connected_server(Options(streams=100), bytes.fromhex("0003 00000005"))
    assert session.capacity == 5
    session.receive(raw_frame(4, 0, 0, bytes.fromhex("0003 ffffffff")))
    assert session.capacity == 100


# By time


def test_a_peer_that_is_silent_is_asked_and_given_up_when_it_does_not_answer() -> None:
    session = connected_client(Options(ping_interval=10, ping_timeout=5))
    session.beat(0)
    session.beat(9)
    assert not session.owes
    session.beat(10)
    ((kind, flags, _, payload),) = split(session.owed())
    assert (kind, flags) == (6, 0)
    session.receive(raw_frame(6, 1, 0, payload))
    session.beat(15)
    assert session.error is None
    session.beat(25)
    assert split(session.owed())[0][0] == 6
    session.beat(30)
    assert session.error is not None
    assert split(session.owed())[0][0] == 7


def test_a_connection_of_max_age_is_ended_with_grace() -> None:
    session = connected_client(Options(max_age=60))
    session.beat(0)
    session.receive(raw_headers(1, GET))
    session.beat(60)
    goaway, ping = split(session.owed())
    assert (goaway[0], goaway[3][:4]) == (7, b"\x7f\xff\xff\xff")
    # Sent before the client read that: still answered.
    assert [message.id for message in session.receive(raw_headers(3, GET))] == [3]
    assert not session.closing
    session.receive(raw_frame(6, 1, 0, ping[3]))
    ((kind, _, _, payload),) = split(session.owed())
    assert (kind, payload[:4], session.closing) == (7, b"\0\0\0\3", True)
    assert session.receive(raw_headers(5, GET)) == []


def test_a_client_that_does_not_answer_is_too_old_all_the_same() -> None:
    session = connected_client(Options(max_age=60, ping_timeout=5))
    session.beat(0)
    session.beat(60)
    session.owed()
    session.beat(65)
    assert ([frame[0] for frame in split(session.owed())], session.closing) == ([7], True)


# Upgrade to h2c


def test_a_connection_that_was_upgraded_goes_on_with_stream_1() -> None:
    peer = H2Connection(H2Configuration(client_side=True))
    header = peer.initiate_upgrade_connection()
    session = Http2Client(Options(), 1 << 20)
    assert header is not None
    session.adopt(header.decode(), request_head(b"GET", b"/", b"x", []))
    peer.receive_data(session.open(None, {}))
    session.receive(peer.data_to_send())
    events = peer.receive_data(session.send(answer(1, b"hello"), 1))
    assert [event.data for event in events if isinstance(event, DataReceived)] == [b"hello"]
    assert any(isinstance(event, StreamEnded) for event in events)
    peer.send_headers(3, GET, end_stream=True)
    assert [message.id for message in session.receive(peer.data_to_send())] == [3]


def test_settings_of_a_header_hold_before_the_first_frame() -> None:
    session = Http2Client(Options(), 1 << 20)
    session.adopt("AAQAAAAK", request_head(b"GET", b"/", b"x", []))  # INITIAL_WINDOW_SIZE 10
    data = session.send(answer(1, b"x" * 20), 1)
    assert [frame[0] for frame in split(data)] == [1]
    # Nothing but the head comes before the client's preface, for which some have no room behind the 101.
    session.receive(PREFACE + SETTINGS)
    assert [len(frame[3]) for frame in split(session.owed()) if frame[0] == 0] == [10]


# How one peer asks may be seen by the other


def test_a_request_is_for_the_server_what_it_was_from_the_client() -> None:
    client, server = ClientStand(), ServerStand()
    fields = [*GET, ("cookie", "a=1"), ("cookie", "b=2"), ("accept", "*/*"), ("te", "trailers")]
    client.peer.send_headers(1, fields, end_stream=True)
    (message,) = client.take()
    (event, _) = server.send(message, 1)
    assert isinstance(event, RequestReceived)
    wanted = [*GET, ("cookie", "a=1; b=2"), ("accept", "*/*"), ("te", "trailers")]
    assert sorted(event.headers) == sorted((name.encode(), value.encode()) for name, value in wanted)


def test_the_end_of_an_answer_may_bring_trailers() -> None:
    client = ClientStand()
    client.peer.send_headers(1, GET, end_stream=True)
    client.take()
    client.send(opening(answer_head(200, []), 1), 1)
    events = client.send(end(1, b"last", GRPC_TRAILERS), 1)
    assert names(events) == ["DataReceived", "TrailersReceived", "StreamEnded"]


def test_what_a_client_let_into_no_table_gets_into_none_towards_the_server() -> None:
    client, session = connected_client(), connected_server()
    secret = b"\x10\x07x-token\x021a"
    for number in range(1, 9, 2):
        (message,) = client.receive(raw_frame(1, 5, number, raw_headers(1, GET)[9:] + secret))
        ((_, _, _, block),) = split(session.send(message, number))
        assert block.endswith(secret)
