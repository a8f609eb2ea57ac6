"""HTTP/2 at both ends of the proxy: h2spec, h2specd, and other implementations as clients and servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import http_peers
import pytest
import spec_peers
from catalogue import Start
from proxied import Proxy, cluster, listener
from running import free_port

peer = pytest.mark.peer

MakeProxy = Callable[[Mapping[str, Any]], Proxy]

SMALLER = "http2/5.1.1 Sends stream identifier that is numerically smaller than previous"
"""What h2spec finds in nghttpd: for a stream that was passed over it wants the connection to end."""

PREFACE = "http2/3.5 Sends invalid connection preface"
"""What is no preface of HTTP/2 is answered 400 where clients may speak HTTP/1.1: to h2spec half a frame."""


class Patient(BaseHTTPRequestHandler):
    """A server of HTTP/1.1 that answers when it has read the body: nginx answers before, which hides faults in it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.do_POST()

    def do_HEAD(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        if self.headers["transfer-encoding"]:
            while size := int(self.rfile.readline() or b"0", 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.send_response(200)
        self.send_header("content-length", "3")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"hi\n")

    do_OPTIONS = do_POST

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def patient() -> Iterator[int]:
    """The port of a server of HTTP/1.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Patient)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.socket.close()


def front(port: int, back: int, version: int, http1: bool = True) -> dict[str, Any]:
    return {
        "listeners": [listener("web", port, {"name": "http", "http1": http1}, [{"cluster": "back"}])],
        "clusters": [cluster("back", back, protocol={"name": "http", "version": version})],
    }


def check(spec: spec_peers.Spec, allowed: set[str]) -> None:
    assert len(spec.passed) + len(spec.skipped) + len(spec.failed) == 145
    assert spec.failed.keys() <= allowed, spec.failed


@peer("h2spec")
def test_h2spec_before_a_server_of_http_1(patient: int, proxy: MakeProxy) -> None:
    port = free_port()
    proxy(front(port, patient, 1))
    check(spec_peers.h2spec(port), {SMALLER, PREFACE})


@peer("h2spec", "nghttpd")
def test_h2spec_before_a_server_of_http_2(start_here: Start, proxy: MakeProxy, tmp_path: Path) -> None:
    port, back = free_port(), free_port()
    (tmp_path / "index.html").write_text("hi\n")
    start_here(http_peers.nghttpd(tmp_path, back))
    proxy(front(port, back, 2, http1=False))
    check(spec_peers.h2spec(port), {SMALLER})


@peer("h2spec")
def test_h2specd_finds_nothing_in_what_goes_to_servers(proxy: MakeProxy) -> None:
    port, first = free_port(), spec_peers.free_range()
    ports = range(first, first + spec_peers.H2SPECD_CASES)
    routes = [{"match": {"x-case": str(number)}, "cluster": f"case-{number}"} for number in ports]
    servers = [
        cluster(f"case-{number}", number, protocol={"name": "http", "version": 2}, connect_timeout="1s")
        for number in ports
    ]
    proxy({"listeners": [listener("web", port, "http", routes)], "clusters": servers})
    spec = spec_peers.h2specd(spec_peers.through(port), first)
    assert len(spec.passed) + len(spec.skipped) + len(spec.failed) == spec_peers.H2SPECD_CASES
    assert spec.failed == {}
