"""The protocol of a listener that finds out what its clients speak."""

from __future__ import annotations

import pytest

from metaproxy.codecs.auto import Auto
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Side


def test_it_speaks_nothing_by_itself() -> None:
    session = Auto(["a"]).session(Side.CLIENT, 100)
    assert session.receive(b"x") == [] and isinstance(session.error, FrameError)
    with pytest.raises(ValueError, match="twice"):
        Auto(["a", "a"])
    with pytest.raises(ValueError, match="empty"):
        Auto([])


def test_it_answers_nothing() -> None:
    assert Auto(["a"]).reply(Message(Kind.REQUEST, b"x"), ErrorKind.DENIED, "no") == b""
