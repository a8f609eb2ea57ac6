from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from browser import Connection, Desk
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from metaproxy.admin.resource import (
    TURN_BYTES,
    AdminRequest,
    AdminResponse,
    Endpoint,
    HttpError,
    Root,
    as_json,
    as_time,
    encoded,
    nearest,
)
from metaproxy.admin.site import MAX_BODY
from metaproxy.config import slices
from metaproxy.config.slices import Slices, checkpoint


class Nobody:
    """Lets everybody in."""

    def check(self, *asked: object) -> None:
        pass


class Named(Endpoint):
    path = "/things/{name}/parts/{part}"
    about = "A part."

    def put(self, ask: AdminRequest) -> AdminResponse:
        return as_json(
            {"place": dict(ask.place), "query": ask.query, "body": ask.body.decode(), "x": ask.header("x-x")}
        )


class Broken(Endpoint):
    path = "/broken"
    about = "Fails."

    def get(self, ask: AdminRequest) -> AdminResponse:
        raise ZeroDivisionError("our bug")


class Endless(Endpoint):
    """pieces: how many were made."""

    path = "/endless"
    about = "Does not end."
    made = 0
    piece = b"x" * TURN_BYTES

    def get(self, ask: AdminRequest) -> AdminResponse:
        return AdminResponse(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        while True:
            self.made += 1
            yield self.piece


class BreaksOff(Endpoint):
    path = "/breaks_off"
    about = "Fails in the middle."

    def get(self, ask: AdminRequest) -> AdminResponse:
        def pieces() -> Iterator[bytes]:
            yield b"one"
            raise ZeroDivisionError("our bug")

        return AdminResponse(pieces())


def desk_with(*endpoints: Endpoint) -> Desk:
    desk = Desk()
    desk.admin.site.resource = Root(endpoints, Nobody(), desk.clock)
    return desk


class Patient(Endpoint):
    """Takes until `enough`."""

    path = "/patient"
    about = "Takes its time."
    sliced = True
    enough = False

    def get(self, ask: AdminRequest) -> AdminResponse:
        while not self.enough:
            checkpoint()
        return as_json({"done": True})


def test_an_answer_that_takes_long_is_made_while_other_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "FIRST", 0.0)
    desk, patient = Desk(), Patient()
    desk.serve(patient)
    desk.clock.callLater(0, setattr, patient, "enough", True)
    assert desk.get("/patient").json == {"done": True}


class CountingClock(Clock):
    """turns: calls that it was asked to make."""

    turns = 0

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        self.turns += 1
        return super().callLater(delay, callable, *args, **kw)


def test_a_large_document_can_be_interrupted_while_it_is_encoded() -> None:
    clock = CountingClock()
    document = {str(number): [number] * 20 for number in range(20_000)}
    done = Slices(clock, first=0.0, then=0.0).run(lambda: encoded(document))
    clock.advance(0)
    assert done.called
    assert clock.turns > 100


def test_a_path_that_is_not_there_is_told_with_the_nearest_one() -> None:
    response = Desk().get("/cluster")
    assert response.status == 404
    assert response.json == {"error": "no endpoint '/cluster'; did you mean '/clusters'?", "where": "path"}


@pytest.mark.parametrize("path", ["/clusters/", "/clusters?x=1", "/clusters//"])
def test_a_path_may_end_in_a_slash_and_have_a_query(path: str) -> None:
    assert Desk().get(path).status == 200


def test_a_method_that_is_not_taken_is_told_with_those_that_are() -> None:
    response = Desk().post("/clusters")
    assert response.status == 405
    assert response.headers["allow"] == "HEAD, GET"
    assert response.json == {"error": "/clusters takes HEAD, GET", "where": "method"}
    assert Desk().get("/reload").headers["allow"] == "POST"
    assert Desk().ask("BREW", "/config").headers["allow"] == "PUT"
    assert Desk().ask("OPTIONS", "/clusters").status == 405


def test_no_name_of_the_code_is_a_method() -> None:
    assert Desk().ask("METHODS", "/clusters").status == 405
    assert Desk().ask("__INIT__", "/clusters").status == 405


@pytest.mark.parametrize("path", ["/", "/clusters", "/healthz"])
def test_head_is_get_without_the_body(path: str) -> None:
    desk = Desk()
    whole, head = desk.get(path), desk.ask("HEAD", path)
    assert head.status == whole.status == 200
    assert head.body == b""
    dropped = {"date"}
    assert {k: v for k, v in head.headers.items() if k not in dropped} == {
        k: v for k, v in whole.headers.items() if k not in dropped
    }


def test_head_of_what_comes_in_pieces_makes_none() -> None:
    endless = Endless()
    response = desk_with(endless).ask("HEAD", "/endless")
    assert (response.status, response.body, endless.made) == (200, b"", 0)


def test_parts_of_a_path_the_query_and_the_body_reach_the_endpoint() -> None:
    desk = desk_with(Named())
    response = desk.ask("PUT", "/things/a%2Fb/parts/%C3%BC?x=1&x=2&empty=", b"hello", x_x="y")
    assert response.json == {
        "place": {"name": "a/b", "part": "ü"}, "query": {"x": "2", "empty": ""}, "body": "hello", "x": "y",
    }  # fmt: skip
    assert desk.ask("PUT", "/things/a/pieces/b").status == 404
    assert desk.ask("PUT", "/things/a").status == 404


def test_a_form_is_a_body_like_any_other() -> None:
    response = desk_with(Named()).ask(
        "PUT", "/things/a/parts/b", b"a=1&b=2", content_type="application/x-www-form-urlencoded"
    )
    assert response.json["body"] == "a=1&b=2"
    desk = Desk()
    answer = desk.post("/check", "--x\r\nbroken", content_type="multipart/form-data; boundary=x")
    assert answer.json["valid"] is True


def test_our_own_fault_is_no_traceback_for_the_client() -> None:
    response = desk_with(Broken()).get("/broken")
    assert response.status == 500
    assert response.json == {"error": "internal error; the proxy's log has more", "where": "metaproxy"}


def test_no_answer_is_kept_framed_or_guessed_at() -> None:
    headers = Desk().get("/clusters").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["server"] == "metaproxy"


def test_json_is_indented_sorted_and_survives_any_text() -> None:
    answer = as_json({"b": "ü \udc80", "a": [1]})
    assert answer.body == '{\n  "a": [\n    1\n  ],\n  "b": "ü \\udc80"\n}\n'.encode()
    assert json.loads(answer.body)["b"] == "ü \udc80"


def test_times_are_utc_and_nothing_is_never() -> None:
    assert as_time(1700000000.25) == "2023-11-14T22:13:20.250Z"
    assert as_time(0) is None


def test_an_unknown_name_is_told_with_the_nearest_or_all() -> None:
    assert nearest("fornt", ["front", "back"]) == "did you mean 'front'?"
    assert nearest("x", ["front", "back"]) == "there are 'back', 'front'"
    assert nearest("x", []) == "there are none"


def test_a_refusal_may_tell_more() -> None:
    answer = HttpError(400, "no", "here", more={"errors": [1]}).answer()
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == {"error": "no", "where": "here", "errors": [1]}


# -- bodies that come in pieces


def turn(desk: Desk) -> None:
    """One turn of the reactor: what is due now, and not what that puts off to the next turn."""
    for delayed in desk.clock.getDelayedCalls():
        if delayed.getTime() <= desk.clock.seconds() and delayed.active():
            desk.clock.calls.remove(delayed)  # type: ignore[arg-type]
            delayed.called = 1  # type: ignore[attr-defined]
            delayed.func(*delayed.args, **delayed.kw)  # type: ignore[attr-defined]


def start(desk: Desk, path: str) -> Connection:
    connection = Connection(desk)
    connection.send(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    return connection


def test_large_pieces_are_made_one_a_turn() -> None:
    endless = Endless()
    desk = desk_with(endless)
    start(desk, "/endless")
    for made in (1, 2, 3):
        turn(desk)
        assert endless.made == made


def test_small_pieces_are_made_several_a_turn() -> None:
    endless = Endless()
    endless.piece = b"x" * (TURN_BYTES // 4)
    desk = desk_with(endless)
    start(desk, "/endless")
    for made in (4, 8):
        turn(desk)
        assert endless.made == made


def test_a_client_that_reads_slowly_holds_the_pieces_up() -> None:
    endless = Endless()
    desk = desk_with(endless)
    connection = start(desk, "/endless")
    turn(desk)
    connection.pause()
    for _ in range(5):
        turn(desk)
    assert endless.made == 1
    connection.resume()
    turn(desk)
    assert endless.made == 2


def test_a_client_that_is_gone_gets_no_more_pieces() -> None:
    endless = Endless()
    desk = desk_with(endless)
    connection = start(desk, "/endless")
    turn(desk)
    connection.gone()
    for _ in range(5):
        turn(desk)
    assert endless.made == 1


def test_an_answer_that_fails_in_the_middle_is_seen_to_be_cut() -> None:
    desk = desk_with(BreaksOff())
    connection = start(desk, "/breaks_off")
    desk.clock.advance(0)
    desk.clock.advance(0)
    answer = connection.transport.value()
    assert answer.endswith(b"3\r\none\r\n")  # no last chunk
    assert connection.transport.disconnecting


# -- bodies that are too long


def test_a_body_that_says_that_it_is_too_long_is_refused_on_its_head() -> None:
    connection = Connection(Desk())
    head = f"PUT /config HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {MAX_BODY + 1}\r\n\r\n"
    connection.send(head.encode())
    answer = connection.take()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {
        "error": f"a body of more than {MAX_BODY} bytes", "where": "body",
    }  # fmt: skip
    assert connection.transport.disconnecting


def test_a_body_that_does_not_say_how_long_it_is_is_refused_when_it_is_too_long() -> None:
    desk = Desk()
    connection = Connection(desk)
    connection.send(b"PUT /config HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b"#" * (1 << 20) + b"\r\n"
    for _ in range(MAX_BODY >> 20):
        connection.send(chunk)
    assert connection.transport.value() == b""
    connection.send(chunk + b"0\r\n\r\n")
    assert connection.take().startswith(b"HTTP/1.1 413 ")
    assert desk.configuration.reloads["applied"] == 1


def test_the_longest_body_is_taken() -> None:
    response = Desk().ask("POST", "/check", b"#" * MAX_BODY)
    assert response.json["valid"] is True


def test_two_requests_may_share_a_connection() -> None:
    connection = Connection(Desk())
    for _ in range(2):
        connection.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.take().startswith(b"HTTP/1.1 200 ")


class Rest(Endpoint):
    path = "/of/{name}/{rest*}"
    about = "What is behind a name."

    def get(self, ask: AdminRequest) -> AdminResponse:
        return as_json(dict(ask.place))


def test_the_last_place_of_a_path_may_stand_for_all_that_follows() -> None:
    desk = desk_with(Rest())
    assert desk.get("/of/a%20b/one").json == {"name": "a b", "rest": "one"}
    assert desk.get("/of/a/one/two%2Fthree").json == {"name": "a", "rest": "one/two%2Fthree"}
    assert desk.get("/of/a").status == 404
    assert desk.get("/to/a/one").status == 404


class Open(Endpoint):
    path = "/open"
    about = "For all."
    open = True

    def get(self, ask: AdminRequest) -> AdminResponse:
        return as_json({})


def test_what_reads_is_answered_behind_what_is_to_come_before_it() -> None:
    desk = Desk()
    waiting: list[Deferred[None]] = []

    def before(filters: bool) -> Deferred[None]:
        assert not filters
        waiting.append(Deferred())
        return waiting[-1]

    desk.admin.site.resource = Root([Rest(), Named(), Open()], Nobody(), desk.clock, before)
    connection = Connection(desk)
    connection.send(b"GET /of/a/b HTTP/1.1\r\nhost: x\r\n\r\n")
    assert connection.take() == b""
    waiting[0].callback(None)
    assert b"200 OK" in connection.take()
    assert desk.ask("PUT", "/things/a/parts/b", b"x").status == 200
    assert desk.get("/open").status == 200
    assert len(waiting) == 1


def test_what_shows_filters_says_so_to_what_comes_before_it() -> None:
    desk = Desk()
    asked: dict[str, bool] = {}
    for path in ("/metrics", "/stats", "/clusters"):

        def before(filters: bool, path: str = path) -> Deferred[None]:
            asked[path] = filters
            return succeed(None)

        desk.admin.site.resource = Root(desk.admin.root.endpoints, Nobody(), desk.clock, before)
        assert desk.get(path).status == 200
    assert asked == {"/metrics": True, "/stats": True, "/clusters": False}
