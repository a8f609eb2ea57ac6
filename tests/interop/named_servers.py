"""
Servers of HTTP, Dubbo, Thrift and Redis that answer whatever they are asked with their own name: who was asked?

Lives here: `Named` and its four kinds, and a call to each. Does not: anything of what a real server of these does.
"""

from __future__ import annotations

import http.client
import json
import socket
import socketserver
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


class Named:
    """One server; port: where it is."""

    def __init__(self, name: str, server: socketserver.TCPServer) -> None:
        self.name = name
        self._server = server
        self.port: int = server.socket.getsockname()[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Threads(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def http_server(name: str) -> Named:
    """It answers with JSON of its name and of the request's method, target, Host and header x-set."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            shown = {
                "cluster": name, "method": self.command, "target": self.path, "host": self.headers["host"],
                "x-set": ", ".join(self.headers.get_all("x-set", [])),
            }  # fmt: skip
            body = json.dumps(shown).encode()
            self.send_response(503 if "fail" in self.path else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    return Named(name, ThreadingHTTPServer(("127.0.0.1", 0), Handler))


def call_http(port: int, method: str, target: str, headers: dict[str, str]) -> tuple[object, ...]:
    """The status, the location, and what the server that answered saw: its name, the target, the host, x-set."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request(method, target, headers={"Host": "a.example", "x-in": "in", **headers})
    answer = client.getresponse()
    body = answer.read()
    client.close()
    seen = json.loads(body) if body.startswith(b"{") else {}
    shown = [seen.get(key) for key in ("cluster", "target", "host", "x-set")]
    return answer.status, answer.getheader("location"), *shown


def _serve(name: str, answer: Any) -> Named:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                while True:
                    self.request.sendall(answer(self.request))
            except (EOFError, OSError):
                return

    return Named(name, _Threads(("127.0.0.1", 0), Handler))


def dubbo_server(name: str) -> Named:
    def answer(client: socket.socket) -> bytes:
        head = exactly(client, 16)
        exactly(client, struct.unpack(">I", head[12:])[0])
        body = b"\x91" + _text(name)  # a value
        return b"\xda\xbb\x02\x14" + head[4:12] + struct.pack(">I", len(body)) + body

    return _serve(name, answer)


def _text(value: str) -> bytes:
    """A short text of hessian2."""
    assert len(value) < 32
    return bytes([len(value)]) + value.encode()


def call_dubbo(port: int, interface: str, method: str, **attachments: str) -> str:
    """The name of the server that answered; '' for an error."""
    more = b"".join(_text(part) for pair in attachments.items() for part in pair)
    texts = [_text(one) for one in ("2.0.2", interface, "0.0.0", method, "")]
    body = b"".join(texts) + b"H" + _text("path") + _text(interface) + more + b"Z"
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(b"\xda\xbb\xc2\x00" + struct.pack(">QI", 7, len(body)) + body)
        head = exactly(client, 16)
        answer = exactly(client, struct.unpack(">I", head[12:])[0])
    return answer[2:].decode() if head[3] == 20 and answer[0] == 0x91 else ""


def thrift_server(name: str) -> Named:
    def answer(client: socket.socket) -> bytes:
        frame = exactly(client, struct.unpack(">I", exactly(client, 4))[0])
        size = struct.unpack(">I", frame[4:8])[0]
        method, seqid = frame[8 : 8 + size], frame[8 + size : 12 + size]
        value = b"\x0b\x00\x00" + struct.pack(">I", len(name)) + name.encode() + b"\x00"
        reply = b"\x80\x01\x00\x02" + struct.pack(">I", len(method)) + method + seqid + value
        return struct.pack(">I", len(reply)) + reply

    return _serve(name, answer)


def call_thrift(port: int, method: str) -> str:
    """The name of the server that answered a framed call in the binary protocol; '' for an error."""
    call = b"\x80\x01\x00\x01" + struct.pack(">I", len(method)) + method.encode() + b"\x00\x00\x00\x05\x00"
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(struct.pack(">I", len(call)) + call)
        answer = exactly(client, struct.unpack(">I", exactly(client, 4))[0])
    if answer[3] != 2:
        return ""
    at = 8 + struct.unpack(">I", answer[4:8])[0] + 4 + 7
    return answer[at:-1].decode()


def redis_server(name: str) -> Named:
    def answer(client: socket.socket) -> bytes:
        lines = b""
        while not lines.endswith(b"\r\n"):
            lines += exactly(client, 1)
        for _ in range(int(lines[1:])):
            size = b""
            while not size.endswith(b"\r\n"):
                size += exactly(client, 1)
            exactly(client, int(size[1:]) + 2)
        return b"$%d\r\n%s\r\n" % (len(name), name.encode())

    return _serve(name, answer)


def call_redis(port: int, *words: str) -> str:
    """The name of the server that answered; what it said otherwise."""
    said = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one.encode()) for one in words)
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(said)
        first = b""
        while not first.endswith(b"\r\n"):
            first += exactly(client, 1)
        if not first.startswith(b"$") or first.startswith(b"$-"):
            return first.decode().strip()
        return exactly(client, int(first[1:])).decode()
