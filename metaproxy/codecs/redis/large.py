"""
Commands and replies over `stream_over`: which may come in pieces, and their pieces.

A command is routed, and allowed or refused, by its name and its keys. Most have one key, their first argument. Of those
that may have more, all keys are known once the argument that makes it large is none, and the last one that matters.

Lives here: `begins_stream`, `add_chunks`. Does not: where commands and replies end (`command_scanner`, `resp`).
"""

from __future__ import annotations

from typing import NamedTuple

from metaproxy.codecs.redis import commands, resp, several
from metaproxy.message import Chunk, Kind, Message

CHUNK = 65536
"""Bytes of a piece at most."""
_LOOKED_AT = {name.decode() for name in commands.SPECIAL | commands.CONTAINERS} | {"REPLCONF", "SYNC", "PSYNC"}
"""Commands whose arguments the sessions look at: these are whole, or too large."""


class Way(NamedTuple):
    """How a command may come in pieces. keys_known: whether its head tells all of its keys."""

    keys_known: bool

    def unclear(self, key: str) -> tuple[str | None, ...] | None:
        """See Message.unclear."""
        return () if key == "keys" else None


def begins_stream(beginning: bytes, left: int, too_large: bool) -> Way | None:
    """
    How a command may be passed on that begins so, behind the head of an argument; None if it must be whole. left:
    arguments that are not whole; too_large: whether it can't be whole.
    """
    words = resp.begun(beginning)
    if len(words) < 2:
        return None
    name = words[0].upper().decode("latin-1")
    if name in _LOOKED_AT or name in several.NAMES:
        return None
    if name not in commands.MANY:
        return Way(True)
    known = _tells_keys(name, words, left)
    # As a whole it can be split over several endpoints.
    return Way(known) if too_large or (known and name not in commands.SPLIT) else None


def _tells_keys(name: str, words: list[bytes], left: int) -> bool:
    if name in ("MSET", "MSETNX"):
        return left == 1 and len(words) % 2 == 0
    place = commands.COUNTED.get(name)
    if place is None or name == "MSETEX" or len(words) <= place:
        return False
    number = words[place]
    return number.isdigit() and len(number) < 10 and len(words) > place + int(number)


def add_chunks(messages: list[Message], data: bytes, at: int, end: int, id: int, last: bool) -> int:
    """Adds the bytes from `at` to `end` of a stream. last: whether it ends there. How many were added."""
    count = 1
    while end - at > CHUNK:
        messages.append(Chunk(Kind.STREAM_DATA, data[at : at + CHUNK], id))
        at += CHUNK
        count += 1
    if last or at < end:
        messages.append(Chunk(Kind.STREAM_CLOSE if last else Kind.STREAM_DATA, data[at:end], id))
        return count
    return count - 1
