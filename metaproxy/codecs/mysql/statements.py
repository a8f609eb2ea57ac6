"""
The statements that a client has prepared: their texts by the id that the server gave them.

Lives here: `Statements`. Does not: whose ids these are on other connections.
"""

from __future__ import annotations

MOST_BYTES = 4 << 20
"""Bytes of texts that are kept for one client. What is over it is prepared all the same, and its text is not known."""


class Statements:
    __slots__ = ("_size", "_texts")

    def __init__(self) -> None:
        self._texts: dict[int, bytes] = {}
        self._size = 0

    def add(self, id: int, text: bytes) -> None:
        self.remove(id)
        if self._size + len(text) <= MOST_BYTES:
            self._texts[id] = text
            self._size += len(text)

    def remove(self, id: int) -> None:
        text = self._texts.pop(id, None)
        if text is not None:
            self._size -= len(text)

    def clear(self) -> None:
        self._texts = {}
        self._size = 0

    def text(self, id: int) -> bytes | None:
        return self._texts.get(id)
