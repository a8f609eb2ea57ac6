"""What is malformed (RFC 9113, section 8), and how tunnels pass between versions (RFC 8441)."""

from __future__ import annotations

import base64
import hashlib

import pytest
from h2.events import DataReceived, RequestReceived, ResponseReceived
from http2_stand import (
    GET,
    OK,
    POST,
    ClientStand,
    Fields,
    ServerStand,
    connected_client,
    connected_server,
    raw_frame,
    raw_headers,
    resets,
    said,
    split,
)

from metaproxy.codecs.http.http2 import Http2Client, Options
from metaproxy.codecs.http.http2.frames import Code
from metaproxy.codecs.http.model import answer_head, end, head_of, opening, request_head, whole
from metaproxy.codecs.http.rules import Rules
from metaproxy.message import Chunk, Kind, Message

METHOD, SCHEME, AUTHORITY, PATH = GET

MALFORMED: dict[str, Fields] = {
    "a name in upper case": [*GET, ("X-One", "1")],
    "an empty name": [*GET, ("", "1")],
    "a name with a blank": [*GET, ("x one", "1")],
    "a name with a colon": [*GET, ("x:one", "1")],
    "a name outside ASCII": [*GET, ("x-\xe9", "1")],
    "a value with a line end": [*GET, ("x-one", "1\r\nx-two: 2")],
    "a value with a NUL": [*GET, ("x-one", "1\0")],
    "a value with a control byte": [*GET, ("x-one", "1\x03")],
    "a value with DEL": [*GET, ("x-one", "\x7f1")],
    "a value with a blank in front": [*GET, ("x-one", " 1")],
    "a value with a tab behind": [*GET, ("x-one", "1\t")],
    "a line end in the path": [METHOD, SCHEME, AUTHORITY, (":path", "/ HTTP/1.1\r\nx: y")],
    "no method": [SCHEME, AUTHORITY, PATH],
    "no scheme": [METHOD, AUTHORITY, PATH],
    "no path": [METHOD, SCHEME, AUTHORITY],
    "an empty path": [METHOD, SCHEME, AUTHORITY, (":path", "")],
    "a path without slash": [METHOD, SCHEME, AUTHORITY, (":path", "one")],
    "a path with a blank": [METHOD, SCHEME, AUTHORITY, (":path", "/a b")],
    "* of GET": [METHOD, SCHEME, AUTHORITY, (":path", "*")],
    "two methods": [METHOD, METHOD, SCHEME, AUTHORITY, PATH],
    "two paths": [METHOD, SCHEME, AUTHORITY, PATH, PATH],
    "a pseudo field behind others": [METHOD, SCHEME, AUTHORITY, ("x-one", "1"), PATH],
    "an unknown pseudo field": [*GET, (":test", "1")],
    "the status of an answer": [*GET, (":status", "200")],
    "a method that is none": [(":method", "G ET"), SCHEME, AUTHORITY, PATH],
    "an authority with a user": [METHOD, SCHEME, (":authority", "u@a.example"), PATH],
    "an authority with a path": [METHOD, SCHEME, (":authority", "a.example/x"), PATH],
    "a host that is another one": [*GET, ("host", "b.example")],
    "two hosts": [METHOD, SCHEME, PATH, ("host", "a.example"), ("host", "b.example")],
    "connection": [*GET, ("connection", "x-one")],
    "keep-alive": [*GET, ("keep-alive", "5")],
    "proxy-connection": [*GET, ("proxy-connection", "close")],
    "transfer-encoding": [*POST, ("transfer-encoding", "chunked")],
    "upgrade": [*GET, ("upgrade", "websocket")],
    "te other than trailers": [*GET, ("te", "trailers, deflate")],
    "a content-length that is no number": [*POST, ("content-length", "+5")],
    "two content-lengths": [*POST, ("content-length", "5"), ("content-length", "6")],
    "a content-length of 19 digits": [*POST, ("content-length", "1" * 19)],
    "more promised than sent": [*POST, ("content-length", "5")],
    "CONNECT with a path": [(":method", "CONNECT"), AUTHORITY, PATH],
    "CONNECT with a scheme": [(":method", "CONNECT"), AUTHORITY, SCHEME],
    "CONNECT of nothing": [(":method", "CONNECT")],
    ":protocol of GET": [*GET, (":protocol", "websocket")],
    "a tunnel that ends as it begins": [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        SCHEME,
        AUTHORITY,
        PATH,
    ],
    ":protocol without authority": [(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, PATH],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_ends_its_stream_and_no_more(fields: Fields) -> None:
    session = connected_client()
    assert session.receive(raw_headers(1, fields)) == []
    assert resets(session.owed()) == {1: Code.PROTOCOL_ERROR}
    (request,) = session.receive(raw_headers(3, GET))
    assert (request.id, session.error) == (3, None)


GOOD: dict[str, tuple[Fields, bytes]] = {
    "host in place of :authority": ([METHOD, SCHEME, PATH, ("host", "b.example")], b"host: b.example\r\n"),
    "host as :authority": ([*GET, ("host", "A.example")], b"host: a.example\r\n"),
    "OPTIONS *": ([(":method", "OPTIONS"), SCHEME, AUTHORITY, (":path", "*")], b"OPTIONS * HTTP/1.1\r\n"),
    "equal content-lengths": ([*GET, ("content-length", "0"), ("content-length", "0")], b"GET /one?x=1 HTTP/1.1\r\n"),
    "cookies": ([*GET, ("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2")], b"cookie: a=1; b=2\r\nx-one: 1\r\n"),
    "an empty value": ([*GET, ("x-one", "")], b"x-one: \r\n"),
    "bytes over 127 in a value": ([*GET, ("x-one", "\xe9")], b"x-one: \xe9\r\n"),
    "te: trailers": ([*GET, ("te", "trailers")], b"te: trailers\r\n"),
}


@pytest.mark.parametrize(("fields", "line"), GOOD.values(), ids=GOOD)
def test_a_request_that_is_right_passes(fields: Fields, line: bytes) -> None:
    (request,) = connected_client().receive(raw_headers(1, fields))
    assert line in request.frame


def test_data_beyond_content_length_end_the_stream() -> None:
    session = connected_client()
    (head,) = session.receive(raw_headers(1, [*POST, ("content-length", "3")], 4))
    (end_,) = session.receive(raw_frame(0, 1, 1, b"four"))
    assert (head.kind, end_.kind) == (Kind.STREAM_OPEN, Kind.STREAM_RESET)
    assert resets(session.owed()) == {1: Code.PROTOCOL_ERROR}


@pytest.mark.parametrize("name", ["transfer-encoding", "content-length", "host", "te", "connection", "X-Upper"])
def test_trailers_hold_nothing_of_framing(name: str) -> None:
    session = connected_client()
    session.receive(raw_headers(1, POST, 4))
    (end_,) = session.receive(raw_headers(1, [(name, "1")]))
    assert end_.kind is Kind.STREAM_RESET


def test_trailers_hold_nothing_that_http_1_could_not_carry() -> None:
    session = connected_client()
    session.receive(raw_headers(1, POST, 4))
    (end_,) = session.receive(raw_headers(1, [("x-sum", "1\x03")]))
    assert end_.kind is Kind.STREAM_RESET


MALFORMED_ANSWERS: dict[str, Fields] = {
    "no status": [("x-one", "1")],
    "a status of two digits": [(":status", "99")],
    "a status of words": [(":status", "fine")],
    "101": [(":status", "101")],
    "two": [*OK, *OK],
    "a method": [*OK, METHOD],
    "connection": [*OK, ("connection", "close")],
    "transfer-encoding": [*OK, ("transfer-encoding", "chunked")],
    "a name in upper case": [*OK, ("X-One", "1")],
    "a value with a line end": [*OK, ("x-one", "a\nb")],
    "an interim answer that is the last": [(":status", "100")],
    "more promised than sent": [*OK, ("content-length", "5")],
}


@pytest.mark.parametrize("fields", MALFORMED_ANSWERS.values(), ids=MALFORMED_ANSWERS)
def test_a_malformed_answer_fails_its_exchange_and_no_other(fields: Fields) -> None:
    session = connected_server()
    ask(session.send)
    (chunk,) = session.receive(raw_headers(1, fields))
    assert (chunk.kind, chunk.id, isinstance(chunk, Chunk) and chunk.unsent) == (Kind.STREAM_RESET, 1, False)
    assert resets(session.owed()) == {1: Code.PROTOCOL_ERROR}
    assert session.error is None


def test_data_before_an_answer_end_its_stream() -> None:
    session = connected_server()
    ask(session.send)
    (chunk,) = session.receive(raw_frame(0, 0, 1, b"x"))
    assert chunk.kind is Kind.STREAM_RESET


@pytest.mark.parametrize("status", ["204", "304"])
def test_an_answer_that_has_no_body_may_not_bring_one(status: str) -> None:
    session = connected_server()
    ask(session.send)
    session.receive(raw_headers(1, [(":status", status), ("content-length", "5")], 4))
    (chunk,) = session.receive(raw_frame(0, 1, 1, b"12345"))
    assert chunk.kind is Kind.STREAM_RESET


def ask(send: object) -> None:
    assert callable(send)
    send(whole(request_head(b"GET", b"/", b"x", []), b"", 1), 1)


REFUSED: dict[str, tuple[Fields, Rules, int]] = {
    "a long target": ([METHOD, SCHEME, AUTHORITY, (":path", "/" * 101)], Rules(max_target=100), 414),
    "many fields": ([*GET, *[("x-one", "1")] * 9], Rules(max_fields=8), 431),
    "a large list": ([*GET, ("x-one", "1" * 1000)], Rules(max_head=1000), 431),
    "a long body": ([*POST, ("content-length", "101")], Rules(max_body=100), 413),
    "CONNECT": ([(":method", "CONNECT"), (":authority", "a.example:443")], Rules(), 501),
    "a tunnel for another protocol": (
        [(":method", "CONNECT"), (":protocol", "connect-udp"), SCHEME, AUTHORITY, PATH],
        Rules(),
        501,
    ),
}


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize(("fields", "rules", "status"), REFUSED.values(), ids=REFUSED)
def test_a_request_that_is_refused_is_answered(fields: Fields, rules: Rules, status: int, ends: bool) -> None:
    session = connected_client(Options(rules=rules))
    assert session.receive(raw_headers(1, fields, 5 if ends else 4)) == []
    answer, *reset = split(said(session))
    assert (answer[:3], b"%d" % status in answer[3]) == ((1, 5, 1), True)
    assert [frame for frame in reset if frame[0] != 6] == ([] if ends else [(3, 0, 1, bytes(4))])
    assert session.receive(raw_frame(0, 1, 1, b"late") if not ends else b"") == []
    assert session.error is None


@pytest.mark.parametrize("begun", [False, True])
def test_a_body_that_goes_over_its_bound_ends_its_stream(begun: bool) -> None:
    session = connected_client(Options(rules=Rules(max_body=100)))
    session.receive(raw_headers(1, POST, 4) + raw_frame(0, 0, 1, b"x" * 100))
    if begun:
        session.send(opening(answer_head(200, []), 1), 1)
    (end_,) = session.receive(raw_frame(0, 0, 1, b"x"))
    assert end_.kind is Kind.STREAM_RESET
    heard = said(session)
    assert resets(heard) == {1: Code.CANCEL if begun else Code.NO_ERROR}
    assert (b"413" in heard) is not begun


def test_a_bound_of_bodies_is_none_of_tunnels() -> None:
    session = connected_client(Options(rules=Rules(max_body=100)))
    session.receive(raw_headers(1, WEBSOCKET, 4))
    session.send(opening(answer_head(101, [], b"websocket"), 1), 1)
    (chunk,) = session.receive(raw_frame(0, 0, 1, b"x" * 1000))
    assert chunk.kind is Kind.STREAM_DATA


def test_extended_connect_is_offered_where_a_protocol_is_let_through() -> None:
    offer = bytes.fromhex("0008 00000001")
    assert offer in Http2Client(Options(), 1 << 20).open(None, {})
    assert offer not in Http2Client(Options(rules=Rules(upgrades=frozenset())), 1 << 20).open(None, {})


# Tunnels

WEBSOCKET: Fields = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "a.example"),
    (":path", "/chat"),
    ("sec-websocket-version", "13"),
]
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def accept(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def upgrade() -> Message:
    """An Upgrade of HTTP/1.1, as the model has it."""
    pairs = [(b"sec-websocket-key", KEY), (b"sec-websocket-version", b"13")]
    return whole(request_head(b"GET", b"/chat", b"a.example", pairs, protocol=b"websocket"), b"", 1)


def test_an_extended_connect_is_for_others_an_upgrade() -> None:
    stand = ClientStand()
    stand.peer.send_headers(1, WEBSOCKET)
    (message,) = stand.take()
    head = head_of(message)
    assert message.kind is Kind.REQUEST
    assert message.frame.startswith(b"GET /chat HTTP/1.1\r\nhost: a.example\r\n")
    assert message.frame.endswith(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
    assert len(base64.b64decode(head.value(b"sec-websocket-key") or b"")) == 16


def test_each_tunnel_has_a_key_of_its_own() -> None:
    session = connected_client()
    keys = set()
    for number in (1, 3, 5):
        (message,) = session.receive(raw_headers(number, WEBSOCKET, 4))
        keys.add(head_of(message).value(b"sec-websocket-key"))
    assert len(keys) == 3


def test_an_upgrade_that_was_granted_opens_the_tunnel_of_an_extended_connect() -> None:
    stand = ClientStand()
    stand.peer.send_headers(1, WEBSOCKET)
    stand.take()
    granted = opening(answer_head(101, [(b"sec-websocket-accept", b"x"), (b"x-one", b"1")], b"websocket"), 1)
    (event,) = stand.send(granted, 1)
    assert isinstance(event, ResponseReceived)
    assert event.headers == [(b":status", b"200"), (b"x-one", b"1")]
    stand.peer.send_data(1, b"ping")
    (data,) = stand.take()
    assert (data.kind, data.frame) == (Kind.STREAM_DATA, b"ping")
    # Each half ends alone.
    last = end(1, b"bye")
    last.final = False
    stand.send(last, 1)
    stand.peer.send_data(1, b"pong", end_stream=True)
    (close,) = stand.take()
    assert isinstance(close, Chunk)
    assert (close.kind, close.frame, close.final) == (Kind.STREAM_CLOSE, b"pong", False)


@pytest.mark.parametrize(
    "data", [raw_frame(0, 0, 1, b"GET /admin HTTP/1.1\r\n\r\n"), raw_frame(0, 1, 1), raw_headers(1, [("x-one", "1")])]
)
def test_what_a_client_sends_before_its_tunnel_is_open_goes_to_no_server(data: bytes) -> None:
    """A server of HTTP/1.1 that declines the Upgrade would take it for the next request."""
    session = connected_client()
    (request,) = session.receive(raw_headers(1, WEBSOCKET, 4))
    (end_,) = session.receive(data)
    assert (request.kind, end_.kind) == (Kind.REQUEST, Kind.STREAM_RESET)
    assert resets(session.owed()) == {1: Code.PROTOCOL_ERROR}


def test_fields_in_a_tunnel_end_it() -> None:
    session = connected_client()
    session.receive(raw_headers(1, WEBSOCKET, 4))
    session.send(opening(answer_head(101, [], b"websocket"), 1), 1)
    (end_,) = session.receive(raw_headers(1, [("x-one", "1")]))
    assert end_.kind is Kind.STREAM_RESET


@pytest.mark.parametrize("open_", [False, True])
def test_an_upgrade_that_was_answered_otherwise_by_2xx_does_not_open_a_tunnel(open_: bool) -> None:
    stand = ClientStand()
    stand.peer.send_headers(1, WEBSOCKET)
    stand.take()
    head = answer_head(200, [])
    (event, *_) = stand.send(opening(head, 1) if open_ else whole(head, b"page", 1), 1)
    assert isinstance(event, ResponseReceived)
    assert event.headers == [(b":status", b"502")]


def test_an_upgrade_that_was_refused_is_a_refusal() -> None:
    stand = ClientStand()
    stand.peer.send_headers(1, WEBSOCKET)
    stand.take()
    events = stand.send(whole(answer_head(403, []), b"no", 1), 1)
    assert [type(event).__name__ for event in events] == [
        "ResponseReceived", "DataReceived", "StreamEnded", "PingReceived", "StreamReset"
    ]  # fmt: skip


TUNNELS = bytes.fromhex("0008 00000001")
"""ENABLE_CONNECT_PROTOCOL"""


def test_an_upgrade_goes_to_a_server_as_extended_connect_and_comes_back_as_101() -> None:
    session = connected_server(settings=TUNNELS)
    ((kind, flags, _, _),) = split(session.send(upgrade(), 7))
    assert (kind, flags) == (1, 4)  # its half is open
    (message,) = session.receive(raw_headers(1, [*OK, ("x-one", "1")], 4))
    assert (message.kind, message.id, message.duplex) == (Kind.STREAM_OPEN, 7, True)
    assert message.frame.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert head_of(message).value(b"sec-websocket-accept") == accept(KEY)
    assert head_of(message).protocol == b"websocket"
    session.send(Chunk(Kind.STREAM_DATA, b"up", 7), 7)
    (data,) = session.receive(raw_frame(0, 0, 1, b"down"))
    assert data.frame == b"down"
    (close,) = session.receive(raw_frame(0, 1, 1))
    assert isinstance(close, Chunk)
    assert (close.kind, close.final) == (Kind.STREAM_CLOSE, False)
    assert [frame[:3] for frame in split(session.send(end(7), 7))] == [(0, 1, 1)]


def test_the_key_of_a_handshake_is_not_sent_over_http2() -> None:
    stand = ServerStand()
    stand.session.receive(raw_frame(4, 0, 0, TUNNELS))
    (event,) = stand.peer.receive_data(stand.session.send(upgrade(), 1))[-1:]
    assert isinstance(event, RequestReceived)
    assert dict(event.headers)[b":protocol"] == b"websocket"
    assert b"sec-websocket-key" not in dict(event.headers)


def test_a_server_without_extended_connect_gets_the_request_without_its_upgrade() -> None:
    stand = ServerStand()
    events = stand.send(upgrade(), 1)
    (event, _) = events
    assert isinstance(event, RequestReceived)
    assert dict(event.headers)[b":method"] == b"GET"
    assert b":protocol" not in dict(event.headers)
    assert b"upgrade" not in dict(event.headers)


def test_a_server_that_refuses_a_tunnel_answers_and_the_stream_is_over() -> None:
    session = connected_server(settings=TUNNELS)
    session.send(upgrade(), 1)
    (message,) = session.receive(raw_headers(1, [(":status", "403")]))
    assert (message.kind, head_of(message).status) == (Kind.RESPONSE, 403)
    assert resets(session.owed()) == {1: Code.CANCEL}


def test_connect_opens_a_tunnel() -> None:
    client, server = ClientStand(Options(rules=Rules(connect=True))), ServerStand()
    client.peer.send_headers(1, [(":method", "CONNECT"), (":authority", "a.example:443")])
    (request,) = client.take()
    assert request.frame.startswith(b"CONNECT a.example:443 HTTP/1.1\r\n")
    server.send(request, 1)
    server.peer.send_headers(1, OK)
    server.peer.send_data(1, b"hello")
    (answer, data) = server.take()
    assert (answer.kind, answer.duplex) == (Kind.STREAM_OPEN, True)
    client.send(answer, 1)
    (event,) = client.send(data, 1)
    assert isinstance(event, DataReceived)
