"""
HTTP and JSON at the edge, an RPC protocol behind: real servers, asked by curl's means.

Lives here: Library on grpcio, by its descriptor set and by reflection. Does not: what each kind of field becomes
(tests/unit/filters/transcode).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any, NamedTuple

import grpc_peers
import pytest
from catalogue import Start
from proxied import Proxy, cluster, listener
from running import free_port

peer = pytest.mark.peer


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)


def ask(port: int, method: str, path: str, body: Any = None, **fields: str) -> Answer:
    """A request of the standard library's client. body: as JSON, bytes as they are, an iterator in chunked form."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    if body is not None and not isinstance(body, bytes) and not hasattr(body, "__next__"):
        body = json.dumps(body).encode()
    if body is not None:
        headers.setdefault("content-type", "application/json")
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    connection.close()
    return found


@pytest.fixture(scope="module")
def library(start: Start) -> int:
    port = free_port()
    start(grpc_peers.server("grpcio", "library", port))
    return port


Made = Callable[..., tuple[Proxy, int]]


@pytest.fixture
def edge(proxy: Callable[[Any], Proxy], library: int) -> Made:
    """Makes a proxy with the filter, and gives its port."""

    def made(**options: Any) -> tuple[Proxy, int]:
        port = free_port()
        options.setdefault("grpc", {"descriptors": str(grpc_peers.LIBRARY)})
        front = listener("edge", port, "http", [{"cluster": "library"}], filters=[{"transcode": options}])
        back = cluster("library", library, protocol="grpc")
        return proxy({"listeners": [front], "clusters": [back]}), port

    return made


@peer("grpcio")
def test_every_kind_of_rule_is_a_call_and_its_answer_json(edge: Made) -> None:
    running, port = edge()
    book = ask(port, "GET", "/v1/shelves/1/books/2")
    assert (book.status, book.fields["content-type"]) == (200, "application/json")
    assert book.value == {
        "name": "shelves/1/books/2", "title": "A title", "authors": ["Ann", "Bob"], "pages": str(1 << 53),
        "kind": "NOVEL",
    }  # fmt: skip
    listed = ask(port, "GET", "/v1/shelves/1/books?page_size=1&words=a&words=b&filter.author=Ann&filter.kinds=ESSAY")
    assert listed.value["asked"] == {
        "parent": "shelves/1", "pageSize": 1, "words": ["a", "b"], "filter": {"author": "Ann", "kinds": ["ESSAY"]},
    }  # fmt: skip
    made = {"title": "Ours", "published": "2026-01-02T03:04:05Z", "labels": {"a": "b"}, "extra": {"deep": [1, None]}}
    created = ask(port, "POST", "/v1/shelves/2/books?request_id=7", made)
    assert created.value == {**made, "name": "shelves/2/books/7", "extra": {"deep": [1.0, None]}}
    assert ask(port, "GET", "/v1/shelves/2/books/7").value["title"] == "Ours"
    changed = ask(port, "PATCH", "/v1/shelves/2/books/7?update_mask=title", {"title": "New"})
    assert changed.value["labels"] == {"mask": "title"}
    moved = ask(port, "POST", "/v1/shelves/2/books/7:move", {"shelf": "shelves/3", "force": True})
    assert moved.value == {"name": "shelves/3/books/7", "lent": True}
    assert ask(port, "GET", "/v1/shelves/1/books/2/title").value == "A title"
    assert ask(port, "DELETE", "/v1/shelves/2/books/7").value == {}
    assert ask(port, "HEAD", "/v1/shelves/1/books/1").status == 200
    file = ask(port, "GET", "/v1/files/a/b%20c/d?revision=9")
    assert (file.fields["content-type"], file.body) == ("text/plain", b"a/b c/d@9")
    assert running.outcomes() == {"ok": 10}
    stats = running.stats()
    (counted,) = [value for name, value in stats.items() if name.startswith("metaproxy_endpoint_requests_total")]
    assert counted == 10, "the calls go the way of all exchanges"


@peer("grpcio")
def test_errors_of_the_server_and_of_the_request_have_their_statuses(edge: Made) -> None:
    _, port = edge(max_request="1KiB")
    missing = ask(port, "GET", "/v1/shelves/nowhere/books/1")
    assert missing.status == 404
    assert missing.value == {"code": 5, "message": "no book shelves/nowhere/books/1", "details": []}
    assert ask(port, "GET", "/v2/anything").status == 404
    wrong = ask(port, "DELETE", "/v1/books")
    assert (wrong.status, wrong.fields["allow"]) == (405, "GET")
    bad = ask(port, "POST", "/v1/shelves/1/books", b"{")
    assert (bad.status, bad.value["code"]) == (400, 3)
    assert ask(port, "POST", "/v1/shelves/1/books", {"colour": "red"}).status == 400
    assert ask(port, "GET", "/v1/shelves/1/books?page_size=many").status == 400
    assert ask(port, "POST", "/v1/shelves/1/books", {"title": "x" * 2000}).status == 413
    assert ask(port, "POST", "/v1/books:import", {}).status == 501


@peer("grpcio")
def test_a_stream_of_answers_is_an_array_or_lines(edge: Made) -> None:
    _, port = edge()
    names = [{"name": f"shelves/1/books/{number}"} for number in range(3)]
    whole = ask(port, "GET", "/v1/shelves/1/books:watch?page_size=3")
    assert (whole.fields["content-type"], whole.value) == ("application/json", names)
    assert ask(port, "GET", "/v1/shelves/1/books:watch").value == []
    _, port = edge(grpc={"descriptors": str(grpc_peers.LIBRARY), "stream": "lines"})
    lines = ask(port, "GET", "/v1/shelves/1/books:watch?page_size=3")
    assert lines.fields["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.body.splitlines()] == names


@peer("grpcio")
def test_a_body_that_comes_in_pieces_is_gathered(edge: Made) -> None:
    _, port = edge()
    body = json.dumps({"title": "t" * 300_000}).encode()
    pieces = (body[at : at + 50_000] for at in range(0, len(body), 50_000))
    created = ask(port, "POST", "/v1/shelves/1/books?requestId=big", pieces)
    assert (created.status, len(created.value["title"])) == (200, 300_000)
    assert len(ask(port, "GET", "/v1/shelves/1/books/big").value["title"]) == 300_000


@peer("grpcio")
def test_the_api_may_come_by_reflection(edge: Made) -> None:
    running, port = edge(grpc={"reflection": {"cluster": "library"}, "unannotated": True})
    assert ask(port, "GET", "/v1/shelves/1/books/2").value["title"] == "A title"
    assert ask(port, "POST", "/example.v1.Library/Hidden", {}).value == {}
    assert ask(port, "POST", "/example.v1.Echo/Unary", {"text": "hi", "size": 3}).value["text"] == "hi"
    assert "no route leads" not in running.log()


@peer("grpcio")
def test_calls_of_grpc_pass_through_the_same_listener(edge: Made) -> None:
    import grpc
    from example.v1 import library_pb2, library_pb2_grpc

    _, port = edge()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        found = library_pb2_grpc.LibraryStub(channel).GetBook(library_pb2.GetBookRequest(name="shelves/1/books/2"))
    assert found.title == "A title"
