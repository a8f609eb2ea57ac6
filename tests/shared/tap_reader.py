"""Somebody who reads a tap of the admin API in memory."""

from __future__ import annotations

import json
from typing import Any

from browser import Connection, Desk


class Reader:
    """Somebody who reads a tap."""

    def __init__(self, desk: Desk, query: str = "") -> None:
        self.connection = Connection(desk)
        self.connection.send(f"GET /tap?{query} HTTP/1.1\r\nhost: 127.0.0.1:9901\r\n\r\n".encode())
        self.head = self.connection.take()
        self.ended = False

    def raw(self) -> bytes:
        data, body = self.connection.take(), b""
        while data:
            size, _, data = data.partition(b"\r\n")
            length = int(size, 16)
            self.ended = self.ended or not length
            body, data = body + data[:length], data[length + 2 :]
        return body

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.raw().splitlines() if line]
