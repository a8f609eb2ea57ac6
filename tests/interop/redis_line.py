"""
A connection to a Redis server, or to metaproxy before one, on which bytes are said and heard.

Lives here: commands out, replies in as they stand there. Does not: drivers (redis-py), which decode what they hear.
"""

from __future__ import annotations

import socket

from redis_words import command


class Line:
    """A connection on which bytes are said and heard."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, data: bytes) -> None:
        self._socket.sendall(data)

    def ask(self, *words: str | bytes) -> bytes:
        """The answer to one command, as it stands there."""
        self.say(command(*words))
        return self.reply()

    def reply(self) -> bytes:
        """The next reply."""
        head = b""
        while not head.endswith(b"\r\n"):
            byte = self._socket.recv(1)
            assert byte, f"closed behind {head!r}"
            head += byte
        if head[:1] == b"$" and head != b"$-1\r\n":
            return head + self._exactly(int(head[1:]) + 2)
        if head[:1] in (b"*", b">", b"~"):
            return head + b"".join(self.reply() for _ in range(max(0, int(head[1:]))))
        return head

    def _exactly(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            piece = self._socket.recv(min(size - len(got), 1 << 20))
            assert piece, f"closed behind {len(got)} of {size} bytes"
            got += piece
        return bytes(got)

    def rest(self) -> bytes:
        """All that comes until the other side closes."""
        got = b""
        while True:
            try:
                piece = self._socket.recv(1 << 16)
            except ConnectionResetError:  # it had not read all that we said
                return got
            if not piece:
                return got
            got += piece

    def end(self) -> None:
        """Says no more."""
        self._socket.shutdown(socket.SHUT_WR)


def said(port: int, *words: str | bytes) -> bytes:
    with Line(port) as line:
        return line.ask(*words)


def heard(port: int, data: bytes) -> bytes:
    """All that is answered to bytes behind which we say no more."""
    with Line(port) as line:
        line.say(data)
        return line.rest()
