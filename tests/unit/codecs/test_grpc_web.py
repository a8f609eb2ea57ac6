"""gRPC-Web: calls of browsers, over HTTP/1.1 and HTTP/2, become calls of gRPC, and back."""

from __future__ import annotations

import base64

import pytest
from grpc_calls import answer, framed
from h2.events import DataReceived, ResponseReceived, StreamReset, TrailersReceived
from http2_stand import ClientStand

from metaproxy.codecs.grpc import Grpc
from metaproxy.codecs.http import model
from metaproxy.message import Chunk, ErrorKind, Kind, Side

MAX_FRAME = 1 << 20
END = b"\x80\0\0\0\x10grpc-status: 0\r\n"
TEXT = "application/grpc-web-text+proto"
BINARY = "application/grpc-web+proto"


def post(kind: str, body: bytes, *lines: str) -> bytes:
    fields = "".join(f"{line}\r\n" for line in (f"Content-Type: {kind}", *lines))
    return f"POST /a.B/C HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body


def ok(body: bytes = b"") -> model.HttpMessage:
    return answer(body, (b"grpc-status", b"0"))


def test_a_call_over_http1_becomes_one_of_grpc() -> None:
    session = Grpc().session(Side.CLIENT, MAX_FRAME)
    (message,) = session.receive(post(BINARY, framed(b"hi"), "X-Tenant: t1", "Accept: */*"))
    head, body, _ = model.parts(message)
    assert (message.kind, message.get("method"), body) == (Kind.REQUEST, "C", framed(b"hi"))
    assert (head.value(b"content-type"), head.value(b"te")) == (b"application/grpc+proto", b"trailers")
    assert (head.value(b"x-tenant"), head.value(b"content-length")) == (b"t1", None)


def test_its_trailers_are_the_last_message_of_the_body() -> None:
    session = Grpc().session(Side.CLIENT, MAX_FRAME)
    session.receive(post(BINARY, framed(b"hi")))
    sent = session.send(ok(framed(b"ho")), 1)
    head, _, body = sent.partition(b"\r\n\r\n")
    assert body == framed(b"ho") + END
    assert b"content-type: application/grpc-web+proto" in head.lower()
    assert b"content-length: %d" % len(body) in head.lower()


def test_a_call_in_text_is_base64_in_both_directions() -> None:
    session = Grpc().session(Side.CLIENT, MAX_FRAME)
    (message,) = session.receive(post(TEXT, base64.b64encode(framed(b"hello"))))
    assert model.parts(message)[1] == framed(b"hello")
    head, _, body = session.send(ok(framed(b"ho")), 1).partition(b"\r\n\r\n")
    assert base64.b64decode(body) == framed(b"ho") + END
    assert b"application/grpc-web-text+proto" in head


def test_accept_says_in_which_form_the_answer_comes() -> None:
    session = Grpc().session(Side.CLIENT, MAX_FRAME)
    session.receive(post(TEXT, base64.b64encode(framed(b"hi")), f"Accept: {BINARY}"))
    assert session.send(ok(framed(b"ho")), 1).endswith(framed(b"ho") + END)


def test_text_may_be_padded_within() -> None:
    session = Grpc().session(Side.CLIENT, MAX_FRAME)
    body = b"".join(base64.b64encode(part) for part in (framed(b"hell"), b"", b"a", b"bc", b"def"))
    (message,) = session.receive(post(TEXT, body))
    assert model.parts(message)[1] == framed(b"hell") + b"abcdef"


def test_text_that_comes_in_pieces_is_decoded_as_it_comes() -> None:
    session = Grpc().session(Side.CLIENT, MAX_FRAME)
    request = post(TEXT, base64.b64encode(framed(b"hello" * 20)))
    start = request.index(b"\r\n\r\n") + 4
    messages = session.receive(request[:start])
    for at in range(start, len(request)):
        messages += session.receive(request[at : at + 1])
    assert [messages[0].kind, messages[-1].kind] == [Kind.STREAM_OPEN, Kind.STREAM_CLOSE]
    assert b"".join(message.frame for message in messages[1:]) == framed(b"hello" * 20)


@pytest.mark.parametrize("body", [b"AA", b"A*==", b"====", b"AAAA\n", b"AAA=A"])
def test_what_is_no_base64_is_refused(body: bytes) -> None:
    session = Grpc().session(Side.CLIENT, MAX_FRAME)
    assert session.receive(post(TEXT, body)) == []
    assert session.error is not None
    assert session.owed().startswith(b"HTTP/1.1 400 ")


def test_a_stream_of_answers_reaches_the_browser_as_it_comes() -> None:
    session = Grpc().session(Side.CLIENT, MAX_FRAME)
    session.receive(post(TEXT, base64.b64encode(framed(b"hi"))))
    head = model.answer_head(200, [(b"content-type", b"application/grpc+proto"), (b"x-a", b"1")])
    sent = session.send(model.opening(head, 1), 1)
    assert b"content-type: application/grpc-web-text+proto\r\nx-a: 1\r\n" in sent
    piece = base64.b64encode(framed(b"one"))
    assert session.send(Chunk(Kind.STREAM_DATA, framed(b"one"), 1), 1) == b"%x\r\n%b\r\n" % (len(piece), piece)
    last = session.send(model.end(1, b"", [(b"grpc-status", b"0")]), 1)
    assert last == b"1c\r\n%b\r\n0\r\n\r\n" % base64.b64encode(END)


def test_an_error_of_the_proxy_is_in_the_head() -> None:
    codec = Grpc()
    session = codec.session(Side.CLIENT, MAX_FRAME)
    (message,) = session.receive(post(BINARY, framed(b"hi")))
    sent = session.send(codec.reply(message, ErrorKind.OVERLOAD, "full"), 1)
    assert sorted(sent.splitlines()) == [
        b"", b"HTTP/1.1 200 OK", b"content-length: 0", b"content-type: application/grpc-web", b"grpc-message: full",
        b"grpc-status: 14",
    ]  # fmt: skip


def test_an_answer_that_is_cut_off_ends_with_a_status() -> None:
    session = Grpc().session(Side.CLIENT, MAX_FRAME)
    session.receive(post(BINARY, framed(b"hi")))
    session.send(model.opening(model.answer_head(200, [(b"content-type", b"application/grpc")]), 1), 1)
    assert b"grpc-status: 14\r\n" in (session.reset(1, ErrorKind.RESET, "lost") or b"")


def test_calls_of_grpc_web_come_over_http2_as_well() -> None:
    stand = ClientStand(session=Grpc().session(Side.CLIENT, MAX_FRAME))
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/a.B/C"),
        ("content-type", BINARY),
    ]
    stand.peer.send_headers(1, fields)
    stand.peer.send_data(1, framed(b"hi"), end_stream=True)
    (message,) = stand.take()
    assert model.head_of(message).value(b"content-type") == b"application/grpc+proto"
    events = stand.send(ok(framed(b"ho")), 1)
    (head,) = (dict(event.headers) for event in events if isinstance(event, ResponseReceived))
    assert head[b"content-type"] == BINARY.encode()
    assert b"".join(event.data for event in events if isinstance(event, DataReceived)) == framed(b"ho") + END
    assert not any(isinstance(event, TrailersReceived) for event in events)


def test_over_http2_what_is_no_base64_ends_its_own_stream() -> None:
    stand = ClientStand(session=Grpc().session(Side.CLIENT, MAX_FRAME))
    for stream in (1, 3):
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/a.B/C"),
            ("content-type", TEXT),
        ]
        stand.peer.send_headers(stream, fields)
    stand.take()
    stand.peer.send_data(1, b"****")
    stand.peer.send_data(3, base64.b64encode(framed(b"hi")), end_stream=True)
    while data := stand.peer.data_to_send():
        stand.messages += stand.session.receive(data)
        events = stand.peer.receive_data(stand.session.owed())
    assert {message.id: message.kind for message in stand.messages} == {1: Kind.STREAM_RESET, 3: Kind.STREAM_CLOSE}
    assert [event.stream_id for event in events if isinstance(event, StreamReset)] == [1]
    assert stand.session.error is None


def test_a_call_of_grpc_over_http1_that_is_cut_off_ends_its_connection() -> None:
    session = Grpc().session(Side.CLIENT, MAX_FRAME)
    session.receive(post("application/grpc", framed(b"hi")))
    fields = [(b"content-type", b"application/grpc"), (b"content-length", b"100")]
    session.send(model.opening(model.answer_head(200, fields, length=100), 1), 1)
    assert session.reset(1, ErrorKind.RESET, "lost") is None
