"""
The peers that speak gRPC, each with another peer and no proxy between: what fails here is not ours.

Lives here: every client with every server, in all kinds of calls. Does not: anything of metaproxy.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import catalogue
import grpc_peers
import http_peers
import pytest
from authority import Authority
from catalogue import Clients, Start
from running import eventually, free_port

peer = pytest.mark.peer

PAIRS = [(client, server) for server in grpc_peers.SERVERS for client in grpc_peers.CLIENTS]
pairs = pytest.mark.parametrize(
    "client, server", [pytest.param(*pair, marks=peer(*pair), id="-".join(pair)) for pair in PAIRS]
)
FILLED_1000 = zlib.crc32(b"\xa5" * 1000)


@pytest.fixture(scope="module")
def ports(start: Start) -> dict[str, int]:
    """The ports of the servers that are installed; each has its own name."""
    ports = {name: free_port() for name in grpc_peers.SERVERS if not catalogue.missing(name)}
    for name, port in ports.items():
        start(grpc_peers.server(name, name, port))
    return ports


@pairs
def test_every_client_is_answered_by_every_server_in_every_kind_of_call(
    client: str, server: str, clients: Clients, ports: dict[str, int]
) -> None:
    requests = [{"text": text} for text in "abc"]
    calls = [
        {"method": "Unary", "request": {"text": "hi", "size": 1000}, "metadata": {"x-tenant": "t1"}, "timeout": 9},
        {"method": "ServerStream", "request": {"text": "s", "count": 3}},
        {"method": "ClientStream", "requests": requests},
        {"method": "BidiStream", "requests": requests},
        {"method": "BidiStream", "requests": requests, "turns": True, "repeat": 2},
    ]
    results = clients(grpc_peers.client(client)).run(port=ports[server], calls=calls)
    assert [grpc_peers.replies(each) for each in results] == [["hi"], ["s"] * 3, ["a+b+c"], [*"abc"], [*"abcabc"]]
    unary = results[0]["value"]
    (reply,) = unary["replies"]
    assert (reply["payload_bytes"], reply["payload_crc32"]) == (1000, FILLED_1000)
    assert (reply["metadata"]["x-tenant"], reply["served_by"]) == ("t1", server)
    assert 8000 < reply["deadline_ms"] <= 9000
    assert unary["initial"]["served-by"] == server


@pairs
def test_every_server_ends_a_call_with_the_status_and_the_metadata_that_it_is_asked_for(
    client: str, server: str, clients: Clients, ports: dict[str, int]
) -> None:
    request = {"text": "x", "count": 2, "code": 5, "message": "not here: \u00fc", "trailing": {"x-why": "so"}}
    calls = [
        {"method": "Unary", "request": {**request, "initial": {"x-first": "1"}}},
        {"method": "ServerStream", "request": request},
        {"method": "ClientStream", "requests": [request]},
        {"method": "BidiStream", "requests": [request]},
        {"method": "Unary", "request": {"trailing": {"x-good": "yes", "x-raw-bin": "\x01\x02"}}},
        {"method": "Unary", "request": {"delay_ms": 5000}, "timeout": 0.1},
    ]
    results = clients(grpc_peers.client(client)).run(port=ports[server], calls=calls)
    for result in results[:4]:
        error = result["error"]
        assert (error["class"], error["message"], error["trailing"]["x-why"]) == ("NOT_FOUND", "not here: \u00fc", "so")
    assert [result["error"]["count"] for result in results[:4]] == [0, 2, 0, 2]
    assert results[0]["error"]["initial"]["x-first"] == "1"
    trailing = results[4]["value"]["trailing"]
    assert (trailing["x-good"], trailing["x-raw-bin"]) == ("yes", "\x01\x02")
    assert results[5]["error"]["class"] == "DEADLINE_EXCEEDED"


@pairs
def test_every_client_compresses_cancels_and_fails_a_first_attempt(
    client: str, server: str, clients: Clients, start_here: Start
) -> None:
    port = free_port()
    program = start_here(grpc_peers.server(server, server, port))
    jobs = clients(grpc_peers.client(client))
    first = {"method": "Unary", "request": {"text": "x", "key": "k", "fail_first": 1, "code": 14}}
    stream = {"text": "cut", "count": 100, "delay_ms": 20}
    calls: list[dict[str, Any]] = [first, first, {"method": "ServerStream", "request": stream, "cancel_after": 2}]
    failed, answered, cancelled = jobs.run(port=port, calls=calls)
    assert failed["error"]["class"] == "UNAVAILABLE"
    assert answered["value"]["replies"][0]["index"] == 2
    assert cancelled["error"]["class"] == "CANCELLED"
    assert eventually(lambda: "cancelled ServerStream cut" in program.text())
    filled = {"method": "Unary", "request": {"payload_bytes": 1000}, "compression": "gzip"}
    (packed,) = jobs.run(port=port, calls=[filled])
    assert packed["value"]["replies"][0]["payload_crc32"] == FILLED_1000


@pairs
def test_every_client_makes_calls_at_once_and_counts_a_long_stream(
    client: str, server: str, clients: Clients, ports: dict[str, int]
) -> None:
    jobs = clients(grpc_peers.client(client))
    slow = [{"method": "Unary", "request": {"text": str(n), "delay_ms": 50}} for n in range(8)]
    results = jobs.run(port=ports[server], calls=slow, together=True)
    assert [grpc_peers.replies(each) for each in results] == [[str(n)] for n in range(8)]
    long = {"method": "BidiStream", "request": {"payload_bytes": 10_000}, "repeat": 100, "summary": True}
    (result,) = jobs.run(port=ports[server], calls=[long])
    assert (result["value"]["count"], result["value"]["bytes"], result["value"]["replies"]) == (100, 1_000_000, [])


@peer("grpcio", "grpc-js")
@pytest.mark.parametrize("name", grpc_peers.SERVERS)
def test_every_peer_speaks_tls(
    name: str, clients: Clients, start_here: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = Authority(tmp_path_factory.mktemp("pki"))
    port = free_port()
    start_here(grpc_peers.server(name, name, port, issued=authority.issue("server", "localhost")))
    calls = [{"method": "Unary", "request": {"text": "secret"}}]
    (result,) = clients(grpc_peers.client(name)).run(port=port, ca=str(authority.ca), calls=calls)
    assert grpc_peers.replies(result) == ["secret"]


@peer("grpcio")
def test_the_server_on_grpcio_has_a_health_that_can_be_changed(clients: Clients, ports: dict[str, int]) -> None:
    service = "example.v1.Echo"
    calls = [
        {"method": "Health", "request": {"service": service}},
        {"method": "SetHealth", "request": {"service": service, "serving": False}},
        {"method": "Health", "request": {"service": service}},
        {"method": "SetHealth", "request": {"service": service, "serving": True}},
        {"method": "Health", "request": {"service": "no.Such"}},
    ]
    results = clients(grpc_peers.client("grpcio")).run(port=ports["grpcio"], calls=calls)
    assert [each["value"]["replies"][0].get("status") for each in results[:3]] == ["SERVING", None, "NOT_SERVING"]
    assert results[4]["error"]["class"] == "NOT_FOUND"


@peer("grpcio")
def test_the_library_on_grpcio_is_described_by_reflection_and_by_its_descriptor_set(ports: dict[str, int]) -> None:
    import grpc
    from example.v1 import library_pb2, library_pb2_grpc
    from google.protobuf import descriptor_pb2

    described = descriptor_pb2.FileDescriptorSet.FromString(grpc_peers.LIBRARY.read_bytes())
    assert "google/api/http.proto" in [file.name for file in described.file]
    with grpc.insecure_channel(f"127.0.0.1:{ports['grpcio']}") as channel:
        library = library_pb2_grpc.LibraryStub(channel)
        assert library.GetBook(library_pb2.GetBookRequest(name="shelves/1/books/2")).title == "A title"
        books = library.WatchBooks(library_pb2.ListBooksRequest(parent="shelves/1", page_size=2))
        assert [book.name for book in books] == ["shelves/1/books/0", "shelves/1/books/1"]
        ask = channel.unary_unary("/example.v1.Library/Hidden")
        assert ask(b"") == b""
        reflect = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        assert b"example.v1.Library" in next(iter(reflect(iter([b"\x3a\x00"]))))  # list_services: ""


@peer("grpcio", "nginx")
def test_nginx_passes_grpc_on(start_here: Start, tmp_path: Path, ports: dict[str, int], clients: Clients) -> None:
    front = free_port()
    start_here(http_peers.nginx(tmp_path, h2c=front, grpc_to=ports["grpcio"]))
    call = {"method": "ServerStream", "request": {"text": "x", "count": 3, "trailing": {"x-end": "1"}}}
    (result,) = clients(grpc_peers.client("grpcio")).run(port=front, calls=[call])
    assert grpc_peers.replies(result) == ["x"] * 3
    assert result["value"]["trailing"]["x-end"] == "1"


@peer("grpcio", "h2load")
def test_h2load_calls_grpcio(ports: dict[str, int], tmp_path: Path) -> None:
    body = tmp_path / "say.bin"
    body.write_bytes(b"\x00\x00\x00\x00\x04\x0a\x02hi")
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers", "-d", str(body)]
    load = http_peers.h2load(f"http://127.0.0.1:{ports['grpcio']}/example.v1.Echo/Unary", 50, 2, 5, *headers)
    assert (load.done, load.failed, load.statuses["2xx"]) == (50, 0, 50)
