"""A connection of HTTP/1.1 to a server: how requests are written, what becomes of answers."""

from __future__ import annotations

import pytest

from metaproxy.codecs.framing import Session
from metaproxy.codecs.http import Http, model
from metaproxy.message import Chunk, FrameError, Kind, Message, Side

OK = b"HTTP/1.1 200 OK\r\n"
DATA, CLOSE = Kind.STREAM_DATA, Kind.STREAM_CLOSE
MAX = 1 << 20


def server(method: bytes = b"GET", protocol: bytes = b"") -> Session:
    session = Http(connect=True).session(Side.SERVER, MAX)
    path, authority = (b"", b"a:1") if method == b"CONNECT" else (b"/", b"a")
    session.send(model.whole(model.request_head(method, path, authority, [], protocol=protocol), b"", 5), 7)
    return session


def kinds(messages: list[Message]) -> list[Kind]:
    return [message.kind for message in messages]


def head(method: bytes = b"POST", length: int = -1, *pairs: model.Pair) -> model.Head:
    sized = [(b"content-length", b"%d" % length)] if length >= 0 else []
    return model.request_head(method, b"/a", b"a.example", [*sized, *pairs], length=length)


def fresh() -> Session:
    return Http().session(Side.SERVER, MAX)


# Requests


def test_a_request_that_nothing_changed_is_written_as_it_came() -> None:
    message = model.whole(head(b"GET"), b"", 1)
    assert fresh().send(message, 3) is message.frame


def test_a_request_whose_method_has_a_body_tells_that_it_has_none() -> None:
    assert b"\r\ncontent-length: 0\r\n" in fresh().send(model.whole(head(), b"", 1), 1)
    assert b"content-length" not in fresh().send(model.whole(head(b"DELETE"), b"", 1), 1)


def test_a_body_gets_its_length_or_is_chunked_where_that_is_not_known() -> None:
    assert fresh().send(model.whole(head(), b"hello", 1), 1).endswith(b"\r\ncontent-length: 5\r\n\r\nhello")
    session = fresh()
    assert b"\r\ntransfer-encoding: chunked\r\n" in session.send(model.opening(head(), 1), 1)
    assert session.send(Chunk(DATA, b"hello", 1), 1) == b"5\r\nhello\r\n"
    assert session.send(model.end(1, b"!", [(b"x-sum", b"1")]), 1) == b"1\r\n!\r\n0\r\nx-sum: 1\r\n\r\n"


def test_a_sized_body_is_written_as_it_is_and_not_beyond_its_length() -> None:
    session = fresh()
    message = model.opening(head(length=10), 1)
    assert session.send(message, 1) is message.frame
    assert session.send(Chunk(DATA, b"hello", 1), 1) == b"hello"
    with pytest.raises(FrameError):
        session.send(Chunk(DATA, b"world!", 1), 1)


def test_a_sized_body_that_ends_early_is_an_error() -> None:
    session = fresh()
    session.send(model.opening(head(length=10), 1), 1)
    with pytest.raises(FrameError):
        session.send(model.end(1, b"hello"), 1)


def test_te_is_named_by_connection() -> None:
    te = head(b"GET", -1, (b"te", b"trailers"))
    assert fresh().send(model.whole(te, b"", 1), 1).startswith(b"GET /a HTTP/1.1\r\nconnection: te\r\n")


def test_one_request_is_under_way_at_a_time() -> None:
    assert fresh().capacity == 1


# Answers


def test_an_answer_has_the_id_of_its_request() -> None:
    (message,) = server().receive(OK + b"Content-Length: 5\r\n\r\nhello")
    assert (message.kind, message.id) == (Kind.RESPONSE, 7)


def test_an_answer_keeps_its_spelling_and_loses_what_is_between_neighbours() -> None:
    lines = b"Server: nginx\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\nX-B: c\r\n"
    (message,) = server().receive(OK + lines + b"\r\n")
    assert message.frame == OK + b"Server: nginx\r\nContent-Length: 0\r\nX-B: c\r\n\r\n"
    assert model.head_of(message).pairs == [(b"server", b"nginx"), (b"x-b", b"c"), (b"content-length", b"0")]


def test_what_connection_names_is_taken_out() -> None:
    (message,) = server().receive(OK + b"Connection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n")
    assert message.frame == OK + b"Content-Length: 0\r\n\r\n"
    assert model.head_of(message).pairs == [(b"content-length", b"0")]


@pytest.mark.parametrize(("status", "kind"), [(404, Kind.RESPONSE), (499, Kind.RESPONSE), (500, Kind.ERROR)])
def test_statuses_from_500_on_report_failure(status: int, kind: Kind) -> None:
    (message,) = server().receive(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
    assert message.kind is kind


def test_a_failure_that_streams_says_so_at_its_head_and_at_its_end() -> None:
    session = server()
    (opened,) = session.receive(b"HTTP/1.1 500 X\r\nContent-Length: 5\r\n\r\n")
    (end,) = session.receive(b"hello")
    assert opened.failed
    assert isinstance(end, Chunk)
    assert end.failed


def test_a_chunked_answer_that_came_at_once_is_whole_and_sized() -> None:
    (message,) = server().receive(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert message.frame == OK + b"content-length: 5\r\n\r\nhello"


def test_a_chunked_answer_that_goes_on_streams() -> None:
    session = server()
    opened, first = session.receive(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    assert (opened.kind, opened.frame, first.frame) == (Kind.STREAM_OPEN, OK + b"\r\n", b"hello")
    (end,) = session.receive(b"0\r\n\r\n")
    assert isinstance(end, Chunk)
    assert (end.kind, end.id, end.final) == (CLOSE, 7, True)


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    session = server()
    messages = session.receive(OK + b"\r\nhello")
    assert kinds(messages) == [Kind.DRAIN, Kind.STREAM_OPEN, DATA]
    assert kinds(session.eof()) == [CLOSE]


def test_a_body_whose_length_is_known_does_not_end_with_its_connection() -> None:
    session = server()
    session.receive(OK + b"Content-Length: 10\r\n\r\nhello")
    assert session.eof() == []


def test_a_server_that_closes_takes_no_more_requests() -> None:
    messages = server().receive(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
    assert kinds(messages) == [Kind.DRAIN, Kind.RESPONSE]


def test_interim_answers_come_before_the_answer() -> None:
    messages = server().receive(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n")
    assert kinds(messages) == [Kind.INTERIM, Kind.RESPONSE]
    assert messages[0].frame == b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


def test_interim_answers_without_end_are_refused() -> None:
    session = server()
    session.receive(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    assert session.error is not None


@pytest.mark.parametrize("data", [OK + b"Content-Length: 0\r\n\r\n", b"\0"])
def test_an_answer_to_no_request_is_refused(data: bytes) -> None:
    session = server()
    session.receive(OK + b"Content-Length: 0\r\n\r\n")
    assert session.receive(data) == []
    assert session.error is not None


def test_a_second_answer_in_the_same_read_is_refused_behind_the_first() -> None:
    session = server()
    messages = session.receive((OK + b"Content-Length: 0\r\n\r\n") * 2)
    assert kinds(messages) == [Kind.RESPONSE]
    assert session.error is not None


def test_an_answer_to_head_has_no_body_and_keeps_the_length() -> None:
    (message,) = server(b"HEAD").receive(OK + b"Content-Length: 5\r\n\r\n")
    assert message.frame == OK + b"Content-Length: 5\r\n\r\n"


# Tunnels


def test_101_opens_both_halves() -> None:
    session = server(protocol=b"websocket")
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: b\r\n\r\n"
    drain, opened, early = session.receive(switched + b"\x81\x00")
    assert drain.kind is Kind.DRAIN
    assert (opened.kind, opened.duplex) == (Kind.STREAM_OPEN, True)
    assert opened.frame.endswith(b"X-A: b\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    assert (early.kind, early.frame) == (DATA, b"\x81\x00")
    assert session.send(Chunk(DATA, OK, 5), 7) == OK
    (end,) = session.eof()
    assert isinstance(end, Chunk)
    assert (end.kind, end.final) == (CLOSE, False)


def test_101_to_another_protocol_is_refused() -> None:
    session = server(protocol=b"websocket")
    session.receive(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n")
    assert session.error is not None


def test_an_upgrade_that_the_server_declines_is_an_answer_as_any() -> None:
    (message,) = server(protocol=b"websocket").receive(OK + b"Content-Length: 5\r\n\r\nhello")
    assert message.kind is Kind.RESPONSE


def test_connect_opens_a_tunnel_by_2xx_alone() -> None:
    drain, opened = server(b"CONNECT").receive(OK + b"Content-Length: 5\r\n\r\n")
    assert drain.kind is Kind.DRAIN
    assert (opened.kind, opened.duplex) == (Kind.STREAM_OPEN, True)
    (refused,) = server(b"CONNECT").receive(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    assert refused.kind is Kind.RESPONSE
