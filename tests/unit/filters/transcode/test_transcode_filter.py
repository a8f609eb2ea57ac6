"""The filter: which requests it acts on, and what they go through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checked import accepted, refused
from transcoding import descriptor_set, framed, reply, request
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.codecs.http.model import head_of, opening, parts
from metaproxy.filters.transcode.filter import Transcode
from metaproxy.interfaces import IOnChunk, IOnComplete, IOnRequest, IOnResponse
from metaproxy.message import Chunk, Kind, Message, Reply, Side
from metaproxy.plugins import OptionError, verify
from metaproxy.testing import FakeExchange

Make = Callable[..., Transcode]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    (tmp_path / "shop.pb").write_bytes(descriptor_set())

    def made(**options: Any) -> Transcode:
        grpc = {"descriptors": str(tmp_path / "shop.pb"), **options.pop("grpc", {})}
        return Transcode(clock=Clock(), grpc=grpc, **options)

    return made


def exchange_of(method: str, target: str, body: bytes = b"", *fields: tuple[bytes, bytes]) -> FakeExchange:
    return FakeExchange(message=request(method, target, body, *fields))


def said(answer: object) -> object:
    """What a hook gave, also where it had to wait."""
    if isinstance(answer, Deferred):
        found: list[object] = []
        answer.addCallback(found.append)
        return found[0]
    return answer


def refusal(answer: object) -> tuple[int, str]:
    """Status and text of a Reply."""
    answer = said(answer)
    assert isinstance(answer, Reply) and isinstance(answer.frame, Message)
    head, body, _ = parts(answer.frame)
    return head.status, json.loads(body)["message"]


def test_it_has_all_hooks_of_filters(make: Make) -> None:
    for interface in (IOnRequest, IOnResponse, IOnChunk, IOnComplete):
        verify(interface, make())


def test_a_request_becomes_a_call_and_the_answer_json(make: Make) -> None:
    transcode, exchange = make(), exchange_of("GET", "/v1/items/a?size=SMALL")
    assert transcode.on_request(exchange) is None
    sent = exchange.forwarded
    assert sent is not None and head_of(sent).path == b"/shop.Shop/Get"
    assert sent.get("path") == "/v1/items/a", "what is picked by the client's metadata still is"
    assert exchange.get("rpc.call") == "shop.Shop/Get"
    exchange.answer(reply(b"\x0a\x01b"))
    assert transcode.on_response(exchange) is None
    assert parts(exchange.response)[1] == b'{"name":"b"}'  # type: ignore[arg-type]
    exchange.complete()
    transcode.on_complete(exchange)
    assert transcode.counters == {"calls": 1, "refused": 0, "bad_answers": 0}


def test_a_request_in_pieces_is_gathered(make: Make) -> None:
    transcode = make()
    exchange = FakeExchange(message=opening(head_of(request("POST", "/v1/items/a:change")), 1))
    exchange.chunks = [Chunk(Kind.STREAM_DATA, b'{"pri', 1), Chunk(Kind.STREAM_CLOSE, b'ce": 3}', 1)]
    assert said(transcode.on_request(exchange)) is None
    assert exchange.forwarded is not None
    assert parts(exchange.forwarded)[1] == framed(b"\x0a\x07items/a\x10\x03")


def test_an_answer_in_pieces_is_gathered(make: Make) -> None:
    transcode, exchange = make(), exchange_of("GET", "/v1/items/a")
    transcode.on_request(exchange)
    exchange.answer(opening(head_of(reply()), 1))
    exchange.chunks = [Chunk(Kind.STREAM_CLOSE, framed(b"\x0a\x01b"), 1, trailers=b"grpc-status: 0\r\n")]
    assert said(transcode.on_response(exchange)) is None
    assert parts(exchange.response)[1] == b'{"name":"b"}'  # type: ignore[arg-type]


def test_a_stream_of_answers_passes_in_pieces_and_is_cut_off_where_it_fails(make: Make) -> None:
    transcode, exchange = make(), exchange_of("GET", "/v1/items:watch")
    transcode.on_request(exchange)
    exchange.answer(opening(head_of(reply()), 1))
    assert transcode.on_response(exchange) is None
    assert exchange.response is not None and exchange.response.kind is Kind.STREAM_OPEN
    one = transcode.on_chunk(exchange, Chunk(Kind.STREAM_DATA, framed(b"\x0a\x01b"), 1), Side.SERVER)
    assert isinstance(one, Chunk) and one.frame == b'[{"name":"b"}'
    last = transcode.on_chunk(exchange, Chunk(Kind.STREAM_CLOSE, b"", 1, trailers=b"grpc-status: 8\r\n"), Side.SERVER)
    assert isinstance(last, Reply)
    assert (last.frame, last.text) == (None, "shop.Shop/Watch ended with RESOURCE_EXHAUSTED: ")


def test_a_large_request_is_refused_on_its_head_on_its_bytes_and_whole(make: Make) -> None:
    transcode = make(max_request=10)
    told = exchange_of("POST", "/v1/items/a:change", b"x" * 11)
    assert refusal(transcode.on_request(told))[0] == 413
    pieces = FakeExchange(message=opening(head_of(request("POST", "/v1/items/a:change")), 1))
    pieces.chunks = [Chunk(Kind.STREAM_CLOSE, b"x" * 11, 1)]
    assert refusal(transcode.on_request(pieces))[0] == 413
    sized = head_of(request("POST", "/v1/items/a:change", b"", (b"content-length", b"11")))
    sized.length = 11
    assert refusal(transcode.on_request(FakeExchange(message=opening(sized, 1))))[0] == 413


def test_a_large_answer_is_refused(make: Make) -> None:
    transcode, exchange = make(max_answer=10), exchange_of("GET", "/v1/items/a")
    transcode.on_request(exchange)
    exchange.answer(opening(head_of(reply()), 1))
    exchange.chunks = [Chunk(Kind.STREAM_CLOSE, framed(bytes(11)), 1)]
    assert refusal(transcode.on_response(exchange)) == (502, "an answer of more than 10 bytes")
    assert transcode.counters["bad_answers"] == 1


@pytest.mark.parametrize(
    "method, target, body, field, status",
    [
        ("GET", "/nowhere", b"", None, 404),
        ("PUT", "/v1/items/a", b"", None, 405),
        ("POST", "/v1/items/a:change", b"{", None, 400),
        ("POST", "/v1/items/a:change", b"{}", (b"content-encoding", b"gzip"), 415),
    ],
)
def test_what_is_no_call_is_refused(
    make: Make, method: str, target: str, body: bytes, field: tuple[bytes, bytes] | None, status: int
) -> None:
    transcode = make()
    exchange = exchange_of(method, target, body, *([field] if field else []))
    assert refusal(transcode.on_request(exchange))[0] == status
    assert (exchange.forwarded, transcode.counters["refused"]) == (None, 1)


def test_head_asks_as_get_does(make: Make) -> None:
    exchange = exchange_of("HEAD", "/v1/items/a")
    assert make().on_request(exchange) is None
    assert exchange.forwarded is not None
    assert refusal(make().on_request(exchange_of("HEAD", "/v1/items:fill")))[0] == 405


def test_calls_of_grpc_pass_as_they_are(make: Make) -> None:
    transcode = make()
    exchange = exchange_of("POST", "/shop.Shop/Get", framed(b""), (b"content-type", b"application/grpc+proto"))
    assert (transcode.on_request(exchange), exchange.forwarded) == (None, None)
    exchange.answer(reply(b""))
    before = exchange.response
    assert transcode.on_response(exchange) is None
    assert exchange.response is before
    assert transcode.on_chunk(exchange, Chunk(Kind.STREAM_DATA, b"x", 1), Side.SERVER) is None


def test_what_means_no_call_may_pass_too(make: Make) -> None:
    exchange = exchange_of("GET", "/index.html")
    assert (make(unmatched="pass").on_request(exchange), exchange.forwarded) == (None, None)


def test_explain_tells_what_is_called(make: Make) -> None:
    def explained(method: str, path: str) -> str:
        return make().explain({"method": method, "path": path}.get)

    assert explained("GET", "/v1/items/a") == "calls shop.Shop/Get"
    assert explained("GET", "/nowhere") == "means no call"
    assert explained("PUT", "/v1/items/a").startswith("refuses it with 405")


def test_errors_of_the_configuration_lead_to_their_place(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="write what requests become"):
        Transcode(clock=Clock())
    with pytest.raises(OptionError) as caught:
        make(grpc={"services": ["none"]})
    assert (caught.value.option, caught.value.path) == ("grpc", ("descriptors",))


CONFIG = """
listeners:
  - name: edge
    listen: 127.0.0.1:1
    protocol: http
    filters: [{transcode: {grpc: {reflection: {cluster: NAME}}}}]
    routes: [{cluster: shop}]
clusters:
  - {name: shop, protocol: grpc, endpoints: ["127.0.0.1:2"]}
"""


def test_a_route_of_http_may_lead_to_a_cluster_of_grpc_with_it() -> None:
    accepted(CONFIG.replace("NAME", "shop"))
    assert "no cluster 'shpo'; did you mean 'shop'" in refused(CONFIG.replace("NAME", "shpo"))[0]
    without = CONFIG.replace("filters: [{transcode: {grpc: {reflection: {cluster: NAME}}}}]\n", "\n")
    assert "no filter of the route translates that" in refused(without)[0]
