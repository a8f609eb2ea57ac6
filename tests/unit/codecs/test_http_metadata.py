"""What routes and filters can know of a message of HTTP."""

from __future__ import annotations

import pytest

from metaproxy.codecs.http import Http
from metaproxy.codecs.http.metadata import normal_path
from metaproxy.message import Message, Side


def request(target: str = "/a", lines: str = "", method: str = "GET") -> Message:
    session = Http().session(Side.CLIENT, 1 << 20)
    session.facts = {"source.address": "10.0.0.1"}
    (message,) = session.receive(f"{method} {target} HTTP/1.1\r\nHost: a.example:81\r\n{lines}\r\n".encode("latin-1"))
    return message


def answer(lines: str = "") -> Message:
    session = Http().session(Side.SERVER, 1 << 20)
    session.send(request(), 1)
    (message,) = session.receive(f"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n{lines}\r\n".encode())
    return message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "GET"),
        ("path", "/a/b%20c"),
        ("query", "d=e&f"),
        ("target", "/a/b%20c?d=e&f"),
        ("host", "a.example:81"),
        ("hostname", "a.example"),
        ("authority", "a.example:81"),
        ("scheme", "http"),
        ("operation", "GET /a/b%20c"),
        ("kind", "request"),
        ("x-user", "anna"),
        ("client.address", "10.0.0.1"),
        ("status", None),
        ("query.d", "e"),
        ("query.f", ""),
        ("query.g", None),
    ],
)
def test_a_request_tells(key: str, value: str | None) -> None:
    assert request("/a/b%20c?d=e&f", "X-User: anna\r\n").get(key) == value


def test_nothing_is_read_before_it_is_asked_for() -> None:
    message = request("/a?b=c")
    assert message.metadata is None
    assert message.get("path") == "/a"
    assert "query.b" not in (message.metadata or {})
    assert message.get("query.b") == "c"


def test_an_answer_tells_its_status_and_fields() -> None:
    message = answer("X-A: b\r\n")
    assert (message.get("status"), message.get("x-a"), message.get("method")) == ("404", "b", None)


def test_a_parameter_is_decoded_and_the_first_of_several_counts() -> None:
    message = request("/?name=J%C3%BCrgen+B&x=1&x=2&na%6De=z&=y&User=U")
    assert message.get("query.name") == "Jürgen B"
    assert message.get("query.x") == "1"
    assert message.get("query.User") == message.get("query.user") == "U"


def test_cookies_are_told_one_by_one() -> None:
    message = request("/", 'Cookie: a=1; b="x y"; c\r\nCookie: d=4\r\n')
    assert [message.get(f"cookie.{name}") for name in "abcd"] == ["1", "x y", "", "4"]
    assert message.get("cookie") == 'a=1; b="x y"; c; d=4'


def test_a_field_that_is_there_twice_is_a_list() -> None:
    assert request("/", "X-A: 1\r\nx-a: 2\r\n").get("x-a") == "1, 2"


def test_a_field_cannot_stand_in_for_what_the_start_line_says() -> None:
    lines = "Path: /b\r\nMethod: PUT\r\nKind: x\r\nQuery.user: admin\r\nCookie.a: b\r\nClient.address: 1.1.1.1\r\n"
    message = request("/a", lines)
    assert (message.get("path"), message.get("method"), message.get("kind")) == ("/a", "GET", "request")
    assert message.get("query.user") is message.get("cookie.a") is None
    assert message.get("client.address") == "10.0.0.1"
    assert message.get("header.path") == "/b"
    assert message.get("header.query.user") == "admin"


def test_bytes_that_are_no_text_are_told_apart() -> None:
    assert request("/", "X-A: \xe4\r\n").get("x-a") == "\udce4"


# What a server may take for something else: rules that must not be fooled ask for all of it


def test_all_values_of_what_is_there_twice_may_count() -> None:
    message = request("/?user=anna&user=root", "X-A: 1\r\nX-A: 2\r\nCookie: a=1; a=2\r\n")
    assert set(message.values("x-a")) == {"1", "2", "1, 2"}
    assert set(message.values("query.user")) == {"anna", "root"}
    assert set(message.values("cookie.a")) == {"1", "2"}
    assert message.values("host") == ("a.example:81",)


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/a/b", "/a/b"),
        ("//admin", "/admin"),
        ("/a/../admin", "/admin"),
        ("/a/./b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/../../admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("/a%2f..%2fadmin", "/admin"),
        ("/a\\..\\admin", "/admin"),
        ("/.well-known/x", "/.well-known/x"),
        ("/a..b", "/a..b"),
        ("/", "/"),
        ("*", "*"),
    ],
)
def test_a_path_is_also_what_a_server_makes_of_it(path: str, normal: str) -> None:
    assert normal_path(path) == normal
    if path != "*":
        assert set(request(path).values("path")) == {path, normal}
        assert set(request(path).values("operation")) == {f"GET {path}", f"GET {normal}"}


def test_the_path_that_a_route_matches_is_the_one_that_was_sent() -> None:
    assert request("/a/../admin").get("path") == "/a/../admin"
