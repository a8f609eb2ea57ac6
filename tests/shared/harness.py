"""
The data path in memory for Quill, and a protocol of lines whose requests bind connections in every way.

Lives here: `Stage` with Quill as its codec, `call` and `answer` of Quill, `LineCodec`. Does not: assertions; the stage
itself, which is public: `metaproxy.testing.Stage`.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from metaproxy.codecs.framing import Codec, Session
from metaproxy.message import Correlation, ErrorKind, FrameError, Hold, Kind, Message, Side
from metaproxy.testing import MemoryNetwork as MemoryNetwork
from metaproxy.testing import Stage as PublicStage
from metaproxy.testing import Wire as Wire

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "examples"))
from quill import HEAD as HEAD
from quill import Quill as Quill


def call(id: int, service: str = "echo", body: bytes = b"hi") -> bytes:
    """A Quill request."""
    return HEAD.pack(9 + len(service) + len(body), id, len(service)) + service.encode() + body


def answer(id: int, body: bytes = b"hi") -> bytes:
    """A Quill answer."""
    return HEAD.pack(9 + len(body), id, 0) + body


class Stage(PublicStage):
    """The public stage; its codec is Quill if none is given."""

    def __init__(self, codec: Codec | None = None, *arguments: Any, **settings: Any) -> None:
        super().__init__(codec or Quill(), *arguments, **settings)


class Lines(Session):
    """A session of `LineCodec`: one line a message; the first word says what it does to the connection."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._rest = b""
        self.subscribed = 0

    @property
    def reusable(self) -> bool:  # type: ignore[override]
        return not self.subscribed

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        return f"profile {profile}\n".encode() if profile is not None else b""

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None:
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.buffered = len(self._rest)
        messages = []
        for line in lines:
            if line.startswith(b"!!"):
                self.error = FrameError("line begins with !!")
                break
            messages.append(self._message(line + b"\n"))
        return messages

    def _message(self, line: bytes) -> Message:
        word, *rest = line.decode().split()
        if self._side is Side.SERVER:
            hold = Hold.CLOSE if word == "unsubscribed" else Hold.NONE
            if hold:
                self.subscribed = 0
            kinds = {"event": Kind.EVENT, "unsubscribed": Kind.EVENT, "fail": Kind.ERROR}
            return Message(kinds.get(word, Kind.RESPONSE), line, hold=hold)
        metadata = {"word": word, "key": rest[0] if rest else "", "operation": word}
        holds = {"begin": Hold.OPEN, "end": Hold.CLOSE, "block": Hold.BLOCKING, "subscribe": Hold.OPEN}
        message = Message(Kind.REQUEST, line, 0, metadata, hold=holds.get(word, Hold.NONE))
        if word in ("subscribe", "unsubscribe", "tell"):
            message.kind = Kind.ONEWAY
        elif word == "local":
            message.answer = b"local\n"
        elif word == "bye":
            message.answer, self.closing = b"bye\n", True
        elif word == "select":
            message.answer, message.hold = b"selected\n", Hold.WAIT
            self.database = rest[0]
        message.profile = getattr(self, "database", None)
        return message

    def send(self, message: Message, id: int) -> bytes:
        if message.frame.startswith(b"subscribe"):
            self.subscribed += 1
        return message.frame


class LineCodec(Codec):
    """Answers in the order of the requests, and every way in which a request can bind a connection."""

    name = "line"
    correlation = Correlation.FIFO
    ordered = True
    stateful = True

    def session(self, side: Side, max_frame: int) -> Lines:
        return Lines(side)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return b"" if request.kind is Kind.ONEWAY else f"fail {kind.value} {text}\n".encode()
