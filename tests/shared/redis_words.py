"""How the tests of the Redis codec write commands, and what a client's or a server's session makes of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import Redis
from metaproxy.message import Hold, Kind, Message, Side
from metaproxy.testing.joining import joined

MAX = 1 << 20


def command(*words: str | bytes) -> bytes:
    items = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(items) + b"".join(b"$%d\r\n%b\r\n" % (len(item), item) for item in items)


def said(text: str) -> bytes:
    """A command whose words have no blanks."""
    return command(*text.split())


def client(**options: Any) -> Session:
    return Redis(**options).session(Side.CLIENT, MAX)


def server(profile: tuple[int, int] | None = None) -> Session:
    """A server's session, logged in."""
    session = Redis().session(Side.SERVER, MAX)
    greetings = session.open(profile, {}).count(b"*")
    assert session.receive(b"+OK\r\n" * greetings) == []
    assert session.ready
    return session


def read(session: Session, text: str) -> Message:
    """The one message of a command whose words have no blanks."""
    (message,) = session.receive(said(text))
    assert session.error is None
    return message


def answer(session: Session, text: str) -> bytes:
    """What the codec itself answers to a command."""
    message = read(session, text)
    assert message.answer is not None
    return message.answer


def join(head: Message, chunks: Sequence[Message]) -> Message:
    """The whole command or answer that came in pieces."""
    whole = head.with_frame(head.frame + b"".join(chunk.frame for chunk in chunks))
    asked = head.id > 0
    whole.kind = Kind.REQUEST if asked else Kind.ERROR if getattr(head, "failed", False) else Kind.RESPONSE
    whole.id = 0
    if whole.hold is Hold.EXCHANGE:
        whole.hold = Hold.NONE
    return whole


def normalised(messages: Sequence[Message], session: Session) -> list[Message]:
    """What a session gave, as whole messages where they are: so that it does not depend on how its stream was cut."""
    return joined(messages, join, session.error is not None)
