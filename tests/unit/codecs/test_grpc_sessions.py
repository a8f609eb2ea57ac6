"""Connections of gRPC with h2 at their other end: whole calls, streams, how answers end, bounds."""

from __future__ import annotations

import pytest
from grpc_calls import CALL, OK, answer, call, framed, opened, respond
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from http2_stand import ClientStand, ServerStand

from metaproxy.codecs.grpc import Grpc
from metaproxy.codecs.http import model
from metaproxy.message import Chunk, ErrorKind, FrameError, Kind, Message, Side
from metaproxy.units import Bytes

MAX_FRAME = 1 << 20


def client(codec: Grpc | None = None) -> ClientStand:
    return ClientStand(session=(codec or Grpc()).session(Side.CLIENT, MAX_FRAME))


def server(codec: Grpc | None = None) -> ServerStand:
    return ServerStand(session=(codec or Grpc()).session(Side.SERVER, MAX_FRAME))


def asked(stand: ServerStand, message: Message | None = None, id: int = 1) -> ServerStand:
    """The server with a request that waits for its answer."""
    stand.send(message or call(body=framed(b"hi")), id)
    return stand


def chunk(kind: Kind, payload: bytes = b"", id: int = 1) -> Chunk:
    return Chunk(kind, payload, id)


# Whole


def test_a_unary_call_in_one_read_is_one_message() -> None:
    stand = client()
    stand.peer.send_headers(1, CALL)
    stand.peer.send_data(1, framed(b"hi"), end_stream=True)
    (message,) = stand.take()
    assert (message.kind, message.get("operation"), message.get("timeout")) == (
        Kind.REQUEST, "example.v1.Echo/Unary", "5000",
    )  # fmt: skip
    assert model.parts(message)[1] == framed(b"hi")


def test_the_answer_of_a_unary_call_in_one_read_is_one_message() -> None:
    stand = asked(server())
    respond(stand.peer, 1, framed(b"hi"), ("grpc-status", "0"))
    (message,) = stand.take()
    assert (message.kind, message.id, message.get("code")) == (Kind.RESPONSE, 1, "OK")


# How answers end


@pytest.mark.parametrize(
    ("code", "failed"),
    [
        (0, False), (1, False), (2, True), (3, False), (4, True), (5, False), (6, False), (7, False), (8, True),
        (9, False), (10, False), (11, False), (12, False), (13, True), (14, True), (15, True), (16, False), (77, True),
    ],
)  # fmt: skip
def test_the_status_decides_whether_an_answer_is_one_of_failure(code: int, failed: bool) -> None:
    kind = Kind.ERROR if failed else Kind.RESPONSE
    stand = asked(asked(asked(server()), id=2), opened(), id=3)
    respond(stand.peer, 1, framed(b"hi"), ("grpc-status", str(code)))
    stand.peer.send_headers(3, [*OK, ("grpc-status", str(code))], end_stream=True)  # trailers-only
    assert [message.kind for message in stand.take()] == [kind, kind]
    stand.peer.send_headers(5, OK)
    assert [message.kind for message in stand.take()] == [Kind.STREAM_OPEN]
    stand.peer.send_headers(5, [("grpc-status", str(code))], end_stream=True)
    (last,) = stand.take()
    assert isinstance(last, Chunk)
    assert (last.kind, last.failed) == (Kind.STREAM_CLOSE, failed)


def test_an_option_says_which_codes_are_failures() -> None:
    stand = asked(asked(server(Grpc(failures=["NOT_FOUND"]))), id=2)
    respond(stand.peer, 1, b"", ("grpc-status", "5"))
    respond(stand.peer, 3, b"", ("grpc-status", "14"))
    assert [message.kind for message in stand.take()] == [Kind.ERROR, Kind.RESPONSE]


def test_the_head_of_a_stream_learns_how_the_answer_ended_for_logs() -> None:
    stand = asked(server(), opened())
    stand.peer.send_headers(1, OK)
    (head,) = stand.take()
    stand.peer.send_headers(1, [("grpc-status", "5"), ("grpc-message", "no%21")], end_stream=True)
    stand.take()
    assert (head.get("code"), head.get("message")) == ("NOT_FOUND", "no!")


def test_an_answer_without_a_status_is_unknown() -> None:
    stand = asked(asked(server()), opened(), id=2)
    stand.peer.send_headers(1, OK)
    stand.peer.send_data(1, framed(b"hi"), end_stream=True)
    (whole,) = stand.take()
    assert (whole.kind, whole.get("code")) == (Kind.ERROR, "UNKNOWN")
    stand.peer.send_headers(3, OK)
    stand.take()
    stand.peer.end_stream(3)
    (last,) = stand.take()
    assert isinstance(last, Chunk)
    assert (last.failed, last.metadata and last.metadata["grpc-status"]) == (True, "2")


@pytest.mark.parametrize(
    ("http", "code"),
    [
        (400, "INTERNAL"), (401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED"), (404, "UNIMPLEMENTED"),
        (429, "UNAVAILABLE"), (500, "UNKNOWN"), (502, "UNAVAILABLE"), (503, "UNAVAILABLE"), (504, "UNAVAILABLE"),
    ],
)  # fmt: skip
def test_an_answer_of_http_becomes_one_of_grpc_and_its_body_is_dropped(http: int, code: str) -> None:
    stand = asked(server(), opened())
    stand.peer.send_headers(1, [(":status", str(http)), ("content-type", "text/html")])
    (message,) = stand.take()
    assert message.kind in (Kind.RESPONSE, Kind.ERROR)
    assert (message.get("status"), message.get("code")) == ("200", code)
    assert f"HTTP status {http}" in str(message.get("message"))
    assert stand.session.send(chunk(Kind.STREAM_CLOSE), 1) == b""  # the stream is given up


def test_a_page_with_200_is_no_answer_of_grpc() -> None:
    stand = asked(server())
    stand.peer.send_headers(1, [(":status", "200"), ("content-type", "text/html")])
    stand.peer.send_data(1, b"<p>login</p>", end_stream=True)
    (message,) = stand.take()
    assert (message.kind, message.get("code")) == (Kind.ERROR, "UNKNOWN")


def test_what_is_no_call_is_answered_as_http() -> None:
    stand = server()
    stand.send(model.whole(model.request_head(b"GET", b"/healthz", b"a", []), b"", 1), 1)
    stand.peer.send_headers(1, [(":status", "404")], end_stream=True)
    (message,) = stand.take()
    assert (message.kind, message.get("status"), message.get("code")) == (Kind.RESPONSE, "404", None)


@pytest.mark.parametrize(("said", "wait"), [("250", 0.25), ("0", 0.0), ("-1", -1.0), ("soon", -1.0)])
def test_a_server_says_when_it_may_be_tried_again(said: str, wait: float) -> None:
    stand = asked(server())
    respond(stand.peer, 1, b"", ("grpc-status", "14"), ("grpc-retry-pushback-ms", said))
    (message,) = stand.take()
    assert message.retry_after == wait


# What the proxy ends


def test_a_call_whose_answer_has_begun_ends_with_a_status_that_says_why() -> None:
    stand = client()
    stand.peer.send_headers(1, CALL)
    stand.take()
    stand.send(model.opening(model.answer_head(200, [(b"content-type", b"application/grpc")]), 1), 1)
    data = stand.session.reset(1, ErrorKind.TIMEOUT, "no answer within 1 s")
    events = stand.peer.receive_data(data or b"")
    (trailers,) = (dict(event.headers) for event in events if isinstance(event, TrailersReceived))
    assert trailers == {b"grpc-status": b"4", b"grpc-message": b"no answer within 1 s"}
    assert any(isinstance(event, StreamEnded) for event in events)
    assert stand.session.reset(1, ErrorKind.TIMEOUT, "") == b""


def test_a_call_whose_client_does_not_read_is_reset() -> None:
    stand = client()
    stand.peer.send_headers(1, CALL)
    stand.take()
    stand.send(model.opening(model.answer_head(200, [(b"content-type", b"application/grpc")]), 1), 1)
    stand.peer.receive_data(stand.session.send(chunk(Kind.STREAM_DATA, b"x" * 70000), 1))
    assert stand.session.unsent_bytes(1)
    events = stand.peer.receive_data(stand.session.reset(1, ErrorKind.TIMEOUT, "") or b"")
    assert any(isinstance(event, StreamReset) for event in events)


def test_an_error_of_the_proxy_reaches_the_client_as_trailers_only() -> None:
    codec = Grpc()
    stand = client(codec)
    stand.peer.send_headers(1, CALL, end_stream=True)
    (message,) = stand.take()
    events = stand.send(codec.reply(message, ErrorKind.DENIED, "für dich 100% nicht\n"), 1)
    (headers,) = (dict(event.headers) for event in events if isinstance(event, ResponseReceived))
    assert headers == {
        b":status": b"200", b"content-type": b"application/grpc", b"grpc-status": b"7",
        b"grpc-message": b"f%C3%BCr dich 100%25 nicht",
    }  # fmt: skip
    assert any(isinstance(event, StreamEnded) for event in events)


# Bounds


def test_a_request_over_max_message_is_not_sent_and_is_limited() -> None:
    session = server(Grpc(max_message=Bytes(100))).session
    session.send(call(body=framed(b"x" * 100)), 1)
    with pytest.raises(FrameError, match="max_message is 100") as raised:
        session.send(call(body=framed(b"x", b"x" * 101)), 2)
    assert raised.value.kind is ErrorKind.LIMITED
    session.send(opened(), 3)
    session.send(chunk(Kind.STREAM_DATA, framed(b"x" * 100)), 3)
    with pytest.raises(FrameError, match="max_message"):
        session.send(chunk(Kind.STREAM_CLOSE, b"\0\0\0\1\0"), 3)


def test_a_request_of_another_protocol_has_no_messages() -> None:
    session = server(Grpc(max_message=Bytes(100))).session
    head = model.request_head(b"POST", b"/a.B/C", b"a", [(b"content-type", b"application/json")])
    session.send(model.whole(head, b"{" * 500, 1), 1)


def test_an_answer_over_max_message_ends_with_resource_exhausted() -> None:
    stand = asked(asked(server(Grpc(max_message=Bytes(100)))), opened(), id=2)
    respond(stand.peer, 1, framed(b"x" * 101), ("grpc-status", "0"))
    (whole,) = stand.take()
    assert (whole.kind, whole.get("code")) == (Kind.ERROR, "RESOURCE_EXHAUSTED")
    stand.peer.send_headers(3, OK)
    stand.peer.send_data(3, framed(b"fine"))
    assert [message.kind for message in stand.take()] == [Kind.STREAM_OPEN, Kind.STREAM_DATA]
    stand.peer.send_data(3, framed(b"x" * 101))
    stand.peer.send_data(3, framed(b"more"))
    (last,) = stand.take()
    assert isinstance(last, Chunk)
    assert (last.kind, last.failed, last.metadata and last.metadata["grpc-status"]) == (Kind.STREAM_CLOSE, True, "8")
    assert stand.session.send(chunk(Kind.STREAM_DATA, b"x", 2), 2) == b""


def test_messages_of_both_halves_are_chunks_by_option() -> None:
    codec = Grpc(whole_messages=Bytes(1000))
    asking, answering = client(codec), asked(server(codec), opened())
    asking.peer.send_headers(1, CALL)
    asking.take()
    answering.peer.send_headers(1, OK)
    answering.take()
    data = framed(b"one", b"two" * 100, b"three")
    for stand in (asking, answering):
        seen: list[bytes] = []
        for at in range(0, len(data), 7):
            stand.peer.send_data(1, data[at : at + 7])
            seen += [message.frame for message in stand.take()]
        assert seen == [framed(b"one"), framed(b"two" * 100), framed(b"three")]


def test_a_message_larger_than_the_window_comes_in_one_chunk_and_does_not_stall() -> None:
    stand = client(Grpc(whole_messages=Bytes(1 << 20)))
    stand.peer.send_headers(1, CALL)
    data, seen = framed(b"x" * 300_000), []
    at = 0
    while at < len(data):
        room = min(stand.peer.local_flow_control_window(1), 16384, len(data) - at)
        assert room
        stand.peer.send_data(1, data[at : at + room])
        at += room
        seen += [message.frame for message in stand.take() if message.kind is Kind.STREAM_DATA]
    assert seen == [data]


def test_data_of_an_answer_reach_the_client_as_they_came() -> None:
    stand = client()
    stand.peer.send_headers(1, CALL, end_stream=True)
    stand.take()
    events = stand.send(answer(framed(b"hi"), (b"grpc-status", b"0")), 1)
    assert [event.data for event in events if isinstance(event, DataReceived)] == [framed(b"hi")]
    assert [dict(event.headers) for event in events if isinstance(event, TrailersReceived)] == [{b"grpc-status": b"0"}]
