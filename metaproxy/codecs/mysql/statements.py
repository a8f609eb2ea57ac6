"""
The statements that a client has prepared: their texts by the id that the server gave them.

Lives here: `Statements`, `statement_kind`. Does not: whose ids these are on other connections.
"""

from __future__ import annotations

import re

MOST_BYTES = 4 << 20
"""Bytes of texts that are kept for one client. What is over it is prepared all the same, and its text is not known."""
_SPACE = re.compile(rb"(?:\s+|#[^\n]*\n|--(?=\s)[^\n]*\n|/\*(?![!M]).*?\*/|\()*", re.DOTALL)
_WORD = re.compile(rb"(?:/\*M?!\d*\s*)?([A-Za-z]+)")


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


def statement_kind(text: bytes) -> str:
    """The first word of a statement in lower case; "" where none is found."""
    space = _SPACE.match(text)
    word = _WORD.match(text, space.end() if space is not None else 0)
    return word[1].decode("ascii").lower() if word is not None else ""
