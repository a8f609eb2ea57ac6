from __future__ import annotations

from browser import Connection, Desk

from metaproxy.admin.live import Live
from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint


class Feed(Endpoint):
    path = "/feed"
    about = "Lines."

    def __init__(self) -> None:
        self.ended = 0
        self.body = Live(self._end)

    def _end(self) -> None:
        self.ended += 1

    def get(self, ask: AdminRequest) -> AdminResponse:
        return AdminResponse(self.body, "text/plain")


def opened() -> tuple[Desk, Feed]:
    desk, feed = Desk(), Feed()
    desk.serve(feed)
    return desk, feed


def asked(desk: Desk) -> Connection:
    connection = Connection(desk)
    connection.send(b"GET /feed HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    return connection


def test_what_was_put_before_the_head_comes_behind_it() -> None:
    desk, feed = opened()
    feed.body.put(b"early\n")
    connection = asked(desk)
    assert connection.take().endswith(b"\r\n\r\n6\r\nearly\n\r\n")


def test_the_end_comes_behind_the_last_line_and_is_told_once() -> None:
    desk, feed = opened()
    connection = asked(desk)
    connection.take()
    connection.pause()
    feed.body.put(b"last\n")
    feed.body.end()
    assert feed.ended == 1
    assert not feed.body.room()
    assert connection.take() == b""
    connection.resume()
    assert connection.take() == b"5\r\nlast\n\r\n0\r\n\r\n"
    connection.gone()
    assert feed.ended == 1


def test_after_its_end_the_connection_answers_the_next_request() -> None:
    desk, feed = opened()
    connection = asked(desk)
    feed.body.end()
    connection.take()
    connection.send(b"GET /nothing HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    assert connection.take().startswith(b"HTTP/1.1 404 ")


def test_a_reader_that_leaves_ends_it_and_later_lines_go_nowhere() -> None:
    desk, feed = opened()
    connection = asked(desk)
    connection.gone()
    assert feed.ended == 1
    assert not feed.body.room()
    assert feed.body.lost == 1
