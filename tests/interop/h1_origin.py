"""
A server of HTTP/1.1 in a thread of the test: it keeps what it saw, and answers with the bytes that a test gives it.

Lives here: `Origin`, for answers that nginx and haproxy never give, and for requests that a test wants to see as they
came. Does not: a client, anything of metaproxy.

    origin = Origin({"/hints": b"HTTP/1.1 103 Early Hints\\r\\n\\r\\n" + OK})
    ...
    assert origin.seen[0].trailers == ["x-sum: 1"]
    origin.close()
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from threading import Thread

OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nok\n"


MOST = 1 << 18
"""Bytes of a body that are kept, and read at a time."""


@dataclass
class Seen:
    """
    A request: its method, its target, its fields (names in lower case), its body, or the beginning of a long one, with
    the size of all of it, and the lines of its trailers.
    """

    method: str
    target: str
    fields: dict[str, str]
    body: bytes = b""
    size: int = 0
    trailers: list[str] = field(default_factory=list)


class Origin:
    """answers: by target; b"" closes the connection without one. All others are OK. seen: what came, in order."""

    def __init__(self, answers: Mapping[str, bytes] | None = None, default: bytes = OK) -> None:
        self._answers = dict(answers or {})
        self._default = default
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.seen: list[Seen] = []
        self.connections = 0
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def targets(self) -> list[str]:
        """What was asked for."""
        return [each.target for each in self.seen]

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with closing(connection), suppress(ConnectionError), connection.makefile("rb") as stream:
            while len(line := stream.readline().decode("latin-1").split()) == 3:
                request = Seen(line[0], line[1], _fields(stream))
                if request.fields.get("expect"):
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                _body(stream, request)
                self.seen.append(request)
                answer = self._answers.get(request.target, self._default)
                connection.sendall(answer)
                if not answer or b"connection: close" in answer.partition(b"\r\n\r\n")[0].lower():
                    return


def _lines(stream: BufferedReader) -> list[str]:
    lines = []
    while line := stream.readline().decode("latin-1").strip():
        lines.append(line)
    return lines


def _fields(stream: BufferedReader) -> dict[str, str]:
    pairs = [line.partition(":") for line in _lines(stream)]
    return {name.lower(): value.strip() for name, _, value in pairs}


def _body(stream: BufferedReader, request: Seen) -> None:
    if request.fields.get("transfer-encoding") != "chunked":
        _piece(stream, request, int(request.fields.get("content-length", 0)))
        return
    while size := int(stream.readline() or b"0", 16):
        _piece(stream, request, size)
        stream.readline()
    request.trailers = _lines(stream)


def _piece(stream: BufferedReader, request: Seen, size: int) -> None:
    while size and (piece := stream.read(min(size, MOST))):
        size -= len(piece)
        request.size += len(piece)
        if request.size <= MOST:
            request.body += piece
