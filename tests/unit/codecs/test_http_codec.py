"""The codec of HTTP: options, the answers that it makes, mutations, what may be repeated, health checks."""

from __future__ import annotations

import pytest

from metaproxy.codecs.http import Http, model
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Side

GET = model.whole(model.request_head(b"GET", b"/a?b", b"a.example", [(b"x-a", b"b"), (b"x-c", b"d")]), b"", 3)
POST = model.whole(model.request_head(b"POST", b"/a", b"a.example", []), b"x-a: 1\r\n\r\n", 3)
OK = model.whole(model.answer_head(200, [(b"x-a", b"b")]), b"hello", 3)


def mutated(message: Message, remove: tuple[str, ...] = (), /, **set: str) -> bytes:
    return Http().mutate(message, Mutation({name.replace("_", "-"): value for name, value in set.items()}, remove))


# Errors


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (ErrorKind.NOT_FOUND, 404),
        (ErrorKind.TIMEOUT, 504),
        (ErrorKind.OVERLOAD, 503),
        (ErrorKind.LIMITED, 429),
        (ErrorKind.DENIED, 403),
        (ErrorKind.RESET, 502),
        (ErrorKind.BAD_RESPONSE, 502),
        (ErrorKind.BAD_REQUEST, 400),
        (ErrorKind.INTERNAL, 500),
    ],
)
def test_an_error_has_the_status_that_says_it(kind: ErrorKind, status: int) -> None:
    reply = Http().reply(GET, kind, "why")
    assert reply.frame.startswith(b"HTTP/1.1 %d " % status)
    assert reply.frame.endswith(b"content-length: 4\r\n\r\nwhy\n")
    assert (reply.id, reply.kind) == (3, Kind.ERROR)


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_error_is_an_answer_that_a_reader_takes(kind: ErrorKind) -> None:
    session = Http().session(Side.SERVER, 1 << 20)
    session.send(GET, 1)
    (answer,) = session.receive(Http().reply(GET, kind, "Größe").frame)
    assert answer.get("status") is not None
    assert model.parts(answer)[1].decode() == "Größe\n"


def test_a_name_is_a_status_and_fields_can_be_put_into_it() -> None:
    codec = Http()
    assert codec.knows("301")
    assert not any(map(codec.knows, ("101", "600", "30", "Found", "")))
    reply = codec.reply(GET, ErrorKind.INTERNAL, "", "301")
    moved = reply.with_frame(codec.mutate(reply, Mutation({"location": "https://b.example/"})))
    assert moved.frame == (
        b"HTTP/1.1 301 Moved Permanently\r\ncontent-length: 0\r\nlocation: https://b.example/\r\n\r\n"
    )


def test_an_error_that_can_have_no_body_has_none() -> None:
    assert Http().reply(GET, ErrorKind.INTERNAL, "text", "204").frame == b"HTTP/1.1 204 No Content\r\n\r\n"


# Mutations


def test_fields_are_removed_in_any_spelling_and_set_at_the_end() -> None:
    assert mutated(GET, ("X-C",), X_A="e") == b"GET /a?b HTTP/1.1\r\nhost: a.example\r\nx-a: e\r\n\r\n"


def test_a_body_is_no_place_for_fields() -> None:
    assert mutated(POST, ("x-a",)) == POST.frame


def test_path_and_host_are_rewritten() -> None:
    changed = Http().mutate(GET, Mutation({"target": "/v2?c", "host": "b.example:81"}))
    assert changed == b"GET /v2?c HTTP/1.1\r\nx-a: b\r\nx-c: d\r\nhost: b.example:81\r\n\r\n"
    head = model.head_of(GET.with_frame(changed))
    assert (head.path, head.authority) == (b"/v2?c", b"b.example:81")
    assert Http().mutate(GET, Mutation({"authority": "b", "Method": "PUT"})).startswith(b"PUT /a?b HTTP/1.1\r\n")


def test_a_path_that_is_rewritten_keeps_its_query_and_the_other_way_round() -> None:
    assert Http().mutate(GET, Mutation({"path": "/v2"})).startswith(b"GET /v2?b HTTP/1.1\r\n")
    assert Http().mutate(GET, Mutation({"query": "c=d"})).startswith(b"GET /a?c=d HTTP/1.1\r\n")
    assert Http().mutate(GET, Mutation({}, ("query",))).startswith(b"GET /a HTTP/1.1\r\n")


def test_a_field_whose_name_is_a_key_of_its_own_is_reached_by_header() -> None:
    changed = Http().mutate(GET, Mutation({"header.path": "x"}))
    assert b"\r\npath: x\r\n" in changed
    assert Http().mutate(GET.with_frame(changed), Mutation({}, ("header.path",))) == GET.frame


def test_the_status_of_an_answer_is_changed() -> None:
    assert Http().mutate(OK, Mutation({"status": "404"})).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("x-a", "b\r\nx-evil: 1"),
        ("x-a", "b\nc"),
        ("x-a", "b\0"),
        ("x a", "b"),
        ("x:", "b"),
        ("", "b"),
        ("path", "no-slash"),
        ("path", "/a b"),
        ("path", "/a#b"),
        ("path", "/a\r\n"),
        ("path", "/ä"),
        ("method", "get it"),
        ("method", "CONNECT"),
        ("status", "200"),
        ("path", "/a?b"),
        ("query", "a b"),
        ("query.a", "b"),
        ("cookie.a", "b"),
        ("operation", "GET /"),
        ("scheme", "https"),
        (":path", "/a"),
        ("header.content-length", "5"),
        ("host", "a/b"),
        ("host", ""),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("connection", "close"),
        ("upgrade", "h2c"),
    ],
)
def test_what_would_make_another_message_of_it_is_refused(key: str, value: str) -> None:
    with pytest.raises(FrameError):
        Http().mutate(GET, Mutation({key: value}))


@pytest.mark.parametrize(("key", "value"), [("status", "100"), ("status", "x"), ("path", "/"), ("host", "a")])
def test_what_an_answer_does_not_have_is_refused(key: str, value: str) -> None:
    with pytest.raises(FrameError):
        Http().mutate(OK, Mutation({key: value}))


@pytest.mark.parametrize("key", ["host", "path", "content-length", "connection"])
def test_what_a_message_needs_is_not_removed(key: str) -> None:
    with pytest.raises(FrameError):
        Http().mutate(GET, Mutation({}, (key,)))


# What may be repeated


@pytest.mark.parametrize(
    ("method", "safe", "idempotent"),
    [
        (b"GET", True, True), (b"HEAD", True, True), (b"OPTIONS", True, True), (b"TRACE", True, True),
        (b"PUT", False, True), (b"DELETE", False, True), (b"POST", False, False), (b"PATCH", False, False),
    ],
)  # fmt: skip
def test_reads_may_be_repeated_and_by_option_what_is_idempotent(method: bytes, safe: bool, idempotent: bool) -> None:
    request = model.opening(model.request_head(method, b"/", b"a", []), 1)
    assert Http().safe(request) is safe
    assert Http(idempotent=True).safe(request) is idempotent


# Health checks


def test_a_health_check_gets_a_path_and_takes_2xx_and_3xx_for_health() -> None:
    codec = Http(probe="/healthz", probe_host="a.example")
    probe = codec.probe()
    session = codec.session(Side.SERVER, 1 << 20)
    assert session.send(probe, 1).startswith(b"GET /healthz HTTP/1.1\r\nhost: a.example\r\n")
    statuses = (200, 204, 302, 400, 404, 500, 503)
    answers = {status: codec.reply(probe, ErrorKind.INTERNAL, "", str(status)) for status in statuses}
    alive = [status for status, answer in answers.items() if codec.alive(answer)]
    assert alive == [200, 204, 302]


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"version": 3},
        {"probe": "healthz"},
        {"probe": "/a b"},
        {"via": "a b"},
        {"via": "a\r\nb"},
        {"upgrade": ["web socket"]},
        {"probe_host": "a/b"},
        {"probe_host": ""},
    ],
    ids=str,
)
def test_an_option_that_can_not_be_meant_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Http(**options)  # type: ignore[arg-type]


def test_other_protocols_can_be_upgraded_to_by_option() -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x/1\r\n\r\n"
    (message,) = Http(upgrade=["X/1"]).session(Side.CLIENT, 1 << 20).receive(request)
    assert message.get("upgrade") == "x/1"
    (message,) = Http(upgrade=[]).session(Side.CLIENT, 1 << 20).receive(request)
    assert message.get("upgrade") is None


def test_servers_speak_the_version_of_the_option() -> None:
    one, two = Http(), Http(version=2)
    assert (one.connections, one.flow, one.alpn_upstream) == ("pool", "connection", ("http/1.1",))
    assert (two.connections, two.flow, two.alpn_upstream) == ("multiplex", "stream", ("h2",))
    assert one.session(Side.SERVER, 1 << 20).open(None, {}) == b""
    assert two.session(Side.SERVER, 1 << 20).open(None, {}).startswith(b"PRI * HTTP/2.0\r\n")
