from __future__ import annotations

import json
import re
import socketserver
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from authority import Authority

from metaproxy.cli.client import Admin, AdminError, decoded


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, str | None, bytes]] = []

    def address_string(self) -> str:
        return "test"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.seen.append((self.command, self.path, self.headers.get("authorization"), body))
        if self.path.startswith("/lines"):
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for line in (b'{"n": 1}\n', b"\n", b'{"n": 2}\n'):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            self.wfile.write(b"0\r\n\r\n")
            return
        status, answer = (404, {"error": "no such thing", "where": "path"}) if self.path == "/no" else (200, {"a": 1})
        data = b"<html>" if self.path == "/html" else json.dumps(answer).encode()
        self.send_response(503 if self.path == "/html" else status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET


@pytest.fixture(params=["tcp", "unix"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a server."""
    Handler.seen = []
    if request.param == "tcp":
        server: Any = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        address = f"127.0.0.1:{server.server_address[1]}"
    else:
        server = socketserver.UnixStreamServer(str(tmp_path / "s"), Handler)
        address = f"unix:{tmp_path / 's'}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_asks_with_its_token_and_leaves_out_what_is_not_given(where: Any) -> None:
    admin = Admin(where, "t")
    assert admin.get("/stats", dict, filter="a b", format=None) == {"a": 1}
    assert admin.ask("POST", "/drain", dict, b"body") == {"a": 1}
    assert Handler.seen == [("GET", "/stats?filter=a+b", "Bearer t", b""), ("POST", "/drain", "Bearer t", b"body")]


def test_a_stream_is_read_line_by_line(where: Any) -> None:
    assert list(Admin(where).lines("/lines", dict)) == [{"n": 1}, {"n": 2}]


def test_a_refusal_has_the_apis_own_words(where: Any) -> None:
    with pytest.raises(AdminError, match="no such thing") as caught:
        Admin(where).get("/no", dict)
    assert caught.value.status == 404
    with pytest.raises(AdminError, match="no such thing"):
        list(Admin(where).lines("/no", dict))
    with pytest.raises(AdminError, match="is it an admin API"):
        Admin(where).get("/html", dict)


@pytest.mark.parametrize(
    ("text", "words"), [(b"<html>", "is no JSON: b'<html>'"), (b"[1]", "is no object of JSON: b'[1]'")]
)
def test_an_answer_that_no_command_can_read_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(AdminError, match=re.escape(words)):
        decoded(text, dict)


def test_an_api_with_tls_is_asked_when_its_certificate_is_trusted_and_shown_ones_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served, mine = authority.issue("api", "127.0.0.1"), authority.issue("me")
    both = tmp_path / "both.pem"
    both.write_bytes(mine.certificate.read_bytes() + mine.key.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served.certificate, served.key)
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    server: Any = socketserver.TCPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    where = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        assert Admin(where, ca=str(authority.ca), certificate=str(both)).get("/stats", dict) == {"a": 1}
        with pytest.raises(AdminError, match="CERTIFICATE_VERIFY_FAILED"):
            Admin(where, certificate=str(both)).get("/stats", dict)
        with pytest.raises(AdminError):
            Admin(where, ca=str(authority.ca)).get("/stats", dict)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    with pytest.raises(ValueError, match=r"nowhere\.pem: No such file"):
        Admin(where, ca="nowhere.pem")


def test_an_api_that_is_not_there_is_told() -> None:
    for where in ("127.0.0.1:1", "unix:/nowhere.sock"):
        with pytest.raises(AdminError, match=where):
            Admin(where).get("/", dict)


@pytest.mark.parametrize("where", ["ftp://x", "http://", "http://x:no", ""])
def test_what_is_no_address_is_refused(where: str) -> None:
    with pytest.raises(ValueError, match="write http"):
        Admin(where)


def test_where_nothing_listens_the_error_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(AdminError, match="write --admin URL"):
        Admin(f"unix:{tmp_path / 'none'}").get("/stats", dict)
