"""
h2spec, h2specd, and the tools of gRPC that end by themselves, with peers and no proxy between.

Lives here: what each of them finds of a peer, so that it is known to work. Does not: anything of metaproxy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import grpc_peers
import http_peers
import pytest
import spec_peers
from catalogue import Start
from running import free_port

peer = pytest.mark.peer


@peer("h2spec", "nghttpd")
def test_h2spec_finds_in_nghttpd_a_stream_number_that_goes_backwards(start_here: Start, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hi\n")
    port = free_port()
    start_here(http_peers.nghttpd(tmp_path, port))
    spec = spec_peers.h2spec(port)
    # Its expectation is that of RFC 7540; nghttp2 answers the stream for what has crossed its own closing of it.
    smaller = "http2/5.1.1 Sends stream identifier that is numerically smaller than previous"
    assert spec.failed.keys() <= {smaller}
    assert len(spec.passed) + len(spec.skipped) + len(spec.failed) == 145
    part = spec_peers.h2spec(port, "http2/6.5")
    assert part.passed
    assert {name.split("/")[0] for name in part.passed} == {"http2"}


@peer("h2spec", "curl")
def test_h2specd_tries_curl(tmp_path: Path) -> None:
    command: list[str | Path] = ["curl", "-sS", "--http2-prior-knowledge", "-m", "2", "-o", tmp_path / "body"]
    spec = spec_peers.h2specd(command, spec_peers.free_range())
    assert len(spec.passed) + len(spec.skipped) + len(spec.failed) == spec_peers.H2SPECD_CASES
    # curl goes as soon as its answer is whole, or its stream is reset, at times before it has answered what is behind:
    # which cases that costs is chance.
    assert len(spec.failed) <= spec_peers.H2SPECD_CASES // 10, spec.failed


@peer("h2spec")
def test_h2specd_names_what_a_client_does_not_do(tmp_path: Path) -> None:
    """A client that says no more than a preface and its settings fails at the first PING."""
    program = tmp_path / "silent.py"
    program.write_text(
        "import socket, sys\n"
        "from urllib.parse import urlsplit\n"
        "s = socket.create_connection(('127.0.0.1', urlsplit(sys.argv[1]).port), 2)\n"
        "s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes.fromhex('000000040000000000'))\n"
        "s.sendall(bytes.fromhex('000003010500000001') + b'\\x82\\x86\\x84')\n"
        "while s.recv(65536): pass\n"
    )
    spec = spec_peers.h2specd([sys.executable, program], spec_peers.free_range(), "client/6.7")
    assert "client/6.7 1: Sends a PING frame" in spec.failed
    assert "Expected: PING Frame" in spec.failed["client/6.7 1: Sends a PING frame"]


@peer("h2spec", "haproxy")
def test_h2specd_tries_a_proxy_that_takes_the_port_from_a_header(start_here: Start, tmp_path: Path) -> None:
    first, front = spec_peers.free_range(), free_port()
    ports = range(first, first + spec_peers.H2SPECD_CASES)
    start_here(http_peers.haproxy(tmp_path, front, cases=ports))
    spec = spec_peers.h2specd(spec_peers.through(front), first, "client/6.7")  # one section: all take 45 s
    # haproxy closes while there is still something to read, so that its GOAWAY is lost; what it answers is right.
    assert {"client/6.7 1: Sends a PING frame", "client/6.7 2: Sends a PING frame with ACK"} <= {*spec.passed}
    assert all("Error: read" in details for details in spec.failed.values()), spec.failed


@peer("grpc-go")
def test_the_interoperability_pair_of_grpc_passes_its_own_cases(start_here: Start) -> None:
    port = free_port()
    start_here(grpc_peers.interop_server(port))
    assert [problem for case in grpc_peers.INTEROP_CASES if (problem := grpc_peers.interop(port, case))] == []


@peer("grpc-go", "grpcio")
def test_the_interoperability_client_says_what_it_misses(start_here: Start) -> None:
    port = free_port()
    start_here(grpc_peers.server("grpcio", "alpha", port))
    assert "empty_unary" in grpc_peers.interop(port, "empty_unary")


@peer("ghz", "grpcio", "grpc-js")
@pytest.mark.parametrize("name", grpc_peers.SERVERS)
def test_ghz_counts_the_answers_of_every_server(name: str, start_here: Start) -> None:
    port = free_port()
    start_here(grpc_peers.server(name, name, port))
    unary = grpc_peers.ghz(port, {"text": "hi"}, calls=100, at_once=4)
    assert (unary.count, unary.statuses) == (100, {"OK": 100})
    assert 0 < unary.latency["fastest"] <= unary.latency["average"] <= unary.latency["slowest"]
    for method in ("ServerStream", "ClientStream", "BidiStream"):
        streams = grpc_peers.ghz(port, {"text": "hi", "count": 2}, method, 10, 2)
        assert streams.statuses == {"OK": 10}
    failing = grpc_peers.ghz(port, {"code": 5}, calls=10, at_once=2)
    assert failing.statuses == {"NotFound": 10}
