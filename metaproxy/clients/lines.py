"""
Lines of a body that comes in pieces, such as the events of a watch.

Lives here: `Lines`. Does not: the body (`http`), what a line means.
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.clients.http import HttpFailed


class Lines:
    """
    Joins pieces, and hands on each whole line; `most` bytes may wait for their end, else `received` raises HttpFailed.
    """

    def __init__(self, line: Callable[[bytes], None], most: int) -> None:
        self._line = line
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0

    def received(self, data: bytes) -> None:
        first, *others = data.split(b"\n")
        self._wait(first)
        for other in others:
            whole, self._pieces, self._size = b"".join(self._pieces), [], 0
            if whole.strip():
                self._line(whole)
            self._wait(other)

    def _wait(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._most:
            raise HttpFailed(f"an event of more than {self._most} bytes")
        if piece:
            self._pieces.append(piece)
