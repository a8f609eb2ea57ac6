"""Generic calls of Dubbo for requests of HTTP and JSON, and the answers to them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from transcoding import asked

from metaproxy.codecs.dubbo.body import HEAD
from metaproxy.codecs.dubbo.codec import Dubbo as Codec
from metaproxy.codecs.dubbo.frame import HEADER, MAGIC
from metaproxy.codecs.dubbo.hessian2 import write_string
from metaproxy.codecs.dubbo.hessian2_values import Values
from metaproxy.codecs.http.model import parts
from metaproxy.filters.transcode.answers import Refused
from metaproxy.filters.transcode.dubbo import Dubbo, DubboCall, Listed
from metaproxy.filters.transcode.java import string_map
from metaproxy.message import Kind, Message, Side
from metaproxy.options import OptionError

CALLS = {
    "GET /users/{id}": Listed("org.example.Users/get", {"id": "long"}, version="1.0", group="g"),
    "PUT /users/{user.id}": Listed("org.example.Users/put", {"user": "org.example.User", "soft": "boolean"}, "user"),
}
MISSING = {"org.example.Missing": 404}


def call_of(method: str, path: str, **options: Any) -> DubboCall:
    call = Dubbo(CALLS, MISSING, **options).find(method, path)
    assert call is not None
    return call


def answered(body: bytes, status: int = 20, flags: int = 2, **options: Any) -> tuple[int, Any]:
    frame = HEADER.pack(MAGIC, flags, status, 1, len(body)) + body
    head, made, _ = parts(call_of("GET", "/users/7", **options).answer(Message(Kind.RESPONSE, frame), []))
    return head.status, json.loads(made)


def test_a_request_is_a_generic_call_that_the_codec_reads() -> None:
    made = call_of("GET", "/users/7").message(asked("GET", "/users/7"))
    (message,) = Codec().session(Side.CLIENT, 1 << 20).receive(made.frame)
    assert message.kind is Kind.REQUEST
    assert {key: message.get(key) for key in ("interface", "method", "generic.method", "group", "generic")} == {
        "interface": "org.example.Users", "method": "$invoke", "generic.method": "get", "group": "g", "generic": "true",
    }  # fmt: skip
    assert message.get("service.version") == "1.0"
    values = Values(made.frame, HEAD)
    assert [values.value() for _ in range(8)][5:] == ["get", ["long"], [7]]


def test_arguments_come_from_path_query_and_body() -> None:
    made = call_of("PUT", "/users/7").message(asked("PUT", "/users/7?soft=true", b'{"name": "Ann"}'))
    values = Values(made.frame, HEAD)
    assert [values.value() for _ in range(8)][7] == [{"name": "Ann", "id": "7"}, True]


def test_what_an_argument_cannot_be_is_refused() -> None:
    with pytest.raises(Refused, match="soft is missing") as caught:
        call_of("PUT", "/users/7").message(asked("PUT", "/users/7", b"{}"))
    assert caught.value.status == 400


def test_an_answer_is_json_without_the_names_of_classes() -> None:
    body = b"\x91" + b"H" + write_string("class") + write_string("org.example.User") + b"\x04name\x03Ann" + b"Z"
    assert answered(body) == (200, {"name": "Ann"})
    assert answered(body, classes=True) == (200, {"class": "org.example.User", "name": "Ann"})
    assert answered(b"\x91H\x05class\x05firstZ") == (200, {"class": "first"})


@pytest.mark.parametrize("body", [b"\x92", b"\x95" + string_map({"a": "b"}), b"\x91N"])
def test_an_answer_of_nothing_is_null(body: bytes) -> None:
    assert answered(body) == (200, None)


def test_an_exception_has_the_status_that_the_options_give_it() -> None:
    def thrown(name: str) -> bytes:
        pairs = {"exceptionClass": name, "exceptionMessage": "no user 7"}
        return b"\x90" + string_map(pairs)

    status, value = answered(thrown("org.example.Missing"))
    assert (status, value["message"], value["details"]) == (404, "no user 7", [{"exception": "org.example.Missing"}])
    assert answered(thrown("org.example.Other"))[0] == 500


def test_an_exception_that_names_itself_as_its_cause_is_read() -> None:
    body = b"\x90C\x0forg.example.Odd\x92\x0ddetailMessage\x05cause\x60\x03why\x51\x90"
    assert answered(body) == (500, {"code": 13, "message": "why", "details": [{"exception": "org.example.Odd"}]})


@pytest.mark.parametrize("status, expected", [(31, 504), (40, 500), (60, 501), (70, 500), (100, 503), (99, 500)])
def test_a_status_of_dubbo_is_one_of_http(status: int, expected: int) -> None:
    found, value = answered(write_string("why"), status)
    assert found == expected and value["message"].endswith(": why")


@pytest.mark.parametrize("body, flags", [(b"\x91", 2), (b"", 2), (b"\x91N", 6), (b"\x91\x40", 2)])
def test_an_answer_that_cannot_be_read_is_502(body: bytes, flags: int) -> None:
    with pytest.raises(Refused) as caught:
        answered(body, flags=flags)
    assert caught.value.status == 502


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: Listed("get"), "INTERFACE/METHOD"),
        (lambda: Listed("a.B/c", {"x": "not a type"}), "no type of Java"),
        (lambda: Dubbo({"GET /{y}": Listed("a.B/c", {"x": "int"})}), "'y' is no argument; there are x"),
        (lambda: Dubbo({"GET /a": Listed("a.B/c", {}, "user")}), "body is 'user'"),
        (lambda: Dubbo({"nothing": Listed("a.B/c")}), "write GET"),
        (lambda: Dubbo({"GET /a": Listed("a.B/c")}, {"a.E": 200}), "400 to 599"),
    ],
)
def test_errors_of_the_configuration_say_what_to_write(make: Any, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        make()


def test_what_means_no_call_is_none() -> None:
    assert Dubbo(CALLS).find("GET", "/nowhere") is None
