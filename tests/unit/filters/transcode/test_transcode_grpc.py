"""Calls of gRPC for requests of HTTP and JSON, and the answers to them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf import any_pb2, wrappers_pb2
from transcoding import framed, reply, request, shop

from metaproxy.codecs.http.model import head_of, opening, parts, trailer_block
from metaproxy.filters.transcode.answers import Refused
from metaproxy.filters.transcode.calls import Request
from metaproxy.filters.transcode.descriptors import Api, ProtoMessage
from metaproxy.filters.transcode.grpc import GrpcCall, Style, paths_of
from metaproxy.message import Chunk, Kind, Message

PLAIN = Style()
API = Api(shop(), ["shop.Shop"])
CLASSES = {method.name: method for method in API.methods}


def call_of(method: str, path: str, style: Style = PLAIN) -> GrpcCall:
    match = paths_of(API, style).find(method, path)
    assert match is not None
    return GrpcCall(match.found, match.values)


def sent(method: str, target: str, body: Any = None, style: Style = PLAIN, **fields: str) -> Any:
    """The message of gRPC that is sent, and the whole HTTP message."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    asked = request(method, target, data, *pairs)
    path, _, query = target.partition("?")
    call = call_of(method, path, style)
    made = call.message(Request(head_of(asked), path, query, data, lambda message: None))
    head, payload, _ = parts(made)
    assert payload[:5] == b"\x00" + (len(payload) - 5).to_bytes(4, "big")
    name = call.name.rpartition("/")[2]
    return CLASSES[name].request.FromString(payload[5:]), head


def item(**values: Any) -> bytes:
    return _item(**values).SerializeToString()


def _item(**values: Any) -> ProtoMessage:
    return CLASSES["Get"].response(**values)


def answered(call: GrpcCall, answer: Message, *chunks: Chunk) -> tuple[int, Any, dict[bytes, bytes]]:
    head, body, _ = parts(call.answer(answer, list(chunks)))
    kind = head.value(b"content-type") or b""
    return head.status, json.loads(body) if kind == b"application/json" else body, dict(head.pairs)


# -- requests


def test_a_request_is_a_call_with_one_message() -> None:
    message, head = sent("GET", "/v1/items/a%20b")
    assert message.name == "items/a b"
    assert (head.method, head.path, head.authority) == (b"POST", b"/shop.Shop/Get", b"shop.test")
    assert head.pairs[:2] == [(b"content-type", b"application/grpc"), (b"te", b"trailers")]


def test_fields_of_a_request_are_metadata_of_the_call_but_for_those_of_its_body() -> None:
    _, head = sent(
        "POST", "/v1/items/a:change", {}, authorization="Bearer x", content_type="application/json", accept="*/*",
        accept_encoding="gzip", x_raw_bin="AAE=", x_odd="\u00fc",
    )  # fmt: skip
    assert head.pairs[2:] == [(b"authorization", b"Bearer x"), (b"x-raw-bin", b"AAE=")]


def test_a_body_may_be_one_field_of_the_message_or_all_that_the_path_has_not() -> None:
    message, _ = sent("POST", "/v1/shops/1/items?words=a&item.tags=t", {"name": "x", "madeAt": "2026-01-02T03:04:05Z"})
    assert (message.parent, message.item.name, list(message.words)) == ("shops/1", "x", ["a"])
    assert message.item.made_at.seconds == 1767323045
    message, _ = sent("POST", "/v1/items/a:change", {"name": "other", "price": "9007199254740993", "size": "LARGE"})
    assert (message.name, message.price, message.size) == ("items/a", 9007199254740993, 2)


def test_a_request_without_a_body_has_an_empty_message() -> None:
    assert sent("POST", "/v1/items/a:change")[0].name == "items/a"
    assert not sent("POST", "/v1/shops/1/items")[0].HasField("item")


def test_a_body_of_bytes_is_passed_with_its_type() -> None:
    message, _ = sent("PUT", "/v1/files/a/b.png", b"\x00\xff", content_type="image/png")
    assert (message.name, message.file.content_type, message.file.data) == ("a/b.png", "image/png", b"\x00\xff")


@pytest.mark.parametrize(
    "method, target, body, text",
    [
        ("POST", "/v1/items/a:change", b"{", "Expecting"),
        ("POST", "/v1/items/a:change", b"[1]", "write an object"),
        ("POST", "/v1/items/a:change", b'{"colour": 1}', "colour"),
        ("POST", "/v1/items/a:change", b'{"price": "many"}', "price"),
        ("POST", "/v1/items/a:change", b'{"name": "\\ud800"}', ""),
        ("POST", "/v1/items/a:change", b'{"madeAt": "yesterday"}', ""),
        ("POST", "/v1/items/a:change", b'{"stock": 99999999999}', ""),
        ("POST", "/v1/items/a:change", b"[" * 100_000, "levels"),
        ("POST", "/v1/items/a:change?price=1", b"{}", "in the query"),
        ("POST", "/v1/shops/1/items", b'"x"', ""),
        ("GET", "/v1/items?page=many", b"", "page"),
        ("GET", "/v1/items", b"{}", "has no body"),
    ],
)
def test_what_the_message_cannot_hold_is_refused_with_400(method: str, target: str, body: bytes, text: str) -> None:
    with pytest.raises(Refused, match=text) as caught:
        sent(method, target, body)
    assert caught.value.status == 400


def test_a_body_of_another_type_is_refused_with_415() -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        with pytest.raises(Refused, match="application/json") as caught:
            sent("POST", "/v1/items/a:change", {}, content_type=kind)
        assert caught.value.status == 415
    for kind in ("application/json; charset=utf-8", "application/merge-patch+json"):
        sent("POST", "/v1/items/a:change", {}, content_type=kind)


def test_unknown_names_may_be_left_out() -> None:
    style = Style(lenient=True)
    assert sent("POST", "/v1/items/a:change?x=1", {"colour": "red", "price": 2}, style)[0].price == 2
    assert sent("GET", "/v1/items?colour=red&page=2", None, style)[0].page == 2


def test_a_method_that_takes_a_stream_is_refused_with_501() -> None:
    with pytest.raises(Refused) as caught:
        sent("POST", "/v1/items:fill", {})
    assert caught.value.status == 501


# -- answers


def test_an_answer_is_json_with_the_metadata_of_its_head_and_of_its_end() -> None:
    call = call_of("GET", "/v1/items/a")
    end = [(b"grpc-status", b"0"), (b"x-end", b"2"), (b"grpc-message", b"")]
    answer = reply(item(name="a", price=1 << 60, size=1), end=end, fields=[(b"x-a", b"1")])
    status, value, fields = answered(call, answer)
    assert (status, value) == (200, {"name": "a", "price": str(1 << 60), "size": "SMALL"})
    assert fields.keys() == {b"x-a", b"x-end", b"content-type", b"content-length"}


def test_an_answer_in_pieces_is_the_same() -> None:
    call = call_of("GET", "/v1/items/a")
    head = opening(head_of(reply()), 1)
    data = framed(item(name="a"))
    chunks = [Chunk(Kind.STREAM_DATA, data[:3], 1), Chunk(Kind.STREAM_DATA, data[3:], 1)]
    end = Chunk(Kind.STREAM_CLOSE, b"", 1, trailers=trailer_block([(b"grpc-status", b"0")]))
    assert answered(call, head, *chunks, end)[:2] == (200, {"name": "a"})


@pytest.mark.parametrize(
    "style, value",
    [
        (Style(proto_names=True), {"made_at": "1970-01-01T00:00:01Z", "size": "LARGE"}),
        (Style(numbers=True), {"madeAt": "1970-01-01T00:00:01Z", "size": 2}),
    ],
)
def test_json_is_written_as_the_options_say(style: Style, value: object) -> None:
    call = call_of("GET", "/v1/items/a", style)
    assert answered(call, reply(item(made_at={"seconds": 1}, size=2)))[1] == value


def test_default_values_are_written_where_that_is_wanted() -> None:
    found = answered(call_of("GET", "/v1/items/a", Style(defaults=True)), reply(item()))[1]
    assert (found["price"], found["tags"], found["sold"]) == ("0", [], False)
    assert answered(call_of("GET", "/v1/items/a"), reply(item()))[1] == {}


def test_an_answer_may_be_one_field_also_where_it_has_its_default() -> None:
    assert answered(call_of("GET", "/v1/items/a/price"), reply(item(price=5)))[1] == "5"
    assert answered(call_of("GET", "/v1/items/a/price"), reply(item()))[1] == "0"


def test_an_answer_of_bytes_has_its_own_type() -> None:
    made = CLASSES["Send"].response(content_type="image/png", data=b"\x89PNG")
    status, value, fields = answered(call_of("PUT", "/v1/files/a"), reply(made.SerializeToString()))
    assert (status, value, fields[b"content-type"]) == (200, b"\x89PNG", b"image/png")
    made = CLASSES["Send"].response(content_type="a\r\nset-cookie: x", data=b"x")
    _, _, fields = answered(call_of("PUT", "/v1/files/a"), reply(made.SerializeToString()))
    assert fields[b"content-type"] == b"application/octet-stream"


@pytest.mark.parametrize(
    "code, status", [("5", 404), ("3", 400), ("14", 503), ("16", 401), ("99", 500), ("x", 500), ("1", 499)]
)
def test_a_code_is_a_status_and_its_text_json(code: str, status: int) -> None:
    end = [(b"grpc-status", code.encode()), (b"grpc-message", b"no%20%C3%BC"), (b"x-why", b"so")]
    found, value, fields = answered(call_of("GET", "/v1/items/a"), reply(end=end))
    assert (found, value["message"], value["details"], fields[b"x-why"]) == (status, "no \u00fc", [], b"so")
    assert value["code"] == (int(code) if code.isdigit() and int(code) < 17 else 2)


def test_a_code_may_stand_in_the_head() -> None:
    answer = reply(end=[], fields=[(b"grpc-status", b"7"), (b"grpc-message", b"no")])
    assert answered(call_of("GET", "/v1/items/a"), answer)[:2] == (403, {"code": 7, "message": "no", "details": []})


def test_details_of_an_error_are_json_where_their_type_is_known_and_base64_where_not() -> None:
    known, other = any_pb2.Any(), any_pb2.Any(type_url="type.example/un.Known", value=b"\x01")
    known.Pack(wrappers_pb2.StringValue(value="more"))
    packed = b"\x08\x05" + b"".join(
        b"\x1a" + bytes([len(data := each.SerializeToString())]) + data for each in (known, other)
    )
    encoded = base64.b64encode(packed).rstrip(b"=")
    end = [(b"grpc-status", b"5"), (b"grpc-status-details-bin", encoded)]
    _, value, fields = answered(call_of("GET", "/v1/items/a"), reply(end=end))
    assert value["details"] == [
        {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "more"},
        {"@type": "type.example/un.Known", "value": "AQ=="},
    ]
    assert b"grpc-status-details-bin" not in fields
    end = [(b"grpc-status", b"5"), (b"grpc-status-details-bin", b"\xff!")]
    assert answered(call_of("GET", "/v1/items/a"), reply(end=end))[1]["details"] == []


@pytest.mark.parametrize("status, expected", [(503, 503), (404, 501), (401, 401), (418, 500)])
def test_a_status_of_http_without_a_code_is_one_of_the_call(status: int, expected: int) -> None:
    assert answered(call_of("GET", "/v1/items/a"), reply(end=[], status=status))[0] == expected


@pytest.mark.parametrize(
    "answer",
    [
        reply(), reply(item(), item()), reply(b"\xff\xff\xff"),
        reply(fields=[(b"x", b"y")], end=[(b"grpc-status", b"0")]),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_one_message_is_refused_with_502(answer: Message) -> None:
    with pytest.raises(Refused) as caught:
        call_of("GET", "/v1/items/a").answer(answer, [])
    assert caught.value.status == 502


def test_a_message_that_is_too_large_or_compressed_is_refused() -> None:
    call = call_of("GET", "/v1/items/a", Style(max_message=10))
    with pytest.raises(Refused, match="max_answer is 10"):
        call.answer(reply(bytes(11)), [])
    head = opening(head_of(reply()), 1)
    end = Chunk(Kind.STREAM_CLOSE, b"\x01\x00\x00\x00\x01x", 1, trailers=b"grpc-status: 0\r\n")
    with pytest.raises(Refused, match="compressed"):
        call.answer(head, [end])


# -- answers that are streams


def streamed(call: GrpcCall, pieces: list[bytes], end: list[tuple[bytes, bytes]]) -> tuple[Message | None, bytes]:
    head = call.begin(opening(head_of(reply(fields=[(b"x-a", b"1")])), 1))
    got = [call.chunk(Chunk(Kind.STREAM_DATA, piece, 1)).frame for piece in pieces]
    last = call.chunk(Chunk(Kind.STREAM_CLOSE, b"", 1, trailers=trailer_block(end), size=3))
    assert (last.kind, last.trailers, last.size) == (Kind.STREAM_CLOSE, b"", 3)
    return head, b"".join(got) + last.frame


OK = [(b"grpc-status", b"0")]
DATA = b"".join(framed(item(name=name)) for name in "ab")


@pytest.mark.parametrize("size", [1, 4, 6, 100])
def test_a_stream_of_answers_is_an_array_whatever_pieces_it_comes_in(size: int) -> None:
    pieces = [DATA[at : at + size] for at in range(0, len(DATA), size)]
    head, body = streamed(call_of("GET", "/v1/items:watch"), pieces, OK)
    assert head is not None
    assert head_of(head).pairs == [(b"x-a", b"1"), (b"content-type", b"application/json")]
    assert body == b'[{"name":"a"},{"name":"b"}]'


def test_a_stream_of_answers_may_be_lines() -> None:
    head, body = streamed(call_of("GET", "/v1/items:watch", Style(lines=True)), [DATA], OK)
    assert head is not None
    assert head_of(head).value(b"content-type") == b"application/x-ndjson"
    assert body == b'{"name":"a"}\n{"name":"b"}\n'


def test_an_empty_stream_is_an_empty_array() -> None:
    assert streamed(call_of("GET", "/v1/items:watch"), [], OK)[1] == b"[]"


def test_a_stream_that_came_whole_is_the_same() -> None:
    assert answered(call_of("GET", "/v1/items:watch"), reply(item(name="a")))[1] == [{"name": "a"}]
    assert answered(call_of("GET", "/v1/items:watch"), reply())[1] == []
    end = [(b"grpc-status", b"5")]
    assert answered(call_of("GET", "/v1/items:watch"), reply(item(), end=end))[0] == 404


def test_a_stream_whose_head_ends_it_has_its_status() -> None:
    head = opening(head_of(reply(fields=[(b"grpc-status", b"5")])), 1)
    assert call_of("GET", "/v1/items:watch").begin(head) is None


def test_an_answer_that_is_no_stream_is_gathered() -> None:
    assert call_of("GET", "/v1/items/a").begin(opening(head_of(reply()), 1)) is None


@pytest.mark.parametrize(
    "pieces, end, status", [([DATA], [(b"grpc-status", b"14")], 503), ([DATA[:-1]], OK, 502), ([b"\x01" * 9], OK, 502)]
)
def test_a_stream_that_fails_is_cut_off(pieces: list[bytes], end: list[tuple[bytes, bytes]], status: int) -> None:
    with pytest.raises(Refused) as caught:
        streamed(call_of("GET", "/v1/items:watch"), pieces, end)
    assert caught.value.status == status
