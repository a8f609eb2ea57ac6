"""
HTTP and JSON at the edge, an RPC protocol behind: real servers, asked by curl's means.

Lives here: Library on grpcio, by its descriptor set and by reflection. Does not: what each kind of field becomes
(tests/unit/filters/transcode).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import grpc_peers
import pytest
from catalogue import Start
from proxied import Proxy, cluster, listener
from running import HERE, answers, free_port

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


# -- Dubbo

HELLO = "org.example.HelloService"
TEXT = "java.lang.String"
DUBBO_CALLS: dict[str, dict[str, Any]] = {
    "GET /hello/{name}": {"call": f"{HELLO}/sayHello", "arguments": {"name": TEXT}},
    "GET /add": {"call": f"{HELLO}/add", "arguments": {"a": "int", "b": "int"}},
    "GET /whoami": {"call": f"{HELLO}/whoami"},
    "PUT /people/{person.name}": {
        "call": f"{HELLO}/promote", "arguments": {"person": "org.example.Person"}, "body": "person",
    },
    "POST /echo": {"call": f"{HELLO}/echo", "arguments": {"value": "java.lang.Object"}, "body": "*"},
    "POST /fail": {"call": f"{HELLO}/fail", "arguments": {"why": TEXT}, "body": "*"},
    "POST /crash": {"call": f"{HELLO}/crash", "arguments": {"why": TEXT}, "body": "*"},
    "GET /attachments": {"call": f"{HELLO}/attachments"},
    "GET /slow": {"call": f"{HELLO}/slow", "arguments": {"ms": "int"}},
    "GET /none": {"call": "org.example.None/none"},
}  # fmt: skip


@peer("java")
def test_calls_of_dubbo_are_generic_ones(start_here: Start, proxy: Callable[[Any], Proxy]) -> None:
    provider, port = free_port(), free_port()
    start_here(catalogue.dubbo_server("java", "alpha", provider))
    calls = {key: {**call, "version": "1.0.0"} for key, call in DUBBO_CALLS.items()}
    options = {"dubbo": {"calls": calls, "errors": {"org.example.HelloException": 409}}}
    set_tenant = {"request": {"set": {"tenant": "%x-tenant%"}}}
    routes = [{"cluster": "hello", "timeout": "700ms", **set_tenant}]
    front = listener("edge", port, "http", routes, filters=[{"transcode": options}])
    running = proxy({"listeners": [front], "clusters": [cluster("hello", provider, protocol="dubbo")]})
    assert ask(port, "GET", "/hello/K%C3%B6ln").value == "hello K\u00f6ln from alpha"
    assert ask(port, "GET", "/add?a=3&b=4").value == 7
    assert ask(port, "GET", "/whoami").value == "alpha"
    person = {"age": 3, "ratio": 0.5, "active": True, "address": {"city": "K\u00f6ln"}, "tags": ["a"], "sums": {"x": 5}}
    promoted = ask(port, "PUT", "/people/Ann", person).value
    assert (promoted["name"], promoted["address"]["city"], promoted["tags"]) == ("Dr. Ann", "K\u00f6ln", ["a"])
    assert promoted["sums"] == {"x": 5} and "class" not in promoted
    deep = {"a": [1, 2.5, None, True, "x", 1 << 40], "b": {}}
    assert ask(port, "POST", "/echo", {"value": deep}).value == deep
    failed = ask(port, "POST", "/fail", {"why": "so"})
    assert (failed.status, failed.value["message"]) == (409, "so")
    assert failed.value["details"] == [{"exception": "org.example.HelloException"}]
    assert ask(port, "POST", "/crash", {"why": "so"}).status == 500
    assert ask(port, "GET", "/attachments", x_tenant="blue").value["tenant"] == "blue"
    assert ask(port, "GET", "/slow?ms=5000").status == 504
    assert ask(port, "GET", "/none").status in (500, 501)
    assert ask(port, "GET", "/add?a=x&b=4").status == 400
    assert ask(port, "GET", "/add?a=1").status == 400
    assert running.outcomes()["timeout"] == 1


# -- Thrift

ITEM = {
    "name": "thing \u00e9", "count": -70000, "on": True, "small": -5, "medium": -300, "large": 1 << 52, "ratio": -0.5,
    "raw": "AP8=", "flags": [True, False], "numbers": [7], "sums": {"a": [1, -1], "b": []},
    "inner": {"name": "in", "counts": [5]},
}  # fmt: skip
WAYS = [("framed", "binary"), ("framed", "compact"), ("unframed", "compact"), ("header", "binary")]


@peer("py")
@pytest.mark.parametrize("transport, protocol", WAYS)
def test_calls_of_thrift_go_by_its_idl(
    transport: str, protocol: str, start_here: Start, proxy: Callable[[Any], Proxy]
) -> None:
    server, port = free_port(), free_port()
    theirs = "buffered" if transport == "unframed" else transport
    start_here(catalogue.thrift_server("py", "alpha", f"{server}:{theirs}:{protocol}"), lambda: answers(server))
    options = {
        "idl": str(HERE / "thrift" / "hello.thrift"), "transport": transport, "protocol": protocol, "unlisted": True,
        "errors": {"Rejected": 422},
        "calls": {
            "GET /hello/{name}": {"method": "sayHello"},
            "GET /add": {"method": "add"},
            "PUT /items/{item.name}": {"method": "echo", "body": "item"},
        },
    }  # fmt: skip
    front = listener("edge", port, "http", [{"cluster": "hello", "timeout": "700ms"}])
    front["filters"] = [{"transcode": {"thrift": options}}]
    running = proxy({"listeners": [front], "clusters": [cluster("hello", server, protocol="thrift")]})
    assert ask(port, "GET", "/hello/K%C3%B6ln").value == "hello K\u00f6ln from alpha"
    assert ask(port, "GET", "/add?a=3&b=-4").value == -1
    assert ask(port, "PUT", "/items/mine", ITEM).value == {**ITEM, "name": "mine"}
    assert ask(port, "GET", "/items/mine").status == 405
    assert ask(port, "POST", "/Hello/ping").value is None
    rejected = ask(port, "POST", "/Hello/reject", {"why": "so"})
    assert (rejected.status, rejected.value["message"]) == (422, "so")
    assert rejected.value["details"] == [{"exception": "Rejected", "why": "so", "code": 7}]
    assert ask(port, "POST", "/Hello/crash", {"why": "so"}).status == 500
    assert ask(port, "POST", "/Hello/slow", {"milliseconds": 3000}).status == 504
    assert ask(port, "GET", "/add?a=x&b=1").status == 400
    assert ask(port, "POST", "/Hello/note", {"text": "x"}).status == 404
    assert running.outcomes()["timeout"] == 1


@peer("grpcio", "curl")
def test_clients_of_http_2_get_the_same_answers_and_errors(edge: Made, tmp_path: Path) -> None:
    _, port = edge()

    def curl(path: str, *arguments: str) -> tuple[int, Any]:
        text = catalogue.output(
            "curl",
            "-s",
            "--http2-prior-knowledge",
            "-w",
            "\n%{http_code}",
            *arguments,
            f"http://127.0.0.1:{port}{path}",
        )
        body, _, status = text.rpartition("\n")
        return int(status), json.loads(body)

    assert curl("/v1/shelves/1/books/2")[1]["title"] == "A title"
    assert curl("/v1/shelves/nowhere/books/2")[0] == 404
    assert curl("/nowhere")[1]["code"] == 5
    assert len(curl("/v1/shelves/1/books:watch?page_size=3")[1]) == 3
    large = tmp_path / "book.json"
    large.write_text(json.dumps({"title": "x" * 300_000}))
    status, made = curl("/v1/shelves/1/books?request_id=h2", "--json", f"@{large}")
    assert (status, len(made["title"])) == (200, 300_000)


@peer("grpcio")
def test_a_stream_that_fails_behind_its_first_answer_is_cut_off(edge: Made) -> None:
    running, port = edge(grpc={"reflection": {"cluster": "library"}, "unannotated": True})
    fails = {"text": "x", "count": 2, "delay_ms": 50, "code": 5, "message": "gone"}
    with pytest.raises(IncompleteRead):
        ask(port, "POST", "/example.v1.Echo/ServerStream", fails)
    assert ask(port, "POST", "/example.v1.Echo/ServerStream", {**fails, "count": 0, "delay_ms": 0}).status == 404
    assert running.outcomes() == {"not_found": 1, "ok": 1}
