"""A client's connection of HTTP/1.1: what becomes of requests, how answers are written, when it ends."""

from __future__ import annotations

import pytest

from metaproxy.codecs.framing import Session
from metaproxy.codecs.http import Http, model
from metaproxy.codecs.http.client import ClientSession
from metaproxy.codecs.http.rules import Rules
from metaproxy.message import Chunk, ErrorKind, Kind, Message, Side
from metaproxy.units import Bytes

GET = b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n"
UPLOAD = b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
WEBSOCKET = b"GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
MAX = 1 << 20
DATA, CLOSE, RESET = Kind.STREAM_DATA, Kind.STREAM_CLOSE, Kind.STREAM_RESET


def client(codec: Http | None = None, **facts: str) -> Session:
    session = (codec or Http()).session(Side.CLIENT, MAX)
    session.facts = {"source.address": "10.0.0.1", **facts}
    return session


def kinds(messages: list[Message]) -> list[Kind]:
    return [message.kind for message in messages]


def answer(id: int, body: bytes = b"hello", status: int = 200) -> Message:
    head = model.answer_head(status, [(b"content-length", b"%d" % len(body))], length=len(body))
    return model.whole(head, body, id)


def unsized(status: int = 200) -> model.Head:
    return model.answer_head(status, [(b"x-a", b"b")])


# Requests


def test_a_request_has_ids_that_count_from_one() -> None:
    assert [message.id for message in client().receive(GET * 3)] == [1, 2, 3]


def test_fields_keep_their_spelling_and_order() -> None:
    (message,) = client().receive(b"GET / HTTP/1.1\r\nX-One: 1\r\nhOST: a.example\r\nX-TWO:2\r\n\r\n")
    assert message.frame.startswith(b"GET / HTTP/1.1\r\nX-One: 1\r\nhOST: a.example\r\nX-TWO:2\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\n",
        b"Keep-Alive: timeout=5\r\n",
        b"Proxy-Connection: keep-alive\r\n",
        b"TE: gzip\r\nConnection: te\r\n",
        b"Upgrade: foo\r\nConnection: upgrade\r\n",
        b"Connection: http2-settings\r\nHTTP2-Settings: AAA\r\n",
    ],
)
def test_what_is_between_neighbours_goes_no_further(lines: bytes) -> None:
    (message,) = client().receive(GET[:-2] + lines + b"X-End: 1\r\n\r\n")
    names = {line.split(b":")[0].lower() for line in message.frame.split(b"\r\n")[1:]}
    assert names == {b"host", b"x-end", b"via", b"x-forwarded-for", b"x-forwarded-proto", b""}
    assert dict(model.head_of(message).pairs).keys() == names - {b"host", b""}


def test_te_trailers_goes_on_alone() -> None:
    (message,) = client().receive(GET[:-2] + b"TE: gzip;q=0.5, Trailers\r\nConnection: te\r\n\r\n")
    assert b"\r\nte: trailers\r\n" in message.frame
    assert (b"te", b"trailers") in model.head_of(message).pairs


def test_the_absolute_form_becomes_the_origin_form() -> None:
    (message,) = client().receive(b"GET http://a.example/b?c HTTP/1.1\r\nHost: a.example\r\n\r\n")
    assert message.frame.startswith(b"GET /b?c HTTP/1.1\r\nHost: a.example\r\n")


def test_a_request_of_http_1_0_goes_on_as_one_of_http_1_1_and_with_a_host() -> None:
    session = client(None, **{"destination.address": "10.0.0.9", "destination.port": "80"})
    (message,) = session.receive(b"GET / HTTP/1.0\r\n\r\n")
    assert message.frame.startswith(b"GET / HTTP/1.1\r\nhost: 10.0.0.9:80\r\nvia: 1.0 metaproxy\r\n")


@pytest.mark.parametrize("body", [b"0123456789", b"0123456789" * 100_000], ids=len)
def test_a_body_that_came_with_its_head_makes_a_whole_message_up_to_max_frame(body: bytes) -> None:
    head = UPLOAD.replace(b"10", b"%d" % len(body))
    messages = client().receive(head + body)
    assert kinds(messages) == [Kind.REQUEST]
    assert model.parts(messages[0])[1] == body


def test_a_body_over_max_frame_streams_in_chunks_of_64_kib() -> None:
    body = bytes(MAX + 5)
    messages = client().receive(UPLOAD.replace(b"10", b"%d" % len(body)) + body)
    assert kinds(messages)[0] is Kind.STREAM_OPEN
    assert kinds(messages)[-1] is CLOSE
    assert max(len(chunk.frame) for chunk in messages[1:]) == 65536
    assert b"".join(chunk.frame for chunk in messages[1:]) == body


def test_a_body_that_goes_on_streams_and_a_read_that_is_all_payload_is_not_copied() -> None:
    session = client()
    head, first = session.receive(UPLOAD + b"012")
    assert (head.kind, first.kind, first.frame) == (Kind.STREAM_OPEN, DATA, b"012")
    assert b"Content-Length: 10\r\n" in head.frame
    piece = b"3456"
    (second,) = session.receive(piece)
    assert second.frame is piece
    (last,) = session.receive(b"789")
    assert (last.kind, last.frame, last.id) == (CLOSE, b"789", head.id)
    assert kinds(session.receive(GET)) == [Kind.REQUEST]


def test_chunks_of_one_read_are_joined() -> None:
    session = client()
    messages = session.receive(CHUNKED + b"1\r\na\r\n2\r\nbc\r\n3\r\nde")
    assert [(m.kind, m.frame) for m in messages[1:]] == [(DATA, b"abcde")]
    assert b"ransfer-" not in messages[0].frame
    (last,) = session.receive(b"f\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert isinstance(last, Chunk)
    assert (last.frame, last.trailers, last.metadata) == (b"f", b"x-sum: 1\r\n", {"x-sum": "1"})


def test_an_expectation_goes_on_with_its_head_before_the_body_came() -> None:
    session = client()
    (head,) = session.receive(UPLOAD[:-2] + b"Expect: 100-continue\r\n\r\n")
    assert head.kind is Kind.STREAM_OPEN
    assert b"Expect: 100-continue\r\n" in head.frame
    assert session.send(model.interim(model.answer_head(100, []), 1), 1) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert kinds(session.receive(b"0123456789")) == [CLOSE]


# Bounds


def test_a_body_over_the_bound_is_413_by_its_length_or_once_it_came() -> None:
    session = client(Http(max_body=Bytes(9)))
    session.receive(UPLOAD)
    assert session.owed().startswith(b"HTTP/1.1 413 ")
    session = client(Http(max_body=Bytes(9)))
    session.receive(CHUNKED + b"5\r\nhello\r\n")
    assert kinds(session.receive(b"5\r\nhello\r\n")) == [RESET]
    assert session.owed().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("step", [1, 1000, 1 << 20])
def test_a_head_is_refused_once_it_is_too_long_however_it_comes(step: int) -> None:
    session = client(Http(max_head=Bytes(1024)))
    data = GET[:-2] + b"X-A: " + b"a" * 2000
    for at in range(0, len(data), step):
        session.receive(data[at : at + step])
    assert session.owed().startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "data",
    [
        b"\n\0\n",
        b"\rGET / HTTP/1.1\r\n\r\n",
        b"POST" + b"B" * 40 + b" / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX : a\nb\r\n\r\n",
        b"GET / RTSP/1.0\r\nX: a\rb\r\n\r\n",
        CHUNKED + b"0\r\nX : a\nb\r\n\r\n",
    ],
)
def test_why_a_request_is_refused_does_not_depend_on_how_it_is_cut(data: bytes) -> None:
    whole, cut = client(), client()
    whole.receive(data)
    for at in range(len(data)):
        cut.receive(data[at : at + 1])
    assert whole.error is not None
    assert str(cut.error) == str(whole.error)
    assert cut.owed() == whole.owed()


def test_a_head_that_does_not_come_in_time_is_408() -> None:
    session = client()
    session.receive(GET[:20])
    assert session.buffered == 20
    assert session.owed().startswith(b"HTTP/1.1 408 ")


def test_a_head_that_trickles_in_is_408_once_it_took_too_long() -> None:
    now = [100.0]
    session = ClientSession(Rules(head_timeout=30.0, clock=lambda: now[0]), MAX)
    for at in range(len(GET) - 2):
        session.receive(GET[at : at + 1])
        now[0] += 0.7
    assert session.error is None
    now[0] += 10
    assert session.receive(GET[-2:]) == []
    assert session.owed().startswith(b"HTTP/1.1 408 ")


def test_a_head_that_comes_no_further_is_408_once_it_took_too_long() -> None:
    now = [100.0]
    session = ClientSession(Rules(head_timeout=30.0, clock=lambda: now[0]), MAX)
    session.receive(GET + GET[:20])
    now[0] += 30
    session.beat(now[0])
    assert (session.error, session.owes) == (None, False)
    now[0] += 1
    session.beat(now[0])
    assert session.error is not None
    assert session.owed().startswith(b"HTTP/1.1 408 ")


def test_a_client_that_sends_nothing_between_requests_is_not_late() -> None:
    now = [100.0]
    session = ClientSession(Rules(head_timeout=30.0, clock=lambda: now[0]), MAX)
    session.receive(GET)
    now[0] += 31
    session.beat(now[0])
    assert session.error is None


def test_a_head_is_not_late_while_an_answer_before_it_is_under_way() -> None:
    now = [100.0]
    session = ClientSession(Rules(head_timeout=30.0, clock=lambda: now[0]), MAX)
    session.receive(GET + GET[:20])
    session.send(model.opening(unsized(), 1), 1)
    now[0] += 31
    session.beat(now[0])
    assert session.error is None
    session.send(model.end(1), 1)
    session.beat(now[0])
    assert session.error is not None


def test_the_time_of_a_head_begins_with_its_first_byte() -> None:
    now = [100.0]
    session = ClientSession(Rules(head_timeout=30.0, clock=lambda: now[0]), MAX)
    session.receive(GET + GET[:5])
    now[0] += 29
    assert kinds(session.receive(GET[5:] + GET[:5])) == [Kind.REQUEST]
    now[0] += 29
    assert kinds(session.receive(GET[5:])) == [Kind.REQUEST]


def test_nothing_is_said_to_a_client_that_says_nothing() -> None:
    assert client().owed() == b""


def test_a_bad_chunk_resets_the_request_that_was_passed_on() -> None:
    session = client()
    session.receive(CHUNKED + b"5\r\nhello\r\n")
    (reset,) = session.receive(b"zz\r\n")
    assert (reset.kind, reset.id) == (RESET, 1)
    assert session.error is not None
    assert session.owed().startswith(b"HTTP/1.1 400 ")


def test_no_last_words_are_put_into_an_answer_that_has_begun() -> None:
    session = client()
    session.receive(CHUNKED + b"5\r\nhello\r\n")
    session.send(model.opening(unsized(), 1), 1)
    session.receive(b"zz\r\n")
    assert session.owed() == b""


def test_a_client_that_leaves_within_a_body_resets_it() -> None:
    session = client()
    session.receive(UPLOAD + b"012")
    assert kinds(session.eof()) == [RESET]
    assert client().eof() == []


# Answers


def test_an_answer_that_nothing_changed_is_written_as_it_came() -> None:
    session = client()
    session.receive(GET)
    message = answer(1)
    assert session.send(message, 1) is message.frame


def test_an_answer_without_a_body_tells_so() -> None:
    session = client()
    session.receive(GET)
    assert session.send(model.whole(unsized(), b"", 1), 1) == (
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-a: b\r\n\r\n"
    )


@pytest.mark.parametrize("status", [204, 304])
def test_a_body_behind_a_status_that_has_none_is_not_written(status: int) -> None:
    session = client()
    session.receive(GET)
    message = answer(1)
    changed = message.with_frame(message.frame.replace(b"200 OK", b"%d X" % status))
    assert session.send(changed, 1).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_can_have_no_body_does_not(status: int) -> None:
    session = client()
    session.receive(GET)
    assert b"content-length" not in session.send(model.whole(unsized(status), b"", 1), 1)


def test_an_answer_to_head_has_no_body_though_it_has_a_length() -> None:
    session = client()
    session.receive(GET.replace(b"GET", b"HEAD") * 3)
    assert session.send(answer(1, b""), 1).endswith(b"content-length: 0\r\n\r\n")
    refusal = Http().reply(session.receive(GET)[0], ErrorKind.DENIED, "no")
    assert session.send(refusal, 2).endswith(b"content-length: 3\r\n\r\n")
    assert session.send(model.opening(unsized(), 3), 3) == b"HTTP/1.1 200 OK\r\nx-a: b\r\n\r\n"
    assert session.send(model.end(3, b"hello"), 3) == b""


def test_a_stream_of_known_length_is_written_as_it_is() -> None:
    session = client()
    session.receive(GET)
    head = model.answer_head(200, [(b"content-length", b"10")], length=10)
    assert session.send(model.opening(head, 1), 1) == head.frame
    payload = b"hello"
    assert session.send(Chunk(DATA, payload, 1), 1) is payload
    assert session.send(model.end(1, payload), 1) == payload


def test_a_stream_of_unknown_length_is_chunked_with_its_trailers() -> None:
    session = client()
    session.receive(GET)
    assert session.send(model.opening(unsized(), 1), 1) == (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-a: b\r\n\r\n"
    )
    assert session.send(Chunk(DATA, b"hello", 1), 1) == b"5\r\nhello\r\n"
    assert session.send(Chunk(DATA, b"", 1), 1) == b""
    assert session.send(model.end(1, b"!", [(b"x-sum", b"1")]), 1) == b"1\r\n!\r\n0\r\nx-sum: 1\r\n\r\n"


def test_a_whole_answer_with_trailers_is_chunked() -> None:
    session = client()
    session.receive(GET)
    message = model.whole(unsized(), b"hello", 1, trailers=[(b"x-sum", b"1")])
    assert session.send(message, 1).endswith(b"\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n")


def test_http_1_0_gets_neither_chunks_nor_interim_answers_and_its_connection_ends() -> None:
    session = client()
    session.receive(b"GET / HTTP/1.0\r\n\r\n")
    assert session.closing
    assert session.send(model.interim(model.answer_head(103, []), 1), 1) == b""
    assert session.send(model.opening(unsized(), 1), 1) == b"HTTP/1.1 200 OK\r\nconnection: close\r\nx-a: b\r\n\r\n"
    assert session.send(Chunk(DATA, b"hello", 1), 1) == b"hello"
    assert session.send(model.end(1, b"", [(b"x-sum", b"1")]), 1) == b""


def test_what_a_mutation_made_is_read_again() -> None:
    session = client()
    session.receive(GET)
    message = answer(1)
    changed = message.with_frame(message.frame.replace(b"\r\n\r\n", b"\r\nx-b: c\r\n\r\n"))
    assert session.send(changed, 1) == changed.frame


# The end of a connection


def test_nothing_is_read_behind_close() -> None:
    session = client()
    messages = session.receive(GET[:-2] + b"Connection: close\r\n\r\n" + GET)
    assert len(messages) == 1
    assert session.closing
    assert session.receive(GET) == []
    assert b"\r\nconnection: close\r\n" in session.send(answer(1), 1)


def test_an_upload_with_close_is_read_to_its_end_before_the_connection_closes() -> None:
    session = client()
    session.receive(UPLOAD[:-2] + b"Connection: close\r\n\r\n01234")
    assert not session.closing
    assert kinds(session.receive(b"56789")) == [CLOSE]
    assert session.closing


def test_a_request_that_was_answered_before_its_end_is_the_last_one() -> None:
    session = client()
    session.receive(UPLOAD + b"01234")
    assert b"\r\nconnection: close\r\n" in session.send(answer(1, status=403), 1)
    assert not session.closing
    assert kinds(session.receive(b"56789" + GET)) == [CLOSE]
    assert session.closing


def test_an_upload_that_goes_on_behind_an_answer_that_streamed_leaves_the_connection_open() -> None:
    session = client()
    session.receive(UPLOAD + b"01234")
    session.send(model.opening(unsized(), 1), 1)
    session.send(model.end(1), 1)
    assert kinds(session.receive(b"56789" + GET)) == [CLOSE, Kind.REQUEST]
    assert not session.closing


def test_a_connection_that_drains_says_so_in_the_next_answer() -> None:
    session = client()
    session.receive(GET)
    assert session.drain() == b""
    assert b"\r\nconnection: close\r\n" in session.send(answer(1), 1)


# Tunnels


def switching() -> Message:
    message = model.opening(model.answer_head(101, [], protocol=b"websocket"), 1)
    message.duplex = True
    return message


def test_an_upgrade_is_a_whole_request_that_says_what_for() -> None:
    (message,) = client().receive(WEBSOCKET)
    assert message.kind is Kind.REQUEST
    assert message.frame.endswith(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
    assert message.get("upgrade") == "websocket"


def test_behind_101_both_halves_are_bytes() -> None:
    session = client()
    session.receive(WEBSOCKET)
    written = session.send(switching(), 1)
    assert written.startswith(b"HTTP/1.1 101 ")
    assert written.endswith(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
    (chunk,) = session.receive(GET)
    assert (chunk.kind, chunk.frame, chunk.id) == (DATA, GET, 1)
    assert session.send(Chunk(DATA, b"hello", 1), 1) == b"hello"
    (end,) = session.eof()
    assert isinstance(end, Chunk)
    assert (end.kind, end.final) == (CLOSE, False)


def test_an_upgrade_that_is_declined_leaves_the_connection_as_it_is() -> None:
    session = client()
    session.receive(WEBSOCKET)
    session.send(answer(1), 1)
    assert kinds(session.receive(GET)) == [Kind.REQUEST]


def test_bytes_behind_an_upgrade_wait_for_its_answer() -> None:
    session = client()
    assert kinds(session.receive(WEBSOCKET + b"early")) == [Kind.REQUEST]
    assert session.buffered == 5
    session.send(switching(), 1)
    assert session.receive(b"!")[0].frame == b"early!"
    session = client()
    session.receive(WEBSOCKET + b"early")
    session.send(switching(), 1)
    assert session.receive(b"")[0].frame == b"early"


def test_a_request_behind_an_upgrade_that_is_declined_must_come_on_another_connection() -> None:
    session = client()
    session.receive(WEBSOCKET + GET)
    assert b"\r\nconnection: close\r\n" in session.send(answer(1), 1)
    assert session.closing
    assert session.receive(GET) == []


def test_too_many_bytes_behind_an_upgrade_are_refused() -> None:
    session = client()
    session.receive(WEBSOCKET + b"a" * 20_000)
    assert session.error is not None


def test_connect_is_let_through_by_option() -> None:
    session = client(Http(connect=True))
    (message,) = session.receive(b"CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n")
    assert message.frame.startswith(b"CONNECT db.example:5432 HTTP/1.1\r\n")
    assert (message.get("host"), message.get("method")) == ("db.example:5432", "CONNECT")
    head = model.opening(model.answer_head(200, []), 1)
    head.duplex = True
    assert session.send(head, 1) == b"HTTP/1.1 200 OK\r\n\r\n"
    assert session.receive(b"\0\1")[0].frame == b"\0\1"


@pytest.mark.parametrize("target", [b"db.example", b"db.example:5432 x", b"/a", b"other.example:5432", b"db.example:x"])
def test_connect_needs_a_host_with_a_port_that_is_the_one_of_host(target: bytes) -> None:
    session = client(Http(connect=True))
    session.receive(b"CONNECT %b HTTP/1.1\r\nHost: db.example:5432\r\n\r\n" % target)
    assert session.owed().startswith(b"HTTP/1.1 400 ")


# What the proxy adds


def added(lines: bytes = b"", hops: int = 0, via: str = "metaproxy", tls: str = "") -> dict[str, str]:
    facts = {"tls.version": tls} if tls else {}
    (message,) = client(Http(trusted_hops=hops, via=via), **facts).receive(GET[:-2] + lines + b"\r\n")
    again = Message(Kind.REQUEST, message.frame)
    assert dict(model.head_of(message).pairs) == dict(model.head_of(again).pairs)
    return {name.decode(): value.decode() for name, value in model.head_of(message).pairs}


def test_a_request_names_the_proxy_and_the_client() -> None:
    assert added() == {"via": "1.1 metaproxy", "x-forwarded-for": "10.0.0.1", "x-forwarded-proto": "http"}
    assert added(tls="TLSv1.3")["x-forwarded-proto"] == "https"
    assert "via" not in added(via="")


def test_via_is_added_behind_the_proxies_before() -> None:
    assert added(b"Via: 1.0 fred, 1.1 edge\r\n")["via"] == "1.0 fred, 1.1 edge, 1.1 metaproxy"


def test_what_a_client_says_of_itself_is_dropped() -> None:
    lines = b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.2.3.4\r\n"
    assert added(lines) == {"via": "1.1 metaproxy", "x-forwarded-for": "10.0.0.1", "x-forwarded-proto": "http"}


def test_trusted_proxies_are_believed_and_nobody_before_them() -> None:
    lines = b"X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\n"
    fields = added(lines, hops=2)
    assert (fields["x-forwarded-for"], fields["x-forwarded-proto"]) == ("1.2.3.4, 10.0.0.2, 10.0.0.1", "https")
    (message,) = client(Http(trusted_hops=2)).receive(GET[:-2] + lines + b"\r\n")
    assert message.get("client.address") == "1.2.3.4"


# HTTP/2 on the same listener

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
H2C = GET[:-2] + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_client_that_begins_with_the_preface_speaks_http_2(step: int) -> None:
    session = client()
    data = PREFACE + SETTINGS
    for at in range(0, len(data), step):
        assert session.receive(data[at : at + step]) == []
    assert session.error is None
    assert session.owes
    assert session.owed()[3:5] == b"\4\0"
    assert session.flow == "stream"
    assert session.capacity > 1


def test_the_preface_behind_a_request_is_refused() -> None:
    session = client()
    assert kinds(session.receive(GET + PREFACE)) == [Kind.REQUEST]
    assert session.owed().startswith(b"HTTP/1.1 505 ")


def test_alpn_decides_before_the_first_byte() -> None:
    session = client(None, **{"tls.alpn": "h2"})
    assert session.open(None, {})[3:5] == b"\4\0"
    session.receive(GET)
    assert session.error is not None


def test_an_upgrade_to_h2c_is_answered_and_its_request_is_stream_1() -> None:
    session = client()
    (message,) = session.receive(H2C + PREFACE + SETTINGS)
    assert (message.kind, message.id) == (Kind.REQUEST, 1)
    assert b"pgrade" not in message.frame
    assert session.owes
    assert session.owed().startswith(SWITCHING + b"\0")
    assert session.send(answer(1), 1)[3] == 1


def test_an_answer_to_the_request_that_asked_for_h2c_stands_behind_the_switch() -> None:
    session = client()
    session.receive(H2C)
    assert session.send(answer(1), 1).startswith(SWITCHING)
    assert not session.owed().startswith(SWITCHING)


@pytest.mark.parametrize("settings", [b"AA_", b"!!", b"AAMAAABkAAQ"])
def test_an_upgrade_to_h2c_with_settings_that_are_none_is_passed_over(settings: bytes) -> None:
    session = client()
    (message,) = session.receive(H2C.replace(b"AAMAAABkAAQAAP__", settings))
    assert message.kind is Kind.REQUEST
    assert not session.owes


def test_an_upgrade_to_h2c_behind_another_request_is_passed_over() -> None:
    assert kinds(client().receive(GET + H2C + GET)) == [Kind.REQUEST] * 3
