"""
Messages of MySQL that carry more than others: requests whose answers change what is known, answers, own errors.

Lives here: `Command`, `Answer`, `LastChunk`, `Greeted`, `LocalError`, and what is asked of them. Does not: what is done
with them (`client`, `server`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

from metaproxy.codecs.mysql.metadata import Reader
from metaproxy.codecs.mysql.packets import End
from metaproxy.message import Chunk, Kind, Message

Effect = Callable[[Message], bytes | None]
"""What a client's session does when a command is answered: it is given that, and may give other bytes to send."""


class Command(Message):
    """
    A request. login: whether it is one, also a change of user: an error in place of its answer ends the connection, as
    it is not known what the server waits for then. effect: see Effect, None for nothing. reader: of its metadata.
    """

    __slots__ = ("effect", "login", "reader")
    effect: Effect | None
    login: bool
    reader: Reader

    def with_frame(self, frame: bytes) -> Command:
        other = copy.copy(self)
        other.frame = frame
        return other


class Answer(Message):
    """A whole answer. effect: that of the command. end: what its last packet says, None for an error."""

    __slots__ = ("effect", "end")
    effect: Effect | None
    end: End | None


class LastChunk(Chunk):
    """The end of an answer that came in pieces; see Answer."""

    __slots__ = ("effect", "end")
    effect: Effect | None
    end: End | None


class Greeted(Message):
    """A server's greeting. server: its address, "" where that is not known."""

    __slots__ = ("server",)
    server: str


class LocalError(Message):
    """
    An error of the proxy's own. Its sequence number is that of the request's end, which only the client's session
    knows. final: whether the connection ends behind it.
    """

    __slots__ = ("final",)
    final: bool


def effect_of(message: Message) -> Effect | None:
    """What a request, or its answer, has in store for the client's session."""
    return message.effect if isinstance(message, Command | Answer | LastChunk) else None


def has_failed(answer: Message) -> bool:
    """Whether the end of an answer reports failure."""
    return answer.kind is Kind.ERROR or (isinstance(answer, Chunk) and answer.failed)
