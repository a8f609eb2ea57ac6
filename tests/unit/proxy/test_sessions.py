"""Sessions that were written before some of the contract was."""

from __future__ import annotations

import pytest
from harness import Quill

from metaproxy.message import Message, Side
from metaproxy.proxy.sessions import new_session


class Old:
    """A session of the first contract, which derives from nothing."""

    error = None
    ready = True
    buffered = 0
    closing = False
    reusable = True

    def open(self, profile: object, credentials: object) -> bytes:
        return b""

    def receive(self, data: bytes) -> list[Message]:
        return []

    def send(self, message: Message, id: int) -> bytes:
        return message.frame

    def drain(self) -> bytes:
        return b""


class Narrow(Old):
    __slots__ = ("only",)
    error = None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class Codec(Quill):
    def __init__(self, made: type) -> None:
        super().__init__()
        self.made = made

    def session(self, side: Side, max_frame: int) -> object:  # type: ignore[override]
        return self.made()


def test_what_came_later_is_filled_in() -> None:
    session = new_session(Codec(Old), Side.CLIENT, 100, {"source.address": "127.0.0.1"})
    assert (session.owes, session.flow, session.capacity, session.fenced) == (False, "connection", 0, False)
    assert session.facts == {"source.address": "127.0.0.1"}
    assert (session.eof(), session.reset(1, None, ""), session.unsent_bytes(1), session.owed()) == ([], None, 0, b"")
    session.credit(1, 10)


def test_a_session_that_cannot_be_filled_in_is_refused() -> None:
    with pytest.raises(AttributeError):
        new_session(Codec(Narrow), Side.CLIENT, 100, {})


def test_a_session_of_today_is_taken_as_it_is() -> None:
    facts = {"source.port": "1"}
    assert new_session(Quill(), Side.SERVER, 100, facts).facts is facts
