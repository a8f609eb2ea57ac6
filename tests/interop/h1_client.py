"""
An HTTP/1.1 client on a bare socket: requests as a test writes them, in one piece or in several.

Lives here: `H1Client`, and its answers with their interim heads and trailers. Does not: what makes a request right.

    with H1Client(port) as client:
        client.send(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
        assert client.answer().status == 200
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from io import BufferedReader

WAIT = 10.0


@dataclass
class Answer:
    """interim: the statuses of answers with 1xx before it; fields: names in lower case; last: its connection ends."""

    status: int
    fields: dict[str, str]
    interim: list[int]
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def last(self) -> bool:
        return self.fields.get("connection", "").lower() == "close"


class H1Client:
    """One connection to 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), WAIT)
        self._stream: BufferedReader = self.socket.makefile("rb")

    def __enter__(self) -> H1Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, path: str, *lines: str, method: str = "GET") -> Answer:
        """Sends a request without a body, and reads its answer."""
        self.send("\r\n".join((f"{method} {path} HTTP/1.1", "Host: a.example", *lines, "", "")).encode())
        return self.answer(method)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, to a request of this method."""
        interim: list[int] = []
        while (status := int(self._stream.readline().split()[1])) < 200:
            if status == 101:
                return Answer(status, self._fields(), interim)
            interim.append(status)
            self._fields()
        answer = Answer(status, self._fields(), interim)
        if method != "HEAD" and status not in (204, 304):
            self._body(answer)
        return answer

    def read(self, size: int) -> bytes:
        """So many bytes behind an answer, of a tunnel."""
        return self._stream.read(size)

    def ended(self) -> bool:
        """Whether the server closed the connection, and said nothing more."""
        try:
            return self._stream.read(1) == b""
        except ConnectionError:
            return True

    def _body(self, answer: Answer) -> None:
        if answer.fields.get("transfer-encoding") != "chunked":
            answer.body = self._stream.read(int(answer.fields["content-length"]))
            return
        while size := int(self._stream.readline(), 16):
            answer.body += self._stream.read(size)
            assert self._stream.readline() == b"\r\n"
        answer.trailers = self._fields()

    def _fields(self) -> dict[str, str]:
        pairs = []
        while line := self._stream.readline().decode("latin-1").strip():
            pairs.append(line.partition(":"))
        return {name.lower(): value.strip() for name, _, value in pairs}
