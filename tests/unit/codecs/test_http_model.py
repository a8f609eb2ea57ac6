"""Messages of HTTP between two connections: canonical bytes, and the structured form beside them."""

from __future__ import annotations

import pytest

from metaproxy.codecs.http import heads, model
from metaproxy.codecs.http.heads import HeadError
from metaproxy.message import Kind, Message

FIELDS = [(b"accept", b"*/*"), (b"x-user", b"anna")]
GET = model.request_head(b"GET", b"/a?b=c", b"web.example", FIELDS)
POST = model.request_head(b"POST", b"/a", b"web.example", [(b"content-length", b"5")], length=5)
UNSIZED = model.request_head(b"POST", b"/a", b"web.example", FIELDS)
WEBSOCKET = model.request_head(b"GET", b"/chat", b"web.example", FIELDS, protocol=b"websocket")
OK = model.answer_head(200, [(b"content-type", b"text/plain"), (b"content-length", b"5")], length=5)
TRAILERS = [(b"x-sum", b"abc"), (b"x-empty", b"")]


def test_a_request_has_the_form_of_http_1_1_with_its_host_first() -> None:
    assert GET.frame == b"GET /a?b=c HTTP/1.1\r\nhost: web.example\r\naccept: */*\r\nx-user: anna\r\n\r\n"


def test_an_answer_has_the_reason_of_its_status() -> None:
    assert model.answer_head(404, []).frame == b"HTTP/1.1 404 Not Found\r\n\r\n"


def test_a_tunnel_ends_with_what_it_is_asked_for() -> None:
    assert WEBSOCKET.frame.endswith(b"x-user: anna\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")


def test_a_status_and_failure_decide_the_kind_of_a_whole_message() -> None:
    assert model.whole(GET, b"", 1).kind is Kind.REQUEST
    assert model.whole(OK, b"hello", 1).kind is Kind.RESPONSE
    assert model.whole(OK, b"hello", 1, failed=True).kind is Kind.ERROR


def test_a_body_whose_length_is_not_in_the_head_gets_one() -> None:
    message = model.whole(UNSIZED, b"hello", 1)
    assert message.frame.endswith(b"x-user: anna\r\ncontent-length: 5\r\n\r\nhello")
    assert model.parts(message)[1] == b"hello"


def test_a_message_is_sent_from_the_head_that_it_was_made_with() -> None:
    assert model.head_of(model.whole(GET, b"", 1)) is GET
    assert model.head_of(model.opening(UNSIZED, 1)) is UNSIZED
    assert model.head_of(model.interim(OK, 1)) is OK
    assert model.parts(model.whole(POST, b"hello", 1)) == (POST, b"hello", None)


def test_other_bytes_are_read_again() -> None:
    message = model.whole(POST, b"hello", 7).with_frame(POST.frame.replace(b"/a", b"/other") + b"hello")
    head, body, trailers = model.parts(message)
    assert (head.path, body, trailers) == (b"/other", b"hello", None)
    assert message.id == 7


def test_bytes_that_were_put_into_a_message_are_read_again() -> None:
    message = model.whole(GET, b"", 1)
    message.frame = message.frame.replace(b"anna", b"hugo")
    assert model.head_of(message).value(b"x-user") == b"hugo"


@pytest.mark.parametrize("head", [GET, POST, UNSIZED, WEBSOCKET, OK], ids=repr)
def test_what_is_read_from_a_frame_is_what_it_was_made_of(head: model.Head) -> None:
    again = model.head_of(Message(Kind.STREAM_OPEN, head.frame))
    for name in ("method", "authority", "path", "scheme", "status", "protocol", "length", "pairs"):
        assert getattr(again, name) == getattr(head, name), name


def test_connect_has_an_authority_and_no_path() -> None:
    head = model.request_head(b"CONNECT", b"", b"db.example:443", [])
    assert head.frame == b"CONNECT db.example:443 HTTP/1.1\r\nhost: db.example:443\r\n\r\n"
    again = model.head_of(Message(Kind.STREAM_OPEN, head.frame))
    assert (again.path, again.authority) == (b"", b"db.example:443")


def test_the_scheme_of_a_frame_is_the_one_that_was_forwarded() -> None:
    head = model.request_head(b"GET", b"/", b"a", [(b"x-forwarded-proto", b"https")], scheme=b"https")
    assert model.head_of(Message(Kind.REQUEST, head.frame)).scheme == b"https"


@pytest.mark.parametrize("body", [b"", b"hello", b"0\r\n\r\n"])
@pytest.mark.parametrize("head", [POST, UNSIZED], ids=["sized", "unsized"])
def test_a_whole_message_with_trailers_is_in_chunked_form(head: model.Head, body: bytes) -> None:
    message = model.whole(head, body, 1, trailers=TRAILERS)
    assert b"transfer-encoding: chunked\r\n" in message.frame
    assert b"content-length" not in message.frame
    assert model.parts(message)[1:] == (body, TRAILERS)
    read, again, trailers = model.parts(Message(Kind.REQUEST, message.frame))
    assert (read.path, again, trailers) == (b"/a", body, TRAILERS)


def test_trailers_are_lines_and_metadata_of_the_end() -> None:
    end = model.end(3, b"last", TRAILERS)
    assert end.trailers == b"x-sum: abc\r\nx-empty: \r\n"
    assert model.trailer_pairs(end.trailers) == TRAILERS
    assert end.metadata == {"x-sum": "abc", "x-empty": ""}
    assert model.trailer_pairs(b"") == []


def test_trailers_keep_their_order_whatever_a_field_means_to_a_proxy() -> None:
    mixed = [(b"via", b"1.1 a"), (b"x-a", b"1"), (b"expect", b""), (b"grpc-status", b"2"), (b"via", b"1.1 b")]
    assert model.trailer_pairs(model.trailer_block(mixed)) == mixed
    assert model.parts(Message(Kind.REQUEST, model.whole(POST, b"b", 1, trailers=mixed).frame))[2] == mixed


@pytest.mark.parametrize("block", [b"x : a\r\n", b"x: a\n", b"x: a\0\r\n", b" x: a\r\n", b"x: a\r\n b\r\n"])
def test_trailers_that_are_no_field_lines_are_refused(block: bytes) -> None:
    with pytest.raises(HeadError):
        model.trailer_pairs(block)


def test_a_method_that_is_not_known_is_501_and_a_version_that_is_not_is_505() -> None:
    with pytest.raises(HeadError) as refused:
        heads.read_request(b"FROBNICATE / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert refused.value.status == 501
    with pytest.raises(HeadError) as refused:
        heads.read_request(b"GET / HTTP/3.0\r\nhost: a\r\n\r\n")
    assert refused.value.status == 505


def test_a_message_whose_bytes_were_changed_gives_a_head_without_the_form_of_its_body() -> None:
    made = model.whole(model.answer_head(200, [(b"x-a", b"1")]), b"hi", 1, trailers=[(b"x-sum", b"2")])
    changed = made.with_frame(made.frame.replace(b"x-a: 1\r\n", b"x-b: 2\r\n"))
    head, body, trailers = model.parts(changed)
    assert head.frame == b"HTTP/1.1 200 OK\r\nx-b: 2\r\n\r\n"
    assert model.whole(head, body, 1, trailers=trailers).frame == changed.frame
