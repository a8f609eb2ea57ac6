"""Calls of Thrift for requests of HTTP and JSON, and the answers to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import thrift_shop
from transcoding import asked

from metaproxy.codecs.http.model import parts
from metaproxy.codecs.thrift import frames
from metaproxy.codecs.thrift.codec import Thrift as Codec
from metaproxy.codecs.thrift.frames import PROFILES
from metaproxy.filters.transcode.answers import Refused
from metaproxy.filters.transcode.thrift import Listed, Thrift, ThriftCall
from metaproxy.filters.transcode.thrift_types import Struct
from metaproxy.filters.transcode.thrift_writing import WRITERS
from metaproxy.message import Kind, Message, Side
from metaproxy.options import OptionError

CALLS = {
    "GET /items/{id}": Listed("get"), "PUT /items/{item.name}": Listed("put", "item"),
    "POST /pick": Listed("pick", "*"),
}  # fmt: skip
FORMS = [profile for profile in PROFILES if profile[1] != "json"]  # what our sessions can tell apart


def thrift(folder: Path, **options: Any) -> Thrift:
    return Thrift(thrift_shop.path(folder), calls=CALLS, **options)


def call_of(folder: Path, method: str, path: str, **options: Any) -> ThriftCall:
    call = thrift(folder, **options).find(method, path)
    assert call is not None
    return call


def reply(folder: Path, method: str, values: dict[str, Any], kind: int = 2) -> bytes:
    """The struct that answers a method, in binary, behind the head of an answer."""
    function = thrift_shop.shop(folder).services["Shop"].function(method)
    assert function is not None
    for field in function.result.fields:
        field.name = field.name or "success"
    function.result.index()
    return framed(method, function.result, values, kind)


def framed(method: str, kind: Struct, values: dict[str, Any], type: int) -> bytes:
    writer = WRITERS["binary"]()
    writer.struct(kind, values, "")
    message = (
        b"\x80\x01\0" + bytes((type,)) + len(method).to_bytes(4, "big") + method.encode() + b"\0\0\0\1" + writer.out
    )
    return len(message).to_bytes(4, "big") + message


def answered(call: ThriftCall, frame: bytes) -> tuple[int, Any]:
    head, body, _ = parts(call.answer(Message(Kind.RESPONSE, frame, 1, profile=PROFILES["framed", "binary"]), []))
    return head.status, json.loads(body)


@pytest.mark.parametrize("transport, protocol", FORMS)
@pytest.mark.parametrize("multiplexed", [False, True])
def test_a_request_is_a_call_that_the_codec_reads(
    transport: str, protocol: str, multiplexed: bool, tmp_path: Path
) -> None:
    call = call_of(tmp_path, "GET", "/items/7", transport=transport, protocol=protocol, multiplexed=multiplexed)
    made = call.message(asked("GET", "/items/7?full=true"))
    codec = Codec(transport, protocol, multiplexed)  # type: ignore[arg-type]
    (message,) = codec.session(Side.CLIENT, 1 << 20).receive(made.frame)
    assert (message.kind, message.get("method"), message.profile) == (Kind.REQUEST, "get", (transport, protocol))
    assert message.get("service") == ("Shop" if multiplexed else None)
    assert made.profile is PROFILES[transport, protocol]


def test_what_an_argument_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="id is 'x', which is no whole number") as caught:
        call_of(tmp_path, "GET", "/items/x").message(asked("GET", "/items/x"))
    assert caught.value.status == 400


def test_an_answer_is_json(tmp_path: Path) -> None:
    get, put = call_of(tmp_path, "GET", "/items/7"), call_of(tmp_path, "PUT", "/items/a")
    value = {"name": "a", "size": "SMALL", "last": "z"}
    assert answered(get, reply(tmp_path, "get", {"success": value})) == (200, value)
    assert answered(put, reply(tmp_path, "put", {})) == (200, None)


def test_a_declared_exception_has_the_status_that_the_options_give_it(tmp_path: Path) -> None:
    frame = reply(tmp_path, "get", {"missing": {"code": 7, "why": "no item"}})
    status, value = answered(call_of(tmp_path, "GET", "/items/7", errors={"Missing": 404}), frame)
    assert (status, value["code"], value["message"]) == (404, 5, "no item")
    assert value["details"] == [{"exception": "Missing", "code": 7, "why": "no item"}]
    assert answered(call_of(tmp_path, "GET", "/items/7"), frame)[0] == 500


@pytest.mark.parametrize("number, status", [(1, 501), (6, 500), (11, 503), (12, 504)])
def test_an_exception_of_the_protocol_has_a_status(number: int, status: int, tmp_path: Path) -> None:
    call = call_of(tmp_path, "GET", "/items/7")
    request = call.message(asked("GET", "/items/7"))
    frame = frames.exception(request.frame, PROFILES["framed", "binary"], 1, number, "why")
    found, value = answered(call, frame)
    assert (found, value["message"]) == (status, "why")


def test_an_answer_that_cannot_be_read_is_502(tmp_path: Path) -> None:
    call = call_of(tmp_path, "GET", "/items/7")
    for frame in (reply(tmp_path, "get", {}), reply(tmp_path, "get", {"success": {"last": "x"}})[:-3]):
        with pytest.raises(Refused) as caught:
            answered(call, frame)
        assert caught.value.status == 502


def test_all_methods_but_oneway_ones_may_be_had_without_a_list(tmp_path: Path) -> None:
    api = Thrift(thrift_shop.path(tmp_path), unlisted=True)
    assert api.find("POST", "/Shop/put") is not None
    assert api.find("POST", "/Shop/note") is None


@pytest.mark.parametrize(
    "options, text",
    [
        ({}, "write calls"),
        ({"calls": {"GET /a": Listed("none")}}, "no method 'none'; there are get, put, pick, note"),
        ({"calls": {"GET /a": Listed("note")}}, "oneway"),
        ({"calls": {"GET /{x}": Listed("get")}}, "'x' is no argument; there are id, full"),
        ({"calls": {"GET": Listed("get")}}, "begins with /"),
        ({"service": "None", "unlisted": True}, "no service 'None' in .*; there are Shop"),
        ({"errors": {"Missing": 200}, "unlisted": True}, "400 to 599"),
    ],
)
def test_errors_of_the_configuration_say_what_to_write(options: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=text):
        Thrift(thrift_shop.path(tmp_path), **options)


def test_an_idl_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="can't be read") as caught:
        Thrift(str(tmp_path / "none.thrift"), unlisted=True)
    assert caught.value.option == "idl"
