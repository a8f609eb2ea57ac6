"""
Messages of MySQL that carry more than others: requests whose answers change what is known, answers, own errors.

Lives here: `Command`, `Answer`, `LastChunk`, `LocalError`. Does not: what is done with them (`client`, `server`).
"""

from __future__ import annotations

from collections.abc import Callable

from metaproxy.message import Chunk, Message

Effect = Callable[[Message], None]
"""What a client's session does when a command has succeeded. It is given the answer."""


class Command(Message):
    """A request. login: whether the client has not logged in before it. effect: see Effect, None for nothing."""

    __slots__ = ("effect", "login")
    effect: Effect | None
    login: bool


class Answer(Message):
    """A whole answer. effect: that of the command."""

    __slots__ = ("effect",)
    effect: Effect | None


class LastChunk(Chunk):
    """The end of an answer that came in pieces. effect: that of the command."""

    __slots__ = ("effect",)
    effect: Effect | None


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
