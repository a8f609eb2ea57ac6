"""HTTP/1.1 on the data path: order, streams both ways, ends of connections, tunnels, local answers."""

from __future__ import annotations

from typing import Any

from harness import Stage, Wire

from metaproxy.cluster.routes import Route, Target
from metaproxy.codecs.http import Http
from metaproxy.message import ErrorKind
from metaproxy.proxy.snapshot import RouteReply, Template
from metaproxy.routing.matcher import compile_condition
from metaproxy.units import Seconds

HOST = b"Host: a.example\r\n"
ADDED = b"via: 1.1 metaproxy\r\nx-forwarded-for: 127.0.0.9\r\nx-forwarded-proto: http\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def get(path: str, lines: bytes = b"", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\n".encode() + HOST + lines + b"\r\n"


def passed(path: str, lines: bytes = b"", method: str = "GET") -> bytes:
    """The same, as a server gets it."""
    return f"{method} {path} HTTP/1.1\r\n".encode() + HOST + lines + ADDED + b"\r\n"


def text(body: bytes, status: bytes = b"200 OK", lines: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, lines, len(body), body)


class Log:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def on_complete(self, exchange: Any) -> None:
        self.seen.append((exchange.get("path"), exchange.outcome))


def stage_of(log: Log | None = None, **options: Any) -> Stage:
    hooks = {"on_complete": ((log or Log()).on_complete,)}
    return Stage(Http(), hooks=hooks, **options)


def started(stage: Stage, request: bytes) -> tuple[Wire, Wire]:
    """A client that said `request`, and the server's connection that it went to."""
    client = stage.client()
    stage.say(client, request)
    return client, stage.network.upstreams[-1]


def asked(stage: Stage, request: bytes) -> Wire:
    """The server's connection that the request went to, and no other one."""
    (found,) = [(wire, data) for wire in stage.network.upstreams if (data := wire.take())]
    assert found[1] == request
    return found[0]


def test_a_request_and_its_answer_pass() -> None:
    log = Log()
    stage = stage_of(log)
    client, server = started(stage, get("/a?b"))
    assert server.take() == passed("/a?b")
    stage.say(server, OK)
    assert client.take() == OK
    assert log.seen == [("/a", "ok")]


def test_pipelined_requests_are_answered_in_their_order() -> None:
    stage = stage_of()
    client = stage.client()
    stage.say(client, get("/1") + get("/2") + get("/3"))
    for path in ("/1", "/2", "/3"):
        server = asked(stage, passed(path))
        stage.say(server, text(path.encode()))
    assert client.take() == text(b"/1") + text(b"/2") + text(b"/3")


def test_two_clients_do_not_share_a_connection_at_a_time() -> None:
    stage = stage_of()
    one, first = started(stage, get("/1"))
    two, second = started(stage, get("/2"))
    assert first is not second
    stage.say(second, text(b"two"))
    stage.say(first, text(b"one"))
    assert (one.take(), two.take()) == (text(b"one"), text(b"two"))
    third, again = started(stage, get("/3"))
    assert again in (first, second)
    assert len(stage.network.upstreams) == 2
    assert third.take() == b""


def test_an_upload_streams_and_its_answer_ends_it() -> None:
    stage = stage_of()
    client, server = started(stage, get("/up", b"Content-Length: 10\r\n", "POST") + b"01234")
    assert server.take() == passed("/up", b"Content-Length: 10\r\n", "POST") + b"01234"
    stage.say(client, b"56789" + get("/next"))
    assert server.take() == b"56789"
    stage.say(server, OK)
    assert client.take() == OK
    asked(stage, passed("/next"))


def test_chunks_stream_both_ways_with_their_trailers() -> None:
    stage = stage_of()
    client, server = started(stage, get("/up", b"Transfer-Encoding: chunked\r\n", "POST") + b"5\r\nhello\r\n")
    head, _, body = server.take().partition(b"\r\n\r\n")
    assert b"\r\ntransfer-encoding: chunked\r\n" in head
    assert body == b"5\r\nhello\r\n"
    stage.say(server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
    assert client.take() == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"
    stage.say(client, b"0\r\nX-Sum: 1\r\n\r\n")
    assert server.take() == b"0\r\nx-sum: 1\r\n\r\n"
    stage.say(server, b"0\r\nX-End: 2\r\n\r\n")
    assert client.take() == b"0\r\nx-end: 2\r\n\r\n"
    stage.say(client, get("/next"))
    assert server.take() == passed("/next")


def test_100_continue_comes_from_the_server() -> None:
    stage = stage_of()
    lines = b"Expect: 100-continue\r\nContent-Length: 5\r\n"
    client, server = started(stage, get("/up", lines, "POST"))
    assert server.take() == passed("/up", lines, "POST")
    stage.say(server, b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    stage.say(client, b"hello")
    assert server.take() == b"hello"
    stage.say(server, OK)
    assert client.take() == OK


def test_an_answer_to_the_end_of_the_connection_is_chunked_for_its_client() -> None:
    log = Log()
    stage = stage_of(log)
    client, server = started(stage, get("/a"))
    stage.say(server, b"HTTP/1.0 200 OK\r\n\r\nhel")
    stage.say(server, b"lo")
    stage.finish(server)
    assert client.take() == (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
    assert log.seen == [("/a", "ok")]
    stage.say(client, get("/next"))
    assert len(stage.network.upstreams) == 2


def test_an_answer_that_its_server_cuts_off_resets_its_client() -> None:
    log = Log()
    stage = stage_of(log)
    client, server = started(stage, get("/a"))
    stage.say(server, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    server.end()
    assert client.closed
    assert log.seen == [("/a", "reset")]


def test_a_client_of_http_1_0_is_closed_behind_its_answer() -> None:
    stage = stage_of()
    client, server = started(stage, b"GET /a HTTP/1.0\r\n" + HOST + b"\r\n")
    stage.say(server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    stage.say(server, b"0\r\n\r\n")
    assert client.take() == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello"
    assert client.closed


def test_a_client_that_says_close_is_closed_behind_its_answer() -> None:
    stage = stage_of()
    client, server = started(stage, get("/a", b"Connection: close\r\n"))
    assert server.take() == passed("/a")
    stage.say(server, OK)
    assert client.take() == OK.replace(b"OK\r\n", b"OK\r\nconnection: close\r\n", 1)
    assert client.closed


def test_a_server_that_says_close_gets_no_more_requests() -> None:
    stage = stage_of()
    client, server = started(stage, get("/a"))
    stage.say(server, OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n", 1))
    assert client.take() == OK
    stage.say(client, get("/b"))
    assert len(stage.network.upstreams) == 2


def test_a_bad_request_is_answered_behind_those_before_it() -> None:
    stage = stage_of()
    client, server = started(stage, get("/a") + get("/b", b"X : y\r\n"))
    stage.say(server, OK)
    assert client.take().startswith(OK + b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n")
    assert client.closed


def test_a_bad_answer_is_502() -> None:
    log = Log()
    stage = stage_of(log)
    client, server = started(stage, get("/a"))
    stage.say(server, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
    assert client.take().startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert server.closed
    assert log.seen == [("/a", "bad_response")]


def test_an_upload_that_is_refused_is_read_and_its_connection_closes() -> None:
    stage = stage_of(routes=[Route("no", reply=RouteReply(ErrorKind.DENIED, "no"))])
    client = stage.client()
    stage.say(client, get("/up", b"Content-Length: 10\r\n", "POST") + b"01234")
    assert client.take().startswith(b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\n")
    assert not client.closed
    stage.say(client, b"56789")
    assert client.closed


def test_a_time_out_is_504_and_its_connection_is_not_used_again() -> None:
    stage = stage_of(request_timeout=2.0)
    client, server = started(stage, get("/slow"))
    stage.clock.advance(3)
    assert client.take().startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    stage.say(client, get("/next"))
    assert server.closed
    assert len(stage.network.upstreams) == 2


def test_a_client_that_is_idle_within_a_head_gets_408_and_one_that_is_idle_between_two_gets_nothing() -> None:
    stage = stage_of(idle_timeout=10.0)
    began, silent = stage.client(), stage.client()
    stage.say(began, get("/a")[:10])
    stage.clock.advance(11)
    stage.listener.sweep(stage.clock.seconds())
    assert began.take().startswith(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n")
    assert silent.take() == b""
    assert began.closed
    assert silent.closed


def test_a_head_that_comes_no_further_is_408_behind_what_was_asked_before() -> None:
    stage = Stage(Http(head_timeout=Seconds(1e-9)))
    client = stage.client()
    stage.say(client, get("/a") + get("/b")[:10])
    for _ in range(2):
        stage.listener.sweep(stage.clock.seconds())
    assert client.take() == b""
    assert not client.closed
    stage.say(stage.network.upstreams[-1], OK)
    first, _, second = client.take().partition(b"ok")
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert second.startswith(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n")
    assert client.closed


def test_a_redirect_names_the_request() -> None:
    moved = RouteReply(None, "", "301", {"location": "https://%host%%target%"})
    log = Log()
    stage = stage_of(log, routes=[Route("moved", reply=moved, on_complete=(log.on_complete,))])
    client = stage.client()
    stage.say(client, get("/a?b=c"))
    assert client.take() == (
        b"HTTP/1.1 301 Moved Permanently\r\ncontent-length: 0\r\nlocation: https://a.example/a?b=c\r\n\r\n"
    )
    assert log.seen == [("/a", "ok")]


def test_an_answer_of_the_proxy_to_head_has_no_body() -> None:
    stage = stage_of(routes=[Route("no", reply=RouteReply(ErrorKind.DENIED, "no"))])
    client = stage.client()
    stage.say(client, get("/", method="HEAD") + get("/"))
    answers = client.take()
    assert answers.count(b"content-length: 3\r\n") == 2
    assert answers.count(b"no\n") == 1


def test_path_and_host_are_rewritten_and_answers_marked() -> None:
    stage = stage_of()
    route = Route("v2", [compile_condition("path", {"prefix": "/v1"})], [Target(stage.cluster)])
    route.request = Template({"path": "/v2%path%", "host": "b.example"}, ("x-gone",))
    route.response = Template({"x-from": "%upstream_address%"})
    stage = stage_of(routes=[route])
    route.targets[0].cluster = stage.cluster
    client, server = started(stage, get("/v1/a?b", b"X-Gone: 1\r\n"))
    assert server.take() == b"GET /v2/v1/a?b HTTP/1.1\r\n" + ADDED + b"host: b.example\r\n\r\n"
    stage.say(server, OK)
    assert b"\r\nx-from: 127.0.0.1:1000\r\n" in client.take()


WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nX-A: b\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"


def test_a_websocket_is_bytes_both_ways_until_both_ends_have_closed() -> None:
    log = Log()
    stage = stage_of(log)
    client, server = started(stage, get("/chat", WEBSOCKET))
    assert server.take() == passed("/chat")[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    stage.say(
        server, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: b\r\n\r\nhi"
    )
    assert client.take() == SWITCHED + b"hi"
    stage.say(client, b"\x81\x00" + get("/x"))
    assert server.take() == b"\x81\x00" + get("/x")
    stage.finish(client)
    assert server.finished
    assert log.seen == []
    stage.say(server, b"bye")
    assert client.take() == b"bye"
    stage.finish(server)
    assert log.seen == [("/chat", "ok")]
    assert client.closed
    assert server.closed


def test_a_connection_that_was_a_websocket_gets_no_further_request() -> None:
    stage = stage_of()
    client, server = started(stage, get("/chat", WEBSOCKET))
    stage.say(server, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    stage.finish(server)
    stage.finish(client)
    server.take()
    other = stage.client()
    stage.say(other, get("/next"))
    assert server.take() == b""
    assert stage.network.upstreams[-1].take() == passed("/next")


def test_what_a_client_sends_before_its_websocket_is_open_follows_once_it_is() -> None:
    stage = stage_of()
    client, server = started(stage, get("/chat", WEBSOCKET) + b"early")
    assert server.take().endswith(b"upgrade: websocket\r\n\r\n")
    stage.say(server, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    stage.clock.advance(0)
    assert server.take() == b"early"
    assert not client.closed


def test_a_websocket_that_its_server_declines_is_an_exchange_as_any() -> None:
    stage = stage_of()
    client, server = started(stage, get("/chat", WEBSOCKET))
    server.take()
    stage.say(server, OK)
    assert client.take() == OK
    stage.say(client, get("/next"))
    assert server.take() == passed("/next")
